//! Subscriptions of namespaces.

use serde_json::{Value, json};

use crate::world::{ROOT, World};

const PATH: &str = "/namespaces/10/gitlab_subscription";

/// Alice and Bob in the group, Bob and Carol below it, root in a project.
const SEATS_IN_USE: i64 = 4;

/// The answer for a group with `seats` sold, and everything else as if nothing more was sent.
fn usual(seats: i64) -> Value {
    json!({
        "plan": {"code": "silver", "name": "Silver", "trial": false, "auto_renew": null, "upgradable": false},
        "usage": {
            "seats_in_subscription": seats,
            "seats_in_use": SEATS_IN_USE,
            "max_seats_used": 0,
            "seats_owed": (SEATS_IN_USE - seats).max(0),
        },
        "billing": {"subscription_start_date": "2020-07-15", "subscription_end_date": null, "trial_ends_on": null},
    })
}

#[tokio::test]
async fn a_subscription_is_created_shown_and_changed() {
    let world = World::new();
    let created = world.administer(
        "POST",
        PATH,
        json!({"start_date": "2020-07-15", "plan_code": "silver", "seats": 10}),
    );
    assert_eq!(created.await, (201, usual(10)));
    assert_eq!(world.administer("GET", PATH, json!({})).await, (200, usual(10)));
    assert_eq!(world.administer("PUT", PATH, json!({"seats": 3})).await, (200, usual(3)));
    assert_eq!(
        world.administer("PUT", PATH, json!({})).await,
        (200, usual(3)),
        "nothing sent, nothing changed"
    );

    let all = json!({
        "start_date": "2021-01-01", "end_date": "2022-01-01", "plan_code": "ultimate_trial", "seats": 80,
        "max_seats_used": 82, "auto_renew": true, "trial": true, "trial_starts_on": "2021-01-01",
        "trial_ends_on": "2021-02-01",
    });
    let changed = json!({
        "plan": {
            "code": "ultimate_trial", "name": "Ultimate Trial", "trial": true, "auto_renew": true, "upgradable": false,
        },
        "usage": {
            "seats_in_subscription": 80, "seats_in_use": SEATS_IN_USE, "max_seats_used": 82, "seats_owed": 2,
        },
        "billing": {
            "subscription_start_date": "2021-01-01", "subscription_end_date": "2022-01-01",
            "trial_ends_on": "2021-02-01",
        },
    });
    assert_eq!(world.administer("PUT", PATH, all).await, (200, changed.clone()));
    assert_eq!(world.administer("GET", PATH, json!({})).await, (200, changed));
}

#[tokio::test]
async fn parameters_are_taken_from_the_query_and_null_takes_away() {
    let world = World::new();
    let root = [("TOKEN", ROOT)];
    let path = format!(
        "{PATH}?start_date=2020-07-15&plan_code=silver&seats=10&end_date=2021-07-15&auto_renew=false"
    );
    let (status, body) = world.call("POST", &path, &root, None).await.parts();
    assert_eq!((status, &body["plan"]["auto_renew"]), (201, &json!(false)));
    assert_eq!(body["billing"]["subscription_end_date"], "2021-07-15");
    let without = world.administer("PUT", PATH, json!({"end_date": null, "auto_renew": null})).await;
    assert_eq!(without, (200, usual(10)));
    let (_, body) = world.administer("PUT", PATH, json!({"plan_code": null})).await;
    assert_eq!((&body["plan"]["code"], &body["plan"]["name"]), (&json!("free"), &json!("Free")));
}

#[tokio::test]
async fn seats_owed_are_what_is_used_or_was_beyond_what_was_sold() {
    let world = World::new();
    world.administer("POST", PATH, json!({"start_date": "2020-07-15"})).await;
    for (seats, max_used, owed) in [
        (0, 0, SEATS_IN_USE),
        (3, 0, 1),
        (4, 0, 0),
        (5, 4, 0),
        (80, 82, 2),
        (80, 80, 0),
        (i64::MIN, i64::MAX, i64::MAX),
        (i64::MAX, i64::MIN, 0),
    ] {
        let sent = json!({"seats": seats, "max_seats_used": max_used});
        let (_, body) = world.administer("PUT", PATH, sent).await;
        assert_eq!(body["usage"]["seats_owed"], owed, "{seats} {max_used}");
        assert_eq!(body["usage"]["max_seats_used"], max_used);
    }
}

#[tokio::test]
async fn seats_are_the_distinct_members_of_the_tree() {
    let world = World::new();
    for (namespace, in_use) in [("10", 4), ("group%2Fsub", 3), ("12", 0), ("alice", 1)] {
        let path = format!("/namespaces/{namespace}/gitlab_subscription");
        let (_, body) = world.administer("POST", &path, json!({"start_date": "2020-07-15"})).await;
        assert_eq!(body["usage"]["seats_in_use"], in_use, "{namespace}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_changes_nothing() {
    let world = World::new();
    let blank = |field: &str| json!({"message": {field: ["can't be blank"]}});
    let error = |text: &str| json!({"error": text});
    let date = "2020-07-15";
    for (sent, body) in [
        (json!({}), error("start_date is missing")),
        (json!({"seats": "many"}), error("start_date is missing, seats is invalid")),
        (
            json!({"start_date": "soon", "end_date": "later"}),
            error("start_date is invalid, end_date is invalid"),
        ),
        (
            json!({
                "start_date": date, "plan_code": [], "seats": {}, "max_seats_used": "x", "auto_renew": "maybe", "trial": 2,
                "trial_ends_on": 1, "trial_starts_on": "x",
            }),
            error(
                "plan_code is invalid, seats is invalid, max_seats_used is invalid, auto_renew is invalid, \
                 trial is invalid, trial_ends_on is invalid, trial_starts_on is invalid",
            ),
        ),
        (json!({"start_date": null}), blank("start_date")),
        (json!({"start_date": ""}), blank("start_date")),
        (json!({"start_date": date, "seats": null}), blank("seats")),
        (json!({"start_date": date, "trial": true}), blank("trial_starts_on")),
        (json!({"start_date": date, "trial": true, "trial_starts_on": null}), blank("trial_starts_on")),
    ] {
        assert_eq!(world.administer("POST", PATH, sent.clone()).await, (400, body), "{sent}");
    }
    let gone = (404, json!({"message": "404 GitlabSubscription Not Found"}));
    assert_eq!(world.administer("GET", PATH, json!({})).await, gone);
    assert_eq!(world.administer("PUT", PATH, json!({"seats": 1})).await, gone);

    let sent = json!({"start_date": date, "plan_code": "silver"});
    assert_eq!(world.administer("POST", PATH, sent.clone()).await.0, 201);
    let taken = json!({"message": {"namespace_id": ["has already been taken"]}});
    assert_eq!(world.administer("POST", PATH, sent).await, (400, taken));
    for (sent, body) in [
        (json!({"start_date": null}), blank("start_date")),
        (json!({"seats": null}), blank("seats")),
        (json!({"max_seats_used": ""}), blank("max_seats_used")),
        (json!({"trial": true}), blank("trial_starts_on")),
        (json!({"seats": "x"}), error("seats is invalid")),
    ] {
        assert_eq!(world.administer("PUT", PATH, sent.clone()).await, (400, body), "{sent}");
    }
    assert_eq!(world.administer("GET", PATH, json!({})).await, (200, usual(0)));
}
