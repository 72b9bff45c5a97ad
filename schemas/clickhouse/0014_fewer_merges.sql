-- What every event goes through is merged eight parts at a time, and so half as often.
ALTER TABLE events {on_cluster} MODIFY SETTING min_parts_to_merge_at_once = 8;
ALTER TABLE page_events {on_cluster} MODIFY SETTING min_parts_to_merge_at_once = 8;
ALTER TABLE page_event_ids {on_cluster} MODIFY SETTING min_parts_to_merge_at_once = 8;
