//! SQL that makes one value: a definition's own, or an aggregate of one of Tally's tables. Windows are named in it as
//! `{from:…}` and `{to:…}` and bound beside it.

use std::fmt::Write;

use jiff::{Timestamp, ToSpan};
use tally_schemas::TimeFrame;

use tally_store::{Parameter, Statement};

/// The frames whose windows a statement binds, in the order of their parameters.
const FRAMES: [TimeFrame; 3] = [TimeFrame::SevenDays, TimeFrame::TwentyEightDays, TimeFrame::All];

/// What makes a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sql {
    /// The definition's `options.sql`: a SELECT of one row and one column.
    Own(String),
    /// An aggregate over a table or view of Tally's.
    BuiltIn(BuiltIn),
}

/// An aggregate of the catalog.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BuiltIn {
    pub table: &'static str,
    pub aggregate: &'static str,
    /// What a reader of the number should know; empty for nothing.
    pub remark: &'static str,
}

/// A piece of SQL and the frame whose window it is about.
pub(super) type Framed<'a> = (&'a Sql, TimeFrame);

impl Sql {
    /// A definition's own SQL.
    pub fn own(text: &str) -> Self {
        Self::Own(text.trim().trim_end_matches(';').trim_end().to_owned())
    }

    /// The SELECT alone.
    fn select(&self) -> String {
        match self {
            Self::Own(text) => text.clone(),
            Self::BuiltIn(built_in) => format!("SELECT {} FROM {}", built_in.aggregate, built_in.table),
        }
    }

    /// The SELECT with its window's bounds written out, for people.
    pub fn readable(&self, frame: TimeFrame, now: Timestamp) -> String {
        let (from, to) = window(frame, now);
        let text = write_out(&self.select(), "{from:", &from);
        write_out(&text, "{to:", &to)
    }

    /// What a reader of the number should know.
    pub fn remark(&self) -> &'static str {
        match self {
            Self::Own(_) => "",
            Self::BuiltIn(built_in) => built_in.remark,
        }
    }
}

/// One statement for all pieces: one row with their values as texts, in their order. A table is read once, however many
/// pieces are about it.
pub(super) fn joint(pieces: &[Framed<'_>], now: Timestamp) -> Statement {
    let mut tables: Vec<(&str, Vec<String>)> = Vec::new();
    let mut columns = Vec::new();
    for (sql, frame) in pieces {
        columns.push(match sql {
            Sql::Own(text) => format!("toString(({}))", bound(text, *frame)),
            Sql::BuiltIn(BuiltIn { table, aggregate, .. }) => {
                let known = tables.iter().position(|(name, _)| name == table);
                let number = known.unwrap_or_else(|| {
                    tables.push((table, Vec::new()));
                    tables.len() - 1
                });
                let aggregates = &mut tables[number].1;
                aggregates.push(bound(aggregate, *frame));
                format!("toString(t{number}.{})", aggregates.len())
            }
        });
    }
    let mut statement = Statement::default();
    for frame in FRAMES {
        let (from, to) = window(frame, now);
        statement.parameters.extend([Parameter::Text(from), Parameter::Text(to)]);
    }
    for (number, (table, aggregates)) in tables.iter().enumerate() {
        let opening = if number == 0 { "WITH" } else { "," };
        let list = aggregates.join(", ");
        write!(statement.sql, "{opening} (SELECT tuple({list}) FROM {table}) AS t{number} ")
            .expect("a string takes all text");
    }
    statement.sql += "SELECT ";
    statement.sql += &columns.join(", ");
    statement
}

/// The text with its window's names replaced by those of the parameters that hold it.
fn bound(text: &str, frame: TimeFrame) -> String {
    let number = 2 * FRAMES.iter().position(|known| *known == frame).unwrap_or(FRAMES.len() - 1);
    let name = |number| format!("{{{}:", Statement::parameter_name(number));
    text.replace("{from:", &name(number)).replace("{to:", &name(number + 1))
}

/// GitLab's windows for database metrics, both bounds inclusive: 9 to 2 days ago, 30 to 2 days ago, or open.
fn window(frame: TimeFrame, now: Timestamp) -> (String, String) {
    let ago = |days: i64| {
        let instant = now.saturating_sub((24 * days).hours()).unwrap_or(now);
        instant.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
    };
    match frame {
        TimeFrame::SevenDays => (ago(9), ago(2)),
        TimeFrame::TwentyEightDays => (ago(30), ago(2)),
        TimeFrame::All | TimeFrame::None => {
            ("1970-01-01 00:00:00.000".to_owned(), "2299-12-31 23:59:59.999".to_owned())
        }
    }
}

/// Replaces each placeholder that begins with `opening` by its value with a cast to its type.
fn write_out(text: &str, opening: &str, value: &str) -> String {
    let mut pieces = text.split(opening);
    let mut written = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (kind, rest) = piece.split_once('}').unwrap_or((piece, ""));
        write!(written, "'{value}'::{kind}{rest}").expect("a string takes all text");
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    const BETWEEN: &str = "t BETWEEN {from:DateTime64(3, 'UTC')} AND {to:DateTime64(3, 'UTC')}";

    fn built_in(table: &'static str, aggregate: &'static str) -> Sql {
        Sql::BuiltIn(BuiltIn { table, aggregate, remark: "" })
    }

    #[test]
    fn pieces_become_one_statement_that_reads_each_table_once() {
        let own = Sql::own(&format!("SELECT sum(x) FROM own WHERE {BETWEEN};\n"));
        let (first, second) =
            (built_in("a", "count()"), built_in("a", "countIf(t <= {to:DateTime64(3, 'UTC')})"));
        let third = built_in("b", "max(x)");
        let frames = [TimeFrame::SevenDays, TimeFrame::All, TimeFrame::TwentyEightDays, TimeFrame::None];
        let pieces: Vec<Framed<'_>> = [&own, &first, &second, &third].into_iter().zip(frames).collect();
        let statement = joint(&pieces, "2026-11-18T10:30:00Z".parse().unwrap());
        insta::assert_snapshot!(statement);
    }

    #[test]
    fn bounds_are_written_out_for_people() {
        let sql = Sql::own(&format!("SELECT 1 FROM a WHERE {BETWEEN}"));
        assert_eq!(
            sql.readable(TimeFrame::TwentyEightDays, "2026-11-18T10:30:00Z".parse().unwrap()),
            "SELECT 1 FROM a WHERE t BETWEEN '2026-10-19 10:30:00.000'::DateTime64(3, 'UTC') \
             AND '2026-11-16 10:30:00.000'::DateTime64(3, 'UTC')"
        );
    }
}
