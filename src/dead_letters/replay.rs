//! Replays letters one after the other, each once: one that is noted as done is left alone, and so is one whose replay began and
//! was not noted to its end, because what it appended may lie in the log.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tally_eventlog::Appended;
use tally_query::dead_letters::{Letter, Readable, find};
use uuid::Uuid;

use super::note::{Attempt, Step};
use super::prepare::{Prepared, prepare};
use super::{DeadLetters, ReplayOptions, Replaying};

/// Letters whose payloads are held at once.
const CHUNK: usize = 20;

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub id: Uuid,
    pub state: State,
    pub detail: String,
}

/// How a letter's replay went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its records are in the log.
    Done,
    /// It can't be replayed, or is refused again.
    Refused,
    /// Nothing was done about it: it was replayed before, or may have been, or the tables failed.
    Skipped,
    /// Its records may be in the log, or are there and that could not be noted.
    InDoubt,
    /// It would have been done.
    Possible,
}

impl DeadLetters {
    /// Replays the letters with these ids in their order, until the tables fail.
    pub(super) async fn replay(&self, ids: &[Uuid], options: &ReplayOptions) -> Result<Vec<Outcome>> {
        let replaying = self.replaying.as_ref().context("this process has no log to replay letters into")?;
        let mut outcomes = Vec::new();
        let replayed = self.replay_in_turn(replaying, ids, options, &mut outcomes).await;
        Ok(to_the_error(outcomes, ids, replayed))
    }

    /// Adds an outcome for each letter; none for the one at which it fails, of which nothing was appended.
    async fn replay_in_turn(
        &self,
        replaying: &Replaying,
        ids: &[Uuid],
        options: &ReplayOptions,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<()> {
        for ids in ids.chunks(CHUNK) {
            let letters = find(&self.warehouse, &Readable::All, ids).await?;
            for id in ids {
                let (state, detail) = match letters.iter().find(|letter| letter.id == *id) {
                    Some(letter) => self.replay_one(replaying, letter, options).await?,
                    None => (State::Refused, "there is no such letter".to_owned()),
                };
                outcomes.push(Outcome { id: *id, state, detail });
            }
        }
        Ok(())
    }

    /// Fails only where nothing was appended.
    async fn replay_one(
        &self,
        replaying: &Replaying,
        letter: &Letter,
        options: &ReplayOptions,
    ) -> Result<(State, String)> {
        if let Some(why) = left_alone(letter, options.again) {
            return Ok((State::Skipped, why));
        }
        let prepared = prepare(replaying, letter, Timestamp::now());
        let topic = prepared.as_ref().map_or("", |prepared| &prepared.topic);
        let attempt = Attempt::next(letter, &options.by, topic);
        match &prepared {
            Err(why) if options.dry_run => Ok((State::Refused, why.clone())),
            Err(why) => {
                attempt.end(&self.store, Step::Refused, why, &[]).await?;
                Ok((State::Refused, why.clone()))
            }
            Ok(Prepared { topic, records }) if options.dry_run => {
                Ok((State::Possible, format!("{} records for {topic}", records.len())))
            }
            Ok(prepared) => self.append(replaying, &attempt, prepared).await,
        }
    }

    async fn append(
        &self,
        replaying: &Replaying,
        attempt: &Attempt<'_>,
        prepared: &Prepared,
    ) -> Result<(State, String)> {
        if !attempt.start(&self.store, &self.warehouse).await? {
            return Ok((State::Skipped, "somebody else is replaying it".to_owned()));
        }
        let results = replaying.log.append(&prepared.topic, prepared.records.clone()).await;
        let places: Vec<Appended> =
            results.iter().filter_map(|result| result.as_ref().ok().copied()).collect();
        let error =
            results.iter().filter_map(|result| result.as_ref().err()).max_by_key(|e| e.is_retriable());
        match error {
            None => {
                let appended = format!("{} records appended to {}", places.len(), prepared.topic);
                Ok(match attempt.end(&self.store, Step::Done, "", &places).await {
                    Ok(()) => (State::Done, appended),
                    Err(error) => (State::InDoubt, format!("{appended}, and that is not noted: {error:#}")),
                })
            }
            Some(error) if places.is_empty() && !error.is_retriable() => {
                attempt.end(&self.store, Step::Refused, &error.to_string(), &[]).await?;
                Ok((State::Refused, error.to_string()))
            }
            Some(error) => Ok((
                State::InDoubt,
                format!("{} of {} records are in the log: {error}", places.len(), prepared.records.len()),
            )),
        }
    }
}

/// The outcomes, and the error as that of the letter at which it came: what became of those before must not get lost with it.
fn to_the_error(mut outcomes: Vec<Outcome>, ids: &[Uuid], replayed: Result<()>) -> Vec<Outcome> {
    if let Err(error) = replayed
        && let [id, left @ ..] = &ids[outcomes.len()..]
    {
        let left = left.len();
        let detail = format!("nothing was appended, and {left} more letters are left alone: {error:#}");
        outcomes.push(Outcome { id: *id, state: State::Skipped, detail });
    }
    outcomes
}

/// Why a letter is not to be replayed, if that is so.
fn left_alone(letter: &Letter, again: bool) -> Option<String> {
    if letter.replays.iter().any(|replay| replay.state == "done") {
        return Some("it was replayed before".to_owned());
    }
    let begun = letter.replays.last().filter(|replay| replay.state == "started" && !again)?;
    let at = Timestamp::from_millisecond(begun.at_ms).unwrap_or_default();
    Some(format!(
        "a replay by {:?} began at {at:.0} and was not noted to its end: what it appended may be in the log, and would be \
         counted twice unless its sender named it; --again appends it nevertheless",
        begun.by
    ))
}

#[cfg(test)]
mod tests {
    use tally_query::dead_letters::Replay;

    use super::*;

    fn letter(states: &[&str]) -> Letter {
        let step = |(attempt, state): (u32, &&str)| Replay {
            attempt,
            replay_id: Uuid::nil(),
            state: (*state).to_owned(),
            at_ms: 0,
            by: "ops".to_owned(),
            detail: String::new(),
            topic: String::new(),
            partitions: Vec::new(),
            offsets: Vec::new(),
        };
        Letter { replays: (1..).zip(states).map(step).collect(), ..Letter::default() }
    }

    #[test]
    fn a_letter_is_left_alone_once_it_is_done_and_while_nobody_knows() {
        for (states, alone, alone_again) in [
            (&[][..], false, false),
            (&["refused"], false, false),
            (&["started"], true, false),
            (&["started", "refused"], false, false),
            (&["started", "done"], true, true),
            (&["done", "started"], true, true),
        ] {
            assert_eq!(left_alone(&letter(states), false).is_some(), alone, "{states:?}");
            assert_eq!(left_alone(&letter(states), true).is_some(), alone_again, "{states:?}");
        }
    }

    #[test]
    fn what_became_of_letters_is_told_although_the_tables_fail_at_a_later_one() {
        let ids = [1, 2, 3, 4].map(Uuid::from_u128);
        let done = |id: &Uuid| Outcome { id: *id, state: State::Done, detail: String::new() };
        let first: Vec<Outcome> = ids[..2].iter().map(done).collect();
        let outcomes = to_the_error(first.clone(), &ids, Err(anyhow::anyhow!("away")));
        assert_eq!((&outcomes[..2], outcomes.len()), (&first[..], 3));
        let detail = "nothing was appended, and 1 more letters are left alone: away".to_owned();
        assert_eq!(outcomes[2], Outcome { id: ids[2], state: State::Skipped, detail });
        assert_eq!(to_the_error(first.clone(), &ids[..2], Ok(())), first);
    }
}
