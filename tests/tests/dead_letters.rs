//! Bytes that nobody can read, on every topic of a real process: they stop nothing, each is listed and shown, and what is
//! replayed after its cause was mended counts, once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::{EventLog, Record, TopicSpec};
use tally_schemas::avro::WriterSchema;
use tally_schemas::{Increment, TrackedEvent, avro, topics};
use tally_tests::instance::Instance;
use tally_tests::process::{clickhouse, get_json};
use tally_tests::wait;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_mins(1);

/// The topics that the processor folds, and what an unknown schema is on each: the directory's records are no Avro.
const TOPICS: [(&str, &str); 5] = [
    (topics::EVENTS, "unknown_schema"),
    (topics::PAGE_EVENTS, "unknown_schema"),
    (topics::CONTRIBUTIONS, "unknown_schema"),
    (topics::DEAD_LETTERS, "unknown_schema"),
    (topics::DIRECTORY, "undecodable"),
];

#[tokio::test(flavor = "multi_thread")]
async fn poison_stops_nothing_and_what_is_mended_counts_once() -> Result<()> {
    let settings = tempfile::tempdir()?;
    let config = settings.path().join("tally.toml");
    std::fs::write(&config, "[ingest]\nmax_event_name_bytes = 5\n")?;
    let environment = [("TALLY_CONFIG", config.display().to_string())];
    let mut instance = Instance::start_with(&[], &environment).await?;

    // Refused: by a limit that is too small, for want of a tracking key, and for good.
    ensure!(track(&instance, &json!({"event": "view_dashboard", "project_id": 5})).await? == 400);
    ensure!(track(&instance, &json!({"project_id": 6})).await? == 400);
    ensure!(track_page_view(&instance).await? == 422);
    // A refusal is answered before its letter is written.
    letters_of(&instance, 3).await?;
    instance.tally.kill();
    let newer = newer_event();
    poison(&instance.folder.path().join("data/log"), &newer).await?;
    std::fs::write(&config, "")?;
    instance.tally.restart().await?;

    let letters = letters_of(&instance, 3 + 3 * TOPICS.len() + 1).await?;
    for (topic, unknown) in TOPICS {
        let mut reasons: Vec<&str> = letters
            .iter()
            .filter(|letter| letter["topic"] == topic)
            .filter_map(|letter| letter["reason"].as_str())
            .collect();
        reasons.sort_unstable();
        let mut expected = vec!["undecodable", "undecodable", unknown];
        expected.extend((topic == topics::EVENTS).then_some("unknown_schema"));
        ensure!(reasons == expected, "{topic}: {reasons:?}");
    }
    ensure!(track(&instance, &json!({"event": "view_dashboard"})).await? == 200, "ingest goes on");
    counted(&instance, 1).await.context("no partition is stopped")?;

    let of = |test: &dyn Fn(&Value) -> bool| {
        let found = letters.iter().find(|letter| test(letter)).context("the letter")?;
        Ok::<_, anyhow::Error>(found["id"].as_str().context("an id")?.to_owned())
    };
    let refused_with = |text: &'static str| {
        of(&move |letter| {
            letter["topic"] == "" && letter["detail"].as_str().is_some_and(|detail| detail.contains(text))
        })
    };
    let garbage = of(&|letter| {
        letter["topic"] == topics::EVENTS && letter["detail"] == "not a valid record: no schema marker"
    })?;
    let secret = of(&|letter| letter["topic"] == topics::DIRECTORY)?;
    let unpublished = of(&|letter| {
        letter["topic"] == topics::EVENTS
            && letter["detail"].as_str().is_some_and(|it| it.contains(&newer.name()))
    })?;
    let (too_long, no_event, no_key) =
        (refused_with("too long")?, refused_with("event is missing")?, refused_with("tracking key")?);

    // Shown, to those who may see them.
    let shown = instance.run(&["dead-letters", "show", &garbage])?;
    ensure!(shown.contains("67 61 72 62 61 67 65") && shown.contains("tally.events/0@"), "{shown}");
    ensure!(instance.run(&["dead-letters", "show", &garbage, "--raw"])? == "garbage");
    let shown = instance.run(&["dead-letters", "show", &secret])?;
    ensure!(!shown.contains("6861736865") && !shown.contains("hashed"), "{shown}");
    ensure!(instance.run(&["dead-letters", "show", &too_long])?.contains("\"event\": \"view_dashboard\""));
    let url = |rest: &str| format!("{}/api/v4/tally/dead_letters{rest}", instance.tally.url());
    let all = get_json(&url("?per_page=100"), &instance.admin).await?;
    ensure!(all.as_array().is_some_and(|all| all.len() == letters.len()));
    ensure!(get_json(&url(""), &instance.token).await? == json!([]), "alice maintains no project");
    ensure!(get_json(&url(&format!("/{secret}?payload=true")), &instance.admin).await?["payload"] == "");

    // Replayed: what is not mended is refused again, or becomes a letter that names the first.
    for (id, why) in [
        (&no_event, "still refused: event is missing"),
        (&secret, "a record of the directory"),
        (&no_key, "no project"),
    ] {
        let told = replay(&instance, &[id])?;
        ensure!(told.contains("refused") && told.contains(why), "{told}");
    }
    ensure!(replay(&instance, &[&garbage])?.contains("done"));
    let again = letters_of(&instance, letters.len() + 1).await?;
    let successor =
        again.iter().find(|letter| letter["replay_of"] == garbage.as_str()).context("its successor")?;
    ensure!(successor["reason"] == "undecodable", "{successor}");

    // Mended: the limit is larger, the key is known, the schema is published.
    let key_url = format!("{}/api/v4/projects/5/product_analytics/instrumentation_key", instance.tally.url());
    let put = Client::new().put(key_url).header("PRIVATE-TOKEN", &instance.admin);
    let put = put.json(&json!({"instrumentation_key": "late-key"})).send().await?;
    ensure!(put.status().is_success(), "{}", put.text().await?);
    instance.tally.kill();
    publish(&instance.folder.path().join("data/log"), &newer).await?;
    instance.tally.restart().await?;
    let mended = [too_long.as_str(), no_key.as_str(), unpublished.as_str()];
    let would = instance.run(&[&["dead-letters", "replay", "--dry-run"], &mended[..]].concat())?;
    ensure!(would.matches("possible").count() == 3, "{would}");
    let told = replay(&instance, &mended)?;
    ensure!(told.matches("done").count() == 3, "{told}");
    counted(&instance, 3).await?;
    let page_views = "SELECT count() FROM page_events WHERE project_id = 5";
    wait::until("the page event", PATIENCE, || async {
        Ok((clickhouse(&instance.store, page_views).await? == "1").then_some(()))
    })
    .await?;

    // Once: by id and by selection.
    let told = replay(&instance, &mended)?;
    ensure!(told.matches("it was replayed before").count() == 3, "{told}");
    ensure!(replay(&instance, &["--project", "5"])?.is_empty(), "all of it is done");
    ensure!(track(&instance, &json!({"event": "view_dashboard"})).await? == 200);
    counted(&instance, 4).await?;
    ensure!(clickhouse(&instance.store, page_views).await? == "1");
    Ok(())
}

/// An event of a schema with one field more than this version's, and that schema.
struct NewerEvent {
    record: Vec<u8>,
    fingerprint: u64,
    schema: String,
}

impl NewerEvent {
    /// As details name it.
    fn name(&self) -> String {
        format!("{:016x}", self.fingerprint)
    }
}

fn newer_event() -> NewerEvent {
    let mut schema: Value = serde_json::from_str(avro::TRACKED_EVENT_SCHEMA).expect("the schema is JSON");
    let trace = json!({"name": "trace_of_the_test", "type": ["null", "string"], "default": null});
    schema["fields"].as_array_mut().expect("a record has fields").push(trace);
    let schema = schema.to_string();
    let fingerprint = WriterSchema::parse(&schema).expect("it is a schema").fingerprint();
    let now = jiff::Timestamp::now().as_millisecond();
    let event = TrackedEvent {
        event_id: Uuid::now_v7(),
        name: "view_dashboard".into(),
        timestamp: now,
        received_at: now,
        user_id: Some(2),
        project_id: Some(5),
        namespace_id: None,
        additional_properties: Vec::new(),
        send_to_snowplow: false,
        timestamp_clamped: false,
        client_event_id: false,
        increment: Increment::Event,
    };
    let mut record = Vec::new();
    event.encode(&mut record);
    record[2..10].copy_from_slice(&fingerprint.to_le_bytes());
    // The new field, null.
    record.push(0);
    NewerEvent { record, fingerprint, schema }
}

/// Puts onto every topic garbage, a record cut short in a text, and one of a schema that nobody knows; and the newer event.
async fn poison(folder: &Path, newer: &NewerEvent) -> Result<()> {
    let log = EmbeddedLog::open(EmbeddedConfig::new(folder))?;
    let mut cut = newer.record[..40].to_vec();
    let mut unknown = newer.record.clone();
    unknown[2..10].copy_from_slice(b"unknown!");
    for (topic, _) in TOPICS {
        let schema = match topic {
            topics::PAGE_EVENTS => avro::PAGE_EVENT_SCHEMA,
            topics::CONTRIBUTIONS => avro::CONTRIBUTION_SCHEMA,
            topics::DEAD_LETTERS => avro::DEAD_LETTER_SCHEMA,
            _ => avro::TRACKED_EVENT_SCHEMA,
        };
        let fingerprint = WriterSchema::parse(schema).context("a schema")?.fingerprint();
        cut[2..10].copy_from_slice(&fingerprint.to_le_bytes());
        let garbage =
            if topic == topics::DIRECTORY { b"{\"token\": \"hashed\"".to_vec() } else { b"garbage".to_vec() };
        let mut values = vec![garbage, cut.clone(), unknown.clone()];
        values.extend((topic == topics::EVENTS).then(|| newer.record.clone()));
        let any_key = |value| (Uuid::now_v7().to_string(), value);
        append(&log, topic, values.into_iter().map(any_key).collect()).await?;
    }
    Ok(())
}

async fn publish(folder: &Path, newer: &NewerEvent) -> Result<()> {
    let log = EmbeddedLog::open(EmbeddedConfig::new(folder))?;
    append(&log, topics::SCHEMAS, vec![(newer.name(), newer.schema.clone().into_bytes())]).await
}

async fn append(log: &EmbeddedLog, topic: &str, records: Vec<(String, Vec<u8>)>) -> Result<()> {
    let spec = TopicSpec {
        name: topic.to_owned(),
        partitions: 1,
        retention: None,
        compacted: topic == topics::DIRECTORY || topic == topics::SCHEMAS,
        max_record_bytes: 1 << 20,
    };
    log.ensure_topic(&spec).await?;
    let timestamp = jiff::Timestamp::now().as_millisecond();
    let records = records.into_iter().map(|(key, value)| Record {
        key: Some(key.into()),
        value: value.into(),
        timestamp,
    });
    for result in log.append(topic, records.collect()).await {
        result?;
    }
    Ok(())
}

/// The letters once there are so many.
async fn letters_of(instance: &Instance, count: usize) -> Result<Vec<Value>> {
    let read = || {
        let lines = instance.run(&["dead-letters", "list", "--json"]);
        let letters = lines.and_then(|lines| {
            lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect::<Result<Vec<Value>>>()
        });
        async move { letters }
    };
    let enough = || async { Ok(Some(read().await?).filter(|letters| letters.len() >= count)) };
    let letters = wait::until("the letters", PATIENCE, enough).await;
    let letters = letters.with_context(|| instance.tally.log_tail())?;
    ensure!(letters.len() == count, "{} letters, expected {count}: {letters:#?}", letters.len());
    Ok(letters)
}

/// Replays, and says what was told; that some could not be replayed is no failure here.
fn replay(instance: &Instance, arguments: &[&str]) -> Result<String> {
    instance.run_to_any_end(&[&["dead-letters", "replay"], arguments].concat())
}

async fn track(instance: &Instance, event: &Value) -> Result<StatusCode> {
    let url = format!("{}/api/v4/usage_data/track_event", instance.tally.url());
    let request = Client::new().post(url).header("PRIVATE-TOKEN", &instance.token).json(event);
    Ok(request.send().await?.status())
}

async fn track_page_view(instance: &Instance) -> Result<StatusCode> {
    let url = format!("{}/com.snowplowanalytics.snowplow/tp2", instance.tally.url());
    let schema = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4";
    let event = json!({"e": "pv", "aid": "late-key", "page": "Home", "url": "https://example.com/"});
    let body = json!({"schema": schema, "data": [event]});
    Ok(Client::new().post(url).json(&body).send().await?.status())
}

/// Waits until so many views of the dashboard are in the table, and finds that the counter says the same.
async fn counted(instance: &Instance, times: u64) -> Result<()> {
    let sums = "SELECT (SELECT count() FROM events WHERE name = 'view_dashboard'), \
                (SELECT sum(count) FROM counters WHERE counter = 'view_dashboard')";
    let expected = format!("{times}\t{times}");
    let reached = wait::until("the events to be counted", PATIENCE, || async {
        let found = clickhouse(&instance.store, sums).await?;
        Ok((found == expected).then_some(()))
    });
    if let Err(error) = reached.await {
        let found = clickhouse(&instance.store, sums).await?;
        return Err(error.context(format!("expected {expected}, found {found}")));
    }
    Ok(())
}
