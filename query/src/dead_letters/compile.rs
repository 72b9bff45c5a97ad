//! Compiles listings of letters to statements. Each takes what may be read as an argument and writes it down as a condition;
//! all values are bound.

use tally_schemas::{DropReason, topics};
use tally_store::{Parameter, Statement};
use uuid::Uuid;

use super::cursor::Position;
use super::selection::Readable;

/// Which letters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    pub reason: Option<DropReason>,
    /// Only letters from then on, in milliseconds since the epoch.
    pub since_ms: Option<i64>,
    /// Only letters before.
    pub until_ms: Option<i64>,
    /// Only records of this topic.
    pub topic: Option<String>,
}

/// The newest of the filtered letters after a position; payloads are empty unless they are asked for.
pub(super) fn page(
    readable: &Readable,
    filter: &Filter,
    after: Option<Position>,
    limit: u64,
    with_payload: bool,
) -> Statement {
    let mut statement = Statement::default();
    let mut conditions = scope(readable, &mut statement);
    conditions.extend(filtered(filter, &mut statement));
    if let Some(Position { recorded_at_ms, id }) = after {
        let at = instant(recorded_at_ms, &mut statement);
        let id = statement.bind(Parameter::Text(id.to_string()), "UUID");
        conditions
            .push(format!("recorded_at <= {at} AND (recorded_at < {at} OR toUInt128(id) < toUInt128({id}))"));
    }
    let limit = statement.bind(Parameter::Unsigned(limit), "UInt64");
    statement.sql = format!(
        "{} WHERE {} ORDER BY recorded_at DESC, toUInt128(id) DESC LIMIT {limit}",
        select(with_payload),
        conditions.join(" AND ")
    );
    statement
}

/// The letters with these ids, payloads included.
pub(super) fn by_ids(readable: &Readable, ids: &[Uuid]) -> Statement {
    let mut statement = Statement::default();
    let mut conditions = scope(readable, &mut statement);
    conditions.push(format!("id IN {}", bind_ids(ids, &mut statement)));
    let conditions = conditions.join(" AND ");
    statement.sql = format!("{} WHERE {conditions} ORDER BY recorded_at, id", select(true));
    statement
}

/// The steps of the replays of letters that were read before, in their order.
pub(super) fn replays(ids: &[Uuid]) -> Statement {
    let mut statement = Statement::default();
    let ids = bind_ids(ids, &mut statement);
    statement.sql = format!(
        "SELECT toString(letter_id) AS letter, attempt, toString(replay_id) AS replay, toString(state) AS step, \
         toUnixTimestamp64Milli(at) AS at_ms, by, detail, topic, partitions, offsets \
         FROM dead_letter_replays WHERE letter_id IN {ids} ORDER BY letter_id, attempt, at, state"
    );
    statement
}

/// Of letters that were read before, those that are records of a replay, and of which letter.
pub(super) fn replayed_records(ids: &[Uuid]) -> Statement {
    let mut statement = Statement::default();
    let ids = bind_ids(ids, &mut statement);
    statement.sql = format!(
        "SELECT toString(letters.id) AS letter, toString(replays.letter_id) AS replay_of \
         FROM (SELECT id, topic, partition, offset FROM dead_letters WHERE id IN {ids} AND topic != '') AS letters \
         INNER JOIN (SELECT letter_id, topic, partition, offset FROM dead_letter_replays \
         ARRAY JOIN partitions AS partition, offsets AS offset WHERE state = 'done') AS replays \
         ON letters.topic = replays.topic AND letters.partition = replays.partition AND letters.offset = replays.offset"
    );
    statement
}

/// What the bytes of a record of the directory may hold is nobody's to see.
fn select(with_payload: bool) -> String {
    let payload = if with_payload {
        format!("if(topic = '{}', '', base64Encode(payload))", topics::DIRECTORY)
    } else {
        "''".to_owned()
    };
    format!(
        "SELECT toString(id) AS letter, reason, detail, endpoint, topic, partition, offset, \
         toUnixTimestamp64Milli(recorded_at) AS recorded_at_ms, project_id, user_id, content_type, \
         base64Encode(key) AS key_base64, length(payload) AS kept_size, whole_size, {payload} AS payload_base64 \
         FROM dead_letters"
    )
}

fn scope(readable: &Readable, statement: &mut Statement) -> Vec<String> {
    match readable {
        Readable::All => vec!["true".to_owned()],
        Readable::Projects(ids) => {
            let ids = statement.bind(Parameter::Integers(ids.clone()), "Array(Int64)");
            // 0 is no project, whatever the directory holds.
            vec![format!("project_id IN {ids}"), "project_id != 0".to_owned()]
        }
    }
}

fn filtered(filter: &Filter, statement: &mut Statement) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some(reason) = filter.reason {
        conditions.push(format!("reason = {}", statement.bind_text(reason.as_str())));
    }
    if let Some(since) = filter.since_ms {
        conditions.push(format!("recorded_at >= {}", instant(since, statement)));
    }
    if let Some(until) = filter.until_ms {
        conditions.push(format!("recorded_at < {}", instant(until, statement)));
    }
    if let Some(topic) = &filter.topic {
        conditions.push(format!("topic = {}", statement.bind_text(topic)));
    }
    conditions
}

fn bind_ids(ids: &[Uuid], statement: &mut Statement) -> String {
    let ids = ids.iter().map(Uuid::to_string).collect();
    statement.bind(Parameter::Texts(ids), "Array(UUID)")
}

fn instant(milliseconds: i64, statement: &mut Statement) -> String {
    let number = statement.bind(Parameter::Integer(milliseconds), "Int64");
    format!("fromUnixTimestamp64Milli({number}, 'UTC')")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_are_a_condition_of_every_statement_that_reads_letters() {
        let of_projects = Readable::Projects(vec![5, 6]);
        let filter = Filter {
            reason: Some(DropReason::Invalid),
            since_ms: Some(1),
            until_ms: Some(2),
            topic: Some("tally.events".to_owned()),
        };
        let after = Position { recorded_at_ms: 3, id: Uuid::from_u128(4) };
        let page = page(&of_projects, &filter, Some(after), 21, false);
        insta::assert_snapshot!(page);
        insta::assert_snapshot!(by_ids(&of_projects, &[Uuid::from_u128(4)]));
        for statement in [page, by_ids(&of_projects, &[])] {
            assert!(statement.sql.contains("WHERE project_id IN {p0:Array(Int64)} AND project_id != 0"));
            assert_eq!(statement.parameters[0], Parameter::Integers(vec![5, 6]));
        }
    }
}
