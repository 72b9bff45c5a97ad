//! The numbered SQL migrations of `schemas/clickhouse`: the tables that the processor writes and the query service reads.

/// Number, name and SQL text of each migration, in order.
pub const MIGRATIONS: &[(u32, &str, &str)] = &[
    (1, "events", include_str!("../clickhouse/0001_events.sql")),
    (2, "counters", include_str!("../clickhouse/0002_counters.sql")),
    (3, "contributions", include_str!("../clickhouse/0003_contributions.sql")),
    (4, "dead_letters", include_str!("../clickhouse/0004_dead_letters.sql")),
    (5, "project_contributions", include_str!("../clickhouse/0005_project_contributions.sql")),
    (6, "directory", include_str!("../clickhouse/0006_directory.sql")),
    (7, "service_pings", include_str!("../clickhouse/0007_service_pings.sql")),
    (8, "increments", include_str!("../clickhouse/0008_increments.sql")),
    (9, "collector", include_str!("../clickhouse/0009_collector.sql")),
    (10, "page_events", include_str!("../clickhouse/0010_page_events.sql")),
    (11, "sessions", include_str!("../clickhouse/0011_sessions.sql")),
    (12, "client_ids", include_str!("../clickhouse/0012_client_ids.sql")),
    (13, "dead_letter_replays", include_str!("../clickhouse/0013_dead_letter_replays.sql")),
    (14, "fewer_merges", include_str!("../clickhouse/0014_fewer_merges.sql")),
];
