//! A payload as it is stored, sent and shown: the same bytes each time. How its values come about is the query service's
//! affair.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tally_directory::Directory;
use tally_query::service_ping::{self, Consent, Context, MetricMetadata, Payload, PayloadKind, Plan};
use tally_query::warehouse::Warehouse;
use tally_query::{InstanceConfig, LicenseConfig};

/// How long a stored payload is the current one: the reporting cycle, a week.
pub(crate) const CYCLE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A payload, serialised once.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPayload {
    /// When it was made, in milliseconds; the three payloads of one generation share it.
    pub recorded_at: Timestamp,
    /// What it is.
    pub kind: PayloadKind,
    /// The JSON text, byte for byte as it is sent and shown.
    pub payload: Arc<str>,
    /// How long each metric took, and what failed.
    pub metadata: Vec<MetricMetadata>,
}

impl StoredPayload {
    /// Whether there is nothing in it.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self.payload.trim(), "" | "{}" | "null")
    }

    /// Whether it may hold optional data: it says so itself in GitLab's metric `settings.collected_data_categories`. One that
    /// lacks the metric, as no definition has it, may.
    pub(crate) fn may_hold_optional_data(&self) -> bool {
        let document: Value = serde_json::from_str(&self.payload).unwrap_or_default();
        let categories = document.pointer("/settings/collected_data_categories").and_then(Value::as_array);
        categories.is_none_or(|categories| categories.iter().any(|category| category == "optional"))
    }
}

/// Computes payloads; a trait so that a test can do without ClickHouse.
#[async_trait]
pub trait Generator: Send + Sync {
    /// The payload of this kind as of `recorded_at`.
    async fn generate(&self, kind: PayloadKind, recorded_at: Timestamp, consent: Consent) -> Payload;

    /// Where the value at `key_path` comes from; `None` if no definition has it.
    async fn explain(&self, key_path: &str, recorded_at: Timestamp, consent: Consent) -> Option<String>;
}

/// Computes payloads from definitions, ClickHouse and the directory.
pub(crate) struct PlannedGenerator {
    pub plan: Arc<Plan>,
    pub warehouse: Warehouse,
    pub directory: Arc<Directory>,
    pub instance: InstanceConfig,
    pub license: LicenseConfig,
    pub prometheus_url: String,
}

impl PlannedGenerator {
    fn context(&self, recorded_at: Timestamp, consent: Consent) -> Context<'_> {
        Context {
            instance: &self.instance,
            license: &self.license,
            prometheus_url: &self.prometheus_url,
            directory: &self.directory,
            consent,
            recorded_at,
        }
    }
}

#[async_trait]
impl Generator for PlannedGenerator {
    async fn generate(&self, kind: PayloadKind, recorded_at: Timestamp, consent: Consent) -> Payload {
        let context = self.context(recorded_at, consent);
        Box::pin(service_ping::generate(&self.plan, &context, &self.warehouse, kind)).await
    }

    async fn explain(&self, key_path: &str, recorded_at: Timestamp, consent: Consent) -> Option<String> {
        let context = self.context(recorded_at, consent);
        let explanation = service_ping::explain(&self.plan, &context, &self.warehouse, key_path);
        Box::pin(explanation).await.map(|explanation| explanation.to_string())
    }
}
