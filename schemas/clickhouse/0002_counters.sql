-- (day, counter) -> how many events, and the sum of their `value` in exact decimals.
CREATE TABLE IF NOT EXISTS counters {on_cluster}
(
    day Date,
    counter LowCardinality(String),
    count UInt64,
    sum Decimal(38, 9)
)
ENGINE = {Replicated}SummingMergeTree((count, sum))
PARTITION BY toYYYYMM(day)
ORDER BY (counter, day)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

-- (day, counter, value of the counted property) -> how many events.
CREATE TABLE IF NOT EXISTS unique_totals {on_cluster}
(
    day Date,
    counter LowCardinality(String),
    value String,
    count UInt64
)
ENGINE = {Replicated}SummingMergeTree((count))
PARTITION BY toYYYYMM(day)
ORDER BY (counter, day, value)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

-- (day, counter) -> the identifiers seen, as a HyperLogLog state. Inserts send the hashes; the engine folds them.
CREATE TABLE IF NOT EXISTS uniques {on_cluster}
(
    day Date,
    counter LowCardinality(String),
    hashes Array(UInt64) EPHEMERAL,
    state AggregateFunction(uniqCombined64, UInt64) DEFAULT arrayReduce('uniqCombined64State', hashes)
)
ENGINE = {Replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (counter, day)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;
