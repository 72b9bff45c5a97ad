//! Reads a cube: where its rows come from, whose they are, its joins and its pre-aggregations.

use std::collections::BTreeSet;

use serde_json::Value;

use super::names::{Kind, Names};
use super::read_member::{Scope, public};
use super::sql::{self, Role, is_identifier, is_table};
use super::title::titleize;
use super::yaml::{Content, Fields, Node, Report};
use super::{Cube, Join, Ownership, Piece, PreAggregation, Relationship, Source, Sql, Tenant, underscore};

/// Cube's names of today and of old.
const RELATIONSHIPS: [(&str, Relationship); 6] = [
    ("one_to_one", Relationship::OneToOne),
    ("one_to_many", Relationship::OneToMany),
    ("many_to_one", Relationship::ManyToOne),
    ("has_one", Relationship::OneToOne),
    ("has_many", Relationship::OneToMany),
    ("belongs_to", Relationship::ManyToOne),
];

/// The granularities that Cube predefines.
pub(super) const GRANULARITIES: [(&str, &str); 8] = [
    ("second", "second"),
    ("minute", "minute"),
    ("hour", "hour"),
    ("day", "day"),
    ("week", "week"),
    ("month", "month"),
    ("quarter", "quarter"),
    ("year", "year"),
];

/// What tells Cube's own store when and how to build its copies. Here the store keeps rollups itself, with each insert, and a
/// cached answer ends with the next change of its tables.
const ABOUT_COPIES: [&str; 10] = [
    "refresh_key",
    "partition_granularity",
    "scheduled_refresh",
    "build_range_start",
    "build_range_end",
    "indexes",
    "external",
    "allow_non_strict_date_range_match",
    "unique_key_columns",
    "read_only",
];

/// Reads one entry of `cubes`.
pub(super) fn cube(
    node: &Node,
    ownership: Ownership,
    names: &Names,
    report: &mut Report<'_>,
) -> Option<Cube> {
    let mut fields = Fields::of(node, "", report)?;
    let name = fields.needed_text("name", report)?;
    name.clone_into(&mut fields.path);
    if !is_identifier(name) || matches!(name, "CUBE" | "TENANT") {
        report.error(node.line, name, format!("{name:?} can't be a name"));
    }
    let title = fields.text("title", report).map_or_else(|| titleize(name), str::to_owned);
    let scope = Scope { cube: name, title: &title, names };
    let alias = alias(&mut fields, name, report);
    let source = source(&mut fields, &scope, report);
    let mut meta = fields.take("meta").map(Node::json);
    let tenant = tenant(&fields, source.as_ref(), meta.as_mut(), ownership, report);
    let meta = meta.filter(|meta| meta.as_object().is_none_or(|entries| !entries.is_empty()));
    if fields.text("data_source", report).is_some_and(|name| name != "default") {
        report.error(fields.line_of("data_source"), name, "there is one data source, `default`");
    }
    fields.take("refresh_key");

    let mut members = Members { scope, taken: BTreeSet::new() };
    let measures = members.read(&mut fields, "measures", Scope::measure, report);
    let dimensions = members.read(&mut fields, "dimensions", Scope::dimension, report);
    let segments = members.read(&mut fields, "segments", Scope::segment, report);
    let joins = joins(&mut fields, &scope, report);
    let mut members = Members { scope, taken: BTreeSet::new() };
    let hierarchies = members.read(&mut fields, "hierarchies", Scope::hierarchy, report);
    let mut members = Members { scope, taken: BTreeSet::new() };
    let pre_aggregations = members.read(&mut fields, "pre_aggregations", pre_aggregation, report);
    if matches!(source, Some(Source::Select(_))) && !pre_aggregations.is_empty() {
        let reason = "`pre_aggregations` are kept by a table; they need `sql_table`";
        report.error(fields.line_of("pre_aggregations"), name, reason);
    }
    let description = fields.text("description", report).map(str::to_owned);
    let public = public(&mut fields, true, report);
    fields.finish(report);
    Some(Cube {
        name: name.to_owned(),
        alias,
        title: title.clone(),
        description,
        public,
        meta,
        source: source?,
        tenant: tenant?,
        measures,
        dimensions,
        segments,
        joins,
        pre_aggregations,
        hierarchies,
        file: report.file.to_owned(),
    })
}

/// Reads lists of members whose names must differ.
struct Members<'c> {
    scope: Scope<'c>,
    taken: BTreeSet<String>,
}

impl<'c> Members<'c> {
    fn read<T>(
        &mut self,
        fields: &mut Fields<'_>,
        list: &str,
        read: impl Fn(&Scope<'c>, &Node, &mut Report<'_>) -> Option<T>,
        report: &mut Report<'_>,
    ) -> Vec<T> {
        let mut members = Vec::new();
        for entry in fields.list(list, report) {
            if let Some(name) = super::names::declared_name(entry)
                && !self.taken.insert(name.to_owned())
            {
                let path = format!("{}.{name}", self.scope.cube);
                report.error(entry.line, &path, "a second member of this name");
            }
            members.extend(read(&self.scope, entry, report));
        }
        members
    }
}

fn alias(fields: &mut Fields<'_>, name: &str, report: &mut Report<'_>) -> String {
    let Some(alias) = fields.text("sql_alias", report) else { return underscore(name) };
    if !is_identifier(alias) {
        report.error(fields.line_of("sql_alias"), name, format!("{alias:?} can't be an alias"));
    }
    alias.to_owned()
}

/// The table or SELECT that holds the rows.
fn source(fields: &mut Fields<'_>, scope: &Scope<'_>, report: &mut Report<'_>) -> Option<Source> {
    if fields.has("sql") == fields.has("sql_table") {
        fields.take("sql");
        fields.take("sql_table");
        report.error(fields.line, scope.cube, "must have either `sql` or `sql_table`");
        return None;
    }
    if let Some(table) = fields.text("sql_table", report) {
        let table = table.trim();
        if !is_table(table) {
            let reason = format!("`sql_table` {table:?} is not the name of a table");
            report.error(fields.line_of("sql_table"), scope.cube, reason);
        }
        return Some(Source::Table(table.to_owned()));
    }
    let line = fields.line_of("sql");
    let sql = scope.needed_sql(fields, "sql", Role::Source, report)?;
    if let Some(table) = whole_table(&sql) {
        return Some(Source::Table(table));
    }
    let is_select = matches!(sql.0.first(), Some(Piece::Text(text)) if ["select", "with", "("]
        .iter()
        .any(|start| text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))));
    if !is_select {
        report.error(line, scope.cube, "`sql` must be a SELECT; the name of a table goes to `sql_table`");
    }
    Some(Source::Select(sql))
}

/// The table of `SELECT * FROM table`, which Cube, too, takes for the table.
fn whole_table(sql: &Sql) -> Option<String> {
    let [Piece::Text(text)] = sql.0.as_slice() else { return None };
    let words: Vec<&str> = text.split_whitespace().collect();
    let [select, "*", from, table] = words.as_slice() else { return None };
    let is_plain =
        select.eq_ignore_ascii_case("select") && from.eq_ignore_ascii_case("from") && is_table(table);
    is_plain.then(|| (*table).to_owned())
}

/// How rows are told apart. `meta.tenant_column` is ours, not the readers': it is taken out of `meta`.
fn tenant(
    fields: &Fields<'_>,
    source: Option<&Source>,
    meta: Option<&mut Value>,
    ownership: Ownership,
    report: &mut Report<'_>,
) -> Option<Tenant> {
    let column = meta.and_then(Value::as_object_mut).and_then(|meta| meta.shift_remove("tenant_column"));
    let line = fields.line_of("meta");
    let in_source = matches!(source, Some(Source::Select(sql)) if sql.0.contains(&Piece::Tenant));
    match (column, ownership) {
        (Some(_), _) if in_source => {
            report.error(line, &fields.path, "has both `meta.tenant_column` and {TENANT}");
            None
        }
        (Some(Value::String(column)), _) if is_identifier(&column) => Some(Tenant::Column(column)),
        (Some(column), _) => {
            report.error(
                line,
                &fields.path,
                format!("`meta.tenant_column` {column} is not the name of a column"),
            );
            None
        }
        (None, _) if in_source => Some(Tenant::InSource),
        (None, Ownership::Project(project)) => Some(Tenant::Project(project)),
        (None, Ownership::Shared) => {
            let reason = "does not say which project a row belongs to: name the column in `meta.tenant_column`, \
                          or write {TENANT} in `sql`";
            report.error(fields.line, &fields.path, reason);
            None
        }
    }
}

fn joins(fields: &mut Fields<'_>, scope: &Scope<'_>, report: &mut Report<'_>) -> Vec<Join> {
    let mut joins: Vec<Join> = Vec::new();
    for entry in fields.list("joins", report) {
        let Some(mut join) = scope.open(entry, report) else { continue };
        let to = super::names::declared_name(entry).unwrap_or_default();
        let relationship = join.choice("relationship", &RELATIONSHIPS, report);
        let sql = scope.needed_sql(&mut join, "sql", Role::Join, report);
        join.finish(report);
        if !scope.names.has_cube(to) {
            report.error(entry.line, scope.cube, format!("joins {to}, but there is no cube {to}"));
        } else if to == scope.cube {
            report.error(entry.line, scope.cube, "joins itself");
        } else if joins.iter().any(|earlier| earlier.to == to) {
            report.error(entry.line, scope.cube, format!("joins {to} twice"));
        } else if let Some((relationship, sql)) = relationship.zip(sql) {
            joins.push(Join { to: to.to_owned(), relationship, sql });
        }
    }
    joins
}

fn pre_aggregation(scope: &Scope<'_>, node: &Node, report: &mut Report<'_>) -> Option<PreAggregation> {
    let mut fields = scope.open(node, report)?;
    if fields.has("type") {
        fields.choice("type", &[("rollup", ())], report);
    }
    for key in ABOUT_COPIES {
        fields.take(key);
    }
    let mut ids = |key: &str, kind: Kind, fields: &mut Fields<'_>| {
        let mut ids = Vec::new();
        for (line, id, found) in scope.member_list(fields, key, report) {
            if found != kind {
                report.error(line, &fields.path, format!("`{key}`: {id} is none of them"));
            } else if !is_own(&id, scope) {
                report.error(line, &fields.path, format!("`{key}`: {id} is another cube's"));
            } else if ids.contains(&id) {
                report.error(line, &fields.path, format!("`{key}`: {id} is named twice"));
            }
            ids.push(id);
        }
        ids
    };
    let measures = ids("measures", Kind::Measure, &mut fields);
    let dimensions = ids("dimensions", Kind::Dimension, &mut fields);
    let segments = ids("segments", Kind::Segment, &mut fields);
    if measures.is_empty() && dimensions.is_empty() {
        report.error(fields.line, &fields.path, "has neither `measures` nor `dimensions`");
    }
    let time = rollup_time(&mut fields, scope, report);
    let name = super::names::declared_name(node)?.to_owned();
    fields.finish(report);
    Some(PreAggregation { name, measures, dimensions, segments, time })
}

fn rollup_time(
    fields: &mut Fields<'_>,
    scope: &Scope<'_>,
    report: &mut Report<'_>,
) -> Option<(String, String)> {
    if fields.has("time_dimension") != fields.has("granularity") {
        report.error(fields.line, &fields.path, "`time_dimension` and `granularity` go together");
    }
    let line = fields.line_of("time_dimension");
    let id = match fields.take("time_dimension").map(|node| &node.content) {
        Some(Content::Text(reference)) => match sql::member_id(reference, scope.cube, scope.names) {
            Ok((id, Kind::Dimension)) if is_own(&id, scope) => Some(id),
            Ok((id, _)) => {
                report.error(
                    line,
                    &fields.path,
                    format!("`time_dimension`: {id} is no dimension of {}", scope.cube),
                );
                None
            }
            Err(reason) => {
                report.error(line, &fields.path, format!("`time_dimension`: {reason}"));
                None
            }
        },
        Some(_) => {
            report.error(line, &fields.path, "`time_dimension` must be a member");
            None
        }
        None => None,
    };
    let granularity =
        if fields.has("granularity") { fields.choice("granularity", &GRANULARITIES, report) } else { None };
    id.zip(granularity.map(str::to_owned))
}

fn is_own(id: &str, scope: &Scope<'_>) -> bool {
    id.split('.').next() == Some(scope.cube)
}
