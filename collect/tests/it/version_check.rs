//! `GET /check.svg`, `/check.png` and `/check.json`.

use axum::body::Body;
use axum::http::Request;
use base64::prelude::{BASE64_URL_SAFE, Engine as _};
use serde_json::json;

use crate::app::{Answer, TestApp, with_app};

async fn check(app: &TestApp, kind: &str, version: &str) -> Answer {
    let info = BASE64_URL_SAFE.encode(json!({"version": version}).to_string());
    let request = Request::get(format!("/check.{kind}?gitlab_info={info}"));
    app.send(request.header("referer", "https://gitlab.example.com/admin"), Body::empty()).await
}

#[test]
fn a_version_is_told_whether_it_is_up_to_date() {
    with_app("severity", |app| async move {
        for (version, severity, critical, text, colour, details) in [
            ("17.5.2-ee", "success", false, "up-to-date", "#217645", "This is the latest version."),
            (
                "17.4.3",
                "warning",
                false,
                "update available",
                "#fc9e2a",
                "An update is available: 17.4.4 or 17.5.2.",
            ),
            (
                "17.3.1",
                "danger",
                true,
                "update asap",
                "#c91c00",
                "A security release is out: update to 17.5.2 as soon as possible.",
            ),
        ] {
            let status = check(&app, "json", version).await;
            let expected = json!({
                "latest_stable_versions": ["17.5.2", "17.4.4"],
                "latest_version": "17.5.2",
                "severity": severity,
                "critical_vulnerability": critical,
                "details": details,
            });
            assert_eq!(status.json(200), expected, "{version}");
            let svg = check(&app, "svg", version).await;
            assert_eq!(svg.headers["content-type"], "image/svg+xml");
            assert!(
                svg.text().contains(&format!(">{text}</text>")) && svg.text().contains(colour),
                "{}",
                svg.text()
            );
            let png = check(&app, "png", version).await;
            assert_eq!(png.headers["content-type"], "image/png");
            assert_eq!(png.bytes[..8], *b"\x89PNG\r\n\x1a\n");
            assert_eq!(png.bytes, picture(severity), "{version}");
        }
        std::fs::write(app.releases.path(), "- {version: 17.6.0, date: 2024-11-21}").unwrap();
        assert_eq!(
            check(&app, "json", "17.5.2").await.json(200)["severity"],
            "warning",
            "the file is read again"
        );
    });
}

fn picture(severity: &str) -> &'static [u8] {
    match severity {
        "success" => include_bytes!("../../assets/up_to_date.png"),
        "warning" => include_bytes!("../../assets/update_available.png"),
        _ => include_bytes!("../../assets/update_asap.png"),
    }
}

#[test]
fn version_host_name_and_time_are_recorded_and_nothing_else() {
    with_app("recorded", |app| async move {
        check(&app, "json", "17.4.4-ee").await;
        check(&app, "svg", "17.5.2").await;
        app.get("/check.png?gitlab_info=eyJ2ZXJzaW9uIjoiMTcuNS4yIn0").await;
        app.collector.flush().await;
        let rows = "SELECT concat(toString(checked_at), ' ', hostname, ' ', version) FROM version_checks ORDER BY hostname, version";
        let expected = [
            "2026-11-21 10:00:00.000  17.5.2",
            "2026-11-21 10:00:00.000 gitlab.example.com 17.4.4-ee",
            "2026-11-21 10:00:00.000 gitlab.example.com 17.5.2",
        ];
        assert_eq!(app.texts(rows).await, expected);
        let columns = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'version_checks' ORDER BY position";
        assert_eq!(app.texts(columns).await, ["checked_at", "hostname", "version"]);
    });
}

#[test]
fn checks_are_stored_without_being_asked() {
    with_app("by_themselves", |app| async move {
        check(&app, "json", "17.5.2").await;
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while app.texts("SELECT version FROM version_checks").await != ["17.5.2"] {
            assert!(std::time::Instant::now() < deadline, "the check was never stored");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_bad_question_is_refused_and_not_recorded() {
    with_app("bad_checks", |app| async move {
        for kind in ["svg", "png", "json"] {
            for (query, reason) in [
                ("", "gitlab_info is missing"),
                (
                    "?gitlab_info=%%%",
                    "gitlab_info is invalid: expected Base64 of a JSON object with a text at version",
                ),
                ("?gitlab_info=e30", "gitlab_info is invalid: expected Base64"),
            ] {
                let answer = app.get(&format!("/check.{kind}{query}")).await;
                assert!(answer.json(400)["error"].as_str().unwrap().contains(reason), "{}", answer.text());
            }
            let answer = check(&app, kind, "latest").await;
            assert_eq!(
                answer.json(400)["error"],
                "gitlab_info is invalid: expected a version of the form 17.5.2 or 17.5.2-ee"
            );
        }
        assert_eq!(app.get("/check.gif?gitlab_info=e30").await.status, 404);
        app.collector.flush().await;
        assert!(app.texts("SELECT version FROM version_checks").await.is_empty());
    });
}
