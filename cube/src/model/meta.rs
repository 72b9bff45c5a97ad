//! What `/meta` says about a model: everything that is public, with Cube 1.7's keys in Cube's order.

use serde_json::{Map, Value, json};

use super::joins::components;
use super::{
    CaseLabel, Cube, Dimension, DimensionKind, Expression, Join, Label, Measure, Model, Piece,
    PreAggregation, Relationship, Segment, Source, Sql, format,
};

/// The answer to `/meta`; `extended` adds SQL, files, joins and pre-aggregations.
pub fn meta(model: &Model, extended: bool) -> Value {
    let components = components(model);
    let cubes = model.cubes.iter().filter(|cube| cube.public).map(|cube| {
        let component = components.get(cube.name.as_str()).copied();
        cube_meta(model, cube, component, extended)
    });
    // A cube that shows nothing is not shown.
    let is_empty = |cube: &Value| {
        ["measures", "dimensions", "segments"]
            .iter()
            .all(|list| cube[list].as_array().is_none_or(Vec::is_empty))
    };
    json!({"cubes": cubes.filter(|cube| !is_empty(cube)).collect::<Vec<_>>()})
}

/// An object of those fields that have a value.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn text(value: Option<&String>) -> Option<Value> {
    value.map(|text| text.as_str().into())
}

fn cube_meta(model: &Model, cube: &Cube, component: Option<usize>, extended: bool) -> Value {
    let shown = |label: &Label| label.public;
    let measures = cube.measures.iter().filter(|measure| shown(&measure.label));
    let dimensions = cube.dimensions.iter().filter(|dimension| shown(&dimension.label));
    let segments = cube.segments.iter().filter(|segment| shown(&segment.label));
    let mut meta = object([
        ("name", text(Some(&cube.name))),
        ("type", Some("cube".into())),
        ("title", text(Some(&cube.title))),
        ("isVisible", Some(true.into())),
        ("public", Some(true.into())),
        ("description", text(cube.description.as_ref())),
        ("connectedComponent", component.map(Value::from)),
        ("meta", cube.meta.clone()),
        ("measures", Some(measures.map(|measure| measure_meta(model, measure, cube, extended)).collect())),
        ("dimensions", Some(dimensions.map(|dimension| dimension_meta(dimension, cube, extended)).collect())),
        ("segments", Some(segments.map(|segment| segment_meta(segment, cube, extended)).collect())),
        ("hierarchies", Some(hierarchies(cube))),
        ("folders", Some(json!([]))),
        ("nestedFolders", Some(json!([]))),
    ]);
    if extended {
        let select = match &cube.source {
            Source::Select(sql) => Some(template(sql, cube)),
            Source::Table(_) => None,
        };
        meta.extend(object([
            ("sql", select.map(Value::from)),
            ("fileName", text(Some(&cube.file))),
            ("joins", Some(cube.joins.iter().map(|join| join_meta(join, cube)).collect())),
            ("preAggregations", Some(cube.pre_aggregations.iter().map(pre_aggregation_meta).collect())),
        ]));
    }
    Value::Object(meta)
}

fn measure_meta(model: &Model, measure: &Measure, cube: &Cube, extended: bool) -> Value {
    let label = &measure.label;
    let kind = measure.kind.value_type();
    let [drill_members, grouped] = model.drill_members(measure);
    let described = (kind == "number").then(|| format::description(label.format.as_ref()));
    let mut meta = object([
        ("name", text(Some(&label.id))),
        ("title", text(Some(&label.title))),
        ("description", text(label.description.as_ref())),
        ("shortTitle", text(Some(&label.short_title))),
        ("format", label.format.clone()),
        ("formatDescription", described),
        ("cumulativeTotal", Some(false.into())),
        ("cumulative", Some(false.into())),
        ("type", Some(kind.into())),
        ("aggType", Some(measure.kind.as_str().into())),
        (drill_members.0, Some(drill_members.1)),
        (grouped.0, Some(grouped.1)),
        ("meta", label.meta.clone()),
        ("isVisible", Some(true.into())),
        ("public", Some(true.into())),
    ]);
    if extended {
        let filters = measure.filters.iter().map(|filter| json!({"sql": template(filter, cube)}));
        let filters = (!measure.filters.is_empty()).then(|| filters.collect());
        meta.extend(object([
            ("sql", measure.sql.as_ref().map(|sql| template(sql, cube).into())),
            ("filters", filters),
        ]));
    }
    Value::Object(meta)
}

fn dimension_meta(dimension: &Dimension, cube: &Cube, extended: bool) -> Value {
    let label = &dimension.label;
    let described =
        (dimension.kind == DimensionKind::Number).then(|| format::description(label.format.as_ref()));
    let mut meta = object([
        ("name", text(Some(&label.id))),
        ("title", text(Some(&label.title))),
        ("type", Some(dimension.kind.as_str().into())),
        ("description", text(label.description.as_ref())),
        ("shortTitle", text(Some(&label.short_title))),
        ("suggestFilterValues", Some(dimension.suggest_filter_values.into())),
        ("format", label.format.clone()),
        ("formatDescription", described),
        ("meta", label.meta.clone()),
        ("isVisible", Some(true.into())),
        ("public", Some(true.into())),
        ("primaryKey", Some(dimension.primary_key.into())),
    ]);
    if extended {
        meta.extend(match &dimension.expression {
            Expression::Sql(sql) => object([("sql", Some(template(sql, cube).into()))]),
            Expression::Case { when, otherwise } => object([("case", Some(case(when, otherwise, cube)))]),
            Expression::Geo { .. } => Map::new(),
        });
    }
    Value::Object(meta)
}

fn case(when: &[(Sql, CaseLabel)], otherwise: &CaseLabel, cube: &Cube) -> Value {
    let label = |label: &CaseLabel| match label {
        CaseLabel::Text(text) => text.clone(),
        CaseLabel::Sql(sql) => template(sql, cube),
    };
    let branches = when
        .iter()
        .map(|(condition, then)| json!({"sql": template(condition, cube), "label": label(then)}))
        .collect::<Vec<_>>();
    json!({"when": branches, "else": {"label": label(otherwise)}})
}

fn segment_meta(segment: &Segment, cube: &Cube, extended: bool) -> Value {
    let label = &segment.label;
    let sql = extended.then(|| template(&segment.sql, cube).into());
    Value::Object(object([
        ("name", text(Some(&label.id))),
        ("title", text(Some(&label.title))),
        ("shortTitle", text(Some(&label.short_title))),
        ("description", text(label.description.as_ref())),
        ("meta", label.meta.clone()),
        ("isVisible", Some(true.into())),
        ("public", Some(true.into())),
        ("sql", sql),
    ]))
}

fn hierarchies(cube: &Cube) -> Value {
    let shown = cube.hierarchies.iter().filter(|hierarchy| hierarchy.public);
    shown
        .map(|hierarchy| {
            Value::Object(object([
                ("name", Some(format!("{}.{}", cube.name, hierarchy.name).into())),
                ("title", text(hierarchy.title.as_ref())),
                ("public", Some(true.into())),
                ("levels", Some(json!(hierarchy.levels))),
            ]))
        })
        .collect()
}

fn join_meta(join: &Join, cube: &Cube) -> Value {
    let relationship = match join.relationship {
        Relationship::OneToOne => "hasOne",
        Relationship::OneToMany => "hasMany",
        Relationship::ManyToOne => "belongsTo",
    };
    json!({"relationship": relationship, "name": join.to, "sql": template(&join.sql, cube)})
}

fn pre_aggregation_meta(rollup: &PreAggregation) -> Value {
    let list = |ids: &Vec<String>| (!ids.is_empty()).then(|| format!("[{}]", ids.join(", ")).into());
    let (time, granularity) = rollup.time.clone().unzip();
    Value::Object(object([
        ("type", Some("rollup".into())),
        ("granularity", granularity.map(Value::from)),
        ("name", text(Some(&rollup.name))),
        ("timeDimensionReference", time.map(Value::from)),
        ("dimensionReferences", list(&rollup.dimensions)),
        ("measureReferences", list(&rollup.measures)),
        ("segmentReferences", list(&rollup.segments)),
    ]))
}

/// SQL as Cube shows it, which is as the template of a JavaScript function.
fn template(sql: &Sql, cube: &Cube) -> String {
    let mut template = "`".to_owned();
    for piece in &sql.0 {
        match piece {
            Piece::Text(text) => template.push_str(&text.replace('`', "\\`")),
            Piece::Cube(name) if *name == cube.name => template.push_str("${CUBE}"),
            Piece::Member(name) | Piece::Cube(name) => {
                let own = name.strip_prefix(&cube.name).and_then(|rest| rest.strip_prefix('.'));
                template.push_str(&own.map_or_else(|| format!("${{{name}}}"), |own| format!("${{{own}}}")));
            }
            Piece::Tenant => template.push_str("${TENANT}"),
            Piece::Value(value) => {
                template.extend(["'", &value.replace('\'', "\\'"), "'"]);
            }
        }
    }
    template.push('`');
    template
}
