//! A funnel as the API shows it: GitLab's fields, and its definition.

use serde::Serialize;
use tally_cube::model::Piece;
use tally_cube::model::funnel;
use tally_directory::{Funnel, FunnelAction, FunnelStep};
use utoipa::ToSchema;

/// A funnel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FunnelEntry {
    /// The name of its cube.
    name: String,
    /// The SELECT that the cube stands on.
    sql: String,
    /// What an event must be for each step, in SQL.
    steps: Vec<String>,
    /// How long a visitor has from the first step to the last.
    seconds_to_convert: u64,
    /// The funnel as it was defined.
    definition: Definition,
}

/// A funnel's definition, in the form of GitLab's YAML files.
#[derive(Debug, Serialize, ToSchema)]
struct Definition {
    name: String,
    seconds_to_convert: u64,
    steps: Vec<StepDefinition>,
}

/// A step's definition.
#[derive(Debug, Serialize, ToSchema)]
struct StepDefinition {
    name: String,
    /// `pageview` or `event`.
    #[schema(value_type = String)]
    action: FunnelAction,
    target: String,
}

impl FunnelEntry {
    /// What is shown of the project's funnel.
    pub fn of(project_id: i64, funnel: &Funnel) -> Self {
        let for_model = super::for_model(funnel);
        let step = |step: &FunnelStep| StepDefinition {
            name: step.name.clone(),
            action: step.action,
            target: step.target.clone(),
        };
        Self {
            sql: shown(&funnel::rows(&for_model).0, project_id),
            steps: for_model.steps.iter().map(|step| shown(&funnel::condition(step), project_id)).collect(),
            name: for_model.name,
            seconds_to_convert: funnel.seconds_to_convert,
            definition: Definition {
                name: funnel.name.clone(),
                seconds_to_convert: funnel.seconds_to_convert,
                steps: funnel.steps.iter().map(step).collect(),
            },
        }
    }
}

/// SQL with its values written out. It is shown and never run: what runs has its values beside it.
fn shown(pieces: &[Piece], project_id: i64) -> String {
    let show = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Tenant => project_id.to_string(),
        Piece::Value(value) => literal(value),
        Piece::Cube(name) | Piece::Member(name) => name.clone(),
    };
    pieces.iter().map(show).collect()
}

/// A text as ClickHouse writes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_shown_as_conditions() {
        let step = |name: &str, action, target: &str| FunnelStep {
            name: name.into(),
            action,
            target: target.into(),
        };
        let funnel = Funnel {
            name: "Completed purchase".into(),
            seconds_to_convert: 3_600,
            steps: vec![
                step("view", FunnelAction::Pageview, "/page1.html"),
                step("buy", FunnelAction::Event, "it's \\ bought"),
            ],
        };
        let entry = FunnelEntry::of(42, &funnel);
        assert_eq!(entry.name, "completed_purchase");
        let expected =
            ["(event = 'page_view' AND page_url_path = '/page1.html')", r"(event_name = 'it\'s \\ bought')"];
        assert_eq!(entry.steps, expected);
        assert!(entry.sql.contains("project_id = 42 AND ((event = 'page_view'"), "{}", entry.sql);
        assert_eq!(entry.definition.name, "Completed purchase");
    }
}
