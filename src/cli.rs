//! The command line: one subcommand a task. What each does is in `commands`.
#![allow(clippy::doc_markdown, reason = "the comments are the help texts, which are no Markdown")]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};

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
    /// Everything in one process on one port: ingest, processor, query, and an embedded log and ClickHouse engine
    Standalone(StandaloneArgs),
    /// HTTP to the log: track_event(s) and contributions
    Ingest(ServiceArgs),
    /// The log to ClickHouse: counts every event exactly once
    Processor(ServiceArgs),
    /// ClickHouse to HTTP: Service Ping, Cube queries, event listings
    Query(ServiceArgs),
    /// GitLab's internal API, for GitLab Shell, the agent server and billing; on a port of its own
    Internal(ServiceArgs),
    /// The embedded ClickHouse engine as a process of its own, with ClickHouse's HTTP interface
    Store(ServiceArgs),
    /// Creates and upgrades the ClickHouse tables
    Migrate(ConfigArgs),
    /// Event and metric definitions in GitLab's YAML form
    #[command(subcommand)]
    Definitions(DefinitionsCommand),
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

#[derive(Subcommand)]
pub enum DefinitionsCommand {
    /// Checks definition files and says for each mistake the file, the field, what was expected and what is there
    Lint {
        /// Files, folders or globs
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
    },
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
