//! Ten queries of GitLab's built-in dashboards Audience and Behavior, in the form in which its front end sends them.

use serde_json::{Value, json};

/// Each query with the dashboard's name for it.
pub fn dashboard(range: &[String; 2]) -> Vec<(&'static str, Value)> {
    let dated = |mut query: Value, member: &str| {
        query["filters"] = json!([{"member": member, "operator": "inDateRange", "values": range}]);
        query["limit"] = json!(100);
        query["timezone"] = json!("UTC");
        query
    };
    let by_day = |measure: &str, dimension: &str| {
        dated(
            json!({"measures": [measure], "timeDimensions": [{"dimension": dimension, "granularity": "day"}]}),
            dimension,
        )
    };
    let (events, sessions) = ("TrackedEvents.derivedTstamp", "Sessions.startAt");
    vec![
        ("daily_active_users", by_day("TrackedEvents.uniqueUsersCount", events)),
        ("total_unique_users", dated(json!({"measures": ["TrackedEvents.uniqueUsersCount"]}), events)),
        ("total_events", dated(json!({"measures": ["TrackedEvents.count"]}), events)),
        ("events_over_time", by_day("TrackedEvents.count", events)),
        ("page_views_over_time", by_day("TrackedEvents.pageViewsCount", events)),
        (
            "top_pages",
            dated(
                json!({
                    "measures": ["TrackedEvents.pageViewsCount"],
                    "dimensions": ["TrackedEvents.pageUrlpath", "TrackedEvents.pageUrl"],
                    "order": {"TrackedEvents.pageViewsCount": "desc"},
                }),
                events,
            ),
        ),
        (
            "browsers_per_users",
            dated(
                json!({"measures": ["TrackedEvents.uniqueUsersCount"], "dimensions": ["TrackedEvents.agentName"]}),
                events,
            ),
        ),
        ("sessions_over_time", by_day("Sessions.count", sessions)),
        (
            "average_session_duration",
            dated(json!({"measures": ["Sessions.averageDurationMinutes"]}), sessions),
        ),
        (
            "sessions_per_browser",
            dated(json!({"measures": ["Sessions.count"], "dimensions": ["Sessions.agentName"]}), sessions),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_ten_and_each_asks_for_the_whole_range() {
        let queries = dashboard(&["2026-11-01".to_owned(), "2026-11-30".to_owned()]);
        assert_eq!(queries.len(), 10);
        for (name, query) in queries {
            assert_eq!(query["filters"][0]["values"], json!(["2026-11-01", "2026-11-30"]), "{name}");
        }
    }
}
