-- Sessions in parts that merge in any order. Where the tracker says which session an event belongs to, that session has one row,
-- of slot 0. Else `key` is the visitor, and a row stands for half an hour of the epoch in which there was something: two events of
-- one visitor less than half an hour apart lie in the same slot or in slots next to each other, so sessions are runs of slots
-- without a longer gap between them. Of several users or browsers in one session the greatest text is kept, since a maximum is
-- the same in any order.
CREATE TABLE IF NOT EXISTS session_parts {on_cluster}
(
    project_id Int64,
    by_visitor Bool,
    key String CODEC(ZSTD(1)),
    slot UInt32 CODEC(T64, ZSTD(1)),
    start_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')) CODEC(Delta, ZSTD(1)),
    end_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(Delta, ZSTD(1)),
    events_count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    page_views_count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    session_index SimpleAggregateFunction(max, UInt32) CODEC(T64, ZSTD(1)),
    user_id SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    -- The tracker's name for the visitor, else the collector's.
    visitor_id SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    agent_name SimpleAggregateFunction(max, LowCardinality(String)),
    agent_version SimpleAggregateFunction(max, LowCardinality(String)),
    os_family SimpleAggregateFunction(max, LowCardinality(String)),
    os_name SimpleAggregateFunction(max, LowCardinality(String)),
    os_version SimpleAggregateFunction(max, LowCardinality(String)),
    device_type SimpleAggregateFunction(max, LowCardinality(String)),
    browser_language SimpleAggregateFunction(max, LowCardinality(String)),
    document_language SimpleAggregateFunction(max, LowCardinality(String)),
    viewport_size SimpleAggregateFunction(max, LowCardinality(String))
)
ENGINE = {Replicated}AggregatingMergeTree
ORDER BY (project_id, by_visitor, key, slot)
SETTINGS {deduplication_window}, {durability}, min_bytes_for_wide_part = 134217728;

-- One row a session. `is_repeat`: the visitor had one before, as far as the tracker counts them or the visitor's own slots tell.
-- Every column of a run is an array of its own, so that a query reads those that it asks for.
CREATE OR REPLACE VIEW sessions {on_cluster} AS
SELECT
    project_id, key AS session_id, start_at, end_at, events_count, page_views_count, session_index > 1 AS is_repeat,
    user_id, visitor_id, agent_name, agent_version, os_family, os_name, os_version, device_type, browser_language,
    document_language, viewport_size
FROM session_parts FINAL
WHERE NOT by_visitor
UNION ALL
SELECT
    project_id, lower(hex(sipHash128(project_id, key, toUnixTimestamp64Milli(first_at)))),
    starts[run][1] AS first_at, ends[run][-1], arraySum(events[run]), arraySum(page_views[run]), run > 1,
    arrayReduce('max', users[run]), arrayReduce('max', visitors[run]), arrayReduce('max', agent_names[run]),
    arrayReduce('max', agent_versions[run]), arrayReduce('max', os_families[run]), arrayReduce('max', os_names[run]),
    arrayReduce('max', os_versions[run]), arrayReduce('max', device_types[run]), arrayReduce('max', browser_languages[run]),
    arrayReduce('max', document_languages[run]), arrayReduce('max', viewport_sizes[run])
FROM
(
    SELECT
        project_id, key, groupArray(slot) AS slots,
        arraySort((at, slot) -> slot, groupArray(start_at), slots) AS start_times,
        arraySort((at, slot) -> slot, groupArray(end_at), slots) AS end_times,
        arrayPushFront(arrayPopBack(end_times), start_times[1]) AS previous_ends,
        arrayMap((start_at, end_at) -> start_at > end_at + INTERVAL 30 MINUTE, start_times, previous_ends) AS begins,
        arraySplit((at, begins) -> begins, start_times, begins) AS starts,
        arraySplit((at, begins) -> begins, end_times, begins) AS ends,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(events_count), slots), begins) AS events,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(page_views_count), slots), begins) AS page_views,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(user_id), slots), begins) AS users,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(visitor_id), slots), begins) AS visitors,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(agent_name), slots), begins) AS agent_names,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(agent_version), slots), begins) AS agent_versions,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(os_family), slots), begins) AS os_families,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(os_name), slots), begins) AS os_names,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(os_version), slots), begins) AS os_versions,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(device_type), slots), begins) AS device_types,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(browser_language), slots), begins) AS browser_languages,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(document_language), slots), begins) AS document_languages,
        arraySplit((value, begins) -> begins, arraySort((value, slot) -> slot, groupArray(viewport_size), slots), begins) AS viewport_sizes,
        arrayJoin(arrayEnumerate(starts)) AS run
    FROM session_parts FINAL
    WHERE by_visitor
    GROUP BY project_id, key
);
