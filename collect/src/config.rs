//! The collector's own settings. Where it listens and where ClickHouse is, is the process's configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tally_service::api::BodyLimits;

/// Settings of the collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollectConfig {
    /// A YAML list of releases (`version`, `date`, `security`) that the version check compares with; read again when it
    /// changes. Empty: no version check.
    pub releases_file: PathBuf,
    /// Other instances that the `DevOps` score must be able to compare with; with fewer it is all zeros, as a mean over few
    /// would tell their numbers. Made-up instances count, too: nobody proves who they are.
    pub min_instances: u64,
    /// Days after which an instance that has not reported is no longer compared with.
    pub instance_window_days: u32,
    /// Seconds that storing or reading may take before the answer is 503.
    pub store_timeout_s: u64,
    /// Uploads by form that are read at the same time; each may hold `body.max_body_bytes`. Further ones are 503.
    pub max_uploads: usize,
    /// Bytes that a report of times per metric or of an error may have; longer is 413.
    pub max_report_bytes: usize,
    /// What a payload may take.
    pub body: BodyLimits,
}

impl Default for CollectConfig {
    fn default() -> Self {
        Self {
            releases_file: PathBuf::new(),
            min_instances: 3,
            instance_window_days: 90,
            store_timeout_s: 20,
            max_uploads: 4,
            max_report_bytes: 4 * 1024 * 1024,
            body: BodyLimits {
                max_body_bytes: 10 * 1024 * 1024,
                max_decompressed_bytes: 10 * 1024 * 1024,
                body_timeout_s: 30,
                max_in_flight_bytes: 64 * 1024 * 1024,
                ..BodyLimits::default()
            },
        }
    }
}
