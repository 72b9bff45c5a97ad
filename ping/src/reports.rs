//! What is told to the receiver beside a payload: how long its metrics took, and what went wrong.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use tally_query::InstanceConfig;
use tally_query::service_ping::unique_instance_id;

use crate::payload::StoredPayload;

/// The body for `/usage_ping_metadata`.
pub(crate) fn metadata(instance: &InstanceConfig, payload: &StoredPayload) -> Bytes {
    let body = json!({ "metadata": {
        "uuid": instance.uuid,
        "unique_instance_id": unique_instance_id(instance),
        "metrics": payload.metadata,
    }});
    Bytes::from(body.to_string())
}

/// The body for `/usage_ping_errors` about a try that failed at `now`, `elapsed` seconds after it began.
pub(crate) fn error(instance: &InstanceConfig, message: &str, now: Timestamp, elapsed: f64) -> Bytes {
    let body = json!({ "error": {
        "time": now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        "uuid": instance.uuid,
        "unique_instance_id": unique_instance_id(instance),
        "hostname": instance.hostname,
        "version": instance.reported_version(),
        "message": message,
        "elapsed": elapsed,
    }});
    Bytes::from(body.to_string())
}
