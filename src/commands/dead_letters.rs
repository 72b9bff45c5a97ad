//! `tally dead-letters`: lists, shows and replays what was refused or set aside, in the running process where there is one.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use tally_query::dead_letters::Letter;
use tally_schemas::{DropReason, avro};

use crate::cli::{DeadLettersCommand, LetterFilter};
use crate::dead_letters::{LettersRequest, Outcome, ReplayOptions, Selected, State, send};

/// Bytes in a line of a hex dump.
const DUMPED: usize = 16;

/// Runs `tally dead-letters …`; fails when a letter could not be replayed.
pub async fn run(command: DeadLettersCommand) -> Result<ExitCode> {
    match command {
        DeadLettersCommand::List { config, filter, limit, json } => {
            let request = LettersRequest::List { selected: selected(filter)?, limit };
            let letters: Vec<Letter> = serde_json::from_str(&Box::pin(send(&config, request)).await?)?;
            print!("{}", if json { json_lines(&letters)? } else { table(&letters) });
        }
        DeadLettersCommand::Show { config, id, raw } => {
            let answer = Box::pin(send(&config, LettersRequest::Show { id })).await?;
            let letter: Letter = serde_json::from_str(&answer)?;
            let payload = BASE64_STANDARD.decode(&letter.payload_base64)?;
            if raw {
                std::io::stdout().write_all(&payload)?;
            } else {
                print!("{}", shown(&letter, &payload));
            }
        }
        DeadLettersCommand::Replay { config, ids, filter, dry_run, again } => {
            let selected = selected(filter)?;
            if ids.is_empty() && selected == Selected::default() {
                bail!("name letters, or select some with --reason, --since, --until, --topic or --project");
            }
            let by = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
            let options = ReplayOptions { dry_run, again, by };
            let answer = Box::pin(send(&config, LettersRequest::Replay { ids, selected, options })).await?;
            let outcomes: Vec<Outcome> = serde_json::from_str(&answer)?;
            print!("{}", outcomes.iter().map(outcome_line).collect::<String>());
            let has_failed = |outcome: &Outcome| !matches!(outcome.state, State::Done | State::Possible);
            if outcomes.iter().any(has_failed) {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn selected(filter: LetterFilter) -> Result<Selected> {
    if let Some(reason) = &filter.reason {
        let names: Vec<&str> = DropReason::ALL.iter().map(|reason| reason.as_str()).collect();
        reason.parse::<DropReason>().with_context(|| format!("expected one of {}", names.join(", ")))?;
    }
    let milliseconds = |at: Option<Timestamp>| at.map(Timestamp::as_millisecond);
    Ok(Selected {
        reason: filter.reason,
        since_ms: milliseconds(filter.since),
        until_ms: milliseconds(filter.until),
        topic: filter.topic,
        project_id: filter.project,
    })
}

fn json_lines(letters: &[Letter]) -> Result<String> {
    let mut text = String::new();
    for letter in letters {
        text += &serde_json::to_string(letter)?;
        text.push('\n');
    }
    Ok(text)
}

fn table(letters: &[Letter]) -> String {
    let mut text = String::new();
    for letter in letters {
        let project = if letter.project_id == 0 { "-".to_owned() } else { letter.project_id.to_string() };
        let columns = [
            &letter.id.to_string(),
            &at(letter.recorded_at_ms),
            &letter.reason,
            &origin(letter),
            &project,
            &letter.size().to_string(),
            letter.replay_state().unwrap_or("-"),
            &printable(&letter.detail),
        ];
        text += &columns.join("\t");
        text.push('\n');
    }
    text
}

fn shown(letter: &Letter, payload: &[u8]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a text never fails.
            let _ = writeln!(text, "{name:<12}{}", printable(value));
        }
    };
    let number = |number: i64| if number == 0 { String::new() } else { number.to_string() };
    line("id", &letter.id.to_string());
    line("recorded at", &at(letter.recorded_at_ms));
    line("reason", &letter.reason);
    line("detail", &letter.detail);
    line("origin", &origin(letter));
    line("project", &number(letter.project_id));
    line("user", &number(letter.user_id));
    line("type", &letter.content_type);
    line("bytes", &size(letter));
    line("replay of", &letter.replay_of.map(|id| id.to_string()).unwrap_or_default());
    for replay in &letter.replays {
        let detail = if replay.detail.is_empty() { String::new() } else { format!(": {}", replay.detail) };
        line("replay", &format!("{} {} by {}{detail}", at(replay.at_ms), replay.state, replay.by));
    }
    text.push('\n');
    text + &payload_text(payload)
}

fn size(letter: &Letter) -> String {
    if letter.size() == letter.kept_size {
        letter.kept_size.to_string()
    } else {
        format!("{}, of which {} are kept", letter.size(), letter.kept_size)
    }
}

/// JSON, where the bytes are some or a record of a schema that is known; else the bytes in hex.
fn payload_text(payload: &[u8]) -> String {
    let json = avro::to_json(payload).or_else(|| serde_json::from_slice(payload).ok());
    match json {
        Some(json) => format!("{json:#}\n"),
        None => {
            payload.chunks(DUMPED).enumerate().map(|(line, bytes)| hex_line(line * DUMPED, bytes)).collect()
        }
    }
}

fn hex_line(from: usize, bytes: &[u8]) -> String {
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let text: String = bytes
        .iter()
        .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
        .collect();
    format!("{from:08x}  {:<47}  {text}\n", hex.join(" "))
}

fn origin(letter: &Letter) -> String {
    if letter.topic.is_empty() {
        letter.endpoint.clone()
    } else {
        format!("{}/{}@{}", letter.topic, letter.partition, letter.offset)
    }
}

fn at(milliseconds: i64) -> String {
    format!("{:.3}", Timestamp::from_millisecond(milliseconds).unwrap_or_default())
}

/// Details quote what was sent: nothing of it may steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn outcome_line(outcome: &Outcome) -> String {
    let state = match outcome.state {
        State::Done => "done",
        State::Refused => "refused",
        State::Skipped => "skipped",
        State::InDoubt => "in doubt",
        State::Possible => "possible",
    };
    format!("{}\t{state}\t{}\n", outcome.id, printable(&outcome.detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_json_where_they_can_be_and_else_hex() {
        assert_eq!(payload_text(b"{\"a\":[1]}"), "{\n  \"a\": [\n    1\n  ]\n}\n");
        assert_eq!(
            payload_text(b"\x00\xffabcdefghijklmn\n"),
            "00000000  00 ff 61 62 63 64 65 66 67 68 69 6a 6b 6c 6d 6e  ..abcdefghijklmn\n\
             00000010  0a                                               .\n"
        );
    }

    #[test]
    fn nothing_that_was_sent_steers_a_terminal() {
        let letter = Letter { detail: "no \u{1b}[2J\n kind".to_owned(), ..Letter::default() };
        assert!(!table(&[letter]).trim_end().contains(|c: char| c.is_control() && c != '\t'));
    }
}
