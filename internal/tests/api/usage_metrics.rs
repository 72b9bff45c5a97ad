//! What the agent server counts becomes tracked events that Tally's own metrics read.

use serde_json::{Value, json};
use tally_eventlog::AppendError;
use tally_schemas::dead_letter::Origin;
use tally_schemas::{Definitions, DropReason, Effect, Matcher, PropertyValue, TrackedEvent};

use crate::world::{NOW, World, kas_token};

const PATH: &str = "/internal/kubernetes/usage_metrics";

async fn report(world: &World, body: &Value) -> (u16, Value) {
    world.call("POST", PATH, &[("Gitlab-Kas-Api-Request", &kas_token())], Some(body)).await.parts()
}

/// The metrics of the built-in definitions that the event changes, with what it adds: a number, or `one id`.
fn effects(event: &TrackedEvent<'_>) -> Vec<(String, String)> {
    effects_on(&Definitions::built_in(), event)
}

fn effects_on(definitions: &Definitions, event: &TrackedEvent<'_>) -> Vec<(String, String)> {
    let matcher = Matcher::new(definitions);
    let metrics = definitions.metrics().iter().filter(|metric| metric.is_counted());
    let matching = metrics.filter_map(|metric| {
        let rule = metric.rules.iter().find(|rule| rule.event == event.name)?;
        let id = matcher.counters().iter().position(|counter| counter == rule)?;
        let added = match matcher.effect(tally_schemas::CounterId(id as u32), event)? {
            Effect::Sum(nanos) => (nanos / 1_000_000_000).to_string(),
            Effect::Unique(_) => "one id".to_owned(),
            Effect::Count => "1".to_owned(),
            other @ Effect::UniqueTotal(_) => format!("{other:?}"),
        };
        Some((metric.key_path.clone(), added))
    });
    matching.collect()
}

#[tokio::test]
async fn each_count_is_one_event_whose_number_the_metric_sums() {
    let world = World::new();
    for (sent, key_path, number) in [
        (json!({"gitops_sync_count": 5}), "counts.kubernetes_agent_gitops_sync", 5),
        (json!({"k8s_api_proxy_request_count": "7"}), "counts.kubernetes_agent_k8s_api_proxy_request", 7),
        (json!({"counters": {"gitops_sync": 1}}), "counts.kubernetes_agent_gitops_sync", 1),
        (
            json!({"counters": {"k8s_api_proxy_request": 2.9}}),
            "counts.kubernetes_agent_k8s_api_proxy_request",
            2,
        ),
        (
            json!({"counters": {"flux_git_push_notifications_total": 3}}),
            "counts.kubernetes_agent_flux_git_push_notifications_total",
            3,
        ),
        (
            json!({"counters": {"k8s_api_proxy_requests_via_ci_access": 4}}),
            "counts.kubernetes_agent_k8s_api_proxy_requests_via_ci_access",
            4,
        ),
        (
            json!({"counters": {"k8s_api_proxy_requests_via_user_access": 5}}),
            "counts.kubernetes_agent_k8s_api_proxy_requests_via_user_access",
            5,
        ),
        (
            json!({"counters": {"k8s_api_proxy_requests_via_pat_access": 1_000_000_000_000_i64}}),
            "counts.kubernetes_agent_k8s_api_proxy_requests_via_pat_access",
            1_000_000_000_000,
        ),
    ] {
        let before = world.events().len();
        assert_eq!(report(&world, &sent).await, (204, json!("")), "{sent}");
        let events = world.events();
        assert_eq!(events.len(), before + 1, "{sent}");
        let event = events.last().unwrap();
        assert_eq!(event.property("value"), Some(&PropertyValue::Long(number)), "{sent}");
        assert_eq!(effects(event), [(key_path.to_owned(), number.to_string())], "{sent}");
        assert_eq!((event.user_id, event.project_id, event.namespace_id), (None, None, None));
        let now = NOW.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        assert_eq!((event.timestamp, event.received_at, event.client_event_id), (now, now, false));
    }
}

/// Definitions with one metric over proxied requests, which has `operator`, and none over synchronizations.
fn definitions(operator: &str) -> Definitions {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let event = |action: &str| {
        format!(
            "description: x\naction: {action}\ninternal_events: true\nstatus: active\nproduct_group: x\n\
             milestone: '1.0'\nintroduced_by_url: https://example.com/1\ntiers: [free]\n\
             additional_properties: {{value: {{description: How many}}}}\n"
        )
    };
    std::fs::create_dir_all(folder.path().join("events")).unwrap();
    std::fs::create_dir_all(folder.path().join("metrics")).unwrap();
    write("events/proxied.yml", event("request_api_proxy_access"));
    write("events/synced.yml", event("gitops_sync"));
    write(
        "metrics/proxied.yml",
        format!(
            "key_path: counts.proxied\ndescription: x\nproduct_group: x\nperformance_indicator_type: []\n\
             value_type: number\nstatus: active\nmilestone: '1.0'\nintroduced_by_url: https://example.com/1\n\
             time_frame: all\ndata_source: internal_events\ndata_category: optional\ntiers: [free]\n\
             events:\n- name: request_api_proxy_access\n{operator}"
        ),
    );
    Definitions::load(&[folder.path().to_str().unwrap()]).unwrap()
}

#[tokio::test]
async fn a_metric_shows_the_count_whether_it_sums_values_or_counts_events() {
    for (operator, events, added) in [("  operator: sum(value)\n", 1, "5"), ("", 5, "1")] {
        let definitions = definitions(operator);
        let world = World::with_definitions(&definitions);
        assert_eq!(report(&world, &json!({"counters": {"k8s_api_proxy_request": 5}})).await.0, 204);
        let tracked = world.events();
        assert_eq!(tracked.len(), events, "{operator}");
        for event in &tracked {
            let expected = [("counts.proxied".to_owned(), added.to_owned())];
            assert_eq!(effects_on(&definitions, event), expected, "{operator}");
        }
        let ids: std::collections::HashSet<_> = tracked.iter().map(|event| event.event_id).collect();
        assert_eq!(ids.len(), events, "each event has an id of its own");
    }
}

#[tokio::test]
async fn a_count_that_would_be_too_many_events_is_cut_and_the_rest_is_counted() {
    let world = World::with_definitions(&definitions(""));
    // An event that nothing counts, one that is counted, and one that is not defined.
    let sent = json!({"counters": {
        "gitops_sync": 3, "k8s_api_proxy_request": i64::MAX, "flux_git_push_notifications_total": 20_000,
    }});
    assert_eq!(report(&world, &sent).await.0, 204);
    let events = world.events();
    let count = |name: &str| events.iter().filter(|event| event.name == name).count();
    assert_eq!(count("gitops_sync"), 3);
    assert_eq!(count("request_api_proxy_access"), 10_000);
    assert_eq!(count("create_flux_git_push_notification"), 1);
    let families = world.registry.gather();
    let cut = families.iter().find(|family| family.name() == "tally_internal_cut_usage_total").unwrap();
    let [cut] = cut.get_metric() else { panic!("one event's count was cut: {cut:?}") };
    assert_eq!(cut.get_label()[0].value(), "request_api_proxy_access");
    assert_eq!(cut.get_counter().get_value() as i64, (i64::MAX - 10_000) as f64 as i64);
}

#[tokio::test]
async fn each_id_is_one_event_that_the_metric_counts_once() {
    let world = World::new();
    let user = |id: i64| (Some(id), None, None, None);
    let agent = |id: i64| (None, None, None, Some(PropertyValue::Long(id)));
    let project = |id: i64, namespace: Option<i64>| (None, Some(id), namespace, None);
    for (name, expected) in [
        ("agent_users_using_ci_tunnel", [user(101), user(999)]),
        ("k8s_api_proxy_requests_unique_users_via_ci_access", [user(101), user(999)]),
        ("k8s_api_proxy_requests_unique_agents_via_ci_access", [agent(101), agent(999)]),
        ("k8s_api_proxy_requests_unique_users_via_user_access", [user(101), user(999)]),
        ("k8s_api_proxy_requests_unique_agents_via_user_access", [agent(101), agent(999)]),
        ("k8s_api_proxy_requests_unique_users_via_pat_access", [user(101), user(999)]),
        ("k8s_api_proxy_requests_unique_agents_via_pat_access", [agent(101), agent(999)]),
        ("flux_git_push_notified_unique_projects", [project(101, Some(11)), project(999, None)]),
    ] {
        let before = world.events().len();
        let sent = json!({"unique_counters": {name: [999, "101", 101, 0, -5, null, 101]}});
        assert_eq!(report(&world, &sent).await, (204, json!("")), "{name}");
        let events = &world.events()[before..];
        let of = |event: &TrackedEvent<'static>| {
            (
                event.user_id,
                event.project_id,
                event.namespace_id,
                event.property("agent_id").map(|id| id.clone().into_owned()),
            )
        };
        assert_eq!(events.iter().map(of).collect::<Vec<_>>(), expected, "{name}");
        for event in events {
            let key_path = format!("redis_hll_counters.kubernetes_agent.{name}");
            let expected =
                ["monthly", "weekly"].map(|frame| (format!("{key_path}_{frame}"), "one id".to_owned()));
            assert_eq!(effects(event), expected, "{name}");
        }
    }
}

#[tokio::test]
async fn one_report_may_count_many_things() {
    let world = World::new();
    let sent = json!({
        "gitops_sync_count": 1, "k8s_api_proxy_request_count": 0,
        "counters": {"gitops_sync": 2, "flux_git_push_notifications_total": 3, "unheard_of": 4},
        "unique_counters": {"agent_users_using_ci_tunnel": [1, 2], "unheard_of": [3]},
    });
    assert_eq!(report(&world, &sent).await, (204, json!("")));
    let events = world.events();
    let names: Vec<&str> = events.iter().map(|event| &*event.name).collect();
    assert_eq!(
        names,
        [
            "gitops_sync",
            "gitops_sync",
            "create_flux_git_push_notification",
            "agent_users_using_ci_tunnel",
            "agent_users_using_ci_tunnel",
        ]
    );
    let ids: std::collections::HashSet<_> = events.iter().map(|event| event.event_id).collect();
    assert_eq!(ids.len(), events.len(), "each event has an id of its own");
}

#[tokio::test]
async fn nothing_counted_is_fine_and_leaves_no_trace() {
    let world = World::new();
    for sent in [
        json!({}),
        json!({"gitops_sync_count": 0, "k8s_api_proxy_request_count": 0}),
        json!({"gitops_sync_count": null}),
        json!({"counters": {"gitops_sync": 0}, "unique_counters": {"agent_users_using_ci_tunnel": []}}),
        json!({"counters": {}, "unique_counters": {}}),
        json!({"counters": null, "unique_counters": null}),
        json!({"counters": {"gitops_sync": null}, "unique_counters": {"agent_users_using_ci_tunnel": null}}),
        json!({"something": "else"}),
    ] {
        assert_eq!(report(&world, &sent).await, (204, json!("")), "{sent}");
    }
    assert_eq!(world.events(), []);
}

#[tokio::test]
async fn what_is_no_count_and_no_list_is_refused_and_nothing_is_counted() {
    let world = World::new();
    let error = |text: &str| json!({"error": text});
    let negative = |name: &str| json!({"message": format!("400 Bad request - {name} must be greater than or equal to zero")});
    for (sent, body) in [
        (
            json!({"gitops_sync_count": "string", "k8s_api_proxy_request_count": 1}),
            error("gitops_sync_count is invalid"),
        ),
        (json!({"k8s_api_proxy_request_count": []}), error("k8s_api_proxy_request_count is invalid")),
        (
            json!({"gitops_sync_count": {}, "k8s_api_proxy_request_count": true}),
            error("gitops_sync_count is invalid, k8s_api_proxy_request_count is invalid"),
        ),
        (json!({"gitops_sync_count": -1, "k8s_api_proxy_request_count": 1}), negative("gitops_sync_count")),
        (json!({"k8s_api_proxy_request_count": "-1"}), negative("k8s_api_proxy_request_count")),
        (json!({"counters": 5}), error("counters is invalid")),
        (json!({"counters": ["gitops_sync"]}), error("counters is invalid")),
        (json!({"counters": {"gitops_sync": "x"}}), error("counters[gitops_sync] is invalid")),
        (
            json!({"counters": {"gitops_sync": 1, "k8s_api_proxy_request": -2}}),
            negative("counters[k8s_api_proxy_request]"),
        ),
        (json!({"unique_counters": "x"}), error("unique_counters is invalid")),
        (
            json!({"unique_counters": {"agent_users_using_ci_tunnel": 1}}),
            error("unique_counters[agent_users_using_ci_tunnel] is invalid"),
        ),
        (
            json!({"gitops_sync_count": 1, "unique_counters": {"flux_git_push_notified_unique_projects": [1, "x"]}}),
            error("unique_counters[flux_git_push_notified_unique_projects] is invalid"),
        ),
    ] {
        assert_eq!(report(&world, &sent).await, (400, body), "{sent}");
    }
    assert_eq!(world.events(), []);
}

#[tokio::test]
async fn a_refused_report_is_kept_with_what_it_counted() {
    let world = World::new();
    let sent = json!({"gitops_sync_count": 7, "counters": {"gitops_sync": "x"}});
    assert_eq!(report(&world, &sent).await.0, 400);
    let letters = world.dead_letters().await;
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(letter.reason, DropReason::Invalid);
    assert_eq!(serde_json::from_slice::<Value>(&letter.payload).unwrap(), sent);
}

#[tokio::test]
async fn a_report_that_cannot_be_read_is_kept_as_far_as_it_came_and_counted() {
    let world = World::new();
    let token = kas_token();
    let long = format!("{{\"counters\": {{\"{}\": 1}}}}", "x".repeat(2 << 20)).into_bytes();
    for (content_type, body, status, reason, kept) in [
        ("application/json", b"{\"counters\"".to_vec(), 400, DropReason::Invalid, 11),
        ("text/plain", b"counters=1".to_vec(), 415, DropReason::Invalid, 10),
        ("application/json", b"{\"counters\": \xff".to_vec(), 400, DropReason::Invalid, 14),
        ("application/json", long, 413, DropReason::Oversized, 256 << 10),
    ] {
        let before = world.dead_letters().await.len();
        let headers = [("Gitlab-Kas-Api-Request", &*token), ("Content-Type", content_type)];
        assert_eq!(world.send("POST", PATH, &headers, body.clone()).await.status, status);
        let letters = world.dead_letters().await;
        let [letter] = &letters[before..] else { panic!("{letters:?}") };
        let Origin::Request { content_type: kept_type, .. } = &letter.origin else { panic!("{letter:?}") };
        assert_eq!((letter.reason, &**kept_type), (reason, content_type));
        assert_eq!(letter.payload, body[..kept]);
        let is_cut = letter.whole_size.is_some_and(|size| size > kept as u64);
        assert_eq!(is_cut, kept < body.len(), "{:?}", letter.whole_size);
    }
    let families = world.registry.gather();
    let dropped = families.iter().find(|family| family.name() == "tally_internal_dropped_total").unwrap();
    let counted = |reason: DropReason| {
        let mut of_reason = dropped.get_metric().iter();
        let found = of_reason.find(|metric| metric.get_label()[0].value() == reason.as_str()).unwrap();
        found.get_counter().get_value() as u64
    };
    assert_eq!((counted(DropReason::Invalid), counted(DropReason::Oversized)), (3, 1));
    assert_eq!(world.events(), []);
}

#[tokio::test]
async fn another_try_of_a_report_brings_the_same_ids() {
    let world = World::new();
    let sent = json!({"counters": {"gitops_sync": 5, "k8s_api_proxy_request": 6},
        "unique_counters": {"agent_users_using_ci_tunnel": [1, 2]}});
    for correlation_id in ["01A", "01A", "01B"] {
        let headers = [("Gitlab-Kas-Api-Request", &*kas_token()), ("X-Request-ID", correlation_id)];
        assert_eq!(world.call("POST", PATH, &headers, Some(&sent)).await.status, 204);
    }
    let events = world.events();
    let ids: Vec<_> = events.iter().map(|event| event.event_id).collect();
    assert!(events.len() == 12 && events.iter().all(|event| event.client_event_id));
    assert_eq!(ids[..4], ids[4..8]);
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), 8);
}

#[tokio::test]
async fn a_report_that_the_log_does_not_take_is_not_answered_as_counted() {
    let world = World::new();
    world.refuse(Some(AppendError::Unavailable("no broker".to_owned())));
    let answer = world
        .call(
            "POST",
            PATH,
            &[("Gitlab-Kas-Api-Request", &kas_token())],
            Some(&json!({"gitops_sync_count": 1})),
        )
        .await;
    let body = json!({"message": "503 Service Unavailable - the event log is not available"});
    assert_eq!(answer.parts(), (503, body));
    assert_eq!(answer.headers["retry-after"], "1");
    world.refuse(Some(AppendError::Rejected("no".to_owned())));
    assert_eq!(report(&world, &json!({"gitops_sync_count": 1})).await.0, 500);
    world.refuse(None);
    assert_eq!(report(&world, &json!({"gitops_sync_count": 1})).await.0, 204);
    assert_eq!(world.events().len(), 1);
}
