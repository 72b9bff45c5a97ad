-- Every accepted event, raw: what verify recounts and what a later definition is backfilled from.
-- Ids of 0 mean none. Small parts are compact (few files), since each is written and made durable on its own. The month is the insert's table partition: the processor sends one insert per month.
CREATE TABLE IF NOT EXISTS events {on_cluster}
(
    event_id UUID,
    name LowCardinality(String),
    timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
    user_id Int64 CODEC(T64, ZSTD(1)),
    project_id Int64 CODEC(T64, ZSTD(1)),
    namespace_id Int64 CODEC(T64, ZSTD(1)),
    -- A JSON object as it was sent, undeclared properties included; empty for none.
    additional_properties String CODEC(ZSTD(1)),
    send_to_snowplow Bool,
    timestamp_clamped Bool,
    -- The client chose event_id: only such an event can come again.
    client_event_id Bool,
    partition UInt32 CODEC(ZSTD(1)),
    offset UInt64 CODEC(T64, ZSTD(1))
)
ENGINE = {Replicated}MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (project_id, timestamp)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;
