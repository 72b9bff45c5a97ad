//! Reads measures, dimensions, segments and hierarchies.

use serde_json::Value;

use super::format::{Formatted, format};
use super::names::{Kind, Names};
use super::sql::{self, Role, is_identifier};
use super::title::titleize;
use super::yaml::{Content, Fields, Node, Report};
use super::{
    CaseLabel, Dimension, DimensionKind, Expression, Hierarchy, Label, Measure, MeasureKind, Segment, Sql,
};

const MEASURE_KINDS: [(&str, MeasureKind); 11] = [
    ("count", MeasureKind::Count),
    ("count_distinct", MeasureKind::CountDistinct),
    ("count_distinct_approx", MeasureKind::CountDistinctApprox),
    ("sum", MeasureKind::Sum),
    ("avg", MeasureKind::Avg),
    ("min", MeasureKind::Min),
    ("max", MeasureKind::Max),
    ("number", MeasureKind::Number),
    ("time", MeasureKind::Time),
    ("string", MeasureKind::String),
    ("boolean", MeasureKind::Boolean),
];

const DIMENSION_KINDS: [(&str, DimensionKind); 5] = [
    ("string", DimensionKind::String),
    ("number", DimensionKind::Number),
    ("boolean", DimensionKind::Boolean),
    ("time", DimensionKind::Time),
    ("geo", DimensionKind::Geo),
];

/// The cube that members belong to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'c> {
    pub cube: &'c str,
    pub title: &'c str,
    pub names: &'c Names,
}

impl Scope<'_> {
    pub fn measure(&self, node: &Node, report: &mut Report<'_>) -> Option<Measure> {
        let mut fields = self.open(node, report)?;
        let kind = fields.choice("type", &MEASURE_KINDS, report);
        let is_calculation = kind.is_some_and(MeasureKind::is_calculation);
        let role = if is_calculation { Role::Calculation } else { Role::Argument };
        let sql = match kind {
            Some(MeasureKind::Count) | None => self.sql(&mut fields, "sql", role, report),
            Some(_) => self.needed_sql(&mut fields, "sql", role, report),
        };
        let filters = self.filters(&mut fields, report);
        if is_calculation && !filters.is_empty() {
            let reason = "`filters` need an aggregate; put them on the measures that this one is computed of";
            report.error(fields.line_of("filters"), &fields.path, reason);
        }
        let drill_members = self.member_list(&mut fields, "drill_members", report);
        let drill_members = drill_members
            .into_iter()
            .filter(|(line, id, kind)| {
                if *kind == Kind::Segment {
                    report.error(*line, &fields.path, format!("drills down by {id}, which is a segment"));
                }
                *kind != Kind::Segment
            })
            .map(|(_, id, _)| id)
            .collect();
        let label = self.label(&mut fields, true, Some(Formatted::Measure), report);
        fields.finish(report);
        Some(Measure { label, kind: kind?, sql, filters, drill_members })
    }

    pub fn dimension(&self, node: &Node, report: &mut Report<'_>) -> Option<Dimension> {
        let mut fields = self.open(node, report)?;
        let kind = fields.choice("type", &DIMENSION_KINDS, report);
        let primary_key = fields.boolean("primary_key", report).unwrap_or(false);
        let suggest_filter_values = fields.boolean("suggest_filter_values", report).unwrap_or(true);
        let expression = self.expression(&mut fields, kind, report);
        let formatted = match kind {
            Some(DimensionKind::Number) => Formatted::Number,
            Some(DimensionKind::Time) => Formatted::Time,
            _ => Formatted::Other,
        };
        let label = self.label(&mut fields, !primary_key, Some(formatted), report);
        fields.finish(report);
        Some(Dimension { label, kind: kind?, expression: expression?, primary_key, suggest_filter_values })
    }

    pub fn segment(&self, node: &Node, report: &mut Report<'_>) -> Option<Segment> {
        let mut fields = self.open(node, report)?;
        let sql = self.needed_sql(&mut fields, "sql", Role::Condition, report);
        let label = self.label(&mut fields, true, None, report);
        fields.finish(report);
        Some(Segment { label, sql: sql? })
    }

    pub fn hierarchy(&self, node: &Node, report: &mut Report<'_>) -> Option<Hierarchy> {
        let mut fields = self.open(node, report)?;
        let title = fields.text("title", report).map(str::to_owned);
        let public = public(&mut fields, true, report);
        let mut levels = Vec::new();
        for (line, id, kind) in self.member_list(&mut fields, "levels", report) {
            if kind != Kind::Dimension {
                report.error(line, &fields.path, format!("has the level {id}, which is no dimension"));
            }
            levels.push(id);
        }
        let name = fields.path.rsplit('.').next().unwrap_or_default().to_owned();
        fields.finish(report);
        Some(Hierarchy { name, title, public, levels })
    }

    /// The fields of a member's entry, its name read: errors name it.
    pub fn open<'n>(&self, node: &'n Node, report: &mut Report<'_>) -> Option<Fields<'n>> {
        let mut fields = Fields::of(node, self.cube, report)?;
        let name = fields.needed_text("name", report)?;
        fields.path = format!("{}.{name}", self.cube);
        if !is_identifier(name) || matches!(name, "CUBE" | "TENANT") {
            report.error(node.line, &fields.path, format!("{name:?} can't be a name"));
        }
        Some(fields)
    }

    /// The members that a list names, each with its line, id and kind.
    pub fn member_list(
        &self,
        fields: &mut Fields<'_>,
        key: &str,
        report: &mut Report<'_>,
    ) -> Vec<(usize, String, Kind)> {
        let mut members = Vec::new();
        for item in fields.list(key, report) {
            let Content::Text(reference) = &item.content else {
                report.error(item.line, &fields.path, format!("`{key}` must be a list of members"));
                continue;
            };
            match sql::member_id(reference, self.cube, self.names) {
                Ok((id, kind)) => members.push((item.line, id, kind)),
                Err(reason) => report.error(item.line, &fields.path, format!("`{key}`: {reason}")),
            }
        }
        members
    }

    pub fn needed_sql(
        &self,
        fields: &mut Fields<'_>,
        key: &str,
        role: Role,
        report: &mut Report<'_>,
    ) -> Option<Sql> {
        if !fields.has(key) {
            report.error(fields.line, &fields.path, format!("`{key}` is missing"));
        }
        self.sql(fields, key, role, report)
    }

    fn sql(&self, fields: &mut Fields<'_>, key: &str, role: Role, report: &mut Report<'_>) -> Option<Sql> {
        let text = fields.text(key, report)?;
        match sql::read(text, role, self.cube, self.names) {
            Ok(sql) => Some(sql),
            Err(reason) => {
                report.error(fields.line_of(key), &fields.path, format!("`{key}`: {reason}"));
                None
            }
        }
    }

    /// The `sql` of an entry that has nothing else.
    fn only_sql(&self, node: &Node, path: &str, role: Role, report: &mut Report<'_>) -> Option<Sql> {
        let mut fields = Fields::of(node, path, report)?;
        let sql = self.needed_sql(&mut fields, "sql", role, report);
        fields.finish(report);
        sql
    }

    fn filters(&self, fields: &mut Fields<'_>, report: &mut Report<'_>) -> Vec<Sql> {
        let entries = fields.list("filters", report);
        entries
            .iter()
            .filter_map(|entry| self.only_sql(entry, &fields.path, Role::Condition, report))
            .collect()
    }

    fn expression(
        &self,
        fields: &mut Fields<'_>,
        kind: Option<DimensionKind>,
        report: &mut Report<'_>,
    ) -> Option<Expression> {
        if kind == Some(DimensionKind::Geo) {
            let mut coordinate = |key: &str| {
                let Some(node) = fields.take(key) else {
                    report.error(fields.line, &fields.path, format!("`{key}` is missing"));
                    return None;
                };
                self.only_sql(node, &fields.path, Role::Dimension, report)
            };
            let (latitude, longitude) = (coordinate("latitude"), coordinate("longitude"));
            return Some(Expression::Geo { latitude: latitude?, longitude: longitude? });
        }
        match fields.take("case") {
            Some(case) => self.case(case, &fields.path, report),
            None => self.needed_sql(fields, "sql", Role::Dimension, report).map(Expression::Sql),
        }
    }

    fn case(&self, node: &Node, path: &str, report: &mut Report<'_>) -> Option<Expression> {
        let mut fields = Fields::of(node, path, report)?;
        let mut when = Vec::new();
        let entries = fields.list("when", report);
        if entries.is_empty() {
            report.error(node.line, path, "`case` has no `when`");
        }
        for entry in entries {
            let Some(mut branch) = Fields::of(entry, path, report) else { continue };
            let condition = self.needed_sql(&mut branch, "sql", Role::Dimension, report);
            let label = self.case_label(&mut branch, report);
            branch.finish(report);
            when.extend(condition.zip(label));
        }
        let otherwise = match fields.take("else") {
            Some(entry) => {
                let mut branch = Fields::of(entry, path, report)?;
                let label = self.case_label(&mut branch, report);
                branch.finish(report);
                label?
            }
            None => CaseLabel::Sql(Sql(vec![super::Piece::Text("NULL".to_owned())])),
        };
        fields.finish(report);
        Some(Expression::Case { when, otherwise })
    }

    /// A text, or `{sql: ...}`.
    fn case_label(&self, branch: &mut Fields<'_>, report: &mut Report<'_>) -> Option<CaseLabel> {
        let line = branch.line;
        match branch.take("label") {
            Some(Node { content: Content::Text(text), .. }) => Some(CaseLabel::Text(text.clone())),
            Some(node @ Node { content: Content::Map(_), .. }) => {
                self.only_sql(node, &branch.path, Role::Dimension, report).map(CaseLabel::Sql)
            }
            Some(node) => {
                report.error(node.line, &branch.path, "`label` must be a text or have `sql`");
                None
            }
            None => {
                report.error(line, &branch.path, "`label` is missing");
                None
            }
        }
    }

    fn label(
        &self,
        fields: &mut Fields<'_>,
        public_by_default: bool,
        formatted: Option<Formatted>,
        report: &mut Report<'_>,
    ) -> Label {
        let name = fields.path.rsplit('.').next().unwrap_or_default().to_owned();
        let short_title = fields.text("title", report).map_or_else(|| titleize(&name), str::to_owned);
        Label {
            id: fields.path.clone(),
            title: format!("{} {short_title}", self.title),
            short_title,
            description: fields.text("description", report).map(str::to_owned),
            format: formatted.and_then(|of| read_format(fields, of, report)),
            meta: fields.take("meta").map(Node::json),
            public: public(fields, public_by_default, report),
        }
    }
}

impl MeasureKind {
    /// Whether its SQL is the whole expression, not the argument of an aggregate.
    pub fn is_calculation(self) -> bool {
        matches!(self, Self::Number | Self::Time | Self::String | Self::Boolean)
    }

    /// The type's name in the model, in camel case as answers show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::CountDistinct => "countDistinct",
            Self::CountDistinctApprox => "countDistinctApprox",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Number => "number",
            Self::Time => "time",
            Self::String => "string",
            Self::Boolean => "boolean",
        }
    }

    /// The type of its values, as answers name it.
    pub fn value_type(self) -> &'static str {
        match self {
            Self::Time | Self::String | Self::Boolean => self.as_str(),
            _ => "number",
        }
    }
}

impl DimensionKind {
    /// The type's name in models and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Time => "time",
            Self::Geo => "geo",
        }
    }
}

/// `public`, or one of its older names, which Cube still knows.
pub(super) fn public(fields: &mut Fields<'_>, default: bool, report: &mut Report<'_>) -> bool {
    let spellings = ["public", "visible", "shown"].map(|key| fields.boolean(key, report));
    spellings.into_iter().flatten().next().unwrap_or(default)
}

fn read_format(fields: &mut Fields<'_>, of: Formatted, report: &mut Report<'_>) -> Option<Value> {
    let node = fields.take("format")?;
    let known = match &node.content {
        Content::Text(name) => format(name, of),
        Content::Map(_) if of != Formatted::Measure => Some(node.json()).filter(is_link),
        _ => None,
    };
    if known.is_none() {
        report.error(node.line, &fields.path, "`format` is none that is known for this type");
    }
    known
}

/// `{type: link, label: ...}`.
fn is_link(format: &Value) -> bool {
    format["type"] == "link"
        && format["label"].is_string()
        && format.as_object().is_some_and(|keys| keys.len() == 2)
}
