//! The commands of the command line, and transactions on a directory in memory.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test as the test itself does")]

use jiff::Timestamp;
use tally_directory::commands::{self, CommandError, NewToken, NewUser};
use tally_directory::{AuthError, Change, Directory, Scope, SecretHash, TransactError, token_from_random};

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn root() -> NewUser<'static> {
    NewUser { username: "root", name: "Administrator", admin: true }
}

async fn create_user(directory: &Directory, new: &NewUser<'_>) -> Result<i64, TransactError<CommandError>> {
    let created = directory.transact(now(), |state| commands::create_user(state, new)).await;
    created.map(|user| user.id)
}

async fn create_token(
    directory: &Directory,
    name: &str,
    user: &str,
    text: &str,
) -> Result<i64, TransactError<CommandError>> {
    let new = NewToken { name, user, scopes: &[Scope::Api], expires_at: None };
    let hash = SecretHash::of(text);
    let created = directory.transact(now(), |state| commands::create_token(state, &new, hash, now())).await;
    created.map(|token| token.id)
}

async fn revoke(
    directory: &Directory,
    name: &str,
    user: Option<&str>,
) -> Result<(), TransactError<CommandError>> {
    directory.transact(now(), |state| commands::revoke_token(state, name, user)).await.map(|_| ())
}

#[tokio::test]
async fn a_first_start_makes_a_user_and_a_token_out_of_nothing() {
    let directory = Directory::in_memory();
    assert_eq!(create_user(&directory, &root()).await, Ok(1));
    let text = token_from_random([7; 15]);
    assert_eq!(create_token(&directory, "first", "root", &text).await, Ok(1));
    let principal = directory.authenticate(&text, now()).unwrap();
    assert!(principal.admin && principal.user_id == 1);
    let mut exported = Vec::new();
    directory.export(&mut exported).unwrap();
    assert!(!String::from_utf8(exported).unwrap().contains(&text), "only the hash is kept");
}

#[tokio::test]
async fn names_are_unique_where_they_have_to_be() {
    let directory = Directory::in_memory();
    create_user(&directory, &root()).await.unwrap();
    create_user(&directory, &NewUser { username: "alice", name: "Alice", admin: false }).await.unwrap();
    create_token(&directory, "t", "root", "one").await.unwrap();
    let refused = |error| Err(TransactError::Refused(error));
    let before = directory.read().clone();
    assert_eq!(create_user(&directory, &root()).await, refused(CommandError::UsernameTaken("root".into())));
    assert_eq!(
        create_token(&directory, "t", "root", "two").await,
        refused(CommandError::TokenNameTaken { name: "t".into(), user: "root".into() })
    );
    assert_eq!(create_token(&directory, "u", "root", "one").await, refused(CommandError::TokenTaken));
    assert_eq!(
        create_token(&directory, "t", "bob", "two").await,
        refused(CommandError::UnknownUser("bob".into()))
    );
    assert_eq!(
        create_token(&directory, "", "root", "two").await,
        refused(CommandError::Empty("the token's name"))
    );
    assert_eq!(*directory.read(), before, "a refused command changes nothing");
    assert_eq!(create_token(&directory, "t", "alice", "two").await, Ok(2), "another user may use the name");
}

#[tokio::test]
async fn a_token_is_revoked_by_its_name_and_where_needed_its_user() {
    let directory = Directory::in_memory();
    create_user(&directory, &root()).await.unwrap();
    create_user(&directory, &NewUser { username: "alice", name: "Alice", admin: false }).await.unwrap();
    create_token(&directory, "t", "root", "one").await.unwrap();
    create_token(&directory, "t", "alice", "two").await.unwrap();
    create_token(&directory, "only", "alice", "three").await.unwrap();
    let ambiguous = revoke(&directory, "t", None).await.unwrap_err();
    assert_eq!(ambiguous.to_string(), "root and alice have a token named \"t\"; say whose");
    let unknown = revoke(&directory, "x", None).await.unwrap_err();
    assert_eq!(unknown.to_string(), "no token is named \"x\"");
    revoke(&directory, "t", Some("alice")).await.unwrap();
    revoke(&directory, "t", Some("alice")).await.unwrap();
    revoke(&directory, "only", None).await.unwrap();
    assert!(directory.authenticate("one", now()).is_ok());
    assert_eq!(directory.authenticate("two", now()), Err(AuthError::Revoked));
    assert_eq!(directory.authenticate("three", now()), Err(AuthError::Revoked));
    let listed = commands::list_tokens(&directory.read());
    let listed: Vec<_> = listed.iter().map(|token| (&*token.name, &*token.user, token.revoked)).collect();
    assert_eq!(listed, [("t", "root", false), ("t", "alice", true), ("only", "alice", true)]);
}

#[tokio::test]
async fn a_block_ends_tokens_at_once() {
    let directory = Directory::in_memory();
    create_user(&directory, &root()).await.unwrap();
    create_token(&directory, "t", "root", "one").await.unwrap();
    let block = |state: &tally_directory::State| {
        let user = (**state.user(1).unwrap()).clone();
        Ok::<_, CommandError>((
            (),
            vec![Change::User(tally_directory::User { state: tally_directory::UserState::Blocked, ..user })],
        ))
    };
    directory.transact(now(), block).await.unwrap();
    assert_eq!(directory.authenticate("one", now()), Err(AuthError::Blocked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_at_the_same_time_get_different_ids() {
    let directory = std::sync::Arc::new(Directory::in_memory());
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let directory = std::sync::Arc::clone(&directory);
            tokio::spawn(async move {
                let username = format!("u{number}");
                let new = NewUser { username: &username, name: "", admin: false };
                create_user(&directory, &new).await.unwrap()
            })
        })
        .collect();
    let mut ids = Vec::new();
    for task in tasks {
        ids.push(task.await.unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=50).collect::<Vec<_>>());
}
