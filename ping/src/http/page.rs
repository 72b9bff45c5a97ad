//! The page of the Service Ping: gathers what it shows and puts it into words. The HTML is in `templates/`; its style is part of it
//! and the only thing that the page's security policy lets the browser use.

use std::sync::LazyLock;
use std::time::Duration;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::indent::indented;
use super::preview;
use super::state::HttpState;
use crate::{FeatureScore, PingError, Settings, Severity, Status, StoredPayload, Submission, VersionStatus};

const STYLE: &str = include_str!("../../templates/service_usage_data.css");

/// How long the page waits for the version check.
const VERSION_CHECK_WITHIN: Duration = Duration::from_secs(5);

/// Nothing but the page's own style, which is named by its hash.
pub(super) fn content_security_policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    });
    &POLICY
}

/// What the page shows.
#[derive(Template)]
#[template(path = "service_usage_data.html")]
pub(super) struct Page {
    style: &'static str,
    uuid: String,
    hostname: String,
    version: String,
    settings: [SettingRow; 5],
    is_forbidden_by_file: bool,
    facts: Vec<Fact>,
    version_check: VersionCheck,
    submissions: Vec<SubmissionRow>,
    no_submissions: String,
    score: Vec<ScoreRow>,
    preview: Preview,
    /// The token that the page was asked for with, for its link; empty if a header held it.
    token: String,
}

/// A setting in force.
struct SettingRow {
    label: &'static str,
    name: &'static str,
    is_on: bool,
}

/// Something about the schedule.
struct Fact {
    label: &'static str,
    value: String,
}

struct VersionCheck {
    class: &'static str,
    headline: String,
    details: String,
}

struct SubmissionRow {
    recorded_at: String,
    attempt: u8,
    attempted_at: String,
    is_accepted: bool,
    outcome: String,
}

struct ScoreRow {
    label: String,
    instance: String,
    leader: String,
    percentage: String,
}

/// The payload, or why there is none to see.
enum Preview {
    Stored(StoredText),
    Missing(String),
}

struct StoredText {
    recorded_at: String,
    bytes: usize,
    text: String,
}

impl Page {
    /// The page as of now. What can't be found out is said in its place.
    pub(super) async fn of(state: &HttpState, token: String) -> Self {
        let ping = &state.ping;
        let (payload, version) =
            futures::join!(preview::current(state), timeout(VERSION_CHECK_WITHIN, ping.version_check()),);
        let settings = ping.settings();
        let (facts, submissions, no_submissions) = match ping.status().await {
            Ok(status) => (
                facts(&status, ping.0.config.splay_s),
                status.submissions,
                "Nothing was sent yet.".to_owned(),
            ),
            Err(error) => (Vec::new(), Vec::new(), format!("What was sent can't be read now: {error}.")),
        };
        let score = submissions.iter().find_map(|one| one.dev_ops_score.as_ref());
        let instance = &ping.0.parts.instance;
        Self {
            style: STYLE,
            uuid: instance.uuid.clone(),
            hostname: instance.hostname.clone(),
            version: instance.reported_version().to_owned(),
            settings: rows(settings),
            is_forbidden_by_file: ping.is_forbidden_by_file(),
            facts,
            version_check: VersionCheck::of(version.ok(), settings.version_check_enabled),
            score: score.map(|score| score.features().iter().map(ScoreRow::of).collect()).unwrap_or_default(),
            submissions: submissions.iter().map(SubmissionRow::of).collect(),
            no_submissions,
            preview: Preview::of(payload),
            token,
        }
    }
}

fn facts(status: &Status, splay_s: u64) -> Vec<Fact> {
    let fact = |label, value| Fact { label, value };
    let mut facts = vec![
        fact("Weekly slot", status.slot.to_string()),
        fact("Next payload", format!("{}, up to {splay_s} s later", minute(status.next_slot))),
        fact("Destination", status.destination()),
    ];
    if let Some(cycle) = &status.cycle {
        facts.push(fact("Last slot", format!("{}: {}", minute(cycle.slot), cycle.outcome)));
    }
    if let Some(next_attempt) = status.next_attempt {
        facts.push(fact("Next try", minute(next_attempt)));
    }
    facts.push(fact("Last taken", status.last_success.map_or_else(|| "never".to_owned(), minute)));
    facts
}

fn rows(settings: Settings) -> [SettingRow; 5] {
    let row = |label, name, is_on| SettingRow { label, name, is_on };
    [
        row("Send the Service Ping", "usage_ping_enabled", settings.usage_ping_enabled),
        row("Make payloads", "usage_ping_generation_enabled", settings.usage_ping_generation_enabled),
        row(
            "Include optional data",
            "include_optional_data_in_service_ping",
            settings.include_optional_data_in_service_ping,
        ),
        row("Registration features", "usage_ping_features_enabled", settings.usage_ping_features_enabled),
        row("Ask for newer versions", "version_check_enabled", settings.version_check_enabled),
    ]
}

impl VersionCheck {
    /// `None` stands for no answer in time.
    fn of(answer: Option<Result<Option<VersionStatus>, PingError>>, is_enabled: bool) -> Self {
        let unknown =
            |headline: &str, details: String| Self { class: "quiet", headline: headline.to_owned(), details };
        match answer {
            Some(Ok(Some(status))) => {
                let (class, headline) = match status.severity {
                    Severity::Success => ("good", "Up to date."),
                    Severity::Warning => ("warn", "Update available."),
                    Severity::Danger => ("bad", "Update as soon as possible."),
                };
                Self { class, headline: headline.to_owned(), details: status.details }
            }
            Some(Ok(None)) if is_enabled => unknown("Nobody to ask.", String::new()),
            Some(Ok(None)) => unknown("Switched off.", String::new()),
            Some(Err(PingError::VersionCheck(error))) => unknown("Not known:", error.to_string()),
            Some(Err(error)) => unknown("Not known:", error.to_string()),
            None => unknown("Not known:", "no answer in time".to_owned()),
        }
    }
}

impl SubmissionRow {
    fn of(submission: &Submission) -> Self {
        let outcome = match (submission.usage_data_id, &submission.error) {
            (Some(id), _) => format!("taken as {id}"),
            (None, Some(error)) => error.clone(),
            (None, None) => "failed".to_owned(),
        };
        Self {
            recorded_at: minute(submission.recorded_at),
            attempt: submission.attempt,
            attempted_at: minute(submission.attempted_at),
            is_accepted: submission.usage_data_id.is_some(),
            outcome,
        }
    }
}

impl ScoreRow {
    fn of(score: &FeatureScore) -> Self {
        Self {
            label: label(score.feature),
            instance: format!("{:.2}", score.instance),
            leader: format!("{:.2}", score.leader),
            percentage: format!("{:.1} %", score.percentage),
        }
    }
}

/// `ci_pipelines` as `CI pipelines`.
fn label(feature: &str) -> String {
    let words = feature.replace('_', " ");
    let words = words.replace("ci ", "CI ").replace("prometheus", "Prometheus");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl Preview {
    fn of(payload: Result<StoredPayload, PingError>) -> Self {
        match payload {
            Ok(stored) => Self::Stored(StoredText {
                recorded_at: second(stored.recorded_at),
                bytes: stored.payload.len(),
                text: indented(&stored.payload),
            }),
            Err(PingError::GenerationOff) => {
                Self::Missing("No payload is made while usage_ping_generation_enabled is off.".to_owned())
            }
            Err(error) => Self::Missing(format!("The payload can't be shown now: {error}.")),
        }
    }
}

fn minute(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn second(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
