-- What was set aside: why, the bytes, and where they stood in the log.
CREATE TABLE IF NOT EXISTS dead_letters {on_cluster}
(
    reason LowCardinality(String),
    detail String,
    topic LowCardinality(String),
    partition UInt32,
    offset UInt64,
    received_at DateTime64(3, 'UTC'),
    bytes String CODEC(ZSTD(3))
)
ENGINE = {Replicated}MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (received_at, topic, partition, offset)
SETTINGS {deduplication_window}, {durability};
