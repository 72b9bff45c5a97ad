//! What folding tracked events takes: without ids of clients, as producers send them today, and with an id each.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tally_eventlog::LogRecord;
use tally_processor::fold::Folder;
use tally_processor::fold::events::EventsFolder;
use tally_schemas::{Definitions, Framing, Increment, Matcher, PropertyValue, TrackedEvent};
use uuid::Uuid;

const EVENTS: u64 = 100_000;
const NOV_20_2026: i64 = 1_795_132_800_000;

fn record(offset: u64, client_event_id: bool) -> LogRecord {
    let received_at = NOV_20_2026 + offset as i64 / 50;
    let event = TrackedEvent {
        event_id: Uuid::from_u64_pair(offset.wrapping_mul(0x9E37_79B9_7F4A_7C15), offset),
        name: ["view_dashboard", "run_pipeline", "create_work_item"][offset as usize % 3].into(),
        timestamp: received_at,
        received_at,
        user_id: Some(1 + offset as i64 % 5_000),
        project_id: Some(1 + offset as i64 % 300),
        namespace_id: Some(1 + offset as i64 % 40),
        additional_properties: vec![
            ("label".into(), PropertyValue::String("success".into())),
            ("value".into(), PropertyValue::Long(offset as i64 % 100)),
        ],
        send_to_snowplow: false,
        timestamp_clamped: false,
        client_event_id,
        increment: Increment::Event,
    };
    let mut value = Vec::new();
    event.encode(&mut value);
    LogRecord { offset, timestamp: received_at, key: None, value: value.into() }
}

fn fold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("events");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(20);
    for (name, client_event_id) in [("fold", false), ("fold_with_ids", true)] {
        let records: Vec<_> = (0..EVENTS).map(|offset| record(offset, client_event_id)).collect();
        group.bench_function(name, |bencher| {
            let folder =
                || EventsFolder::new(Matcher::new(&Definitions::built_in()), Framing::SingleObject, 1 << 20);
            let run = |folder: EventsFolder| {
                let mut fold = folder.start(0);
                for record in &records {
                    fold.add(record);
                }
                black_box(fold.finish())
            };
            bencher.iter_batched(folder, run, BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(benches, fold);
criterion_main!(benches);
