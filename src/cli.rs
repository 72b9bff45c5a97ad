//! The command line: one subcommand a task. What each does is in `commands`.
#![allow(clippy::doc_markdown, reason = "the comments are the help texts, which are no Markdown")]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};
use tally_processor::recount::Days;
use tally_schemas::definitions::generate::{Counting, NewProperty, NewRule};

/// Event-sourced analytics that speaks GitLab's API: tracks events, counts them exactly once, answers for the numbers.
#[derive(Parser)]
#[command(name = "tally", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// Where settings come from, for every subcommand that has any.
#[derive(Args, Clone)]
pub struct ConfigArgs {
    /// A TOML file that names the settings to change; `tally config` prints all of them, annotated.
    #[arg(long, value_name = "FILE", env = "TALLY_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// One setting, such as `ingest.max_body_bytes=1048576`; may be given many times.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", global = true)]
    pub set: Vec<String>,
    /// Print the settings in force as TOML, and end.
    #[arg(long, global = true)]
    pub dump_config: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Everything in one process on one port: ingest, capture, processor, query, and an embedded log and ClickHouse engine
    Standalone(StandaloneArgs),
    /// HTTP to the log: track_event(s) and contributions
    Ingest(ServiceArgs),
    /// What Snowplow trackers send, to the log: page views and all else that a browser or an app tells
    Capture(ServiceArgs),
    /// The log to ClickHouse: counts every event exactly once
    Processor(ServiceArgs),
    /// ClickHouse to HTTP: Service Ping, Cube queries, event listings
    Query(ServiceArgs),
    /// GitLab's internal API, for GitLab Shell, the agent server and billing; on a port of its own
    Internal(ServiceArgs),
    /// The weekly Service Ping: its scheduler as a process of its own; or what it sends, why, and whether it was sent
    Ping(PingArgs),
    /// The other end of the Service Ping: receives payloads, answers with the DevOps score, serves the version check
    Collect(CollectArgs),
    /// The embedded ClickHouse engine as a process of its own, with ClickHouse's HTTP interface
    Store(ServiceArgs),
    /// Creates and upgrades the ClickHouse tables
    Migrate(ConfigArgs),
    /// Recounts everything from the raw rows and prints the differences; fails when there are any
    Verify(VerifyArgs),
    /// Makes counters and all else that is derived anew out of the raw rows; processors are held off meanwhile
    Rebuild(RebuildArgs),
    /// Puts back rows that the tables have lost while the log still has their records, and rebuilds those days
    Replay(ReplayArgs),
    /// Recounts the sessions of product analytics from the raw page events
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// What was refused or set aside: lists it, shows it, sends it through again
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Event and metric definitions in GitLab's YAML form
    #[command(subcommand)]
    Definitions(Box<DefinitionsCommand>),
    /// Access tokens: make, list, revoke
    #[command(subcommand)]
    Token(TokenCommand),
    /// Users, projects, memberships and all else that Tally knows about who may do what
    #[command(subcommand)]
    Directory(DirectoryCommand),
    /// Sends a reproducible stream of events, for tests and measurements
    Load(Box<tally_benches::load::LoadArgs>),
    /// Prints every setting with its default and what it means
    Config,
    /// Prints the OpenAPI document of the public and the internal API
    Openapi,
}

#[derive(Args)]
pub struct StandaloneArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Where everything is kept (standalone.data_dir).
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// The address to serve on (standalone.listen).
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Make an administrator's token if there is none, and print what to try.
    #[arg(long)]
    pub welcome: bool,
}

#[derive(Args)]
pub struct ServiceArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The address to serve on.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
}

#[derive(Args)]
pub struct PingArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The address to serve health and metrics on.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    #[command(flatten)]
    pub task: PingTask,
}

/// What to do instead of running the scheduler: in the running process where the log is embedded.
#[derive(Args)]
#[group(multiple = false)]
#[allow(clippy::struct_excessive_bools, reason = "flags, of which one at most is given")]
pub struct PingTask {
    /// Say where the value at a key path comes from: definition, counters, SQL, rows, window
    #[arg(long, value_name = "KEY_PATH")]
    pub explain: Option<String>,
    /// Print the payload, byte for byte as it is sent: the week's, computed and stored now if there is none yet
    #[arg(long)]
    pub preview: bool,
    /// Compute and store a new payload, and print it; nothing is sent
    #[arg(long)]
    pub generate: bool,
    /// Send the week's payload now, unless the ping is switched off
    #[arg(long)]
    pub send: bool,
    /// Say when the next one is due, whether it will be sent and to whom, and what became of the last
    #[arg(long)]
    pub status: bool,
    /// Ask the receiver whether this version is up to date, unless the version check is switched off
    #[arg(long)]
    pub version_check: bool,
}

#[derive(Args)]
pub struct CollectArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Where everything is kept (standalone.data_dir), unless store.url names a ClickHouse server.
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// The address to serve on (services.collect).
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
}

/// The days that a recount is about.
#[derive(Args)]
pub struct DayArgs {
    /// The first day, such as 2026-11-20 [default: the first of all]
    #[arg(long, value_name = "DAY")]
    pub from: Option<jiff::civil::Date>,
    /// The last day [default: the last of all]
    #[arg(long, value_name = "DAY")]
    pub to: Option<jiff::civil::Date>,
}

impl DayArgs {
    /// The days meant; all of them by default.
    pub fn days(&self) -> Days {
        Days { from: self.from.unwrap_or(Days::ALL.from), to: self.to.unwrap_or(Days::ALL.to) }
    }
}

#[derive(Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub days: DayArgs,
    /// Look for records of the log without rows, too; reads all of the log
    #[arg(long)]
    pub log: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The topic: tally.events, tally.page_events, tally.contributions
    #[arg(long)]
    pub topic: String,
    /// One partition of it [default: all]
    #[arg(long)]
    pub partition: Option<u32>,
    /// The first offset [default: the first that the log has]
    #[arg(long, value_name = "OFFSET", default_value_t = 0, hide_default_value = true)]
    pub from: u64,
    /// The last offset [default: the last that was counted]
    #[arg(long, value_name = "OFFSET", default_value_t = u64::MAX, hide_default_value = true)]
    pub to: u64,
}

#[derive(Args)]
pub struct RebuildArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub days: DayArgs,
    /// Only the counters of this metric
    #[arg(long, value_name = "KEY_PATH", conflicts_with_all = ["event", "missing"])]
    pub metric: Option<String>,
    /// Only the counters of this event
    #[arg(long, value_name = "NAME", conflicts_with = "missing")]
    pub event: Option<String>,
    /// Only counters of definitions that were added later than their events
    #[arg(long)]
    pub missing: bool,
}

#[derive(Subcommand)]
pub enum SessionsCommand {
    /// Lists where the sessions are not what the page events amount to; whatever is counted meanwhile may show up, too
    Verify {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Makes the sessions anew out of the page events; tally, or all processors, must have been stopped in order
    Recompute {
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Subcommand)]
pub enum DeadLettersCommand {
    /// Lists letters, the newest first: id, time, reason, origin, project, bytes, state of its replay, detail
    List {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        filter: LetterFilter,
        /// At most so many
        #[arg(long, default_value_t = 100, value_name = "NUMBER")]
        limit: u64,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Shows a letter and its bytes, as JSON where they are some
    Show {
        #[command(flatten)]
        config: ConfigArgs,
        /// The letter's id
        id: uuid::Uuid,
        /// Write nothing but the bytes, as they came
        #[arg(long)]
        raw: bool,
    },
    /// Sends letters through again, each once: records back to their topic, refused events to their endpoint; reports that the
    /// internal API refused can only be looked at
    Replay {
        #[command(flatten)]
        config: ConfigArgs,
        /// The letters; or select some by reason, time, topic, project
        #[arg(value_name = "ID", conflicts_with_all = ["reason", "since", "until", "topic", "project"])]
        ids: Vec<uuid::Uuid>,
        #[command(flatten)]
        filter: LetterFilter,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// Append even what an earlier replay, which was not noted to its end, may have appended
        #[arg(long)]
        again: bool,
    },
}

/// Which letters.
#[derive(Args)]
pub struct LetterFilter {
    /// Of this reason, such as undecodable, unknown_schema, rejected_by_store, invalid, oversized
    #[arg(long)]
    pub reason: Option<String>,
    /// From this moment on, such as 2026-11-20T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<jiff::Timestamp>,
    /// Before this moment
    #[arg(long, value_name = "TIME")]
    pub until: Option<jiff::Timestamp>,
    /// Records of this topic
    #[arg(long)]
    pub topic: Option<String>,
    /// Of this project
    #[arg(long, value_name = "PROJECT_ID")]
    pub project: Option<i64>,
}

#[derive(Subcommand)]
pub enum DefinitionsCommand {
    /// Checks definition files and says for each mistake the file, the field, what was expected and what is there
    Lint {
        /// Files, folders or globs
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
    },
    /// Writes a new definition file, as GitLab's own generator writes it
    #[command(subcommand)]
    New(Box<NewDefinition>),
    /// Writes the dictionary of all definitions: a page to search in (.html), or JSON (.json)
    Dictionary {
        #[command(flatten)]
        config: ConfigArgs,
        /// The file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Subcommand)]
pub enum NewDefinition {
    /// An internal event, such as: tally definitions new event create_board --description "A board is created"
    /// --identifier user --identifier project --property "label=its colour" --product-group planning --milestone 18.9
    Event {
        /// The event's name: small letters, digits, underscores
        action: String,
        /// What it means
        #[arg(long)]
        description: String,
        /// Whose id comes with it: project, user, namespace, feature_enabled_by_namespace_ids
        #[arg(long = "identifier", value_name = "NAME")]
        identifiers: Vec<String>,
        /// What else comes with it; label, property and value are the usual names
        #[arg(long = "property", value_name = "NAME=DESCRIPTION")]
        properties: Vec<NewProperty>,
        /// The team it belongs to
        #[arg(long, value_name = "GROUP")]
        product_group: String,
        /// `duo`, for events about GitLab Duo
        #[arg(long)]
        classification: Option<String>,
        #[command(flatten)]
        file: NewFile,
    },
    /// A metric, such as: tally definitions new metric --event create_board --count unique:user --time-frame 7d --time-frame
    /// 28d --description "who created a board" --milestone 18.9
    Metric {
        /// An event that it counts; `create_board:label=red,blue` counts some of them
        #[arg(
            long = "event",
            value_name = "EVENT[:PROPERTY=VALUE,…;…]",
            required_unless_present = "key_path"
        )]
        events: Vec<NewRule>,
        /// What is counted: total, sum (of value), unique:user, unique:project, unique:namespace, unique:PROPERTY
        #[arg(long, default_value = "total", value_name = "WHAT")]
        count: Counting,
        /// What stands for the events in its name; needed with filters, and with many events
        #[arg(long)]
        name: Option<String>,
        /// Instead of events: the whole key path of a metric that is computed from the database,
        #[arg(long, value_name = "KEY_PATH", requires = "instrumentation_class", conflicts_with = "events")]
        key_path: Option<String>,
        /// and the class that computes it
        #[arg(long, value_name = "CLASS")]
        instrumentation_class: Option<String>,
        /// What follows "Count of unique users" or the like
        #[arg(long)]
        description: String,
        /// 7d (the last complete week), 28d (the last four), all
        #[arg(long = "time-frame", required = true, value_name = "FRAME")]
        time_frames: Vec<tally_schemas::TimeFrame>,
        /// The team it belongs to; the events' where they have one in common
        #[arg(long, value_name = "GROUP")]
        product_group: Option<String>,
        #[command(flatten)]
        file: NewFile,
    },
}

/// What every new definition says of itself, and where it is written.
#[derive(Args)]
pub struct NewFile {
    /// The release that brings it, such as 18.9
    #[arg(long)]
    pub milestone: String,
    /// The change that brings it; without, it is to be filled in before the definition loads
    #[arg(long = "introduced-by", value_name = "URL")]
    pub introduced_by_url: Option<String>,
    /// Who has it: free, premium, ultimate [default: all three, or those of the events]
    #[arg(long = "tier", value_name = "TIER")]
    pub tiers: Vec<String>,
    /// The product's parts that it is about
    #[arg(long = "product-category", value_name = "CATEGORY")]
    pub product_categories: Vec<String>,
    /// The folder that holds config/events and config/metrics
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    pub root: PathBuf,
    /// Print the file instead of writing it
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Makes a token and prints it, once; only its hash is kept
    Create {
        #[command(flatten)]
        config: ConfigArgs,
        /// What to call it
        #[arg(long)]
        name: String,
        /// The username it acts for; made when there is no such user
        #[arg(long)]
        user: String,
        /// Make a new user an administrator
        #[arg(long)]
        admin: bool,
        /// What it may be used for: api, read_api, read_user, read_service_ping, ai_workflows
        #[arg(long = "scope", required = true, value_name = "SCOPE")]
        scopes: Vec<String>,
        /// The day on which it stops working, such as 2027-01-31
        #[arg(long, value_name = "DATE")]
        expires_at: Option<jiff::civil::Date>,
    },
    /// Lists tokens: name, user, scopes, expiry, whether revoked
    List {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Takes a token back
    Revoke {
        #[command(flatten)]
        config: ConfigArgs,
        /// The token's name
        name: String,
        /// Whose token, where several users have one of that name
        #[arg(long)]
        user: Option<String>,
    },
}

#[derive(Subcommand)]
pub enum DirectoryCommand {
    /// Takes over what a YAML file names, in the form that export writes; removes nothing
    Import {
        #[command(flatten)]
        config: ConfigArgs,
        /// The file; `-` for standard input
        file: PathBuf,
    },
    /// Prints all of the directory as YAML, secrets as hashes only
    Export {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Takes something away, with all that hangs on it: a user's memberships, keys and tokens, for one
    Remove {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(subcommand)]
        what: Removal,
    },
    /// Writes the directory's topic on Kafka anew, so that what was replaced long ago takes no room
    Compact {
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// What `tally directory remove` takes away, by its id.
#[derive(Clone, Debug, Serialize, Deserialize, Subcommand)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// A user
    User { id: i64 },
    /// An SSH key
    Key { id: i64 },
    /// A namespace; what lies in it stays
    Namespace { id: i64 },
    /// A project
    Project { id: i64 },
    /// A user's membership of a project
    ProjectMember { user_id: i64, project_id: i64 },
    /// A user's membership of a namespace
    NamespaceMember { user_id: i64, namespace_id: i64 },
    /// An agent
    Agent { id: i64 },
    /// A namespace's upcoming reconciliation
    Reconciliation { namespace_id: i64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_named_or_selected() {
        let replay = ["tally", "dead-letters", "replay", "00000000-0000-0000-0000-000000000001"];
        assert!(Cli::try_parse_from(replay).is_ok());
        for filter in ["--reason=invalid", "--since=2026-11-20T12:00:00Z", "--topic=x", "--project=1"] {
            assert!(Cli::try_parse_from(replay.into_iter().chain([filter])).is_err(), "{filter}");
            assert!(Cli::try_parse_from(["tally", "dead-letters", "replay", filter]).is_ok(), "{filter}");
        }
    }
}
