//! Compiles conditions. A member's type decides how its values are bound: as text, as a number, as a truth value or as an
//! instant; `resolve` has seen to it that they fit.

use super::compile::aggregate_sql;
use super::filter::Operator;
use super::model::Member;
use super::resolve::{BoundValue, Condition};
use tally_store::{Parameter, Statement};

/// The condition as one SQL expression that can stand between `AND`s.
pub(super) fn condition_sql(condition: &Condition<'_>, statement: &mut Statement) -> String {
    match condition {
        Condition::And(members) => joined(members, " AND ", statement),
        Condition::Or(members) => joined(members, " OR ", statement),
        Condition::Between { dimension, range, negated } => {
            let (start, end) = range.instants();
            let (start, end) = (bind_instant(start, statement), bind_instant(end, statement));
            let (low, join, high) = if *negated { ("<", "OR", ">") } else { (">=", "AND", "<=") };
            format!("({sql} {low} {start} {join} {sql} {high} {end})", sql = dimension.sql)
        }
        Condition::Instant { dimension, operator, instant } => {
            format!("({} {operator} {})", dimension.sql, bind_instant(instant.clone(), statement))
        }
        Condition::Compare { member, operator, values, or_null } => {
            let sql = match member {
                Member::Measure(measure) => aggregate_sql(measure),
                Member::Dimension(dimension) => dimension.sql.clone(),
            };
            comparison(&sql, *operator, values, *or_null, statement)
        }
    }
}

fn joined(members: &[Condition<'_>], separator: &str, statement: &mut Statement) -> String {
    let members: Vec<String> = members.iter().map(|member| condition_sql(member, statement)).collect();
    format!("({})", members.join(separator))
}

/// Several values are alternatives; a negated operator excludes them all. Rows without a value pass a negation, and pass
/// a positive operator only when null is among the values.
fn comparison(
    sql: &str,
    operator: Operator,
    values: &[BoundValue],
    null_is_among_values: bool,
    statement: &mut Statement,
) -> String {
    let negated = match operator {
        Operator::Set => return format!("({sql} IS NOT NULL)"),
        Operator::NotSet => return format!("({sql} IS NULL)"),
        Operator::NotEquals
        | Operator::NotIn
        | Operator::NotContains
        | Operator::NotStartsWith
        | Operator::NotEndsWith => true,
        _ => false,
    };
    let mut tests = match operator {
        Operator::Equals | Operator::In | Operator::NotEquals | Operator::NotIn if values.len() > 1 => {
            memberships(sql, values, statement)
        }
        _ => values.iter().map(|value| test(sql, operator, &bind_value(value, statement))).collect(),
    };
    match (negated, null_is_among_values) {
        (false, true) => tests.push(format!("{sql} IS NULL")),
        (true, true) if tests.is_empty() => return format!("({sql} IS NOT NULL)"),
        (true, true) => return format!("({sql} IS NOT NULL AND NOT ({}))", tests.join(" OR ")),
        (true, false) => return format!("(NOT ({}) OR {sql} IS NULL)", tests.join(" OR ")),
        (false, false) => {}
    }
    format!("({})", tests.join(" OR "))
}

/// Tests for being one of several values: each type of values is bound as one array, however many there are.
fn memberships(sql: &str, values: &[BoundValue], statement: &mut Statement) -> Vec<String> {
    let (mut texts, mut integers, mut floats, mut instants) = (vec![], vec![], vec![], vec![]);
    for value in values {
        match value {
            BoundValue::Text(text) => texts.push(text.clone()),
            BoundValue::Integer(integer) => integers.push(*integer),
            BoundValue::Float(float) => floats.push(*float),
            BoundValue::Instant(instant) => instants.push(instant.clone()),
        }
    }
    let mut conditions = Vec::new();
    let mut bind = |is_empty: bool, array: Parameter, kind: &str| {
        if !is_empty {
            conditions.push(format!("{sql} IN {}", statement.bind(array, kind)));
        }
    };
    bind(texts.is_empty(), Parameter::Texts(texts), "Array(String)");
    bind(integers.is_empty(), Parameter::Integers(integers), "Array(Int64)");
    bind(floats.is_empty(), Parameter::Floats(floats), "Array(Float64)");
    bind(instants.is_empty(), Parameter::Texts(instants), "Array(DateTime64(3, 'UTC'))");
    conditions
}

/// One value's test, without regard to negation.
fn test(sql: &str, operator: Operator, value: &str) -> String {
    match operator {
        Operator::Contains | Operator::NotContains => {
            format!("positionCaseInsensitiveUTF8({sql}, {value}) > 0")
        }
        Operator::StartsWith | Operator::NotStartsWith => {
            format!("startsWith(lowerUTF8({sql}), lowerUTF8({value}))")
        }
        Operator::EndsWith | Operator::NotEndsWith => {
            format!("endsWith(lowerUTF8({sql}), lowerUTF8({value}))")
        }
        Operator::Gt => format!("{sql} > {value}"),
        Operator::Gte => format!("{sql} >= {value}"),
        Operator::Lt => format!("{sql} < {value}"),
        Operator::Lte => format!("{sql} <= {value}"),
        _ => format!("{sql} = {value}"),
    }
}

fn bind_value(value: &BoundValue, statement: &mut Statement) -> String {
    match value {
        BoundValue::Text(text) => statement.bind_text(text),
        BoundValue::Integer(integer) => statement.bind(Parameter::Integer(*integer), "Int64"),
        BoundValue::Float(float) => statement.bind(Parameter::Float(*float), "Float64"),
        BoundValue::Instant(instant) => bind_instant(instant.clone(), statement),
    }
}

fn bind_instant(instant: String, statement: &mut Statement) -> String {
    statement.bind(Parameter::Text(instant), "DateTime64(3, 'UTC')")
}
