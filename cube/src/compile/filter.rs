//! Writes conditions. A member's type decides how the values of a filter are bound: as text, as numbers, as truth values or
//! as instants. What ClickHouse itself would refuse is refused here already, as a database's error.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tally_store::Parameter;

use super::granularity::Granularity;
use super::output::is_time_measure;
use super::rollup::{Rollup, starts_bucket};
use super::writer::Writer;
use crate::CubeError;
use crate::model::{DimensionKind, MeasureKind, Member};
use crate::query::{Comparison, DateRange, Filter, Operator};

/// The type of a parameter that is an instant, and how it is printed.
const INSTANT: (&str, &str) = ("DateTime64(3, 'UTC')", "%Y-%m-%d %H:%M:%S.%3f");

/// How a member's values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Boolean,
    Time,
}

/// Writes the conditions of one query.
pub(super) struct Conditions<'w, 'm> {
    pub writer: &'w mut Writer<'m>,
    /// Dates without a zone are this one's.
    pub zone: &'w TimeZone,
    /// What the query is written over.
    pub rollup: Option<&'w Rollup>,
}

impl Conditions<'_, '_> {
    /// The filter as an expression that can stand between `AND`s; `None` if it asks nothing.
    pub fn filter(&mut self, filter: &Filter) -> Result<Option<String>, CubeError> {
        match filter {
            Filter::And(filters) => self.group(filters, " AND "),
            Filter::Or(filters) => self.group(filters, " OR "),
            Filter::Range { member, negated, range } => self.range(member, *negated, range).map(Some),
            Filter::Instant { member, comparison, instant } => {
                let (sql, buckets) = self.time(member, &[*instant])?;
                let operator = match comparison {
                    Comparison::Before => "<",
                    Comparison::BeforeOrAt => "<=",
                    Comparison::After => ">",
                    Comparison::AtOrAfter => ">=",
                };
                let instant = self.instant_or_bucket(*instant, buckets);
                Ok(Some(format!("({sql} {operator} {instant})")))
            }
            Filter::Member { member, operator: Operator::MeasureFilter, .. } => self.measure_filter(member),
            Filter::Member { member, operator, values } => self.compare(member, *operator, values).map(Some),
        }
    }

    fn group(&mut self, filters: &[Filter], separator: &str) -> Result<Option<String>, CubeError> {
        let mut written = Vec::new();
        for filter in filters {
            written.extend(self.filter(filter)?);
        }
        Ok((!written.is_empty()).then(|| format!("({})", written.join(separator))))
    }

    /// The rows that a measure counts, as a condition: what a drill-down asks for.
    fn measure_filter(&mut self, member: &str) -> Result<Option<String>, CubeError> {
        let model = self.writer.model;
        let Ok(measure) = model.measure(member) else { return Ok(None) };
        let conditions = self.writer.conditions(model.cube_of(member)?, &measure.filters)?;
        Ok(conditions.map(|conditions| format!("({conditions})")))
    }

    /// Times from the range's start to its end, the last millisecond with all of its microseconds.
    pub fn range(&mut self, id: &str, negated: bool, range: &DateRange) -> Result<String, CubeError> {
        let end = range.to.checked_add(SignedDuration::from_millis(1)).unwrap_or(range.to);
        let (sql, buckets) = self.time(id, &[range.from, end])?;
        let start = self.instant_or_bucket(range.from, buckets);
        let end = self.instant_or_bucket(end, buckets);
        Ok(if negated {
            format!("({sql} < {start} OR {sql} >= {end})")
        } else {
            format!("({sql} >= {start} AND {sql} < {end})")
        })
    }

    fn instant(&mut self, instant: Timestamp) -> String {
        self.instant_or_bucket(instant, None)
    }

    fn instant_or_bucket(&mut self, instant: Timestamp, buckets: Option<Granularity>) -> String {
        let (kind, format) = buckets.map_or(INSTANT, Granularity::rollup_type);
        self.writer.bind(Parameter::Text(instant.strftime(format).to_string()), kind)
    }

    /// The SQL of a member that is compared with instants: the buckets of the rollup that the query is written over, if the
    /// instants are starts of buckets.
    fn time(&mut self, id: &str, instants: &[Timestamp]) -> Result<(String, Option<Granularity>), CubeError> {
        let (sql, kind) = self.member(id)?;
        let buckets = self.rollup.and_then(|rollup| rollup.buckets_of(id));
        if let Some(buckets) = buckets
            && instants.iter().all(|instant| starts_bucket(*instant, buckets))
        {
            return Ok((buckets.rollup_bucket(&sql), Some(buckets)));
        }
        let may_be_time = kind == Kind::Time || self.writer.model.measure(id).is_ok();
        if may_be_time {
            return Ok((sql, None));
        }
        Err(database_error(&format!("There is no supertype for the type of '{id}' and DateTime64")))
    }

    /// A member's SQL, to stand beside an operator, and how its values are compared.
    fn member(&mut self, id: &str) -> Result<(String, Kind), CubeError> {
        let (sql, kind) = self.sql_and_kind(id)?;
        let is_name =
            sql.chars().all(|character| character.is_ascii_alphanumeric() || "_.`".contains(character));
        Ok((if is_name { sql } else { format!("({sql})") }, kind))
    }

    fn sql_and_kind(&mut self, id: &str) -> Result<(String, Kind), CubeError> {
        let model = self.writer.model;
        match model.member(id)? {
            Member::Dimension(dimension) => {
                let kind = match dimension.kind {
                    DimensionKind::String | DimensionKind::Geo => Kind::Text,
                    DimensionKind::Number => Kind::Number,
                    DimensionKind::Boolean => Kind::Boolean,
                    DimensionKind::Time => Kind::Time,
                };
                Ok((self.writer.dimension(dimension)?, kind))
            }
            Member::Measure(measure) => {
                let kind = match measure.kind {
                    _ if is_time_measure(model, measure) => Kind::Time,
                    MeasureKind::String => Kind::Text,
                    MeasureKind::Boolean => Kind::Boolean,
                    _ => Kind::Number,
                };
                Ok((self.writer.measure(measure)?, kind))
            }
        }
    }

    /// Several values are alternatives; a negated operator excludes them all. Rows without a value pass a negation, and pass
    /// a positive operator only when null is among the values.
    fn compare(
        &mut self,
        id: &str,
        operator: Operator,
        values: &[Option<String>],
    ) -> Result<String, CubeError> {
        let (sql, kind) = self.member(id)?;
        match operator {
            Operator::Set => return Ok(format!("({sql} IS NOT NULL)")),
            Operator::NotSet => return Ok(format!("({sql} IS NULL)")),
            Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => {
                return self.inequality(&sql, kind, operator, values);
            }
            _ => {}
        }
        let null_is_among_values = values.iter().any(Option::is_none);
        let given: Vec<&str> = values.iter().flatten().map(String::as_str).collect();
        let tests = match operator {
            Operator::Contains | Operator::NotContains => self.patterns(&sql, "%", &given, "%"),
            Operator::StartsWith | Operator::NotStartsWith => self.patterns(&sql, "", &given, "%"),
            Operator::EndsWith | Operator::NotEndsWith => self.patterns(&sql, "%", &given, ""),
            _ => self.equalities(&sql, kind, &given)?,
        };
        Ok(joined(&sql, is_negated(operator), tests, null_is_among_values))
    }

    /// Tests only the first value, as Cube does.
    fn inequality(
        &mut self,
        sql: &str,
        kind: Kind,
        operator: Operator,
        values: &[Option<String>],
    ) -> Result<String, CubeError> {
        let sign = match operator {
            Operator::Gt => ">",
            Operator::Gte => ">=",
            Operator::Lt => "<",
            _ => "<=",
        };
        match values.first() {
            Some(Some(value)) => {
                let value = self.value(kind, value)?;
                Ok(format!("({sql} {sign} {value})"))
            }
            // Nothing compares with null.
            _ => Ok("(1 = 0)".to_owned()),
        }
    }

    fn equalities(&mut self, sql: &str, kind: Kind, texts: &[&str]) -> Result<Vec<String>, CubeError> {
        if texts.len() > 1
            && let Some(array) = self.array(kind, texts)
        {
            return Ok(vec![format!("{sql} IN {array}")]);
        }
        texts.iter().map(|text| Ok(format!("{sql} = {}", self.value(kind, text)?))).collect()
    }

    /// All values as one parameter, where a set of them compares as each of them would.
    fn array(&mut self, kind: Kind, texts: &[&str]) -> Option<String> {
        match kind {
            Kind::Text => {
                let texts = texts.iter().map(|text| (*text).to_owned()).collect();
                Some(self.writer.bind(Parameter::Texts(texts), "Array(String)"))
            }
            Kind::Number => {
                let integers = texts.iter().map(|text| text.parse().ok()).collect::<Option<Vec<i64>>>()?;
                Some(self.writer.bind(Parameter::Integers(integers), "Array(Int64)"))
            }
            Kind::Boolean | Kind::Time => None,
        }
    }

    /// Letters match whatever their case; the wildcards of LIKE stand for themselves.
    fn patterns(&mut self, sql: &str, before: &str, texts: &[&str], after: &str) -> Vec<String> {
        let test = |text: &&str| {
            let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            format!("{sql} ILIKE {}", self.writer.bind_text(&format!("{before}{escaped}{after}")))
        };
        texts.iter().map(test).collect()
    }

    fn value(&mut self, kind: Kind, text: &str) -> Result<String, CubeError> {
        match kind {
            Kind::Text => Ok(self.writer.bind_text(text)),
            Kind::Number => self.number(text),
            Kind::Boolean => match text {
                "0" => Ok(self.writer.bind(Parameter::Unsigned(0), "UInt8")),
                "1" => Ok(self.writer.bind(Parameter::Unsigned(1), "UInt8")),
                _ => Err(database_error(&format!("Cannot convert string '{text}' to type UInt8"))),
            },
            Kind::Time => {
                let instant = parse_instant(text, self.zone).ok_or_else(|| {
                    database_error(&format!("Cannot parse string '{text}' as DateTime64(3)"))
                })?;
                Ok(self.instant(instant))
            }
        }
    }

    fn number(&mut self, text: &str) -> Result<String, CubeError> {
        if let Ok(integer) = text.parse::<i64>() {
            return Ok(self.writer.bind(Parameter::Integer(integer), "Int64"));
        }
        if let Ok(unsigned) = text.parse::<u64>() {
            return Ok(self.writer.bind(Parameter::Unsigned(unsigned), "UInt64"));
        }
        match text.parse::<f64>() {
            Ok(float) if float.is_finite() => Ok(self.writer.bind(Parameter::Float(float), "Float64")),
            _ => Err(database_error(&format!("Cannot parse Float64 from String: '{text}'"))),
        }
    }
}

fn is_negated(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::NotEquals
            | Operator::NotIn
            | Operator::NotContains
            | Operator::NotStartsWith
            | Operator::NotEndsWith
    )
}

fn joined(sql: &str, negated: bool, mut tests: Vec<String>, null_is_among_values: bool) -> String {
    match (negated, null_is_among_values) {
        (false, true) => tests.push(format!("{sql} IS NULL")),
        (true, true) if tests.is_empty() => return format!("({sql} IS NOT NULL)"),
        (true, true) => return format!("({sql} IS NOT NULL AND NOT ({}))", tests.join(" OR ")),
        (true, false) if tests.is_empty() => return "(1 = 1)".to_owned(),
        (true, false) => return format!("(NOT ({}) OR {sql} IS NULL)", tests.join(" OR ")),
        (false, false) if tests.is_empty() => return "(1 = 0)".to_owned(),
        (false, false) => {}
    }
    format!("({})", tests.join(" OR "))
}

/// A date, or a date and time, of `zone` if it names no other.
fn parse_instant(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let civil: DateTime = text.parse().ok()?;
    zone.to_ambiguous_timestamp(civil).compatible().ok()
}

/// What Cube answers with when the database refuses a value.
pub(super) fn database_error(text: &str) -> CubeError {
    CubeError::Invalid(format!("Error: Query failed: Error: {text}"))
}
