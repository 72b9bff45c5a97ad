//! What becomes of an event's words.

use proptest::prelude::*;
use serde_json::{Value, json};
use tally_schemas::PageEvent;

use crate::app::App;

fn contexts(data: &Value) -> String {
    let schema = "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-0";
    json!({"schema": schema, "data": data}).to_string()
}

fn unstruct(schema: &str, data: &Value) -> Value {
    let wrapper = "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0";
    let event = json!({"schema": wrapper, "data": {"schema": schema, "data": data}});
    json!({"e": "ue", "ue_pr": event.to_string()})
}

#[tokio::test]
async fn a_tracker_that_keeps_sessions_by_itself_is_heard() {
    let app = App::new();
    let session = |user: &str| {
        json!([{
            "schema": "iglu:com.snowplowanalytics.snowplow/client_session/jsonschema/1-0-2",
            "data": {"sessionId": "s-1", "sessionIndex": 3, "userId": user, "previousSessionId": null},
        }])
    };
    let event = app.kept(json!({"e": "pv", "co": contexts(&session("device"))})).await;
    assert_eq!((&*event.session_id, event.session_index), ("s-1", 3));
    assert_eq!((&*event.domain_user_id, &*event.contexts), ("device", ""));
    let own = json!({"e": "pv", "sid": "own", "vid": "9", "duid": "me", "co": contexts(&session("device"))});
    let event = app.kept(own).await;
    assert_eq!((&*event.session_id, event.session_index, &*event.domain_user_id), ("own", 9, "me"));
    let anonymous = session("00000000-0000-0000-0000-000000000000");
    let event = app.kept(json!({"e": "pv", "co": contexts(&anonymous)})).await;
    assert_eq!(event.domain_user_id, "", "nobody");
}

#[tokio::test]
async fn contexts_of_another_form_are_kept_as_they_are() {
    let odd = json!([
        {"schema": "iglu:com.snowplowanalytics.snowplow/client_session/jsonschema/1-0-2", "data": {"sessionId": 7}},
        {"schema": "no schema", "data": {}},
    ]);
    let event = App::new().kept(json!({"e": "pv", "co": contexts(&odd)})).await;
    assert_eq!(serde_json::from_str::<Value>(&event.contexts).unwrap(), odd);
    assert_eq!(event.session_id, "");
}

#[tokio::test]
async fn events_of_forms_name_their_element() {
    let app = App::new();
    let schema = |name: &str| format!("iglu:com.snowplowanalytics.snowplow/{name}/jsonschema/1-0-0");
    for (name, data, element) in [
        ("focus_form", json!({"formId": "f", "elementId": "mail", "nodeName": "INPUT"}), "mail"),
        ("change_form", json!({"formId": "f", "elementId": "mail", "value": "x"}), "mail"),
        ("submit_form", json!({"formId": "f", "formClasses": []}), "f"),
    ] {
        let event = app.kept(unstruct(&schema(name), &data)).await;
        assert_eq!((&*event.event, &*event.event_name, &*event.element_id), (name, name, element));
        let kept: Value = serde_json::from_str(&event.unstruct).unwrap();
        assert_eq!(kept, json!({"schema": schema(name), "data": data}));
    }
}

#[tokio::test]
async fn a_link_click_keeps_what_has_no_column() {
    let app = App::new();
    let schema = "iglu:com.snowplowanalytics.snowplow/link_click/jsonschema/1-0-1";
    let plain =
        json!({"targetUrl": "https://x", "elementId": "go", "elementClasses": [], "elementTarget": ""});
    assert_eq!(app.kept(unstruct(schema, &plain)).await.unstruct, "");
    let rich = json!({"targetUrl": "https://x", "elementContent": "Go!"});
    assert!(app.kept(unstruct(schema, &rich)).await.unstruct.contains("Go!"));
}

#[tokio::test]
async fn anybodys_events_are_known_by_their_names() {
    let event = App::new().kept(unstruct("iglu:com.acme/purchase/jsonschema/1-0-0", &json!([1]))).await;
    assert_eq!((&*event.event, &*event.event_name), ("purchase", "purchase"));
    assert_eq!(event.unstruct, r#"{"schema":"iglu:com.acme/purchase/jsonschema/1-0-0","data":[1]}"#);
}

#[tokio::test]
async fn long_texts_are_cut_between_characters() {
    let app = App::with(|config| config.max_text_bytes = 10);
    let event =
        app.kept(json!({"e": "pv", "page": "äöüäöüäöü", "url": "https://a.example/0123456789abc"})).await;
    assert_eq!(event.page_title, "äöüäö");
    assert_eq!((&*event.page_url, &*event.page_url_path), ("https://a.", "/012345678"));
}

#[tokio::test]
async fn secrets_in_urls_are_not_kept() {
    let event = App::new()
        .kept(json!({"e": "pv", "url": "https://a:b@c.example/d", "refr": "https://e:f@g.example/"}))
        .await;
    assert_eq!((&*event.page_url, &*event.page_referrer), ("https://c.example/d", "https://g.example/"));
}

proptest! {
    /// Whatever a tracker says, it is kept or refused, and what is kept survives its encoding.
    #[test]
    fn nothing_that_is_said_breaks_anything(
        kind in "pv|pp|se|ue|tr|ti|ad|x",
        parameters in prop::collection::btree_map(
            "eid|uid|sid|vid|dtm|stm|ttm|url|refr|page|ua|ip|lang|se_ac|se_va|ue_pr|ue_px|co|cx|pp_mix",
            any::<String>(),
            0..12,
        ),
    ) {
        let mut event = json!(parameters);
        event["e"] = json!(kind);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let app = App::new();
        let status = runtime.block_on(app.post(&[event])).status.as_u16();
        let events: Vec<PageEvent> = app.events();
        prop_assert_eq!(events.len(), usize::from(status == 200));
        prop_assert!(status == 200 || status == 422);
    }
}
