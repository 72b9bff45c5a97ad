-- One contribution event for the Events API. Ids of 0 and empty strings mean none.
CREATE TABLE IF NOT EXISTS contributions {on_cluster}
(
    id UInt64,
    event_id UUID,
    action LowCardinality(String),
    target_type LowCardinality(String),
    target_id Int64,
    target_iid Int64,
    target_title String,
    project_id Int64,
    author_id Int64,
    created_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    imported_from LowCardinality(String),
    confidential Bool,
    -- JSON objects as they came; empty for none.
    note String,
    push_data String,
    wiki_page String,
    partition UInt32,
    offset UInt64
)
ENGINE = {Replicated}MergeTree
PARTITION BY toYYYYMM(created_at)
ORDER BY (author_id, created_at, id)
TTL toDateTime(created_at) + INTERVAL 3 YEAR
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;
