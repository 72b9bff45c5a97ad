//! Compiles a listing to statements: a page out of a stretch of time, and how many events there are in one, counted only as
//! far as it matters. Every statement names an author or a set of projects; `selection` says why it may.

use super::cursor::Position;
use super::page::COUNTED_EVENTS;
use super::parameters::{Filter, TargetFilter};
use super::selection::{Projects, Selection};
use tally_store::{Parameter, Statement};

/// Actions whose events without target a `project` filter matches.
const PROJECT_ACTIONS: &str = "'created', 'pushed', 'joined', 'left', 'expired'";

/// A stretch of time in milliseconds since the epoch, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub from: i64,
    pub until: i64,
}

/// Which rows of a listing a page is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cut {
    pub ascending: bool,
    /// Only what follows this event.
    pub after: Option<Position>,
    pub skipped: u64,
    pub limit: u64,
}

/// A page of the selected events of a stretch.
pub(super) fn page(selection: &Selection, filter: &Filter, stretch: Stretch, cut: Cut) -> Statement {
    let mut statement = Statement::default();
    let mut conditions = conditions(selection, filter, stretch, &mut statement);
    if let Some(position) = cut.after {
        let comparison = if cut.ascending { '>' } else { '<' };
        let at = instant(position.created_at_ms, &mut statement);
        let id = statement.bind(Parameter::Unsigned(position.id), "UInt64");
        conditions.push(format!(
            "created_at {comparison}= {at} AND (created_at {comparison} {at} OR id {comparison} {id})"
        ));
    }
    let direction = if cut.ascending { "ASC" } else { "DESC" };
    let limit = statement.bind(Parameter::Unsigned(cut.limit), "UInt64");
    let offset = statement.bind(Parameter::Unsigned(cut.skipped), "UInt64");
    statement.sql = format!(
        "SELECT id, action, target_type, target_id, target_iid, target_title, project_id, author_id, \
         toUnixTimestamp64Milli(created_at) AS created_at_ms, imported_from, confidential, target_author_id, \
         assignee_ids, note, push_data, wiki_page \
         FROM {} WHERE {} ORDER BY created_at {direction}, id {direction} LIMIT {limit} OFFSET {offset}",
        table(selection),
        conditions.join(" AND ")
    );
    statement
}

/// How many selected events there are in a stretch; one more than [`COUNTED_EVENTS`] stands for any number past it.
pub(super) fn count(selection: &Selection, filter: &Filter, stretch: Stretch) -> Statement {
    let mut statement = Statement::default();
    let conditions = conditions(selection, filter, stretch, &mut statement).join(" AND ");
    let most = statement.bind(Parameter::Unsigned(COUNTED_EVENTS + 1), "UInt64");
    statement.sql =
        format!("SELECT count() FROM (SELECT 1 FROM {} WHERE {conditions} LIMIT {most})", table(selection));
    statement
}

/// When the first of all events happened, in milliseconds since the epoch; ClickHouse knows it without reading.
pub(super) fn earliest(selection: &Selection) -> Statement {
    let sql = format!("SELECT toUnixTimestamp64Milli(min(created_at)) FROM {}", table(selection));
    Statement { sql, parameters: Vec::new() }
}

/// The projects that an author has contributed to, sorted.
pub(super) fn contributed_to(author_id: i64) -> Statement {
    let mut statement = Statement::default();
    let author = statement.bind(Parameter::Integer(author_id), "Int64");
    statement.sql = format!(
        "SELECT DISTINCT project_id FROM contribution_projects WHERE author_id = {author} ORDER BY project_id"
    );
    statement
}

/// The table whose order begins with what is selected.
fn table(selection: &Selection) -> &'static str {
    if selection.author_id.is_some() { "contributions" } else { "project_contributions" }
}

fn conditions(
    selection: &Selection,
    filter: &Filter,
    stretch: Stretch,
    statement: &mut Statement,
) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some(author_id) = selection.author_id {
        conditions.push(format!("author_id = {}", statement.bind(Parameter::Integer(author_id), "Int64")));
    }
    match &selection.projects {
        Projects::Any => {}
        Projects::Only(ids) => match ids.as_slice() {
            // Equality lets ClickHouse read in the table's order.
            [id] => {
                conditions.push(format!("project_id = {}", statement.bind(Parameter::Integer(*id), "Int64")));
            }
            ids => {
                let ids = statement.bind(Parameter::Integers(ids.to_vec()), "Array(Int64)");
                conditions.push(format!("project_id IN {ids}"));
            }
        },
    }
    if let Some(action) = filter.action {
        conditions.push(format!("action = {}", statement.bind_text(action.as_str())));
    }
    match filter.target {
        None => {}
        Some(TargetFilter::Types(types)) => {
            let names = types.iter().map(|target_type| target_type.as_str().to_owned()).collect();
            conditions
                .push(format!("target_type IN {}", statement.bind(Parameter::Texts(names), "Array(String)")));
        }
        Some(TargetFilter::Project) => {
            conditions.push(format!(
                "(target_type = 'Project' OR (target_type = '' AND action IN ({PROJECT_ACTIONS})))"
            ));
        }
    }
    conditions.push(format!("created_at >= {}", instant(stretch.from, statement)));
    if stretch.until < i64::MAX {
        conditions.push(format!("created_at < {}", instant(stretch.until, statement)));
    }
    conditions
}

fn instant(milliseconds: i64, statement: &mut Statement) -> String {
    let number = statement.bind(Parameter::Integer(milliseconds), "Int64");
    format!("fromUnixTimestamp64Milli({number}, 'UTC')")
}

#[cfg(test)]
mod tests {
    use tally_schemas::contribution::{Action, TargetType};

    use super::*;

    const STRETCH: Stretch = Stretch { from: 1_000, until: 2_000 };

    #[test]
    fn a_listing_compiles_to_a_page_and_a_count() {
        let of_user = Selection { author_id: Some(7), projects: Projects::Only(vec![0, 42]) };
        let all_of_user = Selection { author_id: Some(7), projects: Projects::Any };
        let of_project = Selection { author_id: None, projects: Projects::Only(vec![42]) };
        let of_projects = Selection { author_id: None, projects: Projects::Only(vec![42, 43]) };
        let plain = Filter::default();
        let pushes = Filter { action: Some(Action::Pushed), ..Filter::default() };
        let issues = Filter {
            target: Some(TargetFilter::Types(&[TargetType::Issue, TargetType::WorkItem])),
            ..Filter::default()
        };
        let projects = Filter { target: Some(TargetFilter::Project), ..Filter::default() };
        let first = Cut { ascending: false, after: None, skipped: 40, limit: 21 };
        let position = Position { created_at_ms: 1_500, id: 9 };
        let texts = [
            page(&of_user, &plain, STRETCH, first),
            page(
                &all_of_user,
                &pushes,
                Stretch { until: i64::MAX, ..STRETCH },
                Cut { ascending: true, ..first },
            ),
            page(&of_project, &issues, STRETCH, Cut { after: Some(position), skipped: 0, ..first }),
            page(&of_projects, &projects, STRETCH, Cut { ascending: true, after: Some(position), ..first }),
            count(&of_user, &issues, STRETCH),
            count(&of_projects, &plain, STRETCH),
            earliest(&of_projects),
            contributed_to(7),
        ];
        insta::assert_snapshot!(texts.map(|statement| statement.to_string()).join("\n\n"));
    }
}
