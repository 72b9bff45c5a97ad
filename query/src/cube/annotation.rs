//! What an answer says about its members: titles, types, formats.

use serde_json::{Map, Value, json};

use super::model::{Label, Measure};
use super::resolve::Resolved;

/// The `annotation` of an answer.
pub(super) fn annotation(query: &Resolved<'_>) -> Value {
    let measures =
        query.measures.iter().map(|measure| (measure.label.id.clone(), measure_annotation(measure)));
    let dimensions = query.dimensions.iter().map(|dimension| {
        (dimension.label.id.clone(), Value::Object(typed(&dimension.label, dimension.kind.as_str())))
    });
    let segments = query.segments.iter().map(|segment| {
        let label = &segment.label;
        (label.id.clone(), json!({"title": label.title, "shortTitle": label.short_title}))
    });
    json!({
        "measures": measures.collect::<Map<_, _>>(),
        "dimensions": dimensions.collect::<Map<_, _>>(),
        "segments": segments.collect::<Map<_, _>>(),
        "timeDimensions": time_dimensions(query),
    })
}

fn measure_annotation(measure: &Measure) -> Value {
    let mut annotation = typed(&measure.label, "number");
    annotation.insert("drillMembers".to_owned(), json!(measure.drill_members));
    annotation.insert(
        "drillMembersGrouped".to_owned(),
        json!({"measures": [], "dimensions": measure.drill_members}),
    );
    Value::Object(annotation)
}

/// A grouped time dimension stands twice: with its granularity, and plain.
fn time_dimensions(query: &Resolved<'_>) -> Map<String, Value> {
    let mut annotations = Map::new();
    for time in &query.time_dimensions {
        let Some(bucket) = &time.bucket else { continue };
        let label = &time.dimension.label;
        let plain = typed(label, time.dimension.kind.as_str());
        let mut with_granularity = plain.clone();
        with_granularity.insert("granularity".to_owned(), bucket.granularity.annotation());
        annotations.insert(format!("{}.{}", label.id, bucket.name), Value::Object(with_granularity));
        annotations.insert(label.id.clone(), Value::Object(plain));
    }
    annotations
}

fn typed(label: &Label, kind: &str) -> Map<String, Value> {
    let mut annotation = Map::new();
    annotation.insert("title".to_owned(), label.title.as_str().into());
    annotation.insert("shortTitle".to_owned(), label.short_title.as_str().into());
    let mut optional = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            annotation.insert(key.to_owned(), value);
        }
    };
    optional("description", label.description.clone().map(Value::from));
    optional("type", Some(kind.into()));
    optional("format", label.format.clone().map(Value::from));
    optional("meta", label.meta.clone());
    annotation
}
