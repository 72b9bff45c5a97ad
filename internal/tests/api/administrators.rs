//! Who may administer subscriptions, minutes, reconciliations and alerts.

use serde_json::{Value, json};

use crate::world::{ALICE, ROOT, World};

const ENDPOINTS: [(&str, &str); 7] = [
    ("POST", "/namespaces/10/gitlab_subscription"),
    ("PUT", "/namespaces/10/gitlab_subscription"),
    ("GET", "/namespaces/10/gitlab_subscription"),
    ("POST", "/namespaces/10/minutes"),
    ("PATCH", "/namespaces/10/minutes/move/12"),
    ("PUT", "/internal/upcoming_reconciliations"),
    ("GET", "/projects/100/alert_management_alerts"),
];

/// What a call shows.
type Headers<'h> = &'h [(&'h str, &'h str)];

fn insufficient(scopes: &str) -> Value {
    json!({
        "error": "insufficient_scope",
        "error_description": "The request requires higher privileges than provided by the access token.",
        "scope": scopes,
    })
}

#[tokio::test]
async fn nobody_but_an_administrator_gets_in() {
    let world = World::new();
    let unauthorized = json!({"message": "401 Unauthorized"});
    let bad = json!({"error": "invalid_token", "error_description": "Bad Access Token."});
    let bearer = |token: &str| format!("Bearer {token}");
    let (unknown_bearer, alices_bearer) = (bearer("glpat-nobody"), bearer(ALICE));
    let rows: [(Headers, u16, &Value); 8] = [
        (&[], 401, &unauthorized),
        (&[("TOKEN", "")], 401, &unauthorized),
        (&[("TOKEN", "glpat-nobody")], 401, &unauthorized),
        (&[("PRIVATE-TOKEN", "glpat-nobody")], 401, &unauthorized),
        (&[("Authorization", unknown_bearer.as_str())], 401, &bad),
        (&[("TOKEN", ALICE)], 403, &json!({"message": "403 Forbidden"})),
        (&[("PRIVATE-TOKEN", ALICE)], 403, &json!({"message": "403 Forbidden"})),
        (&[("Authorization", alices_bearer.as_str())], 403, &json!({"message": "403 Forbidden"})),
    ];
    for (method, path) in ENDPOINTS {
        for (headers, status, body) in rows {
            let answer = world.call(method, path, headers, None).await.parts();
            assert_eq!(answer, (status, body.clone()), "{method} {path} {headers:?}");
        }
    }
}

#[tokio::test]
async fn an_administrators_token_is_taken_from_each_of_its_places() {
    let world = World::new();
    let bearer = format!("Bearer {ROOT}");
    let rows: [Headers; 4] = [
        &[("TOKEN", ROOT)],
        &[("PRIVATE-TOKEN", ROOT)],
        &[("Authorization", bearer.as_str())],
        &[("PRIVATE-TOKEN", ROOT), ("TOKEN", ALICE)],
    ];
    for (method, path) in ENDPOINTS {
        for headers in rows {
            let (status, body) = world.call(method, path, headers, None).await.parts();
            assert!(![401, 403].contains(&status), "{method} {path} {headers:?}: {status} {body}");
        }
    }
}

#[tokio::test]
async fn an_administrators_token_needs_the_scope_for_what_it_does() {
    let world = World::new();
    for (method, path) in ENDPOINTS {
        let is_read = method == "GET";
        let needed = if is_read { "api read_api" } else { "api" };
        let reader = world.call(method, path, &[("TOKEN", "glpat-root-reader")], None).await.parts();
        assert_eq!(reader == (403, insufficient(needed)), !is_read, "{method} {path}: {reader:?}");
        let user_reader =
            world.call(method, path, &[("TOKEN", "glpat-root-user-reader")], None).await.parts();
        assert_eq!(user_reader, (403, insufficient(needed)), "{method} {path}");
    }
}

#[tokio::test]
async fn a_namespace_is_found_by_id_and_by_path_or_not_at_all() {
    let world = World::new();
    for found in ["10", "group", "11", "group%2Fsub"] {
        let (status, body) =
            world.administer("GET", &format!("/namespaces/{found}/gitlab_subscription"), json!({})).await;
        assert_eq!((status, body), (404, json!({"message": "404 GitlabSubscription Not Found"})), "{found}");
    }
    let pack = json!({"packs": [{"number_of_minutes": 1, "expires_at": "2027-01-01", "purchase_xid": "x"}]});
    for absent in ["99", "grou", "group%2Fno", "99999999999999999999", "-10", "%20"] {
        for (method, path, body) in [
            ("GET", format!("/namespaces/{absent}/gitlab_subscription"), json!({})),
            (
                "POST",
                format!("/namespaces/{absent}/gitlab_subscription"),
                json!({"start_date": "2026-01-01"}),
            ),
            ("PUT", format!("/namespaces/{absent}/gitlab_subscription"), json!({})),
            ("POST", format!("/namespaces/{absent}/minutes"), pack.clone()),
            ("PATCH", format!("/namespaces/{absent}/minutes/move/12"), json!({})),
        ] {
            let answer = world.administer(method, &path, body).await;
            assert_eq!(answer, (404, json!({"message": "404 Namespace Not Found"})), "{method} {path}");
        }
    }
    for (method, path) in [("POST", "/namespaces/%FF/minutes"), ("PATCH", "/namespaces/10/minutes/move/%C3")]
    {
        let answer = world.administer(method, path, json!({})).await;
        assert_eq!(answer, (404, json!({"message": "404 Not Found"})), "{method} {path}");
    }
}
