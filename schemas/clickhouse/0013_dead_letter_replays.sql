-- Whose letters they are, what belongs to a record besides its bytes, and what became of replaying them.
-- Ids of 0 and empty texts mean none; `whole_size` is 0 where the payload is all that came.
ALTER TABLE dead_letters {on_cluster}
    ADD COLUMN IF NOT EXISTS project_id Int64 DEFAULT 0,
    ADD COLUMN IF NOT EXISTS key String DEFAULT '',
    ADD COLUMN IF NOT EXISTS user_id Int64 DEFAULT 0,
    ADD COLUMN IF NOT EXISTS content_type LowCardinality(String) DEFAULT '',
    ADD COLUMN IF NOT EXISTS whole_size UInt64 DEFAULT 0;

-- The steps of replays. The first, `started`, is there before anything is appended; who finds it from somebody else does
-- not append. `attempt` numbers a letter's replays. Where the records of a `done` one lie tells which later letters are theirs.
CREATE TABLE IF NOT EXISTS dead_letter_replays {on_cluster}
(
    letter_id UUID,
    attempt UInt32,
    replay_id UUID,
    at DateTime64(3, 'UTC'),
    state Enum8('started' = 1, 'done' = 2, 'refused' = 3),
    by String,
    detail String,
    topic LowCardinality(String),
    partitions Array(UInt32),
    offsets Array(UInt64)
)
ENGINE = {Replicated}MergeTree
ORDER BY (letter_id, attempt, at)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;
