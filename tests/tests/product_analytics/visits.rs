//! A Tally with a week of page events that are known to the last one, an operator's own cubes, and Cube's tokens.

use anyhow::Result;
use jiff::civil::Date;
use jiff::{ToSpan, Zoned};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tally_tests::instance::Instance;
use tally_tests::outside::root;
use tally_tests::process::clickhouse;

/// The project whose events these are.
pub const PROJECT: i64 = 5;

/// Where GitLab has the API of [`PROJECT`].
pub const GITLAB_PATH: &str = "/api/v4/projects/5/product_analytics/request";
/// Where Cube has it.
pub const CUBE_PATH: &str = "/cubejs-api/v1";

const API_SECRET: &str = "a secret of the tests, of more than thirty-two bytes";

/// Ten page views a day number, by turns on `/` and `/pricing`, by five users; then three link clicks a day on `/`.
const WEEK: &str = "
INSERT INTO page_events
    (project_id, timestamp, received_at, event_id, event, event_name, user_id, page_url_path)
SELECT
    {PROJECT}, toDateTime64('{FIRST_DAY} 00:00:00', 3, 'UTC') + toIntervalDay(day - 1) + toIntervalMinute(minute) AS timestamp,
    timestamp, reinterpretAsUUID(sipHash128(kind, day, number)), kind, kind, user, path
FROM (
    SELECT
        arrayJoin([1, 2, 3, 5, 6, 7]) AS day, arrayJoin(range(10 * day)) AS number, 20 * number AS minute,
        'page_view' AS kind, concat('u', toString(number % 5)) AS user, if(number % 2 = 0, '/', '/pricing') AS path
    UNION ALL
    SELECT
        arrayJoin([1, 2, 3, 5, 6, 7]) AS day, arrayJoin(range(3)) AS number, 720 + number AS minute,
        'link_click' AS kind, 'u0' AS user, '/' AS path
)";

/// Page events and link clicks of the week.
pub const WEEKS_EVENTS: u64 = 258;

/// The first of the seven days, so that the last is yesterday.
pub fn first_day() -> Date {
    Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).date().saturating_sub(7.days())
}

/// The settings that make the operator's cubes and Cube's tokens known.
pub fn settings() -> Vec<String> {
    vec![
        format!(
            "query.cube.models=[{{path={:?}}}]",
            root().join("tests/fixtures/cubes").display().to_string()
        ),
        format!("query.cube.api_secret={API_SECRET:?}"),
    ]
}

/// Writes the week that begins at `first_day`.
pub async fn write(instance: &Instance, first_day: Date) -> Result<()> {
    let sql = WEEK.replace("{PROJECT}", &PROJECT.to_string()).replace("{FIRST_DAY}", &first_day.to_string());
    clickhouse(&instance.store, &sql).await?;
    Ok(())
}

/// A token of Cube's for `project`.
pub fn cube_token(project: i64) -> Result<String> {
    signed(&json!({
        "appId": format!("gitlab_project_{project}"),
        "exp": jiff::Timestamp::now().as_second() + 3600,
    }))
}

/// These claims, signed with the secret that Tally knows.
pub fn signed(claims: &Value) -> Result<String> {
    let key = EncodingKey::from_secret(API_SECRET.as_bytes());
    Ok(jsonwebtoken::encode(&Header::default(), claims, &key)?)
}
