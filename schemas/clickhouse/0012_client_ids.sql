-- The ids that clients chose for tracked events, by which a repetition is told for 7 days: the same id at a smaller offset of the
-- partition, whoever sent it, since a retry may come with another token. Kept and ordered as page_event_ids is.
-- Nothing of it can be compressed but the partition, and whatever is merged is sorted anew: hence the codecs, and few merges.
CREATE TABLE IF NOT EXISTS event_ids {on_cluster}
(
    event_id UUID,
    received_at DateTime64(3, 'UTC'),
    partition UInt32,
    offset UInt64 CODEC(T64, LZ4)
)
ENGINE = {Replicated}MergeTree
PARTITION BY toYYYYMMDD(received_at)
ORDER BY (event_id, partition, offset)
TTL toDateTime(received_at) + INTERVAL 15 DAY
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728, index_granularity = 1024, ttl_only_drop_parts = 1, min_parts_to_merge_at_once = 8;

-- What was there before this table.
INSERT INTO event_ids (event_id, received_at, partition, offset)
SELECT event_id, received_at, partition, offset FROM events
WHERE client_event_id AND received_at > now() - INTERVAL 15 DAY
    AND (partition, offset) NOT IN (SELECT partition, offset FROM event_ids)
SETTINGS max_partitions_per_insert_block = 0;

-- The same of contributions.
CREATE TABLE IF NOT EXISTS contribution_ids {on_cluster}
(
    event_id UUID,
    received_at DateTime64(3, 'UTC'),
    partition UInt32,
    offset UInt64 CODEC(T64, LZ4)
)
ENGINE = {Replicated}MergeTree
PARTITION BY toYYYYMMDD(received_at)
ORDER BY (event_id, partition, offset)
TTL toDateTime(received_at) + INTERVAL 15 DAY
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728, index_granularity = 1024, ttl_only_drop_parts = 1, min_parts_to_merge_at_once = 8;
