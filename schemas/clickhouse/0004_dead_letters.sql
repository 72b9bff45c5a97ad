-- What was set aside: why, the bytes, and where they came from. A letter from the log names topic, partition and offset;
-- one from a request names the endpoint.
CREATE TABLE IF NOT EXISTS dead_letters {on_cluster}
(
    id UUID,
    reason LowCardinality(String),
    detail String,
    endpoint LowCardinality(String),
    topic LowCardinality(String),
    partition UInt32,
    offset UInt64,
    recorded_at DateTime64(3, 'UTC'),
    payload String CODEC(ZSTD(3))
)
ENGINE = {Replicated}MergeTree
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (recorded_at, id)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;
