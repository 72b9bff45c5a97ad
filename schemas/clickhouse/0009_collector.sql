-- What `tally collect` receives from other instances: Service Ping payloads, byte for byte as they came. A payload is known by
-- its instance and by when it was recorded. `usage_data_id` is the number that was answered. `use_per_active_user` is what the
-- DevOps score compares, by feature; empty for a payload that doesn't tell its active users.
CREATE TABLE IF NOT EXISTS collected_pings {on_cluster}
(
    uuid UUID,
    recorded_at DateTime64(3, 'UTC'),
    usage_data_id UInt64,
    received_at DateTime64(3, 'UTC'),
    hostname String,
    version LowCardinality(String),
    edition LowCardinality(String),
    installation_type LowCardinality(String),
    use_per_active_user Map(LowCardinality(String), Float64),
    payload String CODEC(ZSTD(3))
)
ENGINE = {Replicated}ReplacingMergeTree
PARTITION BY toYear(recorded_at)
ORDER BY (uuid, recorded_at)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

-- How long an instance took for each metric of a payload: `metrics` is the JSON array as it came.
CREATE TABLE IF NOT EXISTS collected_ping_metadata {on_cluster}
(
    uuid UUID,
    received_at DateTime64(3, 'UTC'),
    unique_instance_id String,
    metrics String CODEC(ZSTD(3))
)
ENGINE = {Replicated}MergeTree
PARTITION BY toYear(received_at)
ORDER BY (uuid, received_at)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

-- Failures that instances report of their own submissions. `time` is the instance's own word, `elapsed` are seconds.
CREATE TABLE IF NOT EXISTS collected_ping_errors {on_cluster}
(
    uuid UUID,
    received_at DateTime64(3, 'UTC'),
    unique_instance_id String,
    hostname String,
    version LowCardinality(String),
    time String,
    elapsed Float64,
    message String CODEC(ZSTD(3))
)
ENGINE = {Replicated}MergeTree
PARTITION BY toYear(received_at)
ORDER BY (uuid, received_at)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

-- Who asked whether its version is up to date. Nothing else of such a request is kept.
CREATE TABLE IF NOT EXISTS version_checks {on_cluster}
(
    checked_at DateTime64(3, 'UTC'),
    hostname String,
    version LowCardinality(String)
)
ENGINE = {Replicated}MergeTree
PARTITION BY toYear(checked_at)
ORDER BY (hostname, checked_at)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;
