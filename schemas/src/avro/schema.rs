//! The schemas records are written with. Each is published under `schemas/avro/history` and never edited after;
//! the newest of a record equals `schemas/avro/<record>.avsc`. A record of an older one is read through
//! Avro's schema resolution, which may reorder its map entries.

use std::sync::{LazyLock, Once};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{AvroResult, Schema};

use super::CodecError;

/// Every published schema of one record.
pub(super) struct Versions {
    /// The newest one's fingerprint, which written records bear.
    pub(super) current: u64,
    /// The newest one, for resolving older records.
    pub(super) reader: &'static LazyLock<Schema>,
    /// The others by fingerprint, newest first.
    pub(super) older: &'static [(u64, &'static LazyLock<Schema>)],
}

/// A record's published schemas: the newest one's fingerprint and file, then those of the older ones.
macro_rules! versions {
    ($name:ident, $current:literal, $file:literal $(, $older:literal = $older_file:literal)*) => {
        pub(super) static $name: Versions = Versions {
            current: $current,
            reader: {
                static SCHEMA: LazyLock<Schema> = LazyLock::new(|| parse(include_str!($file)));
                &SCHEMA
            },
            older: &[$(($older, {
                static SCHEMA: LazyLock<Schema> = LazyLock::new(|| parse(include_str!($older_file)));
                &SCHEMA
            })),*],
        };
    };
}

versions!(
    TRACKED_EVENT,
    0x9ab9_9900_725a_365e,
    "../../avro/tracked_event.avsc",
    0x350a_d24a_3ab1_4ef8 = "../../avro/history/tracked_event.1.avsc"
);
versions!(
    CONTRIBUTION,
    0x3274_9f80_a3fd_316a,
    "../../avro/contribution.avsc",
    0xae90_87d5_af99_9e45 = "../../avro/history/contribution.1.avsc"
);
versions!(PAGE_EVENT, 0x37aa_fb94_318a_70a5, "../../avro/page_event.avsc");
versions!(
    DEAD_LETTER,
    0x7ee3_1609_5ae1_8404,
    "../../avro/dead_letter.avsc",
    0xa00a_4098_5e99_d3a9 = "../../avro/history/dead_letter.1.avsc"
);

/// The most that reading a record of an older schema may allocate at once, in bytes. Records are far smaller.
const MAX_ALLOCATION: usize = 16 << 20;

impl Versions {
    /// The older schema with that fingerprint.
    pub(super) fn older(&self, fingerprint: u64) -> Option<&'static Schema> {
        let (_, schema) = self.older.iter().find(|(known, _)| *known == fingerprint)?;
        Some(schema)
    }

    /// Rewrites the body of a record that was written with `writer` as the current schema has it.
    pub(super) fn resolve(&self, writer: &Schema, body: &[u8]) -> Result<Vec<u8>, CodecError> {
        static LIMIT: Once = Once::new();
        LIMIT.call_once(|| {
            apache_avro::util::max_allocation_bytes(MAX_ALLOCATION);
        });
        rewrite(writer, self.reader, body)
            .map_err(|_| CodecError::Malformed("not readable with the schema it was written with"))
    }
}

fn rewrite(writer: &Schema, reader: &Schema, mut body: &[u8]) -> AvroResult<Vec<u8>> {
    let value = GenericDatumReader::builder(writer)
        .maybe_reader_schema(Some(reader))
        .build()?
        .read_value(&mut body)?;
    GenericDatumWriter::builder(reader).build()?.write_value_to_vec(value)
}

fn parse(json: &str) -> Schema {
    Schema::parse_str(json).expect("the embedded schemas are valid, as a test shows")
}
