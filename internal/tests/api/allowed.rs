//! Which Git commands may run, and what is said of them.

use jiff::SignedDuration;
use serde_json::{Value, json};
use tally_directory::{AccessLevel, Change, MemberSource};

use crate::shell::Shell;

const NOT_FOUND: &str =
    "The project you were looking for could not be found or you don't have permission to view it.";
const NO_PUSH: &str = "You are not allowed to push code to this project.";
const PROTECTED: &str = "You are not allowed to push code to protected branches on this project.";
const BAD_PATH: &str = "Could not create project: Path can contain only letters, digits, '_', '-' and '.'. Cannot start \
                        with '-', end in '.git' or end in '.atom'";

const PULL: &str = "git-upload-pack";
const PUSH: &str = "git-receive-pack";

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";
const NONE: &str = "0000000000000000000000000000000000000000";

fn call(who: &Value, project: &str, action: &str, changes: &str) -> Value {
    let mut call = json!({"project": project, "action": action, "protocol": "ssh", "changes": changes});
    call.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
    call
}

fn refused(status: u16, message: &str) -> (u16, Value) {
    (status, json!({"status": false, "message": message}))
}

/// What is expected of a call: 200, or a status and a message.
async fn assert_answers(shell: &Shell, call: &Value, expected: Result<(), (u16, &str)>) {
    let answer = shell.post("allowed", call).await;
    match expected {
        Ok(()) => assert_eq!((answer.0, &answer.1["status"]), (200, &json!(true)), "{call}: {answer:?}"),
        Err((status, message)) => assert_eq!(answer, refused(status, message), "{call}"),
    }
}

#[tokio::test]
async fn the_answer_says_who_and_where() {
    let shell = Shell::start().await;
    let digest = "4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce";
    let expected = json!({
        "status": true,
        "gl_repository": "project-3",
        "gl_project_path": "group/private",
        "gl_id": "user-4",
        "gl_username": "dev",
        "gl_key_type": "key",
        "gl_key_id": 8,
        "git_config_options": ["uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true"],
        "gitaly": {
            "repository": {
                "storage_name": "default",
                "relative_path": format!("@hashed/4e/07/{digest}.git"),
                "git_object_directory": "",
                "git_alternate_object_directories": [],
                "gl_repository": "project-3",
                "gl_project_path": "group/private",
            },
            "address": "tcp://gitaly:8075",
            "token": null,
        },
        "gl_console_messages": [],
    });
    for named in [json!({"project": "group/private"}), json!({"gl_repository": "project-3", "project": "x"})]
    {
        let mut call = json!({"key_id": 8, "action": PULL, "protocol": "ssh", "changes": "_any"});
        call.as_object_mut().unwrap().extend(named.as_object().unwrap().clone());
        assert_eq!(shell.post("allowed", &call).await, (200, expected.clone()), "{call}");
    }
    for path in ["/group/private.git", "group%2Fprivate.git", "group/private/"] {
        let form = format!("key_id=8&project={path}&action={PULL}&protocol=ssh&changes=_any");
        assert_eq!(shell.post_form("allowed", &form).await, (200, expected.clone()), "{path}");
    }
}

#[tokio::test]
async fn actors_are_named_by_what_they_showed() {
    let shell = Shell::start().await;
    let rows = [
        (json!({"user_id": 4}), json!(["user-4", "dev", null, null])),
        (json!({"user_id": "4"}), json!(["user-4", "dev", null, null])),
        (json!({"username": "dev"}), json!(["user-4", "dev", null, null])),
        (json!({"key_id": 8, "user_id": 3, "username": "guest"}), json!(["user-4", "dev", "key", 8])),
        (json!({"user_id": 4, "username": "guest"}), json!(["user-4", "dev", null, null])),
        (json!({"key_id": 2}), json!(["key-2", null, "deploy_key", 2])),
        (json!({"key_id": 3}), json!(["key-3", null, "deploy_key", 3])),
    ];
    for (who, expected) in rows {
        let (_, answer) = shell.post("allowed", &call(&who, "group/private", PULL, "_any")).await;
        let named = ["gl_id", "gl_username", "gl_key_type", "gl_key_id"].map(|name| answer[name].clone());
        assert_eq!(json!(named), expected, "{who}");
    }
    let (status, answer) = shell.post("allowed", &call(&json!({}), "group/public", PULL, "_any")).await;
    assert_eq!((status, &answer["gl_id"], answer.get("gl_username")), (200, &json!(""), None));
}

#[tokio::test]
async fn reading_is_for_whoever_can_read_the_project() {
    let shell = Shell::start().await;
    let not_found = Err((404, NOT_FOUND));
    let rows = [
        (json!({"username": "guest"}), "group/private", Ok(())),
        (json!({"username": "dev"}), "group/private", Ok(())),
        (json!({"username": "root"}), "group/private", Ok(())),
        (json!({"username": "alice"}), "group/private", not_found),
        // The membership is over on the day it expires at.
        (json!({"username": "stranger"}), "group/private", not_found),
        (json!({}), "group/private", not_found),
        (json!({"key_id": 2}), "group/private", Ok(())),
        (json!({"key_id": 2}), "group/internal", not_found),
        (json!({"key_id": 2}), "group/public", Ok(())),
        // A key that doesn't work, signs only or is not there is nobody's.
        (json!({"key_id": 4}), "group/internal", not_found),
        (json!({"key_id": 6}), "group/internal", not_found),
        (json!({"key_id": 99}), "group/internal", not_found),
        (json!({"key_id": "x"}), "group/internal", not_found),
        (json!({"key_id": 1}), "group/internal", Ok(())),
        (json!({"username": "alice"}), "group/internal", Ok(())),
        (json!({"username": "outside"}), "group/internal", not_found),
        (json!({}), "group/internal", not_found),
        (json!({"username": "outside"}), "group/public", Ok(())),
        (json!({"username": "nobody"}), "group/public", Ok(())),
        (json!({"username": "root"}), "group/nowhere", not_found),
        (json!({"username": "root"}), "", not_found),
        (json!({"username": "root", "gl_repository": "project-99"}), "group/private", not_found),
        (json!({"username": "root", "gl_repository": "3"}), "group/private", not_found),
        (json!({"username": "root", "gl_repository": "snippet-3"}), "group/private", not_found),
        (json!({"username": "guest"}), "group/archived", not_found),
        (json!({"username": "maint"}), "group/archived", Ok(())),
        (json!({"username": "dev"}), "closed/sub/project", Ok(())),
        (
            json!({"username": "root"}),
            "group/no-code",
            Err((401, "You are not allowed to download code from this project.")),
        ),
        (json!({"username": "guest"}), "group/members-code", Ok(())),
        (
            json!({"username": "dev"}),
            "group/members-code",
            Err((401, "You are not allowed to download code from this project.")),
        ),
        (json!({"username": "guest"}), "group/private.wiki", Ok(())),
        (
            json!({"username": "root"}),
            "group/no-code.wiki",
            Err((401, "You are not allowed to download files from this wiki.")),
        ),
    ];
    for (who, project, expected) in rows {
        for action in [PULL, "git-upload-archive"] {
            assert_answers(&shell, &call(&who, project, action, "_any"), expected).await;
        }
    }
}

#[tokio::test]
async fn writing_is_for_developers_and_up() {
    let shell = Shell::start().await;
    let rows = [
        (json!({"username": "guest"}), "group/private", Err((401, NO_PUSH))),
        (json!({"username": "dev"}), "group/private", Ok(())),
        (json!({"username": "maint"}), "group/private", Ok(())),
        (json!({"username": "root"}), "group/private", Ok(())),
        (json!({"username": "alice"}), "group/private", Err((404, NOT_FOUND))),
        (json!({"username": "alice"}), "group/public", Err((401, NO_PUSH))),
        (json!({"username": "maint"}), "group/archived", Err((401, NO_PUSH))),
        (json!({"username": "root"}), "group/archived", Err((401, NO_PUSH))),
        (json!({"username": "maint"}), "group/no-code", Err((401, NO_PUSH))),
        (json!({}), "group/public", Err((401, "You are not allowed to upload code for this project."))),
        (
            json!({"key_id": 2}),
            "group/private",
            Err((401, "This deploy key does not have write access to this project.")),
        ),
        (
            json!({"key_id": 3}),
            "group/public",
            Err((401, "This deploy key does not have write access to this project.")),
        ),
        (json!({"key_id": 3}), "group/private", Ok(())),
        (json!({"username": "dev"}), "group/private.wiki", Ok(())),
        (
            json!({"username": "guest"}),
            "group/private.wiki",
            Err((401, "You are not allowed to write to this project's wiki.")),
        ),
        (
            json!({"key_id": 3}),
            "group/private.wiki",
            Err((401, "You are not allowed to write to this project's wiki.")),
        ),
    ];
    for (who, project, expected) in rows {
        for changes in ["_any".to_owned(), format!("{OLD} {NEW} refs/heads/topic\n{NONE} {NEW} refs/tags/x")]
        {
            assert_answers(&shell, &call(&who, project, PUSH, &changes), expected).await;
        }
    }
}

#[tokio::test]
async fn protected_refs_are_for_maintainers() {
    let shell = Shell::start().await;
    let removal = "You are not allowed to delete protected branches from this project. Only a project maintainer or owner \
                   can delete a protected branch.";
    let tag_removal = "You are not allowed to delete protected tags from this project. Only a project maintainer or \
                       owner can delete a protected tag.";
    let rows = [
        (format!("{OLD} {NEW} refs/heads/main"), Err((401, PROTECTED))),
        (format!("{NONE} {NEW} refs/heads/release/1/2"), Err((401, PROTECTED))),
        (format!("{OLD} {NONE} refs/heads/main"), Err((401, removal))),
        (format!("{OLD} {NEW} refs/heads/topic\n{OLD} {NEW} refs/heads/main\n"), Err((401, PROTECTED))),
        (
            format!("{NONE} {NEW} refs/tags/v1"),
            Err((401, "You are not allowed to create this tag as it is protected.")),
        ),
        (format!("{OLD} {NEW} refs/tags/v1"), Err((401, "Protected tags cannot be updated."))),
        (format!("{OLD} {NONE} refs/tags/v1"), Err((401, tag_removal))),
        (format!("{OLD} {NEW} refs/heads/release"), Ok(())),
        (format!("{OLD} {NEW} refs/heads/main2"), Ok(())),
        (format!("{OLD} {NEW} refs/heads/v1"), Ok(())),
        (format!("{NONE} {NEW} refs/tags/x"), Ok(())),
        (String::new(), Ok(())),
    ];
    for (changes, expected) in rows {
        for who in [json!({"username": "dev"}), json!({"key_id": 3})] {
            assert_answers(&shell, &call(&who, "group/private", PUSH, &changes), expected).await;
        }
        for who in [json!({"username": "maint"}), json!({"username": "root"})] {
            assert_answers(&shell, &call(&who, "group/private", PUSH, &changes), Ok(())).await;
        }
        let who = json!({"username": "dev"});
        assert_answers(&shell, &call(&who, "group/private.wiki", PUSH, &changes), Ok(())).await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_actor_protocol_or_command_is_told_before_anything_else() {
    let shell = Shell::start().await;
    let deactivated = "Your account has been deactivated by your administrator. Please log back in from a web browser to \
                       reactivate your account at https://tally.example.com/";
    let rows = [
        (json!({"username": "blocked"}), "Your account has been blocked."),
        (json!({"key_id": 7}), "Your account has been blocked."),
        (json!({"username": "gone"}), deactivated),
        (json!({"key_id": 5}), "Your SSH key has expired."),
        (
            json!({"username": "dev", "action": "git-shell"}),
            "The command you're trying to execute is not allowed.",
        ),
        (json!({"username": "dev", "action": null}), "The command you're trying to execute is not allowed."),
        (json!({"username": "dev", "protocol": "ftp"}), "Git access over FTP is not allowed"),
    ];
    for (who, message) in rows {
        for project in ["group/private", "group/nowhere"] {
            let mut call = call(&json!({}), project, PULL, "_any");
            call.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
            assert_eq!(shell.post("allowed", &call).await, refused(401, message), "{call}");
        }
    }
    let setting = Change::Setting { name: "enabled_git_access_protocol".to_owned(), value: json!("http") };
    set(&shell, setting).await;
    for (protocol, expected) in
        [("ssh", Err((401, "Git access over SSH is not allowed"))), ("http", Ok(())), ("web", Ok(()))]
    {
        let call = call(&json!({"username": "dev", "protocol": protocol}), "group/private", PULL, "_any");
        assert_answers(&shell, &call, expected).await;
    }
}

#[tokio::test]
async fn addresses_outside_the_groups_ranges_are_kept_out() {
    let shell = Shell::start().await;
    let outside = Err((401, "You are not allowed to access this project from your IP address."));
    let rows = [
        (json!("10.1.2.3"), Ok(())),
        (json!("::ffff:10.1.2.3"), Ok(())),
        (json!("2001:db8::1"), Ok(())),
        (json!("11.0.0.1"), outside),
        (json!("2001:db9::1"), outside),
        (json!("nowhere"), outside),
        (json!(""), Ok(())),
        (json!(null), Ok(())),
    ];
    for (address, expected) in rows {
        for action in [PULL, PUSH] {
            let who = json!({"username": "dev", "check_ip": address});
            assert_answers(&shell, &call(&who, "closed/sub/project", action, "_any"), expected).await;
        }
        let who = json!({"username": "dev", "check_ip": address});
        assert_answers(&shell, &call(&who, "group/private", PULL, "_any"), Ok(())).await;
        // Who can't see the project isn't told where it may be seen from.
        let who = json!({"username": "alice", "check_ip": address});
        assert_answers(&shell, &call(&who, "closed/sub/project", PULL, "_any"), Err((404, NOT_FOUND))).await;
    }
}

#[tokio::test]
async fn a_push_to_a_new_path_creates_the_project_where_it_can_be_created() {
    let shell = Shell::start().await;
    let not_found = Err((404, NOT_FOUND));
    let rows = [
        (json!({"username": "alice"}), "alice/bad name", PUSH, Err((422, BAD_PATH))),
        (json!({"username": "alice"}), "alice/-x", PUSH, Err((422, BAD_PATH))),
        (json!({"username": "alice"}), "alice/x.atom", PUSH, Err((422, BAD_PATH))),
        (
            json!({"username": "alice"}),
            "alice/blob",
            PUSH,
            Err((422, "Could not create project: Path is a reserved name")),
        ),
        (
            json!({"username": "root"}),
            "closed/sub",
            PUSH,
            Err((422, "Could not create project: Path has already been taken")),
        ),
        (json!({"username": "alice"}), "alice/fresh", PULL, not_found),
        (json!({"username": "dev"}), "alice/fresh", PUSH, not_found),
        (json!({"username": "guest"}), "team/fresh", PUSH, not_found),
        (json!({"username": "alice"}), "nowhere/fresh", PUSH, not_found),
        (json!({"username": "alice"}), "fresh", PUSH, not_found),
        (json!({"key_id": 3}), "group/fresh", PUSH, not_found),
        (json!({}), "team/fresh", PUSH, not_found),
        // A project that can't be read is no place for a new one.
        (json!({"username": "alice"}), "alice/lost", PUSH, not_found),
        (json!({"username": "alice"}), "group/private", PUSH, not_found),
    ];
    for (who, path, action, expected) in rows {
        assert_answers(&shell, &call(&who, path, action, "_any"), expected).await;
    }
    let who = json!({"username": "alice"});
    let known = format!("{NONE} {NEW} refs/heads/main");
    assert_answers(&shell, &call(&who, "alice/fresh", PUSH, &known), not_found).await;
    assert!(shell.directory.read().project(12).is_none());

    let (status, answer) = shell.post("allowed", &call(&who, "alice/fresh.git", PUSH, "_any")).await;
    assert_eq!((status, &answer["gl_repository"]), (200, &json!("project-12")), "{answer}");
    {
        let state = shell.directory.read();
        let project = state.project_at("alice/fresh").unwrap();
        let member = state.member(2, MemberSource::Project(12)).unwrap();
        assert_eq!((project.id, project.namespace_id), (12, Some(23)));
        assert_eq!(member.access_level, AccessLevel::Owner);
    }
    let (_, again) = shell.post("allowed", &call(&who, "alice/fresh", PUSH, "_any")).await;
    assert_eq!(again["gl_repository"], "project-12");
    let (_, other) =
        shell.post("allowed", &call(&json!({"username": "dev"}), "team/tool", PUSH, "_any")).await;
    assert_eq!(other["gl_repository"], "project-13");
}

#[tokio::test]
async fn the_limit_of_a_push_is_told() {
    let shell = Shell::start().await;
    set(&shell, Change::Setting { name: "receive_max_input_size".to_owned(), value: json!(5) }).await;
    let (_, answer) =
        shell.post("allowed", &call(&json!({"username": "dev"}), "group/private", PUSH, "_any")).await;
    assert_eq!(answer["git_config_options"][2], "receive.maxInputSize=5242880");
}

#[tokio::test]
async fn the_use_of_a_key_is_noted_once_a_day() {
    let shell = Shell::start().await;
    let first = shell.now();
    let pull = call(&json!({"key_id": 1}), "group/public", PULL, "_any");
    assert_answers(&shell, &pull, Ok(())).await;
    shell.wait_until(|state| state.key(1).unwrap().last_used_at == Some(first)).await;
    shell.pass(SignedDuration::from_hours(23));
    assert_answers(&shell, &pull, Ok(())).await;
    shell.pass(SignedDuration::from_hours(1));
    assert_answers(&shell, &pull, Ok(())).await;
    let second = shell.now();
    shell
        .wait_until(|state| {
            let last = state.key(1).unwrap().last_used_at;
            assert!(last == Some(first) || last == Some(second), "{last:?}");
            last == Some(second)
        })
        .await;
}

async fn set(shell: &Shell, change: Change) {
    let set = shell.directory.transact(shell.now(), |_| Ok::<_, ()>(((), vec![change.clone()])));
    set.await.unwrap();
}
