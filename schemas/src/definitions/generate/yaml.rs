//! YAML in the form of Ruby's Psych with lines of 150 characters, which GitLab's generator uses: its choice of quotes, and
//! libyaml's places to break a line. Only what definitions hold: mappings, lists, one-line texts, numbers, booleans, null.

use serde_yaml_ng::{Mapping, Value};

/// Lines are broken at the first blank behind this column.
const WIDTH: usize = 150;

/// How a text is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    Plain,
    Single,
    Double,
    Folded,
}

/// A document of one mapping.
pub(super) fn emit(document: &Mapping) -> String {
    let mut out = "---\n".to_owned();
    mapping(&mut out, document, 0);
    out
}

/// A block mapping whose first key stands where `out` ends, further ones after `indent` blanks.
fn mapping(out: &mut String, entries: &Mapping, indent: usize) {
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        scalar(out, key, indent);
        out.push(':');
        match value {
            Value::Mapping(nested) if !nested.is_empty() => {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent + 2));
                mapping(out, nested, indent + 2);
            }
            Value::Sequence(items) if !items.is_empty() => {
                out.push('\n');
                sequence(out, items, indent);
            }
            Value::Null => out.push('\n'),
            other => {
                out.push(' ');
                scalar(out, other, indent);
                out.push('\n');
            }
        }
    }
}

/// A block list, its dashes after `indent` blanks.
fn sequence(out: &mut String, items: &[Value], indent: usize) {
    for item in items {
        out.extend(std::iter::repeat_n(' ', indent));
        out.push_str("- ");
        match item {
            Value::Mapping(nested) if !nested.is_empty() => mapping(out, nested, indent + 2),
            other => {
                scalar(out, other, indent);
                out.push('\n');
            }
        }
    }
}

/// Anything of one line.
fn scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) => self::text(out, text, indent + 2),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Sequence(_) => out.push_str("[]"),
        Value::Mapping(_) => out.push_str("{}"),
        Value::Null | Value::Tagged(_) => {}
    }
}

fn text(out: &mut String, text: &str, indent: usize) {
    match style(text) {
        Style::Plain => broken(out, text, indent, |out, character| out.push(character)),
        Style::Single => {
            out.push('\'');
            broken(out, text, indent, |out, character| match character {
                '\'' => out.push_str("''"),
                other => out.push(other),
            });
            out.push('\'');
        }
        Style::Double => {
            out.push('"');
            broken(out, text, indent, escaped);
            out.push('"');
        }
        Style::Folded => {
            out.push_str(">-\n");
            out.extend(std::iter::repeat_n(' ', indent));
            broken(out, text, indent, |out, character| out.push(character));
        }
    }
}

/// Writes the text, with a line break in place of the first blank behind the width that has none beside it.
fn broken(out: &mut String, text: &str, indent: usize, mut write: impl FnMut(&mut String, char)) {
    let mut before = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_single_blank = character == ' '
            && before.is_some_and(|before| before != ' ')
            && characters.peek().is_some_and(|next| *next != ' ');
        if is_single_blank && column(out) > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
        } else {
            write(out, character);
        }
        before = Some(character);
    }
}

/// Characters since the last line break.
fn column(out: &str) -> usize {
    out.rsplit('\n').next().map_or(0, |line| line.chars().count())
}

/// A character between double quotes. libyaml knows no character beyond the basic plane as printable.
fn escaped(out: &mut String, character: char) {
    match character {
        '"' | '\\' => out.extend(['\\', character]),
        '\u{10000}'.. => out.push_str(&format!("\\U{:08X}", u32::from(character))),
        other => out.push(other),
    }
}

/// Psych's choice, corrected by libyaml where a plain text would not be read back.
fn style(text: &str) -> Style {
    let first_is_word = text.chars().next().is_some_and(|first| first.is_alphanumeric() || first == '_');
    let quotes_inside = text.chars().skip(1).any(|character| character == '"');
    if matches!(text, "y" | "Y" | "n" | "N") || text.chars().any(|character| character >= '\u{10000}') {
        Style::Double
    } else if text.chars().count() > WIDTH {
        Style::Folded
    } else if !text.is_empty() && !first_is_word && !quotes_inside {
        Style::Double
    } else if is_ambiguous(text) || !may_be_plain(text) {
        Style::Single
    } else {
        Style::Plain
    }
}

/// Whether the text, unquoted, would be something else: to Ruby, which reads YAML 1.1, or to Tally's own reader.
fn is_ambiguous(text: &str) -> bool {
    const WORDS: [&str; 9] = ["", "~", "null", "yes", "no", "true", "false", "on", "off"];
    let in_numbers_and_dates =
        |character: char| character.is_ascii_hexdigit() || "+-.,_:xXoO ".contains(character);
    let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    let is_number =
        text.starts_with(|first: char| first.is_ascii_digit()) && text.chars().all(in_numbers_and_dates);
    is_word || is_number || !is_read_as_itself(text)
}

fn is_read_as_itself(text: &str) -> bool {
    serde_yaml_ng::from_str::<Value>(text).is_ok_and(|read| read.as_str() == Some(text))
}

/// Whether libyaml writes the text without quotes.
fn may_be_plain(text: &str) -> bool {
    let opens = text.starts_with(|first: char| "#,[]{}&*!|>'\"%@`".contains(first));
    let dashes = ["- ", "? ", ": ", "---", "..."].iter().any(|start| text.starts_with(start));
    let is_indicator = matches!(text, "-" | "?" | ":");
    let inner = text.contains(": ") || text.ends_with(':') || text.contains(" #");
    let blanks = text.starts_with(' ') || text.ends_with(' ');
    !(opens || dashes || is_indicator || inner || blanks)
}
