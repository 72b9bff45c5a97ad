-- Who may see what is confidential besides members from reporter up: who wrote the target, and whom it is assigned to.
ALTER TABLE contributions {on_cluster}
    ADD COLUMN IF NOT EXISTS target_author_id Int64 AFTER confidential,
    ADD COLUMN IF NOT EXISTS assignee_ids Array(Int64) AFTER target_author_id;

-- The contributions that belong to a project, once more, in the order in which projects are listed. A listing over many
-- projects reads one stretch of each, hence the short granules.
CREATE TABLE IF NOT EXISTS project_contributions {on_cluster}
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
    target_author_id Int64,
    assignee_ids Array(Int64),
    note String,
    push_data String,
    wiki_page String,
    partition UInt32,
    offset UInt64
)
ENGINE = {Replicated}MergeTree
PARTITION BY toYYYYMM(created_at)
ORDER BY (project_id, created_at, id)
TTL toDateTime(created_at) + INTERVAL 3 YEAR
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728, index_granularity = 256;

-- The projects that an author has contributed to, so that a listing names those that its reader may see.
CREATE TABLE IF NOT EXISTS contribution_projects {on_cluster}
(
    author_id Int64,
    project_id Int64,
    latest SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = {Replicated}AggregatingMergeTree
ORDER BY (author_id, project_id)
TTL toDateTime(latest) + INTERVAL 3 YEAR
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728, index_granularity = 1024;

-- What was there before these tables. Processors must not run meanwhile: what they fold goes to one table only.
INSERT INTO project_contributions
    (id, event_id, action, target_type, target_id, target_iid, target_title, project_id, author_id, created_at,
     imported_from, confidential, target_author_id, assignee_ids, note, push_data, wiki_page, partition, offset)
SELECT id, event_id, action, target_type, target_id, target_iid, target_title, project_id, author_id, created_at,
     imported_from, confidential, target_author_id, assignee_ids, note, push_data, wiki_page, partition, offset
FROM contributions
WHERE project_id != 0 AND (partition, offset, id) NOT IN (SELECT partition, offset, id FROM project_contributions)
SETTINGS max_partitions_per_insert_block = 0;

INSERT INTO contribution_projects (author_id, project_id, latest)
SELECT author_id, project_id, max(created_at) FROM contributions WHERE project_id != 0 GROUP BY author_id, project_id;
