//! The page event: what a Snowplow tracker saw, enriched, as it travels on the log.

use uuid::Uuid;

/// One event of product analytics. An empty text means that nobody said; times are in milliseconds since the epoch, UTC.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PageEvent {
    /// The tracker's `eid`, or one made at receipt where it sent none.
    pub event_id: Uuid,
    /// The tracker chose `event_id`: only such an event can come again.
    pub client_event_id: bool,
    /// Whose event it is.
    pub project_id: i64,
    /// What kind: `page_view`, `page_ping`, `struct`, `link_click`, `custom`, ... or a self-describing event's own name.
    pub event: String,
    /// The name within the kind: a custom event's name, a structured event's action, else the kind again.
    pub event_name: String,
    /// When it happened by our clock: receipt minus how long the tracker kept it (Snowplow's `derived_tstamp`).
    pub timestamp: i64,
    /// When it was received.
    pub received_at: i64,
    /// The user that the site identified.
    pub user_id: String,
    /// The visitor by the tracker's own cookie or storage.
    pub domain_user_id: String,
    /// The visitor by the collector's cookie, where cookies are on.
    pub network_user_id: String,
    /// The tracker's session; empty where the tracker keeps none.
    pub session_id: String,
    /// The how-manieth session of the visitor, from 1; 0 when the tracker does not say.
    pub session_index: u32,
    /// Snowplow's platform code: `web`, `srv`, `mob`, ...
    pub platform: String,
    /// The tracker's library and version, such as `js-4.6.0`.
    pub tracker_version: String,
    /// The tracker's name on the site.
    pub tracker_name: String,

    pub page_url: String,
    pub page_title: String,
    pub page_url_scheme: String,
    pub page_url_host: String,
    /// 0 when there is none.
    pub page_url_port: u16,
    pub page_url_path: String,
    pub page_url_query: String,
    pub page_url_fragment: String,

    pub page_referrer: String,
    pub referrer_host: String,
    pub referrer_path: String,
    /// `internal`, `search`, `social`, `email`, `unknown`; empty without a referrer.
    pub referrer_medium: String,
    pub referrer_source: String,
    pub referrer_term: String,

    pub campaign_medium: String,
    pub campaign_source: String,
    pub campaign_term: String,
    pub campaign_content: String,
    pub campaign_name: String,
    pub click_id: String,
    pub click_network: String,

    pub user_agent: String,
    pub agent_name: String,
    pub agent_version: String,
    /// The system's family, such as `Windows`, `iOS`.
    pub os_family: String,
    /// The system's name, such as `Windows 10`.
    pub os_name: String,
    pub os_version: String,
    /// `pc`, `smartphone`, `mobilephone`, `appliance`, `crawler`, ...
    pub device_type: String,
    pub is_mobile: bool,
    pub is_bot: bool,
    pub browser_language: String,
    pub document_language: String,
    /// `1280x720`.
    pub viewport_size: String,
    pub screen_resolution: String,
    pub document_size: String,
    pub time_zone: String,
    pub charset: String,
    /// Anonymised, or empty: never the whole address unless the operator asks for it.
    pub ip_address: String,

    /// A structured event's fields.
    pub category: String,
    pub action: String,
    pub label: String,
    pub property: String,
    pub value: Option<f64>,

    /// A custom event's own name.
    pub custom_event_name: String,
    /// JSON objects; empty for none.
    pub custom_event_props: String,
    pub custom_user_props: String,
    /// The element and the target of a link click.
    pub element_id: String,
    pub target_url: String,
    /// Milliseconds until the page was loaded.
    pub load_ms: Option<f64>,
    /// Self-describing data of an event that is none of the known kinds, as JSON; empty for none.
    pub unstruct: String,
    /// The contexts that nothing above was made of, a JSON array; empty for none.
    pub contexts: String,
}
