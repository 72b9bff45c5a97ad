//! The codec against the `apache-avro` crate, against hostile bytes, and against published schemas.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::contribution::{Action, Note, PushAction, PushData, RefType, TargetType, WikiPage};
use crate::dead_letter::Origin;
use crate::{DropReason, Increment, PropertyValue};

/// Marker and fingerprint of single-object encoding.
const HEADER: usize = 10;

fn property_value() -> impl Strategy<Value = PropertyValue<'static>> {
    prop_oneof![
        Just(PropertyValue::Null),
        any::<bool>().prop_map(PropertyValue::Boolean),
        any::<i64>().prop_map(PropertyValue::Long),
        (-1e300..1e300).prop_map(PropertyValue::Double),
        any::<String>().prop_map(|text| PropertyValue::String(Cow::Owned(text))),
        any::<String>().prop_map(|text| PropertyValue::Json(Cow::Owned(text))),
    ]
}

prop_compose! {
    fn tracked_event()(
        event_id in any::<u128>(),
        name in any::<String>(),
        (timestamp, received_at) in any::<(i64, i64)>(),
        (user_id, project_id, namespace_id) in any::<(Option<i64>, Option<i64>, Option<i64>)>(),
        properties in btree_map(any::<String>(), property_value(), 0..12).prop_map(|map| {
            map.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect::<Vec<_>>()
        }).prop_shuffle(),
        (send_to_snowplow, timestamp_clamped, client_event_id) in any::<(bool, bool, bool)>(),
        increment in proptest::sample::select(&Increment::ALL[..]),
    ) -> TrackedEvent<'static> {
        TrackedEvent {
            event_id: Uuid::from_u128(event_id),
            name: Cow::Owned(name),
            timestamp,
            received_at,
            user_id,
            project_id,
            namespace_id,
            additional_properties: properties,
            send_to_snowplow,
            timestamp_clamped,
            client_event_id,
            increment,
        }
    }
}

prop_compose! {
    fn note()(
        (id, created_at, updated_at) in any::<(i64, i64, i64)>(),
        (kind, attachment, noteable_type, commands_changes) in any::<(Option<String>, Option<String>, Option<String>, Option<String>)>(),
        body in any::<String>(),
        (noteable_id, noteable_iid) in any::<(Option<i64>, Option<i64>)>(),
        (system, resolvable, confidential, internal) in any::<(bool, bool, bool, bool)>(),
    ) -> Note {
        Note { id, kind, body, attachment, created_at, updated_at, system, noteable_id, noteable_type, noteable_iid,
               resolvable, confidential, internal, commands_changes }
    }
}

prop_compose! {
    fn push_data()(
        commit_count in any::<i64>(),
        action in proptest::sample::select(PushAction::ALL),
        ref_type in proptest::sample::select(RefType::ALL),
        (commit_from, commit_to, ref_name, commit_title) in any::<(Option<String>, Option<String>, Option<String>, Option<String>)>(),
        ref_count in any::<Option<i64>>(),
    ) -> PushData {
        PushData { commit_count, action, ref_type, commit_from, commit_to, ref_name, commit_title, ref_count }
    }
}

prop_compose! {
    fn wiki_page()(
        (format, slug, title) in any::<(String, String, String)>(),
        wiki_page_meta_id in any::<i64>(),
    ) -> WikiPage {
        WikiPage { format, slug, title, wiki_page_meta_id }
    }
}

prop_compose! {
    fn contribution()(
        event_id in any::<u128>(),
        (id, author_id, created_at, received_at) in any::<(i64, i64, i64, i64)>(),
        action in proptest::sample::select(Action::ALL),
        target_type in option::of(proptest::sample::select(TargetType::ALL)),
        (target_id, target_iid, project_id) in any::<(Option<i64>, Option<i64>, Option<i64>)>(),
        (target_title, imported_from) in any::<(Option<String>, Option<String>)>(),
        (confidential, client_event_id) in any::<(bool, bool)>(),
        note in option::of(note()),
        push_data in option::of(push_data()),
        wiki_page in option::of(wiki_page()),
        target_author_id in any::<Option<i64>>(),
        assignee_ids in vec(any::<i64>(), 0..4),
    ) -> Contribution {
        Contribution {
            event_id: Uuid::from_u128(event_id), id, action, target_type, target_id, target_iid, target_title,
            project_id, author_id, created_at, received_at, imported_from, confidential, note, push_data,
            wiki_page, client_event_id, target_author_id, assignee_ids,
        }
    }
}

prop_compose! {
    fn dead_letter()(
        id in any::<u128>(),
        reason in proptest::sample::select(DropReason::ALL),
        detail in any::<String>(),
        origin in prop_oneof![
            (any::<String>(), any::<Option<i64>>(), any::<String>()).prop_map(|(endpoint, user_id, content_type)| {
                Origin::Request { endpoint, user_id, content_type }
            }),
            (any::<String>(), any::<u32>(), 0..=i64::MAX as u64)
                .prop_map(|(topic, partition, offset)| Origin::Log { topic, partition, offset }),
        ],
        recorded_at in any::<i64>(),
        payload in vec(any::<u8>(), 0..64),
        (project_id, key) in (any::<Option<i64>>(), option::of(vec(any::<u8>(), 0..16))),
        whole_size in option::of(0..=i64::MAX as u64),
    ) -> DeadLetter {
        let id = Uuid::from_u128(id);
        DeadLetter { id, reason, detail, origin, recorded_at, payload, project_id, key, whole_size }
    }
}

/// What `apache-avro` has for the event, built without any of the codec.
fn avro_value(event: &TrackedEvent<'_>) -> Value {
    let properties: HashMap<String, Value> = event
        .additional_properties
        .iter()
        .map(|(name, value)| (name.to_string(), avro_property(value)))
        .collect();
    Value::Record(
        [
            ("event_id", Value::Uuid(event.event_id)),
            ("name", Value::String(event.name.to_string())),
            ("timestamp", Value::TimestampMillis(event.timestamp)),
            ("received_at", Value::TimestampMillis(event.received_at)),
            ("user_id", avro_option(event.user_id)),
            ("project_id", avro_option(event.project_id)),
            ("namespace_id", avro_option(event.namespace_id)),
            ("additional_properties", Value::Map(properties)),
            ("send_to_snowplow", Value::Boolean(event.send_to_snowplow)),
            ("timestamp_clamped", Value::Boolean(event.timestamp_clamped)),
            ("client_event_id", Value::Boolean(event.client_event_id)),
            ("increment", avro_increment(event.increment)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec(),
    )
}

fn avro_increment(increment: Increment) -> Value {
    Value::Enum(increment.number().into(), increment.as_str().to_owned())
}

fn avro_option(value: Option<i64>) -> Value {
    match value {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(value) => Value::Union(1, Box::new(Value::Long(value))),
    }
}

fn avro_property(value: &PropertyValue<'_>) -> Value {
    let (branch, value) = match value {
        PropertyValue::Null => (0, Value::Null),
        PropertyValue::Boolean(value) => (1, Value::Boolean(*value)),
        PropertyValue::Long(value) => (2, Value::Long(*value)),
        PropertyValue::Double(value) => (3, Value::Double(*value)),
        PropertyValue::String(text) => (4, Value::String(text.to_string())),
        PropertyValue::Json(text) => {
            (5, Value::Record(vec![("text".to_owned(), Value::String(text.to_string()))]))
        }
    };
    Value::Union(branch, Box::new(value))
}

fn by_name(mut event: TrackedEvent<'_>) -> TrackedEvent<'_> {
    event.additional_properties.sort_by(|(a, _), (b, _)| a.cmp(b));
    event
}

fn read(schema: &Schema, mut body: &[u8]) -> Value {
    let value = GenericDatumReader::builder(schema).build().unwrap().read_value(&mut body).unwrap();
    assert!(body.is_empty(), "apache-avro left bytes behind");
    value
}

fn write(schema: &Schema, value: Value) -> Vec<u8> {
    GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(value).unwrap()
}

/// Whether a third-party reader and writer turn our body into the same body.
fn rewritten_by_apache_avro(versions: &Versions, record: &[u8]) -> Vec<u8> {
    let mut out = record[..HEADER].to_vec();
    out.extend(write(versions.reader, read(versions.reader, &record[HEADER..])));
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn apache_avro_reads_what_we_write(event in tracked_event()) {
        let mut record = Vec::new();
        event.encode(&mut record);
        let expected: Value = avro_value(&event);
        prop_assert_eq!(read(schema::TRACKED_EVENT.reader, &record[HEADER..]), expected);
    }

    #[test]
    fn we_read_what_apache_avro_writes(event in tracked_event()) {
        let mut record = Vec::new();
        record.extend(SINGLE_OBJECT_MARKER);
        record.extend(schema::TRACKED_EVENT.current.to_le_bytes());
        record.extend(write(schema::TRACKED_EVENT.reader, avro_value(&event)));
        prop_assert_eq!(by_name(TrackedEvent::decode(&record).unwrap()), by_name(event));
    }

    #[test]
    fn an_event_comes_back_as_it_went_in_the_order_of_its_properties(event in tracked_event(), id in any::<u32>()) {
        for framing in [Framing::SingleObject, confluent(id, None)] {
            let mut record = Vec::new();
            event.encode_framed(framing, &mut record);
            prop_assert_eq!(&TrackedEvent::decode_framed(framing, &record).unwrap(), &event);
        }
    }

    #[test]
    fn contributions_come_back_also_through_apache_avro(contribution in contribution()) {
        let mut record = Vec::new();
        contribution.encode_framed(Framing::SingleObject, &mut record);
        prop_assert_eq!(&rewritten_by_apache_avro(&schema::CONTRIBUTION, &record), &record);
        prop_assert_eq!(Contribution::decode_framed(Framing::SingleObject, &record).unwrap(), contribution);
    }

    #[test]
    fn dead_letters_come_back_also_through_apache_avro(letter in dead_letter()) {
        let mut record = Vec::new();
        letter.encode_framed(Framing::SingleObject, &mut record);
        prop_assert_eq!(&rewritten_by_apache_avro(&schema::DEAD_LETTER, &record), &record);
        prop_assert_eq!(DeadLetter::decode_framed(Framing::SingleObject, &record).unwrap(), letter);
    }

    #[test]
    fn random_bytes_are_refused_or_read_but_never_panic(body in vec(any::<u8>(), 0..200), framed in any::<bool>()) {
        let mut record = Vec::new();
        if framed {
            record.extend(SINGLE_OBJECT_MARKER);
            record.extend(schema::TRACKED_EVENT.current.to_le_bytes());
        }
        record.extend(body);
        if let Ok(event) = TrackedEvent::decode(&record) {
            prop_assert!(event.additional_properties.len() <= record.len());
        }
        let _ = Contribution::decode_framed(confluent(0, None), &record);
        let _ = DeadLetter::decode_framed(confluent(0, None), &record);
    }

    #[test]
    fn mutated_records_are_refused_or_read_but_never_panic(
        event in tracked_event(),
        mutations in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut record = Vec::new();
        event.encode(&mut record);
        for (index, byte) in mutations {
            let at = index.index(record.len());
            record[at] = byte;
        }
        if let Ok(event) = TrackedEvent::decode(&record) {
            prop_assert!(event.additional_properties.capacity() <= 2 * record.len() + 16);
        }
    }

    #[test]
    fn every_proper_prefix_of_a_record_is_malformed(event in tracked_event()) {
        let mut record = Vec::new();
        event.encode(&mut record);
        for end in 0..record.len() {
            prop_assert!(matches!(TrackedEvent::decode(&record[..end]), Err(CodecError::Malformed(_))));
        }
        record.push(0);
        prop_assert_eq!(TrackedEvent::decode(&record), Err(CodecError::Malformed("bytes after the end")));
    }
}

fn small_event() -> TrackedEvent<'static> {
    TrackedEvent {
        event_id: Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        name: Cow::Borrowed("run_pipeline"),
        timestamp: 1,
        received_at: 2,
        user_id: Some(-1),
        project_id: None,
        namespace_id: Some(64),
        additional_properties: vec![(Cow::Borrowed("z"), PropertyValue::Long(3))],
        send_to_snowplow: true,
        timestamp_clamped: false,
        client_event_id: true,
        increment: Increment::UniqueUsers,
    }
}

#[test]
fn a_record_has_these_bytes_forever() {
    let mut record = Vec::new();
    small_event().encode(&mut record);
    let mut expected = vec![0xC3, 0x01, 0x5e, 0x36, 0x5a, 0x72, 0x00, 0x99, 0xb9, 0x9a];
    expected.extend(1..=16);
    expected.extend(b"\x18run_pipeline\x02\x04\x02\x01\x00\x02\x80\x01\x02\x02z\x04\x06\x00\x01\x00\x01\x04");
    assert_eq!(record, expected);
}

#[test]
fn decoded_text_is_borrowed() {
    let mut record = Vec::new();
    small_event().encode(&mut record);
    let event = TrackedEvent::decode(&record).unwrap();
    assert!(matches!(event.name, Cow::Borrowed(_)));
    assert!(matches!(event.additional_properties[0].0, Cow::Borrowed(_)));
}

#[test]
fn a_map_in_several_blocks_with_sizes_is_read() {
    let mut record = Vec::new();
    small_event().encode(&mut record);
    let entry: &[u8] = b"\x02z\x04\x06";
    let at = record.windows(6).position(|window| window == b"\x02\x02z\x04\x06\x00").unwrap();
    let mut blocks = record[..at].to_vec();
    blocks.extend([1, 8]); // one entry, four bytes
    blocks.extend(entry);
    blocks.extend([2]);
    blocks.extend(b"\x02y\x00");
    blocks.extend(&record[at + 5..]);
    let event = TrackedEvent::decode(&blocks).unwrap();
    let names: Vec<_> = event.additional_properties.iter().map(|(name, _)| name.as_ref()).collect();
    assert_eq!(names, ["z", "y"]);
}

#[test]
fn unknown_schemas_are_told_from_malformed_records() {
    let mut record = Vec::new();
    small_event().encode(&mut record);
    record[2..10].copy_from_slice(&0x1122_3344_5566_7788_u64.to_le_bytes());
    assert_eq!(TrackedEvent::decode(&record), Err(CodecError::UnknownSchema(0x1122_3344_5566_7788)));

    let mut framed = Vec::new();
    small_event().encode_framed(confluent(7, None), &mut framed);
    assert_eq!(framed[..5], [0, 0, 0, 0, 7]);
    let framing = confluent(8, Some(6));
    assert_eq!(TrackedEvent::decode_framed(framing, &framed), Err(CodecError::UnknownSchemaId(7)));
    assert_eq!(TrackedEvent::decode(&framed), Err(CodecError::Malformed("no schema marker")));
}

/// What a registry's ids for the current and the first schema make of the records.
fn confluent(schema_id: u32, first: Option<u32>) -> Framing {
    Framing::Confluent { schema_id, older_ids: [first] }
}

#[test]
fn records_of_before_an_upgrade_are_read_by_the_ids_that_the_registry_gave_their_schemas() {
    for (versions, schemas) in [
        (&schema::TRACKED_EVENT, TRACKED_EVENT_OLDER_SCHEMAS),
        (&schema::CONTRIBUTION, CONTRIBUTION_OLDER_SCHEMAS),
    ] {
        let published = schemas.map(|schema| Schema::parse_str(schema).unwrap());
        assert!(published.iter().eq(versions.older.iter().map(|(_, schema)| &***schema)));
        assert_eq!(published.len(), MOST_OLDER_SCHEMAS);
    }
    let event = TrackedEvent { increment: Increment::Event, ..small_event() };
    let mut current = Vec::new();
    event.encode(&mut current);
    // The newest schema only added a field at the end, `increment`, of one byte.
    let mut record = vec![0, 0, 0, 0, 6];
    record.extend(&current[10..current.len() - 1]);
    assert_eq!(TrackedEvent::decode_framed(confluent(8, Some(6)), &record).unwrap(), event);
    assert_eq!(TrackedEvent::decode_framed(confluent(8, None), &record), Err(CodecError::UnknownSchemaId(6)));
}

#[test]
fn a_registry_reader_still_reads_single_object_records() {
    let mut record = Vec::new();
    small_event().encode(&mut record);
    let framing = confluent(7, None);
    assert_eq!(TrackedEvent::decode_framed(framing, &record).unwrap(), small_event());
}

/// The current schema as if it had been published earlier: without `increment`, and with an optional field
/// that has been dropped since.
static OLDER: LazyLock<Schema> = LazyLock::new(|| {
    let mut json: serde_json::Value = serde_json::from_str(TRACKED_EVENT_SCHEMA).unwrap();
    let fields = json["fields"].as_array_mut().unwrap();
    assert_eq!(fields.pop().unwrap()["name"], "increment");
    fields.insert(2, serde_json::json!({"name": "source", "type": ["null", "string"], "default": null}));
    Schema::parse(&json).unwrap()
});

#[test]
fn a_record_of_an_older_schema_is_resolved_to_the_current_one() {
    const FINGERPRINT: u64 = 42;
    static WITH_OLDER: Versions = Versions {
        current: schema::TRACKED_EVENT.current,
        reader: schema::TRACKED_EVENT.reader,
        older: &[(FINGERPRINT, &OLDER)],
    };
    let Value::Record(mut fields) = avro_value(&small_event()) else { unreachable!() };
    fields.pop();
    let source = Value::Union(1, Box::new(Value::String("web".to_owned())));
    fields.insert(2, ("source".to_owned(), source));
    let mut record = SINGLE_OBJECT_MARKER.to_vec();
    record.extend(FINGERPRINT.to_le_bytes());
    record.extend(write(&OLDER, Value::Record(fields)));

    let resolved: TrackedEvent<'_> = decode(&WITH_OLDER, Framing::SingleObject, &record).unwrap();
    assert_eq!(resolved, TrackedEvent { increment: Increment::Event, ..small_event() });

    record.truncate(40);
    let truncated = decode::<TrackedEvent<'_>>(&WITH_OLDER, Framing::SingleObject, &record);
    assert!(matches!(truncated, Err(CodecError::Malformed(_))), "{truncated:?}");
}

/// The published version 1, which ends with `client_event_id`.
#[test]
fn an_event_of_the_first_schema_was_tracked() {
    let (first, first_schema) = schema::TRACKED_EVENT.older[0];
    proptest!(|(event in tracked_event())| {
        let tracked = TrackedEvent { increment: Increment::Event, ..event };
        let mut record = Vec::new();
        tracked.encode(&mut record);
        record.truncate(record.len() - 1);
        record[2..HEADER].copy_from_slice(&first.to_le_bytes());
        read(first_schema, &record[HEADER..]);
        prop_assert_eq!(by_name(TrackedEvent::decode(&record).unwrap()), by_name(tracked));
    });
}

/// The published version 1, which ends with `payload` and knows a request by its endpoint alone.
#[test]
fn a_dead_letter_of_the_first_schema_is_read_with_what_it_has() {
    let (first, first_schema) = schema::DEAD_LETTER.older[0];
    proptest!(|(letter in dead_letter())| {
        let origin = match letter.origin {
            Origin::Request { endpoint, .. } => {
                Origin::Request { endpoint, user_id: None, content_type: String::new() }
            }
            of_log @ Origin::Log { .. } => of_log,
        };
        let known = DeadLetter { origin, project_id: None, key: None, whole_size: None, ..letter };
        let mut current = Vec::new();
        known.encode_framed(Framing::SingleObject, &mut current);
        let Value::Record(mut fields) = read(schema::DEAD_LETTER.reader, &current[HEADER..]) else { unreachable!() };
        fields.truncate(6);
        if let (_, Value::Union(0, origin)) = &mut fields[3]
            && let Value::Record(of_request) = &mut **origin
        {
            of_request.truncate(1);
        }
        let mut record = SINGLE_OBJECT_MARKER.to_vec();
        record.extend(first.to_le_bytes());
        record.extend(write(first_schema, Value::Record(fields)));
        prop_assert_eq!(DeadLetter::decode_framed(Framing::SingleObject, &record).unwrap(), known);
    });
}

#[test]
fn an_unknown_increment_is_malformed() {
    let mut record = Vec::new();
    small_event().encode(&mut record);
    for number in [6, 1, 3] {
        *record.last_mut().unwrap() = number;
        let decoded = TrackedEvent::decode(&record);
        assert_eq!(decoded, Err(CodecError::Malformed("an unknown symbol of an enum")), "{number}");
    }
}

/// The published version 1, which ends with `client_event_id`.
#[test]
fn a_contribution_of_the_first_schema_is_read_with_what_it_has() {
    let (first, first_schema) = schema::CONTRIBUTION.older[0];
    proptest!(|(contribution in contribution())| {
        let known = Contribution { target_author_id: None, assignee_ids: Vec::new(), ..contribution };
        let mut record = Vec::new();
        known.encode_framed(Framing::SingleObject, &mut record);
        record.truncate(record.len() - 2);
        record[2..HEADER].copy_from_slice(&first.to_le_bytes());
        let mut body = &record[HEADER..];
        GenericDatumReader::builder(first_schema).build().unwrap().read_value(&mut body).unwrap();
        prop_assert!(body.is_empty());
        prop_assert_eq!(Contribution::decode_framed(Framing::SingleObject, &record).unwrap(), known);
    });
}

fn avro_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("avro")
}

fn fingerprint(json: &str) -> u64 {
    evolution::fingerprint(json).unwrap()
}

/// The published schemas as listed: record, version, fingerprint.
fn published() -> Vec<(String, u32, u64)> {
    let list = std::fs::read_to_string(avro_folder().join("fingerprints")).unwrap();
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let [record, version, fingerprint] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("not three words: {line}")
            };
            (record.to_owned(), version.parse().unwrap(), u64::from_str_radix(fingerprint, 16).unwrap())
        })
        .collect()
}

const RECORDS: [(&str, &Versions, &str); 4] = [
    ("tracked_event", &schema::TRACKED_EVENT, TRACKED_EVENT_SCHEMA),
    ("contribution", &schema::CONTRIBUTION, CONTRIBUTION_SCHEMA),
    ("page_event", &schema::PAGE_EVENT, PAGE_EVENT_SCHEMA),
    ("dead_letter", &schema::DEAD_LETTER, DEAD_LETTER_SCHEMA),
];

#[test]
fn the_fingerprint_of_the_specification_is_computed() {
    // The value for "null" in Avro's own test data.
    assert_eq!(fingerprint(r#""null""#), 0x63dd_24e7_cc25_8f8a);
}

#[test]
fn current_schemas_are_published_and_have_the_fingerprint_records_bear() {
    for (record, versions, json) in RECORDS {
        let current = fingerprint(json);
        assert_eq!(current, versions.current, "{record}: 0x{current:016x}");
        let newest = published().into_iter().filter(|(name, ..)| name == record).max_by_key(|entry| entry.1);
        assert_eq!(
            newest.map(|entry| entry.2),
            Some(current),
            "{record}: not the newest of avro/fingerprints"
        );
    }
}

#[test]
fn published_schemas_are_unchanged_and_known_and_each_reads_each_other() {
    let listed = published();
    for (record, version, listed_fingerprint) in &listed {
        let file = avro_folder().join(format!("history/{record}.{version}.avsc"));
        let old = std::fs::read_to_string(&file).unwrap();
        assert_eq!(fingerprint(&old), *listed_fingerprint, "{}", file.display());
        let old = Schema::parse_str(&old).unwrap();

        let (_, versions, _) = RECORDS.iter().find(|(name, ..)| name == record).unwrap();
        let known = *listed_fingerprint == versions.current || versions.older(*listed_fingerprint).is_some();
        assert!(known, "{record} {version} is published, and decode doesn't know it");

        let others = listed.iter().filter(|(name, ..)| name == record);
        for (_, other_version, _) in others {
            let other = avro_folder().join(format!("history/{record}.{other_version}.avsc"));
            let other = Schema::parse_str(&std::fs::read_to_string(other).unwrap()).unwrap();
            let read = SchemaCompatibility::can_read(&old, &other);
            let between = format!("version {other_version} of {record} reading version {version}");
            assert_eq!(read.unwrap(), Compatibility::Full, "{between}");
        }
    }
    let files = std::fs::read_dir(avro_folder().join("history")).unwrap().count();
    assert_eq!(files, listed.len(), "every file of avro/history is listed in avro/fingerprints");
}

#[test]
fn an_incompatible_change_is_refused_by_the_compatibility_check() {
    let old = Schema::parse_str(TRACKED_EVENT_SCHEMA).unwrap();
    let changed = TRACKED_EVENT_SCHEMA.replacen(
        r#""name": "name", "type": "string""#,
        r#""name": "name", "type": "long""#,
        1,
    );
    assert_ne!(changed, TRACKED_EVENT_SCHEMA);
    assert!(SchemaCompatibility::can_read(&old, &Schema::parse_str(&changed).unwrap()).is_err());
}
