//! What folding page events takes: a visit of ten pages each, read from the log and written as rows.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tally_eventlog::LogRecord;
use tally_processor::fold::Folder;
use tally_processor::fold::page_events::PageEventsFolder;
use tally_schemas::{Framing, PageEvent};
use uuid::Uuid;

const EVENTS: u64 = 50_000;
const NOV_20_2026: i64 = 1_795_132_800_000;

fn record(offset: u64) -> LogRecord {
    let (visit, page) = (offset / 10, offset % 10);
    let text = |text: &str| text.to_owned();
    let event = PageEvent {
        event_id: Uuid::from_u64_pair(offset.wrapping_mul(0x9E37_79B9_7F4A_7C15), offset),
        client_event_id: true,
        project_id: 1 + visit as i64 % 20,
        event: text("page_view"),
        event_name: text("page_view"),
        timestamp: NOV_20_2026 + offset as i64 * 10,
        received_at: NOV_20_2026 + offset as i64 * 10 + 70,
        user_id: if visit % 3 == 0 { format!("user-{visit}") } else { String::new() },
        domain_user_id: Uuid::from_u64_pair(visit, 1).to_string(),
        session_id: Uuid::from_u64_pair(visit, 2).to_string(),
        session_index: 1 + visit as u32 % 4,
        platform: text("web"),
        tracker_version: text("js-4.6.0"),
        tracker_name: text("gitlab"),
        page_url: format!("https://shop.example.com/products/{page}?utm_source=newsletter#top"),
        page_title: format!("Product {page}"),
        page_url_scheme: text("https"),
        page_url_host: text("shop.example.com"),
        page_url_path: format!("/products/{page}"),
        page_url_query: text("utm_source=newsletter"),
        page_url_fragment: text("top"),
        campaign_source: text("newsletter"),
        user_agent: text(
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
        ),
        agent_name: text("Chrome"),
        agent_version: text("142.0.0.0"),
        os_family: text("Linux"),
        os_name: text("Linux"),
        device_type: text("pc"),
        browser_language: text("en-GB"),
        document_language: text("en"),
        viewport_size: text("1280x720"),
        screen_resolution: text("1920x1080"),
        document_size: text("1280x4200"),
        time_zone: text("Europe/Berlin"),
        charset: text("UTF-8"),
        ..PageEvent::default()
    };
    let mut value = Vec::new();
    event.encode_framed(Framing::SingleObject, &mut value);
    LogRecord { offset, timestamp: event.received_at, key: None, value: value.into() }
}

fn fold(criterion: &mut Criterion) {
    let records: Vec<_> = (0..EVENTS).map(record).collect();
    let mut group = criterion.benchmark_group("page_events");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(20);
    group.bench_function("fold", |bencher| {
        bencher.iter(|| {
            let mut fold = PageEventsFolder::new(Framing::SingleObject, 1 << 20).start(0);
            for record in &records {
                fold.add(record);
            }
            black_box(fold.finish())
        });
    });
    group.finish();
}

criterion_group!(benches, fold);
criterion_main!(benches);
