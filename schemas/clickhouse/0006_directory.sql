-- The directory as the log has it, for joins and metrics. Nothing secret is kept here. A row's version is the offset of its
-- record in the log; `deleted` says that the record took it away. Ids are never handed out again. Read the views below.
CREATE TABLE IF NOT EXISTS directory_users {on_cluster}
(
    id Int64,
    username String,
    name String,
    state LowCardinality(String),
    admin Bool,
    external Bool,
    version UInt64,
    deleted UInt8
)
ENGINE = {Replicated}ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

-- `parent_id` of 0 means none.
CREATE TABLE IF NOT EXISTS directory_namespaces {on_cluster}
(
    id Int64,
    path String,
    name String,
    kind LowCardinality(String),
    parent_id Int64,
    version UInt64,
    deleted UInt8
)
ENGINE = {Replicated}ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

-- `namespace_id` of 0 means none.
CREATE TABLE IF NOT EXISTS directory_projects {on_cluster}
(
    id Int64,
    path String,
    name String,
    namespace_id Int64,
    visibility LowCardinality(String),
    archived Bool,
    version UInt64,
    deleted UInt8
)
ENGINE = {Replicated}ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

-- `source_kind` is project or namespace, `access_level` GitLab's number, `expires_at` of 1970-01-01 means never.
CREATE TABLE IF NOT EXISTS directory_members {on_cluster}
(
    user_id Int64,
    source_kind LowCardinality(String),
    source_id Int64,
    access_level UInt8,
    expires_at Date,
    version UInt64,
    deleted UInt8
)
ENGINE = {Replicated}ReplacingMergeTree(version, deleted)
ORDER BY (source_kind, source_id, user_id)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

-- Compactions of the log: all that is left of the directory has this version at least. What was taken away by records that
-- the log had forgotten before they were read here shows by that.
CREATE TABLE IF NOT EXISTS directory_compactions {on_cluster}
(
    whole_since UInt64
)
ENGINE = {Replicated}ReplacingMergeTree
ORDER BY whole_since
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

CREATE VIEW IF NOT EXISTS current_users {on_cluster} AS
SELECT id, username, name, state, admin, external
FROM directory_users FINAL
WHERE deleted = 0 AND version >= (SELECT max(whole_since) FROM directory_compactions);

CREATE VIEW IF NOT EXISTS current_namespaces {on_cluster} AS
SELECT id, path, name, kind, parent_id
FROM directory_namespaces FINAL
WHERE deleted = 0 AND version >= (SELECT max(whole_since) FROM directory_compactions);

CREATE VIEW IF NOT EXISTS current_projects {on_cluster} AS
SELECT id, path, name, namespace_id, visibility, archived
FROM directory_projects FINAL
WHERE deleted = 0 AND version >= (SELECT max(whole_since) FROM directory_compactions);

-- A membership ends with its user and with what it was a membership of.
CREATE VIEW IF NOT EXISTS current_members {on_cluster} AS
SELECT user_id, source_kind, source_id, access_level, expires_at
FROM directory_members FINAL
WHERE deleted = 0 AND version >= (SELECT max(whole_since) FROM directory_compactions)
    AND user_id IN (SELECT id FROM current_users)
    AND if(source_kind = 'project', source_id IN (SELECT id FROM current_projects), source_id IN (SELECT id FROM current_namespaces));
