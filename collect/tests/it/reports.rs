//! `POST /usage_ping_metadata` and `POST /usage_ping_errors`.

use serde_json::json;

use crate::app::{instance, with_app};

#[test]
fn reports_are_stored_once_each() {
    with_app("reports", |app| async move {
        let metadata = json!({"metadata": {"uuid": instance(1), "unique_instance_id": "u",
            "metrics": [{"name": "counts.issues", "time_elapsed": 0.25}, {"name": "counts.notes", "time_elapsed": 1, "error": "slow"}]}});
        let error = json!({"error": {"time": "2026-11-20T09:08:07Z", "uuid": instance(1), "unique_instance_id": null,
            "hostname": "h", "version": "17.5.2", "message": "500: \"no\"", "elapsed": 1.5}});
        for _ in 0..2 {
            assert_eq!(app.post("/usage_ping_metadata", &metadata).await.json(201), json!({}));
            assert_eq!(app.post("/usage_ping_errors", &error).await.json(201), json!({}));
        }
        let stored = app.texts("SELECT concat(toString(uuid), ' ', unique_instance_id, ' ', metrics) FROM collected_ping_metadata").await;
        assert_eq!(stored, [format!("{} u {}", instance(1), metadata["metadata"]["metrics"])]);
        let columns = "SELECT concat(toString(uuid), ' ', hostname, ' ', version, ' ', time, ' ', toString(elapsed), ' ', message, ' ', \
                       toString(received_at)) FROM collected_ping_errors";
        let expected =
            format!("{} h 17.5.2 2026-11-20T09:08:07Z 1.5 500: \"no\" 2026-11-21 10:00:00.000", instance(1));
        assert_eq!(app.texts(columns).await, [expected]);
    });
}

#[test]
fn what_is_no_report_is_refused() {
    with_app("bad_reports", |app| async move {
        let uuid = instance(1);
        for (path, body, reason) in [
            ("/usage_ping_metadata", json!({}), "metadata: expected an object, found nothing"),
            ("/usage_ping_metadata", json!({"metadata": 1}), "metadata: expected an object, found a number"),
            (
                "/usage_ping_metadata",
                json!({"metadata": {}}),
                "metadata.uuid: expected a UUID, found nothing; metadata.metrics: expected an array, found nothing",
            ),
            (
                "/usage_ping_metadata",
                json!({"metadata": {"uuid": uuid, "metrics": [{"time_elapsed": 1}]}}),
                "metadata.metrics[].name: expected a text",
            ),
            (
                "/usage_ping_metadata",
                json!({"metadata": {"uuid": uuid, "metrics": [7]}}),
                "metadata.metrics[]: expected an object, found a number",
            ),
            ("/usage_ping_errors", json!([]), "the body: expected an object, found an array"),
            ("/usage_ping_errors", json!({"error": {"uuid": uuid}}), "error.message: expected a text"),
            (
                "/usage_ping_errors",
                json!({"error": {"uuid": uuid, "message": "m", "elapsed": "1"}}),
                "error.elapsed: expected a number, found another text",
            ),
        ] {
            let document = app.post(path, &body).await.json(422);
            assert!(document["error"].as_str().unwrap().contains(reason), "{body}: {document}");
        }
        let long = json!({"error": {"uuid": uuid, "message": "m".repeat(1 << 16)}});
        assert_eq!(app.post("/usage_ping_errors", &long).await.status, 413);
    });
}
