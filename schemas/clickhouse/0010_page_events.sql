-- Page events of product analytics, one row each: what the cube TrackedEvents stands on, and what sessions are computed from.
-- Empty texts and zeros mean that nobody said. `source` tells where the row comes from, and with that what `partition`
-- and `offset` are of: a tracker's topic, or that of tracked events which ask to be page events, too.
CREATE TABLE IF NOT EXISTS page_events {on_cluster}
(
    project_id Int64 CODEC(T64, ZSTD(1)),
    timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event_id UUID,
    client_event_id Bool,
    event LowCardinality(String),
    event_name LowCardinality(String),
    user_id String CODEC(ZSTD(1)),
    domain_user_id String CODEC(ZSTD(1)),
    network_user_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    session_index UInt32 CODEC(T64, ZSTD(1)),
    platform LowCardinality(String),
    tracker_version LowCardinality(String),
    tracker_name LowCardinality(String),
    page_url String CODEC(ZSTD(1)),
    page_title String CODEC(ZSTD(1)),
    page_url_scheme LowCardinality(String),
    page_url_host LowCardinality(String),
    page_url_port UInt16 CODEC(T64, ZSTD(1)),
    page_url_path String CODEC(ZSTD(1)),
    page_url_query String CODEC(ZSTD(1)),
    page_url_fragment String CODEC(ZSTD(1)),
    page_referrer String CODEC(ZSTD(1)),
    referrer_host LowCardinality(String),
    referrer_path String CODEC(ZSTD(1)),
    referrer_medium LowCardinality(String),
    referrer_source LowCardinality(String),
    referrer_term String CODEC(ZSTD(1)),
    campaign_medium LowCardinality(String),
    campaign_source LowCardinality(String),
    campaign_term LowCardinality(String),
    campaign_content LowCardinality(String),
    campaign_name LowCardinality(String),
    click_id String CODEC(ZSTD(1)),
    click_network LowCardinality(String),
    user_agent LowCardinality(String),
    agent_name LowCardinality(String),
    agent_version LowCardinality(String),
    os_family LowCardinality(String),
    os_name LowCardinality(String),
    os_version LowCardinality(String),
    device_type LowCardinality(String),
    is_mobile Bool,
    is_bot Bool,
    browser_language LowCardinality(String),
    document_language LowCardinality(String),
    viewport_size LowCardinality(String),
    screen_resolution LowCardinality(String),
    document_size String CODEC(ZSTD(1)),
    time_zone LowCardinality(String),
    charset LowCardinality(String),
    ip_address String CODEC(ZSTD(1)),
    category LowCardinality(String),
    action LowCardinality(String),
    label String CODEC(ZSTD(1)),
    property String CODEC(ZSTD(1)),
    value Nullable(Float64),
    custom_event_name LowCardinality(String),
    -- JSON as it came; empty for none.
    custom_event_props String CODEC(ZSTD(1)),
    custom_user_props String CODEC(ZSTD(1)),
    element_id LowCardinality(String),
    target_url String CODEC(ZSTD(1)),
    load_ms Nullable(Float64),
    unstruct String CODEC(ZSTD(1)),
    contexts String CODEC(ZSTD(1)),
    source Enum8('tracker' = 0, 'tracked_event' = 1) CODEC(ZSTD(1)),
    partition UInt32 CODEC(ZSTD(1)),
    offset UInt64 CODEC(T64, ZSTD(1))
)
ENGINE = {Replicated}MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (project_id, timestamp)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

-- The ids that trackers chose, by which a repetition is told for 7 days: the same id of the same project at a smaller
-- offset of the partition. They are kept for as long again as the log keeps records, so that a batch replayed late finds what it
-- found at first. Look-ups are of single ids, hence the short granules.
CREATE TABLE IF NOT EXISTS page_event_ids {on_cluster}
(
    event_id UUID,
    project_id Int64 CODEC(T64, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    partition UInt32 CODEC(ZSTD(1)),
    offset UInt64 CODEC(T64, ZSTD(1))
)
ENGINE = {Replicated}MergeTree
PARTITION BY toYYYYMMDD(received_at)
ORDER BY (event_id, partition, offset)
TTL toDateTime(received_at) + INTERVAL 15 DAY
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728, index_granularity = 256, ttl_only_drop_parts = 1;
