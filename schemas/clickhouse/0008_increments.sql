-- What is counted of an event: all that its definition says, or, for the increments of older clients, one on the name's total
-- or the user among its unique users. Those are no tracked events,
-- and have no project.
ALTER TABLE events {on_cluster}
    ADD COLUMN IF NOT EXISTS increment Enum8('event' = 0, 'total' = 1, 'unique_users' = 2) DEFAULT 'event' CODEC(ZSTD(1)) AFTER client_event_id;
