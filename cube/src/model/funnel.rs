//! Funnels as cubes: each its own, named and shaped as GitLab's (`count`, `step`, `date`), and `FunnelEvents` over all funnels
//! of a project.
//!
//! The rows of a funnel are one for each visitor, day on which they entered it, and step that they then got to. So a range of
//! dates is one of entries, and `count` is how many visitors got at least so far.

use super::load::Ownership;
use super::{Cube, Model, Piece, Source, Sql, Tenant};

/// The cube over all funnels of a project.
pub const ALL_FUNNELS: &str = "FunnelEvents";

/// The table of events, and what the errors of a funnel's cube name as its file.
const TABLE: &str = "page_events";
const FILE: &str = "funnels";

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Places in the order of events within a millisecond; more than there are steps.
const PLACES: u64 = 64;

/// Steps that visitors take one after the other within a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Funnel {
    /// The name of its cube: lower-case letters, digits and `_`, a letter first.
    pub name: String,
    /// From the first step to the last.
    pub seconds_to_convert: u64,
    /// 1 to 32.
    pub steps: Vec<Step>,
}

/// One step of a funnel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    pub name: String,
    pub action: Action,
    /// A page's path, or an event's name.
    pub target: String,
}

/// What a visitor does in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Views a page.
    Pageview,
    /// Does something that is recorded as an event.
    Event,
}

/// The cubes of a project's funnels, [`ALL_FUNNELS`] first; none without funnels. They keep to the project that asks, and so
/// show it its own visitors even if they were given to another's model.
pub fn funnel_cubes(funnels: &[Funnel]) -> Vec<Cube> {
    if funnels.is_empty() {
        return Vec::new();
    }
    let mut all = Source::Select(Sql::default());
    if let Source::Select(sql) = &mut all {
        for (index, funnel) in funnels.iter().enumerate() {
            if index > 0 {
                sql.0.push(text(" UNION ALL "));
            }
            sql.0.extend(rows(funnel).0);
        }
    }
    let mut cubes = vec![cube(ALL_FUNNELS, all)];
    cubes.extend(funnels.iter().map(|funnel| cube(&funnel.name, Source::Select(rows(funnel)))));
    cubes
}

/// A cube over rows of funnels. Its members are declared as those of other cubes are, so that they look the same.
fn cube(name: &str, source: Source) -> Cube {
    let funnel_name = if name == ALL_FUNNELS {
        "\n      - {name: funnelName, sql: \"{CUBE}.funnel\", type: string}"
    } else {
        ""
    };
    let declaration = format!(
        r#"cubes:
  - name: "{name}"
    sql: "SELECT {{TENANT}}"
    measures:
      - name: count
        sql: "{{CUBE}}.visitor"
        type: count_distinct
        description: Visitors who got to the step, or entered the funnel where no step is asked for
      - name: completedCount
        sql: "{{CUBE}}.visitor"
        type: count_distinct
        filters: [{{sql: "{{CUBE}}.step = {{CUBE}}.steps"}}]
        description: Visitors who got to the last step
      - name: conversionPercent
        sql: "100.0 * {{completedCount}} / nullIf({{count}}, 0)"
        type: number
        format: percent
        description: Of the visitors who entered the funnel, those who got to the last step
    dimensions:{funnel_name}
      - {{name: step, sql: "{{CUBE}}.step", type: number}}
      - {{name: stepName, sql: "{{CUBE}}.step_name", type: string}}
      - {{name: date, sql: "{{CUBE}}.entered_on", type: time, description: The day (UTC) on which the visitor entered the funnel}}
"#
    );
    let files = [(FILE.to_owned(), declaration)];
    let model =
        Model::parse(&files, Ownership::Shared).expect("the declaration is sound whatever the cube's name");
    let mut cube = model.cubes.into_iter().next().expect("one cube is declared");
    cube.source = source;
    cube.tenant = Tenant::InSource;
    cube
}

/// The SELECT of a funnel's rows, for the project that asks.
///
/// `windowFunnel` finds the furthest step in one group of events, but not when it began. So the groups are of a visitor and a
/// day of entry: only events of that day begin a chain, and every other one belongs to each of the visitor's days of entry that
/// may still get to it. An event that several steps are about stands once for each of them, the later step first, so that it can't be both.
pub fn rows(funnel: &Funnel) -> Sql {
    let mut sql = Sql::default();
    let mut write = |piece: Piece| sql.0.push(piece);
    let window_ms = funnel.seconds_to_convert * 1_000;
    let (place, window) = if has_overlapping_steps(funnel) {
        (format!("{PLACES} - step"), window_ms * PLACES)
    } else {
        ("step".to_owned(), window_ms * PLACES + PLACES - 1)
    };

    write(text("SELECT "));
    write(Piece::Value(funnel.name.clone()));
    write(text(&format!(
        " AS funnel, fromUnixTimestamp64Milli(toInt64(entry_day) * {DAY_MS}, 'UTC') AS entered_on, visitor, \
         arrayJoin(range(1, toUInt16(reached) + 1)) AS step, {} AS steps, ",
        funnel.steps.len()
    )));
    for (index, step) in funnel.steps.iter().enumerate() {
        write(text(if index == 0 { "arrayElement([" } else { ", " }));
        write(Piece::Value(step.name.clone()));
    }
    let later_steps: Vec<String> = (2..=funnel.steps.len()).map(|step| format!(", step = {step}")).collect();
    let later_steps = later_steps.concat();
    write(text(&format!(
        "], step) AS step_name \
         FROM (SELECT visitor, entry_day, \
         windowFunnel({window})(moment, step = 1{later_steps}) AS reached \
         FROM (SELECT visitor, step, toUInt64(at * {PLACES} + {place}) AS moment, intDiv(at, {DAY_MS}) AS day, \
         arrayJoin(arrayFilter(entry -> entry <= day AND (entry = day OR step > 1 AND at < (entry + 1) * {DAY_MS} + {window_ms}), \
         groupUniqArrayIf(intDiv(at, {DAY_MS}), step = 1) OVER (PARTITION BY visitor))) AS entry_day \
         FROM (SELECT multiIf(user_id != '', concat('u', user_id), domain_user_id != '', concat('d', domain_user_id), \
         network_user_id != '', concat('n', network_user_id), '') AS visitor, \
         toUInt64(toUnixTimestamp64Milli(timestamp)) AS at, arrayJoin(arrayConcat("
    )));
    for (index, step) in funnel.steps.iter().enumerate() {
        write(text(if index == 0 { "if(" } else { ", if(" }));
        condition(step).into_iter().for_each(&mut write);
        write(text(&format!(", [{}], [])", index + 1)));
    }
    write(text(&format!(")) AS step FROM {TABLE} WHERE project_id = ")));
    write(Piece::Tenant);
    for (index, step) in funnel.steps.iter().enumerate() {
        write(text(if index == 0 { " AND (" } else { " OR " }));
        condition(step).into_iter().for_each(&mut write);
    }
    write(text(") AND visitor != '')) GROUP BY visitor, entry_day HAVING reached > 0)"));
    sql
}

/// Whether an event takes the step.
pub fn condition(step: &Step) -> [Piece; 3] {
    let before = match step.action {
        Action::Pageview => "(event = 'page_view' AND page_url_path = ",
        Action::Event => "(event_name = ",
    };
    [text(before), Piece::Value(step.target.clone()), text(")")]
}

/// Whether one event may take two of the steps.
fn has_overlapping_steps(funnel: &Funnel) -> bool {
    let is_any_page = |step: &Step| step.action == Action::Event && step.target == "page_view";
    let overlap = |one: &Step, other: &Step| {
        (one.action, &one.target) == (other.action, &other.target)
            || (is_any_page(one) && other.action == Action::Pageview)
            || (is_any_page(other) && one.action == Action::Pageview)
    };
    funnel
        .steps
        .iter()
        .enumerate()
        .any(|(index, one)| funnel.steps[..index].iter().any(|other| overlap(one, other)))
}

fn text(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(action: Action, target: &str) -> Step {
        Step { name: format!("to {target}"), action, target: target.to_owned() }
    }

    fn funnel(name: &str, steps: Vec<Step>) -> Funnel {
        Funnel { name: name.to_owned(), seconds_to_convert: 3_600, steps }
    }

    fn checkout() -> Funnel {
        let steps = vec![step(Action::Pageview, "/it's"), step(Action::Event, "bought \\ paid")];
        funnel("checkout", steps)
    }

    /// The text with placeholders for everything that is bound.
    fn shown(sql: &Sql) -> String {
        let show = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Value(value) => format!("<{value}>"),
            Piece::Tenant => "<tenant>".to_owned(),
            other => panic!("{other:?}"),
        };
        sql.0.iter().map(show).collect()
    }

    #[test]
    fn a_funnel_is_windows_over_visitors_and_their_days_of_entry() {
        insta::assert_snapshot!(shown(&rows(&checkout())));
    }

    #[test]
    fn nothing_that_somebody_typed_is_sql() {
        let sql = rows(&checkout());
        let texts = sql.0.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            _ => None,
        });
        let texts: Vec<&str> = texts.collect();
        for typed in ["checkout", "it's", "bought", "\\", "to /"] {
            assert!(texts.iter().all(|text| !text.contains(typed)), "{typed}");
        }
        assert!(sql.0.contains(&Piece::Tenant));
    }

    #[test]
    fn steps_overlap_where_one_event_may_take_both() {
        let view = || step(Action::Pageview, "/a");
        let any_view = || step(Action::Event, "page_view");
        for (steps, expected) in [
            (vec![view(), step(Action::Pageview, "/b")], false),
            (vec![view(), step(Action::Event, "buy"), view()], true),
            (vec![view(), any_view()], true),
            (vec![any_view(), view()], true),
            (vec![step(Action::Event, "/a"), view()], false),
        ] {
            assert_eq!(has_overlapping_steps(&funnel("f", steps.clone())), expected, "{steps:?}");
        }
    }

    #[test]
    fn every_funnel_is_a_cube_and_one_more_has_them_all() {
        let cubes = funnel_cubes(&[checkout(), funnel("other", vec![step(Action::Event, "x")])]);
        let names: Vec<&str> = cubes.iter().map(|cube| cube.name.as_str()).collect();
        assert_eq!(names, [ALL_FUNNELS, "checkout", "other"]);
        let members = |cube: &Cube| {
            let measures = cube.measures.iter().map(|measure| measure.label.id.clone());
            measures
                .chain(cube.dimensions.iter().map(|dimension| dimension.label.id.clone()))
                .collect::<Vec<_>>()
        };
        assert!(members(&cubes[0]).contains(&"FunnelEvents.funnelName".to_owned()));
        for id in ["checkout.count", "checkout.step", "checkout.date"] {
            assert!(members(&cubes[1]).contains(&id.to_owned()), "{id}");
        }
        for cube in &cubes {
            assert_eq!(cube.tenant, Tenant::InSource, "{}", cube.name);
            let Source::Select(sql) = &cube.source else { panic!("{}", cube.name) };
            assert!(sql.0.contains(&Piece::Tenant), "{}", cube.name);
        }
        assert!(funnel_cubes(&[]).is_empty());
    }

    #[test]
    fn a_funnel_may_be_called_what_yaml_takes_for_a_value() {
        for name in ["null", "true", "false", "nan", "inf", "e1", "yes"] {
            let cubes = funnel_cubes(&[funnel(name, vec![step(Action::Event, "x")])]);
            assert_eq!(cubes.last().map(|cube| cube.name.as_str()), Some(name));
        }
    }
}
