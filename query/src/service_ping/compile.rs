//! Compiles a plan's counters into a few statements. Totals and sums are one query over all counters, unique counts of lone
//! counters another. Unions of several counters are merged by ClickHouse, too, which gets the mapping from union to
//! counter as bound arrays.

use jiff::civil::Date;
use tally_schemas::{TimeFrame, Window};

use super::plan::Plan;
use tally_store::{Parameter, Statement};

/// How many bytes of counter names one mapping may hold. ClickHouse takes at most 128 KiB in one parameter
/// (`http_max_field_value_size`), with quotes and escapes on top of the names themselves.
const MAPPING_BYTES: usize = 64 * 1024;

/// The statements about counters of one ping.
#[derive(Debug)]
pub(super) struct Statements {
    /// Rows of (counter, three counts).
    pub counters: Statement,
    /// Rows of (counter, three sums as text), of the counters whose sums are asked for; absent when there are none.
    pub sums: Option<Statement>,
    /// Rows of (counter, value, three counts); absent when no metric asks for them.
    pub unique_totals: Option<Statement>,
    /// Rows of (counter, two estimates).
    pub uniques: Statement,
    /// Rows of (union, two estimates), each for a part of the unions.
    pub unions: Vec<Statement>,
}

impl Statements {
    /// How many there are.
    pub fn count(&self) -> usize {
        let optional = [&self.sums, &self.unique_totals].into_iter().flatten().count();
        2 + optional + self.unions.len()
    }
}

/// The statements for a ping on `today` (UTC).
pub(super) fn compile(plan: &Plan, today: Date) -> Statements {
    let week = Period::of(TimeFrame::SevenDays.window(today));
    let month = Period::of(TimeFrame::TwentyEightDays.window(today));
    Statements {
        counters: counters(week, month),
        sums: sums(plan, week, month),
        unique_totals: plan.has_unique_totals().then(|| unique_totals(week, month)),
        uniques: uniques(week, month),
        unions: mappings(plan).iter().map(|mapping| unions(mapping, week, month)).collect(),
    }
}

/// Days, both inclusive.
#[derive(Clone, Copy)]
struct Period {
    first: Date,
    last: Date,
}

impl Period {
    fn of(window: Window) -> Self {
        let (Some(first), Some(last)) = (window.first, window.last) else {
            unreachable!("the windows of whole weeks are bounded");
        };
        Self { first, last }
    }

    /// `day BETWEEN first AND last`, both bound.
    fn holds_day(self, statement: &mut Statement) -> String {
        let first = statement.bind(Parameter::Text(self.first.to_string()), "Date");
        let last = statement.bind(Parameter::Text(self.last.to_string()), "Date");
        format!("day BETWEEN {first} AND {last}")
    }
}

fn counters(week: Period, month: Period) -> Statement {
    let mut statement = Statement::default();
    let in_week = week.holds_day(&mut statement);
    let in_month = month.holds_day(&mut statement);
    statement.sql = format!(
        "SELECT counter, sumIf(count, {in_week}) AS count_week, sumIf(count, {in_month}) AS count_month, \
         sum(count) AS count_all FROM counters GROUP BY counter"
    );
    statement
}

/// Decimals take longer to add up than counts, and few counters have any.
fn sums(plan: &Plan, week: Period, month: Period) -> Option<Statement> {
    let names = plan.summed_counters();
    let size: usize = names.iter().map(String::len).sum();
    if names.is_empty() {
        return None;
    }
    let mut statement = Statement::default();
    let in_week = week.holds_day(&mut statement);
    let in_month = month.holds_day(&mut statement);
    let is_named = match size {
        0..=MAPPING_BYTES => {
            format!("counter IN {}", statement.bind(Parameter::Texts(names), "Array(String)"))
        }
        _ => "sum != 0".to_owned(),
    };
    statement.sql = format!(
        "SELECT counter, toString(sumIf(sum, {in_week})) AS sum_week, \
         toString(sumIf(sum, {in_month})) AS sum_month, toString(sum(sum)) AS sum_all \
         FROM counters WHERE {is_named} GROUP BY counter"
    );
    Some(statement)
}

fn unique_totals(week: Period, month: Period) -> Statement {
    let mut statement = Statement::default();
    let in_week = week.holds_day(&mut statement);
    let in_month = month.holds_day(&mut statement);
    statement.sql = format!(
        "SELECT counter, value, sumIf(count, {in_week}) AS week, sumIf(count, {in_month}) AS month, sum(count) AS all \
         FROM unique_totals GROUP BY counter, value ORDER BY counter, value"
    );
    statement
}

fn uniques(week: Period, month: Period) -> Statement {
    let mut statement = Statement::default();
    let in_week = week.holds_day(&mut statement);
    let in_month = month.holds_day(&mut statement);
    statement.sql = format!(
        "SELECT counter, uniqCombined64MergeIf(state, {in_week}) AS week, uniqCombined64Merge(state) AS month \
         FROM uniques WHERE {in_month} GROUP BY counter"
    );
    statement
}

/// Days are merged within a counter first, so that the join carries one state a counter and window, not one a day.
fn unions(mapping: &Mapping, week: Period, month: Period) -> Statement {
    let mut statement = Statement::default();
    let in_week = week.holds_day(&mut statement);
    let in_month = month.holds_day(&mut statement);
    let names = statement.bind(Parameter::Texts(mapping.counters.clone()), "Array(String)");
    let unions = statement.bind(Parameter::Integers(mapping.unions.clone()), "Array(Int64)");
    statement.sql = format!(
        "SELECT pair.1 AS number, uniqCombined64Merge(week_state) AS week, uniqCombined64Merge(month_state) AS month \
         FROM (SELECT toString(counter) AS name, \
         uniqCombined64MergeStateIf(state, {in_week}) AS week_state, uniqCombined64MergeState(state) AS month_state \
         FROM uniques WHERE {in_month} AND counter IN {names} GROUP BY counter) AS merged \
         INNER JOIN (SELECT arrayJoin(arrayZip({unions}, {names})) AS pair, pair.2 AS name) AS members \
         ON merged.name = members.name GROUP BY number"
    );
    statement
}

/// Pairs of (union, counter) as two arrays of equal length.
#[derive(Debug, Default, PartialEq)]
struct Mapping {
    unions: Vec<i64>,
    counters: Vec<String>,
}

/// All pairs, cut so that no mapping is too large for one parameter. A union is never cut.
fn mappings(plan: &Plan) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    let mut room = 0;
    for (number, counters) in plan.unions.iter().enumerate() {
        let size: usize = counters.iter().map(String::len).sum();
        if mappings.is_empty() || size > room {
            mappings.push(Mapping::default());
            room = MAPPING_BYTES;
        }
        room = room.saturating_sub(size);
        let mapping = mappings.last_mut().expect("one was pushed if there was none");
        mapping.unions.extend(counters.iter().map(|_| number as i64));
        mapping.counters.extend_from_slice(counters);
    }
    mappings
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::super::tests::planned;
    use super::*;

    fn plan(unions: Vec<Vec<String>>) -> Plan {
        let source =
            Source::UniqueTotals { property: "label".into(), counters: vec!["t.totals(label)".into()] };
        let sum = Source::Sum(vec!["m.sum(value)".into()]);
        let metrics = vec![planned("a", TimeFrame::All, source), planned("b", TimeFrame::All, sum)];
        Plan { metrics, unions }
    }

    #[test]
    fn a_ping_compiles_to_one_query_a_table() {
        let plan = plan(vec![
            vec!["a.unique(user.id)".into(), "b'\\".into()],
            vec!["a.unique(user.id)".into(), "c".into()],
        ]);
        let statements = compile(&plan, jiff::civil::date(2024, 6, 1));
        assert_eq!(statements.count(), 5);
        let totals = statements.unique_totals.as_ref().unwrap();
        let sums = statements.sums.as_ref().unwrap();
        let texts = [&statements.counters, sums, totals, &statements.uniques, &statements.unions[0]];
        insta::assert_snapshot!(texts.map(ToString::to_string).join("\n\n"));
    }

    #[test]
    fn a_mapping_too_large_for_one_parameter_is_cut_between_unions() {
        let union = |letter: &str| vec![letter.repeat(MAPPING_BYTES / 3), format!("{letter}-second")];
        let cut = mappings(&plan(vec![union("a"), union("b"), union("c"), union("d")]));
        let numbers: Vec<Vec<i64>> = cut.into_iter().map(|mapping| mapping.unions).collect();
        assert_eq!(numbers, [vec![0, 0, 1, 1], vec![2, 2, 3, 3]]);
    }

    #[test]
    fn what_no_metric_needs_is_not_read() {
        assert_eq!(compile(&Plan::default(), jiff::civil::date(2024, 6, 1)).count(), 2);
    }
}
