//! The tracked event's own Avro codec against the `apache-avro` crate's, over one event of six properties.
//! The difference is why the own code exists.

use std::borrow::Cow;
use std::hint::black_box;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Schema, types::Value};
use criterion::{Criterion, criterion_group, criterion_main};
use tally_schemas::avro::TRACKED_EVENT_SCHEMA;
use tally_schemas::{Increment, PropertyValue, TrackedEvent};
use uuid::Uuid;

/// Marker and fingerprint of single-object encoding, which `apache-avro`'s datum reader doesn't expect.
const HEADER: usize = 10;

fn event() -> TrackedEvent<'static> {
    let text = |text: &'static str| PropertyValue::String(Cow::Borrowed(text));
    TrackedEvent {
        event_id: Uuid::from_u128(0x0190_a0c4_7e2b_7000_8000_1234_5678_9abc),
        name: Cow::Borrowed("ci_template_included"),
        timestamp: 1_790_000_000_000,
        received_at: 1_790_000_000_321,
        user_id: Some(48_151),
        project_id: Some(623_421),
        namespace_id: Some(9_970),
        additional_properties: vec![
            (Cow::Borrowed("label"), text("auto_devops")),
            (Cow::Borrowed("property"), text("false")),
            (Cow::Borrowed("value"), PropertyValue::Double(12.5)),
            (Cow::Borrowed("attempt"), PropertyValue::Long(3)),
            (Cow::Borrowed("retried"), PropertyValue::Boolean(true)),
            (Cow::Borrowed("runner"), text("shared-runner-manager-4")),
        ],
        send_to_snowplow: false,
        timestamp_clamped: false,
        client_event_id: true,
        increment: Increment::Event,
    }
}

fn codec(criterion: &mut Criterion) {
    let event = event();
    let mut record = Vec::new();
    event.encode(&mut record);
    let schema = Schema::parse_str(TRACKED_EVENT_SCHEMA).expect("the schema is valid");
    let reader = GenericDatumReader::builder(&schema).build().expect("a reader of the schema");
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer of the schema");
    let value: Value = reader.read_value(&mut &record[HEADER..]).expect("the record is valid");

    let mut group = criterion.benchmark_group("tracked event of six properties");
    let mut out = Vec::new();
    group.bench_function("encode, own", |bencher| {
        bencher.iter(|| {
            out.clear();
            black_box(&event).encode(&mut out);
            black_box(&out);
        });
    });
    group.bench_function("encode, apache-avro", |bencher| {
        bencher.iter(|| {
            out.clear();
            writer.write_value_ref(&mut out, black_box(&value)).expect("the value fits the schema")
        });
    });
    group.bench_function("decode, own", |bencher| {
        bencher.iter(|| TrackedEvent::decode(black_box(&record)).expect("the record is valid"));
    });
    group.bench_function("decode, apache-avro", |bencher| {
        bencher.iter(|| reader.read_value(&mut black_box(&record[HEADER..])).expect("the record is valid"));
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
