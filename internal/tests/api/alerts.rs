//! Alerts of agents: stored once each, counted, and listed.

use serde_json::{Value, json};

use crate::world::{ROOT, World, kas_token};

const REPORT: &str = "/internal/kubernetes/modules/cilium_alert";
const LIST: &str = "/projects/100/alert_management_alerts";

async fn report(world: &World, alert: Value) {
    let answer = world.call_for_agent("POST", REPORT, Some(&json!({"alert": alert}))).await;
    assert_eq!(answer.parts(), (204, json!("")), "{alert}");
}

async fn list(world: &World, query: &str) -> (Vec<String>, String, String) {
    let answer = world.call("GET", &format!("{LIST}{query}"), &[("TOKEN", ROOT)], None).await;
    let (status, body) = answer.parts();
    assert_eq!(status, 200, "{body}");
    let titles = body.as_array().unwrap().iter().map(|alert| alert["title"].as_str().unwrap().to_owned());
    let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    (titles.collect(), header("x-total"), header("x-next-page"))
}

#[tokio::test]
async fn an_alert_is_stored_with_the_agents_project_and_counted_when_it_comes_again() {
    let world = World::new();
    let alert =
        json!({"title": "minimal", "message": "network problem", "evalMatches": [{"value": 1, "tags": {}}]});
    report(&world, alert.clone()).await;
    world.pass(60);
    report(&world, alert.clone()).await;
    let (_, body) = world.call("GET", LIST, &[("TOKEN", ROOT)], None).await.parts();
    let fingerprint = body[0]["fingerprint"].clone();
    assert_eq!(fingerprint.as_str().unwrap().len(), 64);
    let expected = json!([{
        "id": 1, "project_id": 100, "agent_id": 7, "fingerprint": fingerprint, "title": "minimal", "events": 2,
        "started_at": "2026-03-01T12:00:00Z", "last_seen_at": "2026-03-01T12:01:00Z", "payload": alert,
    }]);
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_fingerprint_of_its_own_makes_different_alerts_the_same() {
    let world = World::new();
    report(&world, json!({"title": "first", "fingerprint": "abc"})).await;
    report(&world, json!({"title": "second", "fingerprint": "abc"})).await;
    report(&world, json!({"title": "first"})).await;
    let (_, body) = world.call("GET", LIST, &[("TOKEN", ROOT)], None).await.parts();
    let summary: Vec<_> =
        body.as_array().unwrap().iter().map(|alert| (&alert["title"], &alert["events"])).collect();
    assert_eq!(summary, [(&json!("first"), &json!(1)), (&json!("second"), &json!(2))]);
}

#[tokio::test]
async fn the_same_alert_in_two_projects_is_two_alerts() {
    let world = World::new();
    report(&world, json!({"title": "x"})).await;
    let signed = kas_token();
    let staging =
        [("Gitlab-Kas-Api-Request", signed.as_str()), ("Authorization", "Bearer agent-token-of-staging")];
    world.call("POST", REPORT, &staging, Some(&json!({"alert": {"title": "x"}}))).await;
    for (project, agent, id) in [("100", 7, 1), ("group%2Fsub%2Fopen", 8, 2)] {
        let path = format!("/projects/{project}/alert_management_alerts");
        let (_, body) = world.call("GET", &path, &[("TOKEN", ROOT)], None).await.parts();
        let [alert] = body.as_array().unwrap().as_slice() else { panic!("{body}") };
        assert_eq!(
            (&alert["agent_id"], &alert["id"], &alert["events"]),
            (&json!(agent), &json!(id), &json!(1))
        );
    }
}

#[tokio::test]
async fn alerts_are_listed_page_by_page_the_last_seen_first() {
    let world = World::new();
    for title in ["a", "b", "c", "d", "e"] {
        report(&world, json!({"title": title})).await;
        world.pass(1);
    }
    report(&world, json!({"title": "a"})).await;
    let all = ["a", "e", "d", "c", "b"];
    let texts = |range: &[&str]| range.iter().map(|title| (*title).to_owned()).collect::<Vec<_>>();
    for (query, titles, next) in [
        ("", &all[..], ""),
        ("?per_page=1000", &all[..], ""),
        ("?per_page=2", &all[..2], "2"),
        ("?per_page=2&page=2", &all[2..4], "3"),
        ("?per_page=2&page=3", &all[4..], ""),
        ("?page=4&per_page=2", &[], ""),
        ("?page=0", &all[..], ""),
        ("?page=9223372036854775807", &[], ""),
    ] {
        assert_eq!(list(&world, query).await, (texts(titles), "5".to_owned(), next.to_owned()), "{query}");
    }
    for (query, error) in [
        ("?page=x", "page is invalid"),
        ("?page=-1&per_page=-1", "page does not have a valid value, per_page does not have a valid value"),
        ("?per_page=0", "per_page has a value not allowed"),
    ] {
        let answer = world.call("GET", &format!("{LIST}{query}"), &[("TOKEN", ROOT)], None).await;
        assert_eq!(answer.parts(), (400, json!({"error": error})), "{query}");
    }
    let answer = world.call("GET", "/projects/999/alert_management_alerts", &[("TOKEN", ROOT)], None).await;
    assert_eq!(answer.parts(), (404, json!({"message": "404 Project Not Found"})));
}

#[tokio::test]
async fn what_holds_no_alert_is_refused() {
    let world = World::new();
    let error = |text: &str| json!({"error": text});
    for (sent, status, body) in [
        (json!({}), 400, error("alert is missing")),
        (json!([]), 400, error("alert is missing")),
        (json!({"alert": null}), 400, error("alert is empty")),
        (json!({"alert": "x"}), 400, error("alert is invalid")),
        (json!({"alert": []}), 400, error("alert is invalid")),
        (
            json!({"alert": {"title": "x".repeat(64 * 1024)}}),
            413,
            json!({"message": "413 Request Entity Too Large - the limit is 65536 bytes"}),
        ),
    ] {
        let answer = world.call_for_agent("POST", REPORT, Some(&sent)).await;
        assert_eq!(answer.parts(), (status, body), "{sent}");
    }
    assert_eq!(world.directory.read().alerts_of(100).count(), 0);
}

#[tokio::test]
async fn the_documentations_own_example_is_taken() {
    let world = World::new();
    let example = json!(json!({"alert": {"title": "minimal"}}).to_string());
    assert_eq!(world.call_for_agent("POST", REPORT, Some(&example)).await.status.as_u16(), 204);
    assert_eq!(list(&world, "").await.0, ["minimal"]);
}
