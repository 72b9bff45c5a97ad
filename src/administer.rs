//! What `tally token`, `tally directory`, `tally ping` and `tally sessions` ask of a process: requests that can travel over the control socket,
//! and their performance.

use std::sync::Arc;

use anyhow::{Result, bail};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
pub use tally_directory::commands::NewToken;
use tally_directory::commands::{self, NewUser};
use tally_directory::{Change, Directory, MemberSource, Scope, SecretHash, State, token_from_random};
use tally_ping::Ping;
use tally_store::Store;

use crate::cli::Removal;
use crate::commands::sessions;
use crate::dead_letters::{DeadLetters, LettersRequest};
use crate::randomness::fresh_random;
use crate::recounting::Recounting;

/// One request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Take over what a YAML text names.
    Import { yaml: String },
    /// All of the directory as YAML.
    Export,
    /// Take something away.
    Remove { what: Removal },
    /// Write the topic anew.
    Compact,
    /// Make a token, and its user if there is none of that name.
    CreateToken { name: String, user: String, admin: bool, scopes: Vec<Scope>, expires_at: Option<Date> },
    /// A line a token.
    ListTokens,
    /// Take a token back.
    RevokeToken { name: String, user: Option<String> },
    /// Where the sessions are not what the page events amount to.
    VerifySessions,
    /// Something about the Service Ping.
    Ping { task: PingRequest },
    /// Something about dead letters.
    DeadLetters { task: LettersRequest },
}

/// What is asked about the Service Ping.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PingRequest {
    /// Where a value comes from.
    Explain { key_path: String },
    /// The week's payload, computed if there is none.
    Preview,
    /// A new payload.
    Generate,
    /// Send the week's payload.
    Send,
    /// How things stand.
    Status,
    /// Whether the version is up to date.
    VersionCheck,
}

/// What requests are about.
pub struct Administered {
    pub directory: Arc<Directory>,
    /// Only where ClickHouse is at hand, too.
    pub ping: Option<Ping>,
    pub store: Option<Store>,
    /// Only where the tables and the definitions are at hand.
    pub recounting: Option<Arc<Recounting>>,
    /// Only where the tables are at hand.
    pub dead_letters: Option<DeadLetters>,
}

/// Does what is asked; the text to print, or what is in the way.
pub async fn perform(administered: &Administered, request: Request) -> Result<String> {
    let directory = &*administered.directory;
    match request {
        Request::Import { yaml } => Ok(format!("{}\n", directory.import(&yaml, Timestamp::now()).await?)),
        Request::Export => {
            let mut yaml = Vec::new();
            directory.export(&mut yaml)?;
            Ok(String::from_utf8(yaml)?)
        }
        Request::Remove { what } => {
            directory.transact(Timestamp::now(), |state| removal(state, &what)).await?;
            Ok(String::new())
        }
        Request::Compact => {
            directory.compact().await?;
            Ok(String::new())
        }
        Request::CreateToken { name, user, admin, scopes, expires_at } => {
            let token = NewToken { name: &name, user: &user, scopes: &scopes, expires_at };
            Ok(format!("{}\n", create_token(directory, &token, admin).await?))
        }
        Request::ListTokens => Ok(list(directory)),
        Request::RevokeToken { name, user } => {
            let now = Timestamp::now();
            directory.transact(now, |state| commands::revoke_token(state, &name, user.as_deref())).await?;
            Ok(String::new())
        }
        Request::VerifySessions => match &administered.store {
            Some(store) => sessions::verify(store).await,
            None => bail!("this process has no store"),
        },
        Request::DeadLetters { task } => match &administered.dead_letters {
            Some(dead_letters) => dead_letters.perform(task).await,
            None => bail!("this process has no store"),
        },
        Request::Ping { task } => match &administered.ping {
            Some(ping) => perform_ping(ping, task).await,
            None => bail!(
                "the running process has no Service Ping; start it with \"query\" in standalone.services"
            ),
        },
    }
}

async fn perform_ping(ping: &Ping, task: PingRequest) -> Result<String> {
    match task {
        PingRequest::Explain { key_path } => match ping.explain(&key_path).await {
            Some(explanation) => Ok(explanation),
            None => bail!("no definition has the key path {key_path}; the dictionary lists them all"),
        },
        PingRequest::Preview => Ok(ping.preview().await?.payload.to_string()),
        PingRequest::Generate => Ok(ping.generate().await?.payload.to_string()),
        PingRequest::Send => Ok(format!("{}\n", ping.send_now().await?)),
        PingRequest::Status => Ok(ping.status().await?.to_string()),
        PingRequest::VersionCheck => match ping.version_check().await? {
            Some(status) => Ok(format!("{status}\n")),
            None => {
                Ok("nobody is asked: version_check_enabled is off, or ping.base_url is empty\n".to_owned())
            }
        },
    }
}

/// Makes a token and returns its text, which is kept nowhere. A user who is not there yet is made; being an administrator
/// is not changed in passing.
pub async fn create_token(directory: &Directory, token: &NewToken<'_>, admin: bool) -> Result<String> {
    let now = Timestamp::now();
    ensure_user(directory, token.user, admin, now).await?;
    let text = token_from_random(fresh_random()?);
    let hash = SecretHash::of(&text);
    directory.transact(now, |state| commands::create_token(state, token, hash, now)).await?;
    Ok(text)
}

async fn ensure_user(directory: &Directory, username: &str, admin: bool, now: Timestamp) -> Result<()> {
    if let Some(user) = directory.user_named(username) {
        if admin && !user.admin {
            bail!("{username} is not an administrator; `tally directory import` can make them one");
        }
        return Ok(());
    }
    let new = NewUser { username, name: username, admin };
    directory.transact(now, |state| commands::create_user(state, &new)).await?;
    Ok(())
}

/// What is asked to be taken away is not there.
#[derive(Debug, thiserror::Error)]
#[error("there is no such {0}")]
struct NoSuch(&'static str);

fn removal(state: &State, what: &Removal) -> Result<((), Vec<Change>), NoSuch> {
    let membership = |user_id, source| {
        let is_there = state.member(user_id, source).is_some();
        ("membership", is_there, Change::RemoveMember { user_id, source })
    };
    let (name, is_there, change) = match *what {
        Removal::User { id } => ("user", state.user(id).is_some(), Change::RemoveUser { id }),
        Removal::Key { id } => ("key", state.key(id).is_some(), Change::RemoveKey { id }),
        Removal::Namespace { id } => {
            ("namespace", state.namespace(id).is_some(), Change::RemoveNamespace { id })
        }
        Removal::Project { id } => ("project", state.project(id).is_some(), Change::RemoveProject { id }),
        Removal::ProjectMember { user_id, project_id } => {
            membership(user_id, MemberSource::Project(project_id))
        }
        Removal::NamespaceMember { user_id, namespace_id } => {
            membership(user_id, MemberSource::Namespace(namespace_id))
        }
        Removal::Agent { id } => ("agent", state.agent(id).is_some(), Change::RemoveAgent { id }),
        Removal::Reconciliation { namespace_id } => (
            "reconciliation",
            state.reconciliation(namespace_id).is_some(),
            Change::RemoveReconciliation { namespace_id },
        ),
    };
    if is_there { Ok(((), vec![change])) } else { Err(NoSuch(name)) }
}

fn list(directory: &Directory) -> String {
    let mut text = String::new();
    for token in commands::list_tokens(&directory.read()) {
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        let expiry =
            token.expires_at.map_or_else(|| "never expires".to_owned(), |date| format!("expires {date}"));
        let state = if token.revoked { "revoked" } else { "active" };
        let columns = [&token.name, &token.user, &scopes.join(","), &expiry, state];
        text.push_str(&columns.join("\t"));
        text.push('\n');
    }
    text
}
