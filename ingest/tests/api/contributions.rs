//! Contributions as they are posted, and what of them reaches the log.

use serde_json::{Value, json};
use tally_schemas::contribution::{Action, PushAction, RefType, TargetType};

use crate::app::{App, now};

const PATH: &str = "/api/v4/tally/contributions";

async fn post(app: &App, body: &Value) -> (u16, Value) {
    let answer = app.post(PATH, body.to_string()).await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn a_contribution_is_recorded_with_its_details() {
    let app = App::start().await;
    let body = json!({
        "action": "commented", "target_type": "DiffNote", "target_id": 5, "target_iid": 6, "target_title": "T",
        "project_id": 10, "created_at": "2026-03-01T10:00:00.500Z", "confidential": true,
        "target_author_id": 4, "assignee_ids": [5, "6"], "event_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "note": {"id": 9, "type": "DiffNote", "body": "Hi", "noteable_type": "Issue", "noteable_id": 3,
                 "internal": true, "commands_changes": {}, "attachment": null},
        "push_data": {"action": "pushed", "ref_type": "branch", "ref": "main", "commit_count": 2},
        "wiki_page": {"slug": "home", "title": "Home", "wiki_page_meta_id": 4},
    });
    let (status, answer) = post(&app, &body).await;
    let contribution = &app.contributions()[0];
    assert_eq!((status, answer), (201, json!({"ids": [contribution.id]})));
    assert_eq!(
        (contribution.action, contribution.target_type),
        (Action::Commented, Some(TargetType::DiffNote))
    );
    assert_eq!((contribution.author_id, contribution.project_id), (2, Some(10)));
    assert_eq!(contribution.created_at, now().as_millisecond() - 2 * 60 * 60 * 1000 + 500);
    assert!(contribution.confidential && contribution.client_event_id);
    assert_eq!((contribution.target_author_id, contribution.assignee_ids.as_slice()), (Some(4), &[5, 6][..]));
    let note = contribution.note.as_ref().unwrap();
    assert_eq!((note.id, note.body.as_str(), note.internal), (9, "Hi", true));
    assert_eq!((note.created_at, &note.commands_changes), (contribution.created_at, &None));
    let push = contribution.push_data.as_ref().unwrap();
    assert_eq!((push.action, push.ref_type, push.commit_count), (PushAction::Pushed, RefType::Branch, 2));
    assert_eq!(contribution.wiki_page.as_ref().unwrap().format, "markdown");
    let key = app.records("tally.contributions")[0].key.clone();
    assert_eq!(key.as_deref(), Some(contribution.event_id.as_bytes().as_slice()));
}

#[tokio::test]
async fn many_at_once_get_ascending_ids() {
    let app = App::start().await;
    let many = |count: usize| json!({"contributions": vec![json!({"action": "created"}); count]});
    let (status, answer) = post(&app, &many(500)).await;
    let ids: Vec<i64> = serde_json::from_value(answer["ids"].clone()).unwrap();
    assert_eq!((status, ids.len()), (201, 500));
    assert!(ids.is_sorted_by(|first, second| first < second));
    assert_eq!(app.contributions().iter().map(|contribution| contribution.id).collect::<Vec<_>>(), ids);
    let too_many = json!({"message": "Maximum 500 contributions allowed in one request."});
    assert_eq!(post(&app, &many(501)).await, (400, too_many));
    assert_eq!(post(&app, &many(0)).await, (201, json!({"ids": []})));
}

#[tokio::test]
async fn what_is_wrong_is_listed() {
    let app = App::start().await;
    let rows = [
        (json!({}), "action is missing"),
        (json!([1]), "action is missing"),
        (json!({"action": "danced"}), "action does not have a valid value"),
        (
            json!({"action": "created", "target_id": "x", "target_type": "Epic", "created_at": "now"}),
            "created_at is invalid, target_type does not have a valid value, target_id is invalid",
        ),
        (json!({"action": "created", "created_at": "2020-01-01T00:00:00Z"}), "created_at is invalid"),
        (json!({"action": "commented", "note": {"body": 1}}), "note[id] is missing"),
        (json!({"action": "commented", "note": []}), "note is invalid"),
        (
            json!({"action": "pushed", "push_data": {}}),
            "push_data[action] is missing, push_data[ref_type] is missing",
        ),
        (json!({"contributions": {}}), "contributions is invalid"),
        (
            json!({"contributions": [{}, 1, {}, {"action": "commented", "note": {}}]}),
            "contributions[action] is missing, contributions is invalid, contributions[note][id] is missing",
        ),
    ];
    for (body, expected) in rows {
        assert_eq!(post(&app, &body).await, (400, json!({ "error": expected })), "{body}");
    }
    let twice = app.post(PATH, r#"{"action":"created","action":"closed"}"#).await;
    assert_eq!(twice.status, 400);
    assert_eq!(app.contributions(), []);
    app.assert_works("the rows").await;
}

#[tokio::test]
async fn only_an_administrator_speaks_for_others_and_of_the_past() {
    let app = App::start().await;
    let body = json!({"action": "created", "author_id": 7, "id": 42, "created_at": "2020-01-01T00:00:00Z"});
    assert_eq!(post(&app, &body).await, (403, json!({"message": "403 Forbidden"})));
    let answer = app.post_as_root(PATH, body.to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (201, json!({"ids": [42]})));
    let contribution = &app.contributions()[0];
    assert_eq!((contribution.author_id, contribution.id), (7, 42));
    let own = json!({"action": "created", "author_id": 2, "id": 42, "project_id": 11});
    let (status, answer) = post(&app, &own).await;
    assert_eq!(status, 201);
    assert_ne!(answer, json!({"ids": [42]}), "ids of others are not taken");
    assert_eq!(app.contributions()[1].project_id, None, "a project that can't be read counts as absent");
}
