-- Service Ping payloads, one row a kind and generation, byte for byte as they are sent and shown. `kind` is full, queries or
-- non_sql; the three of one generation share `recorded_at`. `metadata` is a JSON array: name, time_elapsed (seconds), error.
CREATE TABLE IF NOT EXISTS service_pings {on_cluster}
(
    organization_id Int64,
    recorded_at DateTime64(3, 'UTC'),
    kind LowCardinality(String),
    payload String CODEC(ZSTD(3)),
    metadata String CODEC(ZSTD(3))
)
ENGINE = {Replicated}ReplacingMergeTree
PARTITION BY toYear(recorded_at)
ORDER BY (organization_id, recorded_at, kind)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

-- Tries to send a payload, one row each. `usage_data_id` is the number that the receiver gave it, 0 for a failure, which
-- `error` then tells. `dev_ops_score` is the receiver's JSON object, empty for none.
CREATE TABLE IF NOT EXISTS service_ping_submissions {on_cluster}
(
    organization_id Int64,
    recorded_at DateTime64(3, 'UTC'),
    attempt UInt8,
    attempted_at DateTime64(3, 'UTC'),
    usage_data_id UInt64,
    dev_ops_score String,
    error String
)
ENGINE = {Replicated}ReplacingMergeTree
PARTITION BY toYear(recorded_at)
ORDER BY (organization_id, recorded_at, attempt)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;
