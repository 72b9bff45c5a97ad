//! YAML with line numbers, and reading a mapping key by key: Cube's spellings in snake case and camel case are one, every
//! mistake is noted with its line, and reading goes on.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::Value;

use super::{ModelError, underscore};

/// A value of a YAML document and the line that it starts in, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub line: usize,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A line and what is wrong with it.
type Unreadable = (usize, String);

/// The document of a file; `None` if there is nothing in it.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Unreadable> {
    let text = with_unfolded_sql(text);
    let documents =
        MarkedYaml::load_from_str(&text).map_err(|error| (error.marker().line(), error.info().to_owned()))?;
    match documents.as_slice() {
        [] => Ok(None),
        [document] => node(document).map(Some),
        [_, second, ..] => Err((second.span.start.line(), "a second document".to_owned())),
    }
}

/// `sql: >` as `sql: |`, which Cube does, too: were lines folded into one, a comment would swallow what follows it.
fn with_unfolded_sql(text: &str) -> String {
    let unfolded = text.split_inclusive('\n').map(|line| {
        let entry = line.trim_start();
        let entry = entry.strip_prefix("- ").map_or(entry, str::trim_start);
        match entry.strip_prefix("sql:").map(str::trim_start) {
            Some(value) if value.starts_with('>') => line.replacen('>', "|", 1),
            _ => line.to_owned(),
        }
    });
    unfolded.collect()
}

fn node(yaml: &MarkedYaml) -> Result<Node, Unreadable> {
    let line = yaml.span.start.line();
    let content = match &yaml.data {
        YamlData::Value(Scalar::Null) => Content::Null,
        YamlData::Value(Scalar::Boolean(value)) => Content::Boolean(*value),
        YamlData::Value(Scalar::Integer(value)) => Content::Integer(*value),
        YamlData::Value(Scalar::FloatingPoint(value)) => Content::Float(value.0),
        YamlData::Value(Scalar::String(value)) => Content::Text(value.to_string()),
        YamlData::Sequence(items) => Content::List(items.iter().map(node).collect::<Result<_, _>>()?),
        YamlData::Mapping(entries) => {
            let entry = |(key, value)| Ok((key_text(key)?, node(value)?));
            Content::Map(entries.iter().map(entry).collect::<Result<_, Unreadable>>()?)
        }
        YamlData::Tagged(_, inner) => return node(inner),
        YamlData::Representation(..) | YamlData::Alias(_) | YamlData::BadValue => {
            return Err((line, "a value that can't be read".to_owned()));
        }
    };
    Ok(Node { line, content })
}

fn key_text(key: &MarkedYaml) -> Result<String, Unreadable> {
    match node(key)? {
        Node { content: Content::Text(text), .. } => Ok(text),
        Node { line, .. } => Err((line, "a key that is not a text".to_owned())),
    }
}

impl Node {
    /// The value as JSON.
    pub fn json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Boolean(value) => (*value).into(),
            Content::Integer(value) => (*value).into(),
            Content::Float(value) => (*value).into(),
            Content::Text(text) => text.as_str().into(),
            Content::List(items) => items.iter().map(Self::json).collect(),
            Content::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), value.json())).collect(),
        }
    }

    fn is_null(&self) -> bool {
        self.content == Content::Null
    }
}

/// Where mistakes of one file are noted.
#[derive(Debug)]
pub(super) struct Report<'r> {
    pub file: &'r str,
    pub errors: &'r mut Vec<ModelError>,
}

impl Report<'_> {
    pub fn error(&mut self, line: usize, path: &str, reason: impl Into<String>) {
        self.errors.push(ModelError {
            file: self.file.to_owned(),
            line: Some(line),
            path: path.to_owned(),
            reason: reason.into(),
        });
    }
}

/// A mapping that is being read: whoever has taken what they know calls [`Fields::finish`], and what is left is a mistake.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    /// What errors name: `Cube` or `Cube.member`.
    pub path: String,
    pub line: usize,
    entries: Vec<Field<'n>>,
}

#[derive(Debug)]
struct Field<'n> {
    /// In snake case.
    key: String,
    node: &'n Node,
    is_taken: bool,
}

impl<'n> Fields<'n> {
    /// The fields of a mapping; anything else is a mistake.
    pub fn of(node: &'n Node, path: &str, report: &mut Report<'_>) -> Option<Self> {
        let Content::Map(entries) = &node.content else {
            report.error(node.line, path, "must be a mapping");
            return None;
        };
        let mut fields: Vec<Field<'n>> = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let key = underscore(key);
            if fields.iter().any(|field| field.key == key) {
                report.error(node.line, path, format!("`{key}` is given twice"));
            }
            fields.push(Field { key, node, is_taken: false });
        }
        Some(Self { path: path.to_owned(), line: node.line, entries: fields })
    }

    /// The value of a key; a null is as good as none.
    pub fn take(&mut self, key: &str) -> Option<&'n Node> {
        let field = self.entries.iter_mut().find(|field| field.key == key)?;
        field.is_taken = true;
        (!field.node.is_null()).then_some(field.node)
    }

    pub fn text(&mut self, key: &str, report: &mut Report<'_>) -> Option<&'n str> {
        self.typed(key, "a text", report, |content| match content {
            Content::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A text that must be there.
    pub fn needed_text(&mut self, key: &str, report: &mut Report<'_>) -> Option<&'n str> {
        if !self.has(key) {
            report.error(self.line, &self.path, format!("`{key}` is missing"));
        }
        self.text(key, report)
    }

    pub fn boolean(&mut self, key: &str, report: &mut Report<'_>) -> Option<bool> {
        self.typed(key, "true or false", report, |content| match content {
            Content::Boolean(value) => Some(*value),
            _ => None,
        })
    }

    /// The items of a list; none if the key is not there.
    pub fn list(&mut self, key: &str, report: &mut Report<'_>) -> &'n [Node] {
        let items = self.typed(key, "a list", report, |content| match content {
            Content::List(items) => Some(items.as_slice()),
            _ => None,
        });
        items.unwrap_or_default()
    }

    /// A value that `read` accepts; any other is a mistake.
    fn typed<T>(
        &mut self,
        key: &str,
        expected: &str,
        report: &mut Report<'_>,
        read: impl Fn(&'n Content) -> Option<T>,
    ) -> Option<T> {
        let node = self.take(key)?;
        let value = read(&node.content);
        if value.is_none() {
            report.error(node.line, &self.path, format!("`{key}` must be {expected}"));
        }
        value
    }

    /// A text that must be one of those of the table.
    pub fn choice<T: Copy>(
        &mut self,
        key: &str,
        choices: &[(&str, T)],
        report: &mut Report<'_>,
    ) -> Option<T> {
        let line = self.line_of(key);
        let text = self.needed_text(key, report)?;
        let snake = underscore(text);
        let found = choices.iter().find(|(name, _)| *name == snake);
        if found.is_none() {
            let known = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            report.error(line, &self.path, format!("`{key}` {text:?} is none of those supported: {known}"));
        }
        found.map(|(_, choice)| *choice)
    }

    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|field| field.key == key && !field.node.is_null())
    }

    /// The line of a key's value, or that of the mapping.
    pub fn line_of(&self, key: &str) -> usize {
        self.entries.iter().find(|field| field.key == key).map_or(self.line, |field| field.node.line)
    }

    /// Notes every key that nobody has taken.
    pub fn finish(self, report: &mut Report<'_>) {
        for field in self.entries.iter().filter(|field| !field.is_taken) {
            report.error(field.node.line, &self.path, format!("`{}` is not supported here", field.key));
        }
    }
}
