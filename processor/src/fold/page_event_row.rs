//! A page event as a row of the table `page_events`.

use tally_schemas::PageEvent;

use crate::row_binary::RowWriter;

pub const TABLE: &str = "page_events";
pub const COLUMNS: &[&str] = &[
    "project_id",
    "timestamp",
    "received_at",
    "event_id",
    "client_event_id",
    "event",
    "event_name",
    "user_id",
    "domain_user_id",
    "network_user_id",
    "session_id",
    "session_index",
    "platform",
    "tracker_version",
    "tracker_name",
    "page_url",
    "page_title",
    "page_url_scheme",
    "page_url_host",
    "page_url_port",
    "page_url_path",
    "page_url_query",
    "page_url_fragment",
    "page_referrer",
    "referrer_host",
    "referrer_path",
    "referrer_medium",
    "referrer_source",
    "referrer_term",
    "campaign_medium",
    "campaign_source",
    "campaign_term",
    "campaign_content",
    "campaign_name",
    "click_id",
    "click_network",
    "user_agent",
    "agent_name",
    "agent_version",
    "os_family",
    "os_name",
    "os_version",
    "device_type",
    "is_mobile",
    "is_bot",
    "browser_language",
    "document_language",
    "viewport_size",
    "screen_resolution",
    "document_size",
    "time_zone",
    "charset",
    "ip_address",
    "category",
    "action",
    "label",
    "property",
    "value",
    "custom_event_name",
    "custom_event_props",
    "custom_user_props",
    "element_id",
    "target_url",
    "load_ms",
    "unstruct",
    "contexts",
    "source",
    "partition",
    "offset",
];

/// Where a row comes from: what its partition and offset are of. The numbers are those of the column's enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A tracker: the topic of page events.
    Tracker = 0,
    /// A tracked event that asked to be a page event, too.
    TrackedEvent = 1,
}

/// Appends the event's row.
pub fn write(rows: &mut RowWriter, event: &PageEvent, source: Source, partition: u32, offset: u64) {
    rows.i64(event.project_id);
    rows.i64(event.timestamp);
    rows.i64(event.received_at);
    rows.uuid(event.event_id);
    rows.bool(event.client_event_id);
    rows.string(&event.event);
    rows.string(&event.event_name);
    rows.string(&event.user_id);
    rows.string(&event.domain_user_id);
    rows.string(&event.network_user_id);
    rows.string(&event.session_id);
    rows.u32(event.session_index);
    rows.string(&event.platform);
    rows.string(&event.tracker_version);
    rows.string(&event.tracker_name);
    rows.string(&event.page_url);
    rows.string(&event.page_title);
    rows.string(&event.page_url_scheme);
    rows.string(&event.page_url_host);
    rows.u16(event.page_url_port);
    rows.string(&event.page_url_path);
    rows.string(&event.page_url_query);
    rows.string(&event.page_url_fragment);
    rows.string(&event.page_referrer);
    rows.string(&event.referrer_host);
    rows.string(&event.referrer_path);
    rows.string(&event.referrer_medium);
    rows.string(&event.referrer_source);
    rows.string(&event.referrer_term);
    rows.string(&event.campaign_medium);
    rows.string(&event.campaign_source);
    rows.string(&event.campaign_term);
    rows.string(&event.campaign_content);
    rows.string(&event.campaign_name);
    rows.string(&event.click_id);
    rows.string(&event.click_network);
    rows.string(&event.user_agent);
    rows.string(&event.agent_name);
    rows.string(&event.agent_version);
    rows.string(&event.os_family);
    rows.string(&event.os_name);
    rows.string(&event.os_version);
    rows.string(&event.device_type);
    rows.bool(event.is_mobile);
    rows.bool(event.is_bot);
    rows.string(&event.browser_language);
    rows.string(&event.document_language);
    rows.string(&event.viewport_size);
    rows.string(&event.screen_resolution);
    rows.string(&event.document_size);
    rows.string(&event.time_zone);
    rows.string(&event.charset);
    rows.string(&event.ip_address);
    rows.string(&event.category);
    rows.string(&event.action);
    rows.string(&event.label);
    rows.string(&event.property);
    rows.optional_f64(event.value);
    rows.string(&event.custom_event_name);
    rows.string(&event.custom_event_props);
    rows.string(&event.custom_user_props);
    rows.string(&event.element_id);
    rows.string(&event.target_url);
    rows.optional_f64(event.load_ms);
    rows.string(&event.unstruct);
    rows.string(&event.contexts);
    rows.u8(source as u8);
    rows.u32(partition);
    rows.u64(offset);
    rows.end_row();
}
