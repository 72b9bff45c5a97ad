//! The weekly slot: where a UUID puts it, and which one is next.

use jiff::Timestamp;
use jiff::civil::Weekday;
use tally_ping::WeeklySlot;

/// Computed apart from Tally, for each `u`, by Python: `h = lambda s: int(hashlib.sha256((u + s).encode()).hexdigest(), 16)`,
/// then `h("") % 7, h("hour") % 24, h("minute") % 60`.
const VECTORS: [(&str, i8, i8, i8); 8] = [
    ("d9e2f4e8-db1f-4e51-b03d-f427e1965c4a", 4, 10, 44),
    ("00000000-0000-0000-0000-000000000000", 0, 1, 32),
    ("ffffffff-ffff-ffff-ffff-ffffffffffff", 5, 17, 50),
    ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", 5, 22, 39),
    ("f47ac10b-58cc-4372-a567-0e02b2c3d479", 4, 8, 37),
    ("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", 3, 5, 40),
    ("11111111-2222-4333-8444-555555555555", 5, 7, 21),
    ("550e8400-e29b-41d4-a716-446655440000", 1, 22, 42),
];

#[test]
fn a_uuid_names_a_minute_of_the_week() {
    for (uuid, weekday, hour, minute) in VECTORS {
        let slot = WeeklySlot::of(uuid);
        let found = (slot.weekday.to_sunday_zero_offset(), slot.hour, slot.minute);
        assert_eq!(found, (weekday, hour, minute), "{uuid}");
    }
}

#[test]
fn slots_repeat_every_week() {
    let slot = WeeklySlot { weekday: Weekday::Wednesday, hour: 10, minute: 30 };
    // 2026-11-18 is a Wednesday.
    let table = [
        ("2026-11-18T10:29:59.999Z", "2026-11-11T10:30:00Z"),
        ("2026-11-18T10:30:00Z", "2026-11-18T10:30:00Z"),
        ("2026-11-18T23:59:59Z", "2026-11-18T10:30:00Z"),
        ("2026-11-19T00:00:00Z", "2026-11-18T10:30:00Z"),
        ("2026-11-22T12:00:00Z", "2026-11-18T10:30:00Z"),
        ("2026-11-25T10:29:00Z", "2026-11-18T10:30:00Z"),
        ("2027-01-01T00:00:00Z", "2026-12-30T10:30:00Z"),
    ];
    for (now, expected) in table {
        let (now, expected): (Timestamp, Timestamp) = (now.parse().unwrap(), expected.parse().unwrap());
        assert_eq!(slot.at_or_before(now), expected, "{now}");
        assert_eq!(slot.after(now).duration_since(expected).as_hours(), 168, "{now}");
    }
    assert_eq!(slot.to_string(), "Wednesday 10:30 UTC");
}
