//! A row of each table, and its columns in the order they are written.

use axum::body::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::row::RowWriter;

/// Something that is a row of a table.
pub(crate) trait Rows {
    const TABLE: &'static str;
    const COLUMNS: &'static [&'static str];
    /// Writes the columns in their order.
    fn write(&self, row: &mut Row<'_>);
}

/// A row under construction.
pub(crate) struct Row<'w>(&'w mut RowWriter);

/// The rows' bytes.
pub(super) fn encode<R: Rows>(rows: &[R]) -> Bytes {
    let mut writer = RowWriter::default();
    for row in rows {
        row.write(&mut Row(&mut writer));
    }
    writer.into_bytes()
}

/// A payload with what is asked about it later.
pub(crate) struct StoredPing<'a> {
    pub(crate) uuid: Uuid,
    pub(crate) recorded_at: Timestamp,
    pub(crate) usage_data_id: u64,
    pub(crate) received_at: Timestamp,
    pub(crate) hostname: &'a str,
    pub(crate) version: &'a str,
    pub(crate) edition: &'a str,
    pub(crate) installation_type: &'a str,
    pub(crate) use_per_active_user: &'a [(&'static str, f64)],
    pub(crate) payload: &'a str,
}

impl Rows for StoredPing<'_> {
    const TABLE: &'static str = "collected_pings";
    const COLUMNS: &'static [&'static str] = &[
        "uuid",
        "recorded_at",
        "usage_data_id",
        "received_at",
        "hostname",
        "version",
        "edition",
        "installation_type",
        "use_per_active_user",
        "payload",
    ];

    fn write(&self, Row(row): &mut Row<'_>) {
        row.uuid(self.uuid);
        row.time(self.recorded_at);
        row.u64(self.usage_data_id);
        row.time(self.received_at);
        row.string(self.hostname);
        row.string(self.version);
        row.string(self.edition);
        row.string(self.installation_type);
        row.length(self.use_per_active_user.len());
        for (feature, value) in self.use_per_active_user {
            row.string(feature);
            row.f64(*value);
        }
        row.string(self.payload);
    }
}

/// How long each metric of a payload took.
pub(crate) struct MetadataReport {
    pub(crate) uuid: Uuid,
    pub(crate) received_at: Timestamp,
    pub(crate) unique_instance_id: String,
    /// The JSON array as it came.
    pub(crate) metrics: String,
}

impl Rows for MetadataReport {
    const TABLE: &'static str = "collected_ping_metadata";
    const COLUMNS: &'static [&'static str] = &["uuid", "received_at", "unique_instance_id", "metrics"];

    fn write(&self, Row(row): &mut Row<'_>) {
        row.uuid(self.uuid);
        row.time(self.received_at);
        row.string(&self.unique_instance_id);
        row.string(&self.metrics);
    }
}

/// A failure that an instance reports.
pub(crate) struct ErrorReport {
    pub(crate) uuid: Uuid,
    pub(crate) received_at: Timestamp,
    pub(crate) unique_instance_id: String,
    pub(crate) hostname: String,
    pub(crate) version: String,
    pub(crate) time: String,
    /// Seconds.
    pub(crate) elapsed: f64,
    pub(crate) message: String,
}

impl Rows for ErrorReport {
    const TABLE: &'static str = "collected_ping_errors";
    const COLUMNS: &'static [&'static str] =
        &["uuid", "received_at", "unique_instance_id", "hostname", "version", "time", "elapsed", "message"];

    fn write(&self, Row(row): &mut Row<'_>) {
        row.uuid(self.uuid);
        row.time(self.received_at);
        row.string(&self.unique_instance_id);
        row.string(&self.hostname);
        row.string(&self.version);
        row.string(&self.time);
        row.f64(self.elapsed);
        row.string(&self.message);
    }
}

/// Somebody asked whether its version is up to date.
pub(crate) struct VersionCheck {
    pub(crate) checked_at: Timestamp,
    /// Empty when the request didn't tell.
    pub(crate) hostname: String,
    pub(crate) version: String,
}

impl Rows for VersionCheck {
    const TABLE: &'static str = "version_checks";
    const COLUMNS: &'static [&'static str] = &["checked_at", "hostname", "version"];

    fn write(&self, Row(row): &mut Row<'_>) {
        row.time(self.checked_at);
        row.string(&self.hostname);
        row.string(&self.version);
    }
}
