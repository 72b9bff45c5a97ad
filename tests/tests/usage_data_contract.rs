//! Every row of every table of contracts/gitlab-usage-data.md against a running Tally. A row here begins with the contract's
//! own text of it; where the contract is at hand, its tables and these must have the same rows.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tally_tests::instance::Instance;
use tally_tests::outside::{require, root};
use tally_tests::process::clickhouse;
use tally_tests::wait;

const DEADLINE: Duration = Duration::from_secs(20);

const TRACK_EVENT: &str = "/api/v4/usage_data/track_event";
const TRACK_EVENTS: &str = "/api/v4/usage_data/track_events";
const SERVICE_PING: &str = "/api/v4/usage_data/service_ping";
const QUERIES: &str = "/api/v4/usage_data/queries";
const NON_SQL_METRICS: &str = "/api/v4/usage_data/non_sql_metrics";
const GENERATE: &str = "/api/v4/tally/service_ping";

/// What takes events in, with the scopes that may.
const TRACKING: [(&str, &str); 4] = [
    (TRACK_EVENT, "api ai_workflows"),
    (TRACK_EVENTS, "api ai_workflows"),
    ("/api/v4/usage_data/increment_counter", "api"),
    ("/api/v4/usage_data/increment_unique_users", "api"),
];
/// What only an administrator may read.
const READING: [&str; 3] = [SERVICE_PING, QUERIES, NON_SQL_METRICS];

/// Tokens that have had their time, one that may do little, and the flags of the endpoints that have one. Each hash is that of
/// `glpat-contract-NAME`.
const DIRECTORY: &str = "
tokens:
  - {name: expired, user: root, scopes: [api], expires_at: 2020-01-01,
     sha256: 6ed1aeb55152c021c7ca4f011661cf435adff2c53c1b98b41b971dcc6aa73b1b}
  - {name: revoked, user: root, scopes: [api], revoked: true,
     sha256: 14814c7fb7709bf2fe511eba1cf1c7a8f22338e35b177e9d0d58ad48f98f7791}
  - {name: reader, user: root, scopes: [read_api],
     sha256: 50b5404428f932cb88b086c454811e2c486e45b4f660a8537bcc506e96acdd9f}
feature_flags: {usage_data_queries_api: true, usage_data_non_sql_metrics: true}
";

const EVENT_FIELDS: &str = "
description: Something happened
internal_events: true
identifiers: [project, namespace, user]
product_group: tally
milestone: '1.0'
introduced_by_url: https://example.com/1
tiers: [free]
";
const METRIC_FIELDS: &str = "
description: A number
product_group: tally
value_type: number
status: active
milestone: '1.0'
introduced_by_url: https://example.com/1
data_category: optional
tiers: [free]
";
/// Events whose names a number and a boolean become, and one with places.
const EVENTS: [&str; 4] = ["a", "1", "true", "contract_place"];
/// A metric for each fallback.
const METRICS: [&str; 5] = [
    "key_path: counts.contract_unknown\ntime_frame: all\ndata_source: database\ninstrumentation_class: CountUnheardOfMetric",
    "key_path: redis_hll_counters.contract_users_weekly\ntime_frame: 7d\ndata_source: internal_events\n\
     events: [{name: a, unique: user.id}]",
    "key_path: counts.projects\ntime_frame: all\ndata_source: database\ninstrumentation_class: CountProjectsMetric",
    "key_path: usage_activity_by_stage.manage.projects_imported.total\ntime_frame: all\ndata_source: database\n\
     instrumentation_class: CountImportedProjectsMetric",
    "key_path: usage_activity_by_stage.monitor.contract_histogram\ntime_frame: none\ndata_source: database\n\
     instrumentation_class: ContractHistogramMetric",
];

/// Who asks, and where the token stands.
#[derive(Clone, Copy, Debug)]
enum Caller {
    Nobody,
    Alice,
    Admin,
    /// `PRIVATE-TOKEN` of `glpat-contract-NAME`.
    Token(&'static str),
    Bearer(&'static str),
    Parameter(&'static str),
}

/// What an answer's body must be.
#[derive(Debug)]
enum Body {
    Json(Value),
    /// What stands at a JSON pointer.
    At(&'static str, Value),
    /// The `error` holds these words.
    Error(&'static [&'static str]),
}

#[derive(Debug)]
struct Call {
    method: Method,
    path: String,
    caller: Caller,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
    status: u16,
    answer: Vec<Body>,
    /// Headers that must be there, with the words in them.
    answered_headers: Vec<(&'static str, &'static str)>,
}

fn call(method: Method, path: &str, caller: Caller) -> Call {
    Call {
        method,
        path: path.to_owned(),
        caller,
        headers: vec![("content-type", "application/json")],
        body: String::new(),
        status: 200,
        answer: Vec::new(),
        answered_headers: Vec::new(),
    }
}

fn get(path: &str, caller: Caller) -> Call {
    call(Method::GET, path, caller)
}

fn post(path: &str, body: impl Display) -> Call {
    Call { body: body.to_string(), ..call(Method::POST, path, Caller::Alice) }
}

impl Call {
    fn answers(mut self, status: u16, body: Value) -> Self {
        self.status = status;
        self.answer.push(Body::Json(body));
        self
    }

    /// 400, for parameters that fail.
    fn error(self, text: &str) -> Self {
        self.answers(400, json!({ "error": text }))
    }

    /// 200 with the body `200`.
    fn counted(self) -> Self {
        self.answers(200, json!(200))
    }

    /// 200 with this verdict on the one event.
    fn verdict(mut self, status: &str) -> Self {
        self.headers.push(("prefer", "return=representation"));
        self.answer.push(Body::At("/events/0/status", status.into()));
        self
    }

    fn by(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }
}

/// A row of the contract, and what shows that it holds.
struct Row {
    text: &'static str,
    /// A statement for ClickHouse before the calls, and one after them.
    around: Option<(&'static str, &'static str)>,
    calls: Vec<Call>,
    /// A query and its answer, which must come true.
    recorded: Option<(&'static str, &'static str)>,
}

fn row(text: &'static str, calls: impl IntoIterator<Item = Call>) -> Row {
    Row { text, around: None, calls: calls.into_iter().collect(), recorded: None }
}

/// "Authentication, everywhere": each endpoint of this contract that asks for a token.
fn authentication() -> Vec<Row> {
    let unauthorized = || json!({"message": "401 Unauthorized"});
    let invalid = |text: &str| json!({"error": "invalid_token", "error_description": text});
    let everywhere = |caller: Caller, status: u16, body: Value| {
        let tracking = TRACKING.map(|(path, _)| post(path, json!({"event": "a"})).by(caller));
        let calls = tracking.into_iter().chain(READING.map(|path| get(path, caller)));
        calls.map(|call| call.answers(status, body.clone())).collect::<Vec<_>>()
    };
    let too_small = |path: &str, call: Call| {
        let scopes = TRACKING
            .iter()
            .find(|(known, _)| *known == path)
            .map_or("api read_service_ping", |known| known.1);
        let description = "The request requires higher privileges than provided by the access token.";
        call.by(Caller::Token("reader")).answers(
            403,
            json!({"error": "insufficient_scope", "error_description": description, "scope": scopes}),
        )
    };
    let reading = || READING.map(|path| get(path, Caller::Admin));
    let tracking = || TRACKING.map(|(path, _)| post(path, json!({"event": "a"})));
    let expired = "Token is expired. You can either do re-authorization or token refresh.";
    let revoked = "Token was revoked. You have to re-authorize from the user.";
    vec![
        row(
            r#"| no token, unknown token | 401 `{"message":"401 Unauthorized"}` |"#,
            [Caller::Nobody, Caller::Token("unheard-of"), Caller::Parameter("unheard-of")]
                .into_iter()
                .flat_map(|caller| everywhere(caller, 401, unauthorized())),
        ),
        row(
            r#"| token unknown in an Authorization header's OAuth form | 401 `{"error":"invalid_token","error_description":"Bad Access Token."}` |"#,
            everywhere(Caller::Bearer("unheard-of"), 401, invalid("Bad Access Token.")),
        ),
        row(
            r#"| expired token | 401 `{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}` |"#,
            [Caller::Token("expired"), Caller::Bearer("expired"), Caller::Parameter("expired")]
                .into_iter()
                .flat_map(|caller| everywhere(caller, 401, invalid(expired))),
        ),
        row(
            r#"| revoked token | 401 `{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}` |"#,
            [Caller::Token("revoked"), Caller::Bearer("revoked"), Caller::Parameter("revoked")]
                .into_iter()
                .flat_map(|caller| everywhere(caller, 401, invalid(revoked))),
        ),
        row(
            r#"| scope too small | 403 `{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api ai_workflows"}` (the scopes that would do) |"#,
            tracking().into_iter().chain(reading()).map(|call| too_small(&call.path.clone(), call)),
        ),
        row(
            r#"| not an administrator where one is required | 403 `{"message":"403 Forbidden"}` |"#,
            reading().map(|call| call.by(Caller::Alice).answers(403, json!({"message": "403 Forbidden"}))),
        ),
        row(
            r#"| path unknown | 404 `{"error":"404 Not Found"}` |"#,
            [
                get("/api/v4/usage_data/nothing", Caller::Admin),
                post("/api/v4/usage_data/track_eventful", "{}"),
            ]
            .map(|call| call.answers(404, json!({"error": "404 Not Found"}))),
        ),
        row(
            r#"| method not offered | 405 `{"error":"405 Not Allowed"}` and `Allow:` |"#,
            tracking().into_iter().chain(reading()).map(|offered| Call {
                answered_headers: vec![("allow", if offered.method == Method::GET { "GET" } else { "POST" })],
                ..call(Method::DELETE, &offered.path, Caller::Admin)
                    .answers(405, json!({"error": "405 Not Allowed"}))
            }),
        ),
        row(
            r#"| content type not offered | 415 `{"error":"The provided content-type 'text/xml' is not supported."}` |"#,
            tracking().map(|call| {
                let refused = json!({"error": "The provided content-type 'text/xml' is not supported."});
                Call { headers: vec![("content-type", "text/xml")], ..call.answers(415, refused) }
            }),
        ),
    ]
}

/// The row that needs an instance with little patience: one request of each kind a period.
fn too_many() -> Row {
    let reading = || get(SERVICE_PING, Caller::Admin);
    let tracking = || post(TRACK_EVENT, json!({"event": "view_dashboard"}));
    let refused = |call: Call| {
        let text = "This endpoint has been requested too many times. Try again later.";
        let answered_headers = vec![
            ("ratelimit-limit", "1"),
            ("ratelimit-name", "throttle"),
            ("ratelimit-observed", "2"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", ""),
            ("ratelimit-resettime", "GMT"),
            ("retry-after", ""),
        ];
        Call { answered_headers, ..call.answers(429, json!({"message": {"error": text}})) }
    };
    row(
        r#"| too many requests | 429 `{"message":{"error":"This endpoint has been requested too many times. Try again later."}}` with RateLimit-* and Retry-After |"#,
        [tracking().counted(), refused(tracking()), reading(), refused(reading())],
    )
}

/// "POST `/usage_data/track_event`": its parameters.
fn track_event_parameters() -> Vec<Row> {
    let event = |event: Value| post(TRACK_EVENT, json!({ "event": event }));
    let with = |name: &str, value: Value| post(TRACK_EVENT, json!({"event": "a", name: value}));
    // The administrator sees every project and namespace.
    let place = |name: &str, value: Value| {
        post(TRACK_EVENT, json!({"event": "contract_place", name: value})).by(Caller::Admin).counted()
    };
    let booleans = json!([true, false, "true", "false", 1, 0, "yes", "no", "on", "off", "t", "f"]);
    let booleans = booleans.as_array().expect("a list").clone();
    vec![
        row(
            r#"| event | required; string; a JSON number or boolean is taken as its text; null or "" is accepted as given and counts nothing |"#,
            [
                post(TRACK_EVENT, json!({"namespace_id": 1})).error("event is missing"),
                event(json!("a")).verdict("accepted"),
                event(json!(1)).verdict("accepted"),
                event(json!(true)).verdict("accepted"),
                event(json!(2)).verdict("unknown_event"),
                event(Value::Null).counted(),
                event(Value::Null).verdict("unknown_event"),
                event(json!("")).counted(),
                event(json!("")).verdict("unknown_event"),
            ],
        ),
        Row {
            recorded: Some((
                "SELECT countIf(project_id = 5), countIf(namespace_id = 7 AND project_id = 0), count() FROM events \
                 WHERE name = 'contract_place'",
                "3\t3\t7",
            )),
            ..row(
                r#"| namespace_id, project_id | optional integer; "12" is 12, 1.5 is 1, "abc" is invalid |"#,
                [
                    place("project_id", json!("5")),
                    place("project_id", json!(5.9)),
                    place("project_id", json!(5)),
                    place("namespace_id", json!("7")),
                    place("namespace_id", json!(7.5)),
                    place("namespace_id", json!(7)),
                    place("project_id", Value::Null),
                    with("project_id", json!("abc")).error("project_id is invalid"),
                    with("namespace_id", json!("abc")).error("namespace_id is invalid"),
                ],
            )
        },
        row(
            "| additional_properties | optional object; null allowed; nested values pass |",
            [
                event(json!("a")).counted(),
                with("additional_properties", json!({})).counted(),
                with("additional_properties", Value::Null).counted(),
                with("additional_properties", json!({"label": {"nested": [1, {"deep": null}]}})).counted(),
                with("additional_properties", json!(1)).error("additional_properties is invalid"),
            ],
        ),
        row(
            r#"| send_to_snowplow | optional boolean: true/false, "true"/"false", 1/0, "yes"/"no", "on"/"off", "t"/"f" |"#,
            booleans.into_iter().map(|value| with("send_to_snowplow", value).counted()).chain([
                with("send_to_snowplow", json!(7)).error("send_to_snowplow is invalid"),
                with("send_to_snowplow", json!([true])).error("send_to_snowplow is invalid"),
            ]),
        ),
    ]
}

/// "POST `/usage_data/track_event`": bodies and answers.
fn track_event_bodies() -> Vec<Row> {
    let sent = |body: &str| post(TRACK_EVENT, body);
    let all = |bodies: &[&str], error: &str| -> Vec<Call> {
        bodies.iter().map(|body| sent(body).error(error)).collect()
    };
    vec![
        row(
            r#"| `{}` or empty or `[1]` | 400 `{"error":"event is missing"}` |"#,
            all(&["{}", "", "[1]"], "event is missing"),
        ),
        row(
            r#"| `{"event":["a"]}`, `{"event":{"a":1}}` | 400 `{"error":"event is invalid"}` |"#,
            all(&[r#"{"event":["a"]}"#, r#"{"event":{"a":1}}"#], "event is invalid"),
        ),
        row(
            r#"| `{"event":"a","namespace_id":"abc"}` | 400 `{"error":"namespace_id is invalid"}` |"#,
            all(&[r#"{"event":"a","namespace_id":"abc"}"#], "namespace_id is invalid"),
        ),
        row(
            r#"| `{"event":"a","project_id":"x","namespace_id":"y"}` | 400 `{"error":"namespace_id is invalid, project_id is invalid"}` |"#,
            all(
                &[r#"{"event":"a","project_id":"x","namespace_id":"y"}"#],
                "namespace_id is invalid, project_id is invalid",
            ),
        ),
        row(
            r#"| `{"event":"a","additional_properties":"x"}` or `[1]` | 400 `{"error":"additional_properties is invalid"}` |"#,
            all(
                &[
                    r#"{"event":"a","additional_properties":"x"}"#,
                    r#"{"event":"a","additional_properties":[1]}"#,
                ],
                "additional_properties is invalid",
            ),
        ),
        row(
            r#"| `{"event":"a","send_to_snowplow":"maybe"}` | 400 `{"error":"send_to_snowplow is invalid"}` |"#,
            all(&[r#"{"event":"a","send_to_snowplow":"maybe"}"#], "send_to_snowplow is invalid"),
        ),
        row(
            r#"| `{"event":1}` | 200, the event is "1" |"#,
            [sent(r#"{"event":1}"#).counted(), sent(r#"{"event":1}"#).verdict("accepted")],
        ),
        row(
            "| malformed JSON | 400, `error` says that the body does not match the declared format (text of ours: name the position) |",
            [r#"{"event":"a""#, "{event}", "nonsense"].map(|body| Call {
                status: 400,
                answer: vec![Body::Error(&["declared format", "column"])],
                ..sent(body)
            }),
        ),
        row(
            "| GET | 405, Allow: OPTIONS, POST |",
            [Call {
                answered_headers: vec![("allow", "OPTIONS, POST")],
                ..get(TRACK_EVENT, Caller::Alice).answers(405, json!({"error": "405 Not Allowed"}))
            }],
        ),
    ]
}

/// "POST `/usage_data/track_events`".
fn track_events() -> Vec<Row> {
    let sent = |body: &str| post(TRACK_EVENTS, body);
    let items = |count: usize| json!({"events": vec![json!({"event": "a"}); count]});
    let neither = "events is invalid, events[event] is missing, events[event] is invalid";
    vec![
        row(
            r#"| `{}` | 400 `{"error":"events is missing, events[event] is missing"}` |"#,
            [sent("{}").error("events is missing, events[event] is missing")],
        ),
        row(r#"| `{"events":[]}` | 200 |"#, [sent(r#"{"events":[]}"#).counted()]),
        row(
            r#"| `{"events":null}` | 400 `{"error":"events[event] is missing"}` |"#,
            [sent(r#"{"events":null}"#).error("events[event] is missing")],
        ),
        row(
            r#"| `{"events":"x"}`, `{"events":[1]}` | 400 `{"error":"events is invalid, events[event] is missing, events[event] is invalid"}` |"#,
            [r#"{"events":"x"}"#, r#"{"events":[1]}"#].map(|body| sent(body).error(neither)),
        ),
        row(
            r#"| `{"events":{"event":"a"}}` | 400 `{"error":"events is invalid"}` |"#,
            [sent(r#"{"events":{"event":"a"}}"#).error("events is invalid")],
        ),
        row(
            r#"| `{"events":[{"event":"a"},{}]}` | 400 `{"error":"events[event] is missing"}` |"#,
            [sent(r#"{"events":[{"event":"a"},{}]}"#).error("events[event] is missing")],
        ),
        row(
            r#"| `{"events":[{"event":"a","namespace_id":"z"}]}` | 400 `{"error":"events[namespace_id] is invalid"}` |"#,
            [sent(r#"{"events":[{"event":"a","namespace_id":"z"}]}"#)
                .error("events[namespace_id] is invalid")],
        ),
        row(
            r#"| 51 valid items | 400 `{"message":"Maximum 50 events allowed in one request."}` |"#,
            [
                post(TRACK_EVENTS, items(51))
                    .answers(400, json!({"message": "Maximum 50 events allowed in one request."})),
                post(TRACK_EVENTS, items(50)).counted(),
            ],
        ),
    ]
}

/// "The payload": what stands where a value could not be computed.
fn fallbacks() -> Vec<Row> {
    let holds = |pointer: &'static str, value: Value| Call {
        status: 201,
        answer: vec![Body::At(pointer, value)],
        ..post(GENERATE, "").by(Caller::Admin)
    };
    let without_sql = Call {
        answer: vec![
            Body::At("/counts/projects", json!(-3)),
            Body::At("/redis_hll_counters/contract_users_weekly", json!(0)),
        ],
        ..get(NON_SQL_METRICS, Caller::Admin)
    };
    let unknown = "/counts/contract_unknown";
    let users = "/redis_hll_counters/contract_users_weekly";
    vec![
        row(
            "| -1 | the metric could not be computed (time-out, source missing) |",
            [holds(unknown, json!(-1)), holds("/counts/projects", json!(2))],
        ),
        Row {
            around: Some(("RENAME TABLE uniques TO uniques_away", "RENAME TABLE uniques_away TO uniques")),
            ..row(
                "| -2 | HLL estimate failed |",
                [holds(users, json!(-2)), holds("/counts/projects", json!(2))],
            )
        },
        row("| -3 | SQL metric in a non-SQL payload |", [holds(users, json!(0)), without_sql]),
        row(
            "| -1000 | removed instrumentation |",
            [holds("/usage_activity_by_stage/manage/projects_imported/total", json!(-1000))],
        ),
        row(
            r#"| `{"-1": -1}` | histogram that failed |"#,
            [holds("/usage_activity_by_stage/monitor/contract_histogram", json!({"-1": -1}))],
        ),
    ]
}

/// Every row, those first that one and the same instance can show.
fn rows() -> (Vec<Row>, Row) {
    let tables =
        [authentication(), track_event_parameters(), track_event_bodies(), track_events(), fallbacks()];
    (tables.into_iter().flatten().collect(), too_many())
}

impl Row {
    /// All that doesn't hold.
    async fn check(&self, instance: &Instance) -> Result<Vec<String>> {
        if let Some((before, _)) = self.around {
            clickhouse(&instance.store, before).await?;
        }
        let mut wrong = Vec::new();
        for call in &self.calls {
            if let Err(error) = call.check(instance).await {
                wrong.push(format!(
                    "{}\n    {} {} {}: {error:#}",
                    self.text, call.method, call.path, call.body
                ));
            }
        }
        if let Some((_, after)) = self.around {
            clickhouse(&instance.store, after).await?;
        }
        if let Some((query, expected)) = self.recorded {
            let recorded = wait::until("what was recorded", DEADLINE, || async {
                let answer = clickhouse(&instance.store, query).await?;
                ensure!(answer == expected, "{answer:?} instead of {expected:?}");
                Ok(Some(()))
            });
            if let Err(error) = recorded.await {
                wrong.push(format!("{}\n    {query}: {error:#}", self.text));
            }
        }
        Ok(wrong)
    }
}

impl Call {
    async fn check(&self, instance: &Instance) -> Result<()> {
        let mut url = format!("{}{}", instance.tally.url(), self.path);
        if let Caller::Parameter(name) = self.caller {
            url = format!("{url}?private_token=glpat-contract-{name}");
        }
        let mut request = Client::new().request(self.method.clone(), url);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        request = match self.caller {
            Caller::Nobody | Caller::Parameter(_) => request,
            Caller::Alice => request.header("PRIVATE-TOKEN", &instance.token),
            Caller::Admin => request.header("PRIVATE-TOKEN", &instance.admin),
            Caller::Token(name) => request.header("PRIVATE-TOKEN", format!("glpat-contract-{name}")),
            Caller::Bearer(name) => request.header("Authorization", format!("Bearer glpat-contract-{name}")),
        };
        let response = request.body(self.body.clone()).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        ensure!(status == self.status, "answered {status} instead of {}: {text}", self.status);
        for (name, words) in &self.answered_headers {
            let value = headers.get(*name).with_context(|| format!("no header {name}"))?.to_str()?;
            ensure!(value.contains(words), "{name} is {value:?}, without {words:?}");
        }
        for expected in &self.answer {
            expected.check(&text)?;
        }
        Ok(())
    }
}

impl Body {
    fn check(&self, text: &str) -> Result<()> {
        let answer: Value = serde_json::from_str(text).with_context(|| format!("no JSON: {text:?}"))?;
        match self {
            Self::Json(expected) => ensure!(answer == *expected, "answered {answer} instead of {expected}"),
            Self::At(pointer, expected) => {
                let found = answer.pointer(pointer);
                ensure!(found == Some(expected), "{pointer} is {found:?} instead of {expected}");
            }
            Self::Error(words) => {
                let error = answer["error"].as_str().unwrap_or_default();
                ensure!(words.iter().all(|word| error.contains(word)), "the error is {error:?}");
            }
        }
        Ok(())
    }
}

/// The definitions of these tests, as a setting.
fn definitions(folder: &Path) -> Result<String> {
    for name in EVENTS {
        std::fs::write(folder.join(format!("event_{name}.yml")), format!("action: '{name}'{EVENT_FIELDS}"))?;
    }
    for (number, metric) in METRICS.iter().enumerate() {
        // The value that stands for a histogram is an object, too.
        let fields = if metric.contains("histogram") {
            METRIC_FIELDS.replace("value_type: number", "value_type: object\nvalue_json_schema: any.json")
        } else {
            METRIC_FIELDS.to_owned()
        };
        std::fs::write(folder.join(format!("metric_{number}.yml")), format!("{metric}{fields}"))?;
    }
    Ok(format!("definitions.paths=[{:?}]", folder.display().to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_contract_holds() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let instance = Instance::start_with(&[definitions(folder.path())?], &[]).await?;
    let file = instance.folder.path().join("contract.yml");
    std::fs::write(&file, DIRECTORY)?;
    instance.run(&["directory", "import", &file.display().to_string()])?;
    let projects = "SELECT count() FROM current_projects";
    wait::until("the projects in the tables", DEADLINE, || async {
        Ok((clickhouse(&instance.store, projects).await? == "2").then_some(()))
    })
    .await?;

    let (rows, too_many) = rows();
    let mut wrong = Vec::new();
    for row in &rows {
        wrong.extend(row.check(&instance).await?);
    }
    instance.tally.stop().await?;

    let impatient = ["guard.other_per_token=1", "guard.tracking_per_token=1"].map(ToOwned::to_owned);
    let instance = Instance::start_with(&impatient, &[]).await?;
    wrong.extend(too_many.check(&instance).await?);
    let calls: usize = rows.iter().chain([&too_many]).map(|row| row.calls.len()).sum();
    println!("{} rows, {calls} requests", rows.len() + 1);
    ensure!(wrong.is_empty(), "{} do not hold:\n{}", wrong.len(), wrong.join("\n"));
    instance.tally.stop().await
}

/// The rows of a Markdown text's tables, without their heads.
fn table_rows(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_row = |line: &str| line.starts_with('|');
    let is_rule = |line: &str| is_row(line) && line.chars().all(|character| "|-: ".contains(character));
    let is_head = |index: usize| lines.get(index + 1).is_some_and(|next| is_rule(next));
    let rows =
        lines.iter().enumerate().filter(|(index, line)| is_row(line) && !is_rule(line) && !is_head(*index));
    rows.map(|(_, line)| *line).collect()
}

#[test]
fn these_are_the_rows_of_the_contract() {
    let contract = root().join("../shared/contracts/gitlab-usage-data.md");
    let text = std::fs::read_to_string(&contract).map_err(|error| format!("the contract: {error}"));
    let Some(text) = require("these are the rows of the contract", text) else { return };
    let (mut covered, too_many) = rows();
    covered.push(too_many);
    let mut covered: Vec<&str> = covered.iter().map(|row| row.text).collect();
    let mut written = table_rows(&text);
    covered.sort_unstable();
    written.sort_unstable();
    assert!(written.len() > 30, "{written:?}");
    assert_eq!(covered, written);
}
