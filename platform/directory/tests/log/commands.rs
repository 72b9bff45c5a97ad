//! Commands that the tests give, and what must be true of directories afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tally_directory::log::ReplicaConfig;
use tally_directory::{Change, Directory, State, TransactError, User};
use tally_eventlog::{EventLog, LogRecord};
use tokio_util::sync::CancellationToken;

pub const TOPIC: &str = "tally.directory";

/// A copy that follows the log until the end of the test.
pub async fn open(log: &Arc<impl EventLog + 'static>) -> Directory {
    open_with(ReplicaConfig::new(TOPIC), log).await
}

pub async fn open_with(config: ReplicaConfig, log: &Arc<impl EventLog + 'static>) -> Directory {
    let log: Arc<dyn EventLog> = Arc::clone(log) as _;
    Directory::open(config, log, CancellationToken::new()).await.unwrap()
}

/// Why a user is not created.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken;

/// Creates a user with the next id, unless the name is taken.
pub async fn create_user(directory: &Directory, name: &str) -> Result<i64, TransactError<Taken>> {
    let decide = |state: &State| {
        if state.user_named(name).is_some() {
            return Err(Taken);
        }
        let id = state.next_user_id();
        let user = User { id, username: name.to_owned(), name: name.to_uppercase(), ..User::default() };
        Ok((id, vec![Change::User(user)]))
    };
    directory.transact(Timestamp::UNIX_EPOCH, decide).await
}

/// Gives a user another name, unless there is no such user or the name is taken.
pub async fn rename_user(directory: &Directory, id: i64, name: &str) -> Result<(), TransactError<Taken>> {
    let decide = |state: &State| match state.user(id) {
        Some(user) if state.user_named(name).is_none() => {
            let renamed = User { username: name.to_owned(), ..(**user).clone() };
            Ok(((), vec![Change::User(renamed)]))
        }
        _ => Err(Taken),
    };
    directory.transact(Timestamp::UNIX_EPOCH, decide).await
}

pub async fn remove_user(directory: &Directory, id: i64) -> Result<(), TransactError<Taken>> {
    let decide = |state: &State| match state.user(id) {
        Some(_) => Ok(((), vec![Change::RemoveUser { id }])),
        None => Err(Taken),
    };
    directory.transact(Timestamp::UNIX_EPOCH, decide).await
}

/// Waits until the copy has everything that is in the log by now.
pub async fn caught_up(directory: &Directory) {
    directory.check().await.unwrap();
}

pub fn state(directory: &Directory) -> State {
    directory.read().clone()
}

/// Users by id, as the records say it to somebody who knows nothing but the rule: a record counts where it says it lies.
pub fn naive_users(records: &[LogRecord]) -> BTreeMap<i64, String> {
    let mut users = BTreeMap::new();
    for record in records {
        let Ok(transaction) = serde_json::from_slice::<Value>(&record.value) else { continue };
        let at = &transaction["at"];
        if !at.is_null() && at.as_u64() != Some(record.offset) {
            continue;
        }
        for change in transaction["changes"].as_array().unwrap() {
            if let Some(user) = change.get("user") {
                users.insert(user["id"].as_i64().unwrap(), user["username"].as_str().unwrap().to_owned());
            } else if let Some(removed) = change.get("remove_user") {
                users.remove(&removed["id"].as_i64().unwrap());
            }
        }
    }
    users
}

pub fn users(state: &State) -> BTreeMap<i64, String> {
    state.users().map(|user| (user.id, user.username.clone())).collect()
}
