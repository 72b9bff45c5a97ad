//! The page event's codec against the `apache-avro` crate: its many fields are filled by the schema, so that none is left out.

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use uuid::Uuid;

use super::{Framing, PageEvent, SINGLE_OBJECT_MARKER, schema};

/// A value of every field, with the field's name and how `Debug` shows it.
fn fields() -> impl Strategy<Value = Vec<(String, Value, String)>> {
    let Schema::Record(record) = &**schema::PAGE_EVENT.reader else { unreachable!("a record") };
    record.fields.iter().map(|field| value_of(&field.name, &field.schema)).collect::<Vec<_>>()
}

fn value_of(name: &str, schema: &Schema) -> BoxedStrategy<(String, Value, String)> {
    let name = name.to_owned();
    let values = match schema {
        Schema::Uuid(_) => any::<u128>()
            .prop_map(Uuid::from_u128)
            .prop_map(|id| (Value::Uuid(id), format!("{id:?}")))
            .boxed(),
        Schema::Boolean => any::<bool>().prop_map(|yes| (Value::Boolean(yes), format!("{yes:?}"))).boxed(),
        Schema::String => any::<String>()
            .prop_map(|text| {
                let shown = format!("{text:?}");
                (Value::String(text), shown)
            })
            .boxed(),
        Schema::Long if name.ends_with("_port") => {
            any::<u16>().prop_map(|port| (Value::Long(port.into()), port.to_string())).boxed()
        }
        Schema::Long if name.ends_with("_index") => {
            any::<u32>().prop_map(|index| (Value::Long(index.into()), index.to_string())).boxed()
        }
        Schema::Long => any::<i64>().prop_map(|long| (Value::Long(long), long.to_string())).boxed(),
        Schema::TimestampMillis => {
            any::<i64>().prop_map(|time| (Value::TimestampMillis(time), time.to_string())).boxed()
        }
        Schema::Union(_) => proptest::option::of(-1e300..1e300)
            .prop_map(|double: Option<f64>| {
                let value = match double {
                    None => Value::Union(0, Box::new(Value::Null)),
                    Some(double) => Value::Union(1, Box::new(Value::Double(double))),
                };
                (value, format!("{double:?}"))
            })
            .boxed(),
        other => panic!("{name}: {other:?}"),
    };
    values.prop_map(move |(value, shown)| (name.clone(), value, shown)).boxed()
}

proptest! {
    #[test]
    fn page_events_are_read_and_written_as_apache_avro_does_it(fields in fields()) {
        let shown: Vec<_> = fields.iter().map(|(name, _, shown)| format!("{name}: {shown}")).collect();
        let value = Value::Record(fields.into_iter().map(|(name, value, _)| (name, value)).collect());
        let mut record = SINGLE_OBJECT_MARKER.to_vec();
        record.extend(schema::PAGE_EVENT.current.to_le_bytes());
        let writer = GenericDatumWriter::builder(schema::PAGE_EVENT.reader).build().unwrap();
        record.extend(writer.write_value_to_vec(value).unwrap());

        let event = PageEvent::decode_framed(Framing::SingleObject, &record).unwrap();
        prop_assert_eq!(format!("{event:?}"), format!("PageEvent {{ {} }}", shown.join(", ")));
        let mut written = Vec::new();
        event.encode_framed(Framing::SingleObject, &mut written);
        prop_assert_eq!(written, record);
    }

    #[test]
    fn damaged_page_events_are_refused_or_read_but_never_panic(
        mutations in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        page_url in any::<String>(),
        end in any::<prop::sample::Index>(),
    ) {
        let mut record = Vec::new();
        PageEvent { page_url, ..PageEvent::default() }.encode_framed(Framing::SingleObject, &mut record);
        prop_assert!(PageEvent::decode_framed(Framing::SingleObject, &record[..end.index(record.len())]).is_err());
        for (index, byte) in mutations {
            let at = index.index(record.len());
            record[at] = byte;
        }
        let _ = PageEvent::decode_framed(Framing::SingleObject, &record);
    }
}
