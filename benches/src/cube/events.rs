//! Page events and their sessions, generated in the engine: eight events a session, two of them link clicks, three sessions a user,
//! fifty pages of which a few are visited most.

use anyhow::Result;
use jiff::civil::Date;

use crate::cpu::store::Tables;

/// The project that everything belongs to.
pub const PROJECT: i64 = 1;

/// As many as one insert brings.
const PER_INSERT: u64 = 1_000_000;

const PAGE_EVENTS: &str = "
INSERT INTO page_events (project_id, timestamp, received_at, event_id, client_event_id, event, event_name, user_id, domain_user_id,
    session_id, session_index, platform, tracker_version, page_url, page_title, page_url_scheme, page_url_host, page_url_path,
    referrer_medium, user_agent, agent_name, agent_version, os_family, os_name, os_version, device_type, is_mobile,
    browser_language, document_language, viewport_size, partition, offset)
SELECT
    {PROJECT},
    toDateTime64('{FIRST_DAY} 00:00:00', 3, 'UTC') + toIntervalMillisecond(session_random % ({DAYS} * 86400000 - 1200000))
        + toIntervalSecond(number % 8 * 97) AS timestamp,
    timestamp, generateUUIDv4(), true, if(number % 4 = 3, 'link_click', 'page_view') AS event, event,
    if(user % 4 = 0, '', concat('user-', toString(user))), concat('visitor-', toString(user)),
    concat('session-', toString(session)), session % 3 + 1, 'web', 'js-4.10.1',
    concat('https://shop.example', path), concat('Page ', toString(page)), 'https', 'shop.example', path,
    ['internal', 'search', 'social', ''][session_random % 4 + 1], concat('agent of ', agent), agent, toString(120 + user % 20),
    os, os, toString(10 + user % 5), if(user % 3 = 0, 'smartphone', 'pc'), user % 3 = 0,
    ['de', 'en-US', 'fr', 'ja', 'pt-BR'][user % 5 + 1], 'en', ['1280x720', '1920x1080', '390x844'][user % 3 + 1], 0, number
FROM (
    SELECT
        number, intDiv(number, 8) AS session, cityHash64(session) AS session_random, intDiv(session, 3) AS user,
        toUInt32(50 / (1 + cityHash64(number, 'page') % 50)) AS page, concat('/page/', toString(page)) AS path,
        ['Chrome', 'Firefox', 'Safari', 'Edge', 'Opera'][user % 5 + 1] AS agent,
        ['Windows', 'Mac OSX', 'Linux', 'Android', 'iPhone'][user % 5 + 1] AS os
    FROM numbers({FROM}, {COUNT})
)";

const SESSIONS: &str = "
INSERT INTO session_parts (project_id, by_visitor, key, slot, start_at, end_at, events_count, page_views_count, session_index,
    user_id, visitor_id, agent_name, agent_version, os_family, os_name, os_version, device_type, browser_language,
    document_language, viewport_size)
SELECT
    project_id, false, session_id, 0, min(timestamp), max(timestamp), count(), countIf(event = 'page_view'), any(session_index),
    any(user_id), any(domain_user_id), any(agent_name), any(agent_version), any(os_family), any(os_name), any(os_version),
    any(device_type), any(browser_language), any(document_language), any(viewport_size)
FROM page_events
WHERE project_id = {PROJECT}
GROUP BY project_id, session_id";

/// Fills the tables with `count` page events from `first_day` on, over so many days.
pub async fn generate(tables: &Tables, count: u64, first_day: Date, days: i64) -> Result<()> {
    for from in (0..count).step_by(PER_INSERT as usize) {
        let sql = PAGE_EVENTS
            .replace("{FIRST_DAY}", &first_day.to_string())
            .replace("{DAYS}", &days.to_string())
            .replace("{FROM}", &from.to_string())
            .replace("{COUNT}", &PER_INSERT.min(count - from).to_string());
        tables.query(sql.replace("{PROJECT}", &PROJECT.to_string())).await?;
    }
    tables.query(SESSIONS.replace("{PROJECT}", &PROJECT.to_string())).await?;
    Ok(())
}
