//! Packs of compute minutes: bought, bought again, and moved.

use serde_json::{Value, json};

use crate::world::World;

const PATH: &str = "/namespaces/10/minutes";

fn sent(xid: &str, minutes: i64) -> Value {
    json!({"number_of_minutes": minutes, "expires_at": "2027-01-01", "purchase_xid": xid})
}

fn answered(namespace_id: i64, xid: &str, minutes: i64) -> Value {
    json!({"namespace_id": namespace_id, "expires_at": "2027-01-01", "number_of_minutes": minutes, "purchase_xid": xid})
}

/// The namespace's packs, as purchase ids.
fn packs_of(world: &World, namespace_id: i64) -> Vec<String> {
    world.directory.read().packs_of(namespace_id).map(|pack| pack.purchase_xid.clone()).collect()
}

#[tokio::test]
async fn packs_are_bought_once_however_often_they_are_sent() {
    let world = World::new();
    let bought = world.administer("POST", PATH, json!({"packs": [sent("a", 1000), sent("b", 500)]})).await;
    assert_eq!(bought, (201, json!([answered(10, "a", 1000), answered(10, "b", 500)])));
    let again =
        world.administer("POST", PATH, json!({"packs": [sent("b", 9), sent("c", 1), sent("c", 2)]})).await;
    assert_eq!(again, (201, json!([answered(10, "b", 500), answered(10, "c", 1), answered(10, "c", 1)])));
    let elsewhere =
        world.administer("POST", "/namespaces/other/minutes", json!({"packs": [sent("a", 1)]})).await;
    assert_eq!(elsewhere, (201, json!([answered(10, "a", 1000)])));
    assert_eq!(packs_of(&world, 10), ["a", "b", "c"]);
    assert_eq!(packs_of(&world, 12), [""; 0]);
    assert_eq!(world.administer("POST", PATH, json!({"packs": []})).await, (201, json!([])));
}

#[tokio::test]
async fn packs_that_do_not_fit_are_named_by_index_and_none_is_written() {
    let world = World::new();
    let error = |text: &str| json!({"error": text});
    let unable = json!({"message": "400 Bad request - Unable to save additional packs"});
    for (packs, body) in [
        (json!({}), error("packs is missing")),
        (json!({"packs": {}}), error("packs is invalid")),
        (json!({"packs": "x"}), error("packs is invalid")),
        (json!({"packs": null}), error("packs is invalid")),
        (
            json!({"packs": [{"number_of_minutes": 1}]}),
            error("packs[0][expires_at] is missing, packs[0][purchase_xid] is missing"),
        ),
        (
            json!({"packs": [sent("a", 1), {"number_of_minutes": "x", "expires_at": "2027-13-01", "purchase_xid": []}]}),
            error(
                "packs[1][number_of_minutes] is invalid, packs[1][expires_at] is invalid, \
                 packs[1][purchase_xid] is invalid",
            ),
        ),
        (
            json!({"packs": [{}, {}]}),
            error(
                "packs[0][number_of_minutes] is missing, packs[1][number_of_minutes] is missing, \
                 packs[0][expires_at] is missing, packs[1][expires_at] is missing, \
                 packs[0][purchase_xid] is missing, packs[1][purchase_xid] is missing",
            ),
        ),
        (
            json!({"packs": [1]}),
            error(
                "packs[0][number_of_minutes] is missing, packs[0][expires_at] is missing, \
                 packs[0][purchase_xid] is missing",
            ),
        ),
        (json!({"packs": [sent("a", 1), sent("", 1)]}), unable.clone()),
        (json!({"packs": [sent("a", 1), sent(&"x".repeat(256), 1)]}), unable.clone()),
        (
            json!({"packs": [sent("a", 1), {"number_of_minutes": null, "expires_at": "2027-01-01", "purchase_xid": "b"}]}),
            unable.clone(),
        ),
        (
            json!({"packs": [sent("a", 1), {"number_of_minutes": 1, "expires_at": "", "purchase_xid": "b"}]}),
            unable,
        ),
        (
            json!({"packs": vec![sent("a", 1); 501]}),
            json!({"message": "Maximum 500 packs allowed in one request."}),
        ),
    ] {
        assert_eq!(world.administer("POST", PATH, packs.clone()).await, (400, body), "{packs}");
    }
    assert_eq!(packs_of(&world, 10), [""; 0], "all or none");
}

#[tokio::test]
async fn all_packs_of_a_namespace_move() {
    let world = World::new();
    world.administer("POST", PATH, json!({"packs": [sent("a", 1000), sent("b", 500)]})).await;
    world.administer("POST", "/namespaces/13/minutes", json!({"packs": [sent("c", 1)]})).await;
    let moved = (202, json!({"message": "202 Accepted"}));
    assert_eq!(world.administer("PATCH", "/namespaces/group/minutes/move/other", json!({})).await, moved);
    assert_eq!((packs_of(&world, 10), packs_of(&world, 12)), (vec![], vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(packs_of(&world, 13), ["c"]);
    assert_eq!(
        world.administer("PATCH", "/namespaces/10/minutes/move/12", json!({})).await,
        moved,
        "nothing to move"
    );
    let again = world.administer("POST", PATH, json!({"packs": [sent("a", 1)]})).await;
    assert_eq!(again, (201, json!([answered(12, "a", 1000)])), "a purchase stays known where it went");
}

#[tokio::test]
async fn packs_move_between_different_top_level_namespaces_only() {
    let world = World::new();
    world.administer("POST", PATH, json!({"packs": [sent("a", 1000)]})).await;
    let bad = |text: &str| (400, json!({"message": format!("400 Bad request - {text}")}));
    let absent = |what: &str| (404, json!({"message": format!("404 {what} Not Found")}));
    for (from, to, answer) in [
        ("99", "12", absent("Namespace")),
        ("99", "98", absent("Namespace")),
        ("10", "99", absent("Target namespace")),
        ("10", "nobody", absent("Target namespace")),
        ("11", "12", bad("Namespace must be a top-level namespace")),
        ("11", "11", bad("Namespace must be a top-level namespace")),
        ("10", "group%2Fsub", bad("Target namespace must be a top-level namespace")),
        ("10", "group", bad("Namespace and target must be different")),
    ] {
        let path = format!("/namespaces/{from}/minutes/move/{to}");
        assert_eq!(world.administer("PATCH", &path, json!({})).await, answer, "{path}");
    }
    assert_eq!(packs_of(&world, 10), ["a"]);
}
