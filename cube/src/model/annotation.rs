//! What an answer says about the members of its query: titles, types, formats, and what a measure drills down to.

use serde_json::{Map, Value, json};

use super::read_cube::GRANULARITIES;
use super::{Dimension, Label, Measure, Member, Model};
use crate::query::Query;

impl Model {
    /// The measures and dimensions that a measure drills down to, as answers show them.
    pub(super) fn drill_members(&self, measure: &Measure) -> [(&'static str, Value); 2] {
        let (measures, dimensions): (Vec<&String>, Vec<&String>) =
            measure.drill_members.iter().partition(|id| matches!(self.member(id), Ok(Member::Measure(_))));
        [
            ("drillMembers", json!(measure.drill_members)),
            ("drillMembersGrouped", json!({"measures": measures, "dimensions": dimensions})),
        ]
    }

    /// Whether answers may show the member: it is public, and so is its cube.
    pub fn is_visible(&self, label: &Label) -> bool {
        label.public && self.cube_of(&label.id).is_ok_and(|cube| cube.public)
    }
}

/// The `annotation` of an answer.
pub fn annotation(model: &Model, query: &Query) -> Value {
    let measures = query.measures.iter().filter_map(|id| model.measure(id).ok());
    let dimensions = query.dimensions.iter().filter_map(|id| model.dimension(id).ok());
    let segments = query.segments.iter().filter_map(|id| model.segment(id).ok());
    let shown = |label: &Label| model.is_visible(label);
    json!({
        "measures": measures
            .filter(|measure| shown(&measure.label))
            .map(|measure| (measure.label.id.clone(), measure_annotation(model, measure)))
            .collect::<Map<_, _>>(),
        "dimensions": dimensions
            .filter(|dimension| shown(&dimension.label))
            .map(|dimension| (dimension.label.id.clone(), Value::Object(dimension_annotation(dimension))))
            .collect::<Map<_, _>>(),
        "segments": segments
            .filter(|segment| shown(&segment.label))
            .map(|segment| (segment.label.id.clone(), Value::Object(describe(&segment.label, None))))
            .collect::<Map<_, _>>(),
        "timeDimensions": time_dimensions(model, query),
    })
}

fn measure_annotation(model: &Model, measure: &Measure) -> Value {
    let mut annotation = describe(&measure.label, Some(measure.kind.value_type()));
    annotation.extend(model.drill_members(measure).map(|(key, value)| (key.to_owned(), value)));
    Value::Object(annotation)
}

fn dimension_annotation(dimension: &Dimension) -> Map<String, Value> {
    describe(&dimension.label, Some(dimension.kind.as_str()))
}

/// A grouped time dimension stands twice, with its granularity and plain, unless it is among the dimensions, too.
fn time_dimensions(model: &Model, query: &Query) -> Map<String, Value> {
    let mut annotations = Map::new();
    for time in &query.time_dimensions {
        let (Some(granularity), Ok(dimension)) = (&time.granularity, model.dimension(&time.dimension)) else {
            continue;
        };
        if !model.is_visible(&dimension.label) {
            continue;
        }
        let plain = dimension_annotation(dimension);
        let mut grouped = plain.clone();
        // Cube takes any letter case and says nothing of what it doesn't know by this name.
        if GRANULARITIES.iter().any(|(known, _)| known == granularity) {
            let interval = format!("1 {granularity}");
            let described = json!({"name": granularity, "title": granularity, "interval": interval});
            grouped.insert("granularity".to_owned(), described);
        }
        annotations.insert(format!("{}.{granularity}", time.dimension), Value::Object(grouped));
        if !query.dimensions.contains(&time.dimension) {
            annotations.insert(time.dimension.clone(), Value::Object(plain));
        }
    }
    annotations
}

fn describe(label: &Label, kind: Option<&str>) -> Map<String, Value> {
    let fields = [
        ("title", Some(label.title.as_str().into())),
        ("shortTitle", Some(label.short_title.as_str().into())),
        ("description", label.description.as_deref().map(Value::from)),
        ("type", kind.map(Value::from)),
        ("format", label.format.clone()),
        ("meta", label.meta.clone()),
    ];
    fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}
