//! Upcoming reconciliations of namespaces.

use serde_json::{Value, json};

use crate::world::World;

const PATH: &str = "/internal/upcoming_reconciliations";

fn row(namespace_id: impl Into<Value>, next: &str, alert: &str) -> Value {
    json!({"namespace_id": namespace_id.into(), "next_reconciliation_date": next, "display_alert_from": alert})
}

fn list(rows: &[Value]) -> Value {
    json!({"upcoming_reconciliations": rows})
}

fn stored(world: &World) -> Vec<String> {
    let directory = world.directory.read();
    let text = |row: &tally_directory::Reconciliation| {
        format!("{} {} {}", row.namespace_id, row.next_reconciliation_date, row.display_alert_from)
    };
    directory.reconciliations().map(text).collect()
}

#[tokio::test]
async fn each_namespace_has_one_row_which_is_replaced() {
    let world = World::new();
    let first = [row(10, "13 Jun 2026", "06 Jun 2026"), row("12", "2026-06-12", "2026-06-05")];
    assert_eq!(world.administer("PUT", PATH, list(&first)).await, (200, json!(200)));
    assert_eq!(stored(&world), ["10 2026-06-13 2026-06-06", "12 2026-06-12 2026-06-05"]);
    let second = [row(10, "2026-07-01", "2026-06-30"), row(10, "2026-07-02", "2026-06-30")];
    assert_eq!(world.administer("PUT", PATH, list(&second)).await, (200, json!(200)));
    assert_eq!(stored(&world), ["10 2026-07-02 2026-06-30", "12 2026-06-12 2026-06-05"]);
    assert_eq!(world.administer("PUT", PATH, list(&[])).await, (200, json!(200)));
    let as_text =
        json!({"upcoming_reconciliations": json!([row(12, "2026-08-02", "2026-08-01")]).to_string()});
    assert_eq!(world.administer("PUT", PATH, as_text).await, (200, json!(200)));
    assert_eq!(stored(&world), ["10 2026-07-02 2026-06-30", "12 2026-08-02 2026-08-01"]);
}

#[tokio::test]
async fn one_row_that_does_not_fit_keeps_all_from_being_written() {
    let world = World::new();
    let good = row(10, "2026-06-13", "2026-06-06");
    let with = |other: Value| list(&[good.clone(), other]);
    let namespace_is = "upcoming_reconciliations[namespace_id] is";
    let next_is = "upcoming_reconciliations[next_reconciliation_date] is";
    let alert_is = "upcoming_reconciliations[display_alert_from] is";
    for (sent, error) in [
        (
            json!({}),
            format!(
                "upcoming_reconciliations is missing, {namespace_is} missing, {next_is} missing, {alert_is} missing"
            ),
        ),
        (
            json!({"upcoming_reconciliations": {"namespace_id": 10}}),
            format!(
                "upcoming_reconciliations is invalid, {namespace_is} missing, {next_is} missing, {alert_is} missing"
            ),
        ),
        (with(json!({})), format!("{namespace_is} missing, {next_is} missing, {alert_is} missing")),
        (with(row(Value::Null, "2026-06-13", "2026-06-06")), format!("{namespace_is} empty")),
        (with(row("", "2026-06-13", "2026-06-06")), format!("{namespace_is} empty")),
        (with(row("x", "2026-06-13", "2026-06-06")), format!("{namespace_is} invalid")),
        (with(row(12, "", "2026-06-06")), format!("{next_is} empty")),
        (with(row(12, "2026-06-31", "someday")), format!("{next_is} invalid, {alert_is} invalid")),
        (
            with(json!({"namespace_id": 12, "next_reconciliation_date": "2026-06-13"})),
            format!("{alert_is} missing"),
        ),
    ] {
        let answer = world.administer("PUT", PATH, sent.clone()).await;
        assert_eq!(answer, (400, json!({"error": error})), "{sent}");
    }
    let unknown = world.administer("PUT", PATH, with(row(99, "2026-06-13", "2026-06-06"))).await;
    assert_eq!(unknown, (400, json!({"message": {"error": r#"[{"99":"Namespace can't be blank"}]"#}})));
    assert_eq!(stored(&world), [""; 0]);
}
