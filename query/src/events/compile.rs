//! Compiles a listing to two statements: the page, and how many events there are, counted only as far as it matters.

use super::page::COUNTED_EVENTS;
use super::parameters::{Parameters, TargetFilter};
use crate::statement::{Parameter, Statement};

/// Actions whose events without target a `project` filter matches.
const PROJECT_ACTIONS: &str = "'created', 'pushed', 'joined', 'left', 'expired'";

/// The page of the author's events, and the first event after it, which tells that there is a next page.
pub(super) fn page(parameters: &Parameters, author_id: i64) -> Statement {
    let mut statement = Statement::default();
    let conditions = conditions(parameters, author_id, &mut statement);
    let direction = if parameters.ascending { "ASC" } else { "DESC" };
    let skipped = (parameters.page - 1).saturating_mul(parameters.per_page);
    let limit = statement.bind(Parameter::Unsigned(parameters.per_page + 1), "UInt64");
    let offset = statement.bind(Parameter::Unsigned(skipped), "UInt64");
    statement.sql = format!(
        "SELECT id, action, target_type, target_id, target_iid, target_title, project_id, author_id, \
         toUnixTimestamp64Milli(created_at) AS created_at_ms, imported_from, note, push_data, wiki_page \
         FROM contributions WHERE {conditions} \
         ORDER BY created_at {direction}, id {direction} LIMIT {limit} OFFSET {offset}"
    );
    statement
}

/// How many events there are; one more than [`COUNTED_EVENTS`] stands for any number past it.
pub(super) fn count(parameters: &Parameters, author_id: i64) -> Statement {
    let mut statement = Statement::default();
    let conditions = conditions(parameters, author_id, &mut statement);
    let most = statement.bind(Parameter::Unsigned(COUNTED_EVENTS + 1), "UInt64");
    statement.sql =
        format!("SELECT count() FROM (SELECT 1 FROM contributions WHERE {conditions} LIMIT {most})");
    statement
}

fn conditions(parameters: &Parameters, author_id: i64, statement: &mut Statement) -> String {
    let mut conditions =
        vec![format!("author_id = {}", statement.bind(Parameter::Integer(author_id), "Int64"))];
    if let Some(action) = parameters.action {
        conditions.push(format!("action = {}", statement.bind_text(action.as_str())));
    }
    match parameters.target {
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
    if let Some(day) = parameters.before {
        let day = statement.bind(Parameter::Text(day.to_string()), "Date32");
        conditions.push(format!("created_at < toDateTime64({day}, 3, 'UTC')"));
    }
    if let Some(day) = parameters.after {
        let day = statement.bind(Parameter::Text(day.to_string()), "Date32");
        conditions.push(format!("created_at >= toDateTime64({day} + 1, 3, 'UTC')"));
    }
    conditions.join(" AND ")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::parameters;
    use super::*;

    #[test]
    fn a_listing_compiles_to_a_page_and_a_count() {
        let mut texts = Vec::new();
        for query in [
            &[][..],
            &[
                ("action", "pushed"),
                ("target_type", "issue"),
                ("sort", "asc"),
                ("page", "3"),
                ("per_page", "50"),
            ],
            &[("target_type", "project"), ("before", "2026-11-02"), ("after", "2026-10-01")],
        ] {
            let sent: HashMap<String, String> =
                query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let parameters = parameters::parse(&sent).unwrap();
            texts.push(page(&parameters, 7).to_string());
            texts.push(count(&parameters, 7).to_string());
        }
        insta::assert_snapshot!(texts.join("\n\n"));
    }
}
