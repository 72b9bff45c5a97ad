//! A push from its beginning to its end: the reference counter, and the push events it becomes.

use jiff::SignedDuration;
use serde_json::{Value, json};
use tally_eventlog::AppendError;
use tally_schemas::contribution::{Action, PushAction, RefType};

use crate::shell::{Fault, Shell};

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";
const NONE: &str = "0000000000000000000000000000000000000000";

fn call(identifier: &str, changes: &str) -> Value {
    json!({"identifier": identifier, "gl_repository": "project-3", "changes": changes, "push_options": []})
}

fn received(messages: &Value) -> (u16, Value) {
    (200, json!({"messages": messages, "reference_counter_decreased": true}))
}

#[tokio::test]
async fn each_changed_ref_becomes_a_push_event() {
    let shell = Shell::start().await;
    let changes = format!(
        "{OLD} {NEW} refs/heads/main\n{NONE} {NEW} refs/tags/v1\n{OLD} {NONE} refs/heads/a/b\n\
         {OLD} {NEW} refs/merge-requests/1/head\nnonsense\n"
    );
    assert_eq!(shell.post("post_receive", &call("user-4", &changes)).await, received(&json!([])));
    let contributions = shell.contributions();
    let now = shell.now().as_millisecond();
    for contribution in &contributions {
        assert_eq!((contribution.action, contribution.target_type), (Action::Pushed, None));
        assert_eq!((contribution.author_id, contribution.project_id), (4, Some(3)));
        assert_eq!((contribution.created_at, contribution.received_at), (now, now));
    }
    let pushed: Vec<_> = contributions
        .iter()
        .map(|contribution| contribution.push_data.as_ref().unwrap())
        .map(|push| {
            let commits = (push.commit_from.as_deref(), push.commit_to.as_deref());
            (push.action, push.ref_type, push.ref_name.as_deref().unwrap(), commits)
        })
        .collect();
    assert_eq!(
        pushed,
        [
            (PushAction::Pushed, RefType::Branch, "main", (Some(OLD), Some(NEW))),
            (PushAction::Created, RefType::Tag, "v1", (None, Some(NEW))),
            (PushAction::Removed, RefType::Branch, "a/b", (Some(OLD), None)),
        ]
    );
    let ids: Vec<i64> = contributions.iter().map(|contribution| contribution.id).collect();
    assert!(ids.is_sorted_by(|first, second| first < second), "{ids:?}");
    assert_ne!(contributions[0].event_id, contributions[1].event_id);
}

#[tokio::test]
async fn the_actor_is_whoever_the_identifier_names() {
    let shell = Shell::start().await;
    let changes = format!("{OLD} {NEW} refs/heads/main");
    let rows = [
        ("user-4", Some(4)),
        ("key-8", Some(4)),
        // A deploy key's user is whoever added it.
        ("key-3", Some(5)),
        ("key-2", None),
        ("key-4", None),
        ("user-99", None),
        ("nonsense", None),
        ("", None),
    ];
    for (identifier, author) in rows {
        let before = shell.contributions().len();
        let answer = shell.post("post_receive", &call(identifier, &changes)).await;
        assert_eq!(answer, received(&json!([])), "{identifier}");
        let authors: Vec<i64> = shell.contributions()[before..].iter().map(|of| of.author_id).collect();
        assert_eq!(authors, author.into_iter().collect::<Vec<_>>(), "{identifier}");
    }
    let by_key =
        json!({"key_id": 8, "identifier": "user-5", "gl_repository": "project-3", "changes": changes});
    let before = shell.contributions().len();
    shell.post("post_receive", &by_key).await;
    assert_eq!(shell.contributions()[before].author_id, 4, "the key goes before");
}

#[tokio::test]
async fn whoever_pushes_a_branch_is_shown_the_way_to_a_merge_request() {
    let shell = Shell::start().await;
    let propose = |branch: &str, escaped: &str| {
        let url =
            "https://tally.example.com/group/private/-/merge_requests/new?merge_request%5Bsource_branch%5D=";
        let message = format!("To create a merge request for {branch}, visit:\n  {url}{escaped}");
        json!({"type": "basic", "message": message})
    };
    let alert = json!({"type": "alert", "message": "WARNINGS:\nError encountered with push options 'ci.skip' \
        'merge_request.create': merge requests can't be made here"});
    let rows = [
        (json!({"changes": format!("{OLD} {NEW} refs/heads/topic")}), json!([propose("topic", "topic")])),
        (
            json!({"changes": format!("{NONE} {NEW} refs/heads/a/b&c")}),
            json!([propose("a/b&c", "a%2Fb%26c")]),
        ),
        (
            json!({"changes": format!("{NONE} {NEW} refs/heads/x\n{NONE} {NEW} refs/heads/y")}),
            json!([propose("x", "x"), propose("y", "y")]),
        ),
        (json!({"changes": format!("{OLD} {NONE} refs/heads/topic")}), json!([])),
        (json!({"changes": format!("{NONE} {NEW} refs/heads/main")}), json!([])),
        (json!({"changes": format!("{NONE} {NEW} refs/tags/v1")}), json!([])),
        (json!({"changes": ""}), json!([])),
        (json!({}), json!([])),
        (json!({"changes": "", "push_options": ["ci.skip"]}), json!([])),
        (json!({"changes": "", "push_options": ["ci.skip", "merge_request.create"]}), json!([alert])),
        (
            json!({"changes": format!("{OLD} {NEW} refs/heads/topic"), "gl_repository": "project-9"}),
            json!([]),
        ),
        (json!({"changes": format!("{OLD} {NEW} refs/heads/topic"), "gl_repository": "wiki-3"}), json!([])),
    ];
    for (given, messages) in rows {
        let mut call = json!({"identifier": "user-4", "gl_repository": "project-3"});
        call.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        assert_eq!(shell.post("post_receive", &call).await, received(&messages), "{call}");
    }
}

#[tokio::test]
async fn a_wikis_push_is_no_push_event() {
    let shell = Shell::start().await;
    let changes = format!("{OLD} {NEW} refs/heads/main");
    let call = json!({"identifier": "user-4", "gl_repository": "wiki-3", "changes": changes});
    assert_eq!(shell.post("post_receive", &call).await, received(&json!([])));
    assert_eq!(shell.contributions(), []);
}

#[tokio::test]
async fn an_unknown_repository_is_404() {
    let shell = Shell::start().await;
    let not_found = (404, json!({"message": "404 Not Found"}));
    for repository in
        [json!("project-99"), json!("x"), json!("project-"), json!("project-+3"), json!(null), json!([3])]
    {
        for path in ["pre_receive", "post_receive"] {
            let call =
                json!({"gl_repository": repository, "identifier": "user-4", "changes": "a b refs/heads/x"});
            assert_eq!(shell.post(path, &call).await, not_found, "{path} {call}");
        }
    }
    assert_eq!(shell.contributions(), []);
}

#[tokio::test]
async fn the_counter_rises_and_falls_and_forgets_after_ten_minutes() {
    let shell = Shell::start().await;
    let references = |repository: &str| shell.directory.read().references(repository, shell.now());
    let begin = json!({"gl_repository": "project-3"});
    let increased = (200, json!({"reference_counter_increased": true}));
    for expected in 1..=3 {
        assert_eq!(shell.post("pre_receive", &begin).await, increased);
        assert_eq!(references("project-3"), expected);
    }
    assert_eq!((references("project-4"), references("wiki-3")), (0, 0));
    assert_eq!(shell.post("post_receive", &call("user-4", "")).await, received(&json!([])));
    assert_eq!(references("project-3"), 2);
    shell.pass(SignedDuration::from_mins(9));
    shell.post("pre_receive", &begin).await;
    assert_eq!(references("project-3"), 3);
    shell.pass(SignedDuration::from_mins(10));
    assert_eq!(references("project-3"), 0);
    shell.post("pre_receive", &begin).await;
    assert_eq!(references("project-3"), 1);
}

#[tokio::test]
async fn pushes_at_once_are_all_counted() {
    let shell = Shell::start().await;
    let begin = json!({"gl_repository": "project-3"});
    let answers = futures::future::join_all((0..50).map(|_| shell.post("pre_receive", &begin))).await;
    assert!(answers.iter().all(|(status, _)| *status == 200));
    assert_eq!(shell.directory.read().references("project-3", shell.now()), 50);
}

#[tokio::test]
async fn a_push_that_the_log_does_not_take_is_not_over() {
    let shell = Shell::start().await;
    shell.post("pre_receive", &json!({"gl_repository": "project-3"})).await;
    let changes = format!("{OLD} {NEW} refs/heads/main");
    shell.fail(Some(Fault::Refuse(AppendError::Unavailable("away".to_owned()))));
    let message = "503 Service Unavailable - the event log is not available";
    let unavailable = (503, json!({"message": message}));
    assert_eq!(shell.post("post_receive", &call("user-4", &changes)).await, unavailable);
    assert_eq!(shell.directory.read().references("project-3", shell.now()), 1);
    shell.fail(None);
    assert_eq!(shell.post("post_receive", &call("user-4", &changes)).await, received(&json!([])));
    assert_eq!(shell.directory.read().references("project-3", shell.now()), 0);
    assert_eq!(shell.contributions().len(), 1);
}

#[tokio::test]
async fn another_try_of_a_call_brings_the_same_ids_and_moves_the_counter_once() {
    let shell = Shell::start().await;
    let references = || shell.directory.read().references("project-3", shell.now());
    let begin = json!({"gl_repository": "project-3"});
    for push in ["01PUSH", "01PUSH", "01OTHER"] {
        shell.post_for(push, "pre_receive", &begin).await;
    }
    assert_eq!(references(), 2);
    let changes = format!("{OLD} {NEW} refs/heads/main\n{NONE} {NEW} refs/tags/v1");
    for push in ["01PUSH", "01PUSH", "01OTHER"] {
        let answer = shell.post_for(push, "post_receive", &call("user-4", &changes)).await;
        assert_eq!(answer, received(&json!([])));
    }
    assert_eq!(references(), 0);
    let contributions = shell.contributions();
    let ids: Vec<_> = contributions.iter().map(|contribution| contribution.event_id).collect();
    assert_eq!(ids[..2], ids[2..4]);
    assert!(ids[0] != ids[1] && ids[..2].iter().all(|id| !ids[4..].contains(id)));
    assert!(contributions.iter().all(|contribution| contribution.client_event_id));
    let keys: Vec<_> = ids.iter().map(|id| Some(id.as_bytes().to_vec())).collect();
    assert_eq!(shell.contribution_keys(), keys, "all tries lie in one partition");
}

#[tokio::test]
async fn pushes_over_one_connection_are_counted_one_by_one_and_never_below_none() {
    let shell = Shell::start().await;
    let references = || shell.directory.read().references("project-3", shell.now());
    let begin = json!({"gl_repository": "project-3"});
    for old in [NONE, OLD] {
        shell.post_for("01CONNECTION", "pre_receive", &begin).await;
        assert_eq!(references(), 1);
        let over = call("user-4", &format!("{old} {NEW} refs/heads/main"));
        shell.post_for("01CONNECTION", "post_receive", &over).await;
        assert_eq!(references(), 0);
    }
    // The end of a push whose beginning nobody has seen takes nothing away from the next one's.
    shell.post("post_receive", &call("user-4", "")).await;
    shell.post("pre_receive", &begin).await;
    assert_eq!(references(), 1);
}

#[tokio::test]
async fn a_call_that_belongs_to_nothing_is_a_new_one_each_time() {
    let shell = Shell::start().await;
    let changes = format!("{OLD} {NEW} refs/heads/main");
    for _ in 0..2 {
        shell.post("post_receive", &call("user-4", &changes)).await;
    }
    let contributions = shell.contributions();
    assert_ne!(contributions[0].event_id, contributions[1].event_id);
    assert!(contributions.iter().all(|contribution| !contribution.client_event_id));
    assert_eq!(shell.contribution_keys(), [None, None]);
}

#[tokio::test]
async fn a_push_of_too_many_refs_changes_nothing() {
    let shell = Shell::start().await;
    let line = "a b refs/heads/x\n";
    let (status, answer) = shell.post("post_receive", &call("user-4", &line.repeat(10_001))).await;
    assert_eq!((status, answer), (400, json!({"error": "changes has more than 10000 lines"})));
    assert_eq!(shell.contributions(), []);
}
