//! What only the whole model shows: references that a replaced cube has left behind, members that need themselves, cubes that
//! are not joined, aggregates of the wrong shape.

use std::collections::{BTreeMap, BTreeSet};

use super::joins::components;
use super::places::Places;
use super::{CaseLabel, Cube, Expression, Measure, MeasureKind, Member, Model, ModelError, Piece, Sql};

/// Notes everything that keeps the model from being compiled.
pub(super) fn check(model: &Model, places: &Places<'_>, errors: &mut Vec<ModelError>) {
    let before = errors.len();
    aliases(model, places, errors);
    references(model, places, errors);
    if errors.len() > before {
        return;
    }
    cycles(model, places, errors);
    // What follows goes from member to member and would not end.
    if errors.len() > before {
        return;
    }
    joins(model, places, errors);
    for cube in &model.cubes {
        let measures = cube.measures.iter().filter(|measure| measure.kind.is_calculation());
        errors.extend(
            measures
                .filter(|measure| !is_aggregated(model, measure))
                .map(|measure| places.error(cube, &measure.label.id, neither_aggregate())),
        );
        pre_aggregations(model, cube, places, errors);
    }
}

/// Everything of a cube that refers to others, with the path that errors name.
fn sql_of(cube: &Cube) -> Vec<(&str, &Sql)> {
    let mut all: Vec<(&str, &Sql)> = Vec::new();
    for measure in &cube.measures {
        let sql = measure.sql.iter().chain(&measure.filters);
        all.extend(sql.map(|sql| (measure.label.id.as_str(), sql)));
    }
    for dimension in &cube.dimensions {
        let sql = expression_sql(&dimension.expression);
        all.extend(sql.into_iter().map(|sql| (dimension.label.id.as_str(), sql)));
    }
    all.extend(cube.segments.iter().map(|segment| (segment.label.id.as_str(), &segment.sql)));
    all.extend(cube.joins.iter().map(|join| (cube.name.as_str(), &join.sql)));
    all
}

/// Every piece of SQL that a dimension is made of.
pub(super) fn expression_sql(expression: &Expression) -> Vec<&Sql> {
    match expression {
        Expression::Sql(sql) => vec![sql],
        Expression::Geo { latitude, longitude } => vec![latitude, longitude],
        Expression::Case { when, otherwise } => {
            let labels = when.iter().map(|(_, label)| label).chain([otherwise]);
            let label_sql = labels.filter_map(|label| match label {
                CaseLabel::Sql(sql) => Some(sql),
                CaseLabel::Text(_) => None,
            });
            when.iter().map(|(condition, _)| condition).chain(label_sql).collect()
        }
    }
}

/// Two cubes of one alias could not stand in one statement.
fn aliases(model: &Model, places: &Places<'_>, errors: &mut Vec<ModelError>) {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for cube in &model.cubes {
        if let Some(other) = taken.insert(&cube.alias, &cube.name) {
            let reason =
                format!("has the same name in SQL as {other}, {}; give it a `sql_alias`", cube.alias);
            errors.push(places.error(cube, &cube.name, reason));
        }
    }
}

/// A cube that was replaced may lack what others of the earlier model refer to.
fn references(model: &Model, places: &Places<'_>, errors: &mut Vec<ModelError>) {
    for cube in &model.cubes {
        for (path, sql) in sql_of(cube) {
            for piece in &sql.0 {
                let missing = match piece {
                    Piece::Member(id) if model.member(id).is_err() && model.segment(id).is_err() => id,
                    Piece::Cube(name) if model.cube(name).is_none() => name,
                    _ => continue,
                };
                errors.push(places.error(
                    cube,
                    path,
                    format!("refers to {missing}, which is not there any more"),
                ));
            }
        }
        for join in cube.joins.iter().filter(|join| model.cube(&join.to).is_none()) {
            errors.push(places.error(
                cube,
                &cube.name,
                format!("joins {}, which is not there any more", join.to),
            ));
        }
        let drills = cube
            .measures
            .iter()
            .flat_map(|measure| measure.drill_members.iter().map(|id| (measure.label.id.as_str(), id)));
        for (path, id) in drills.filter(|(_, id)| model.member(id).is_err()) {
            errors.push(places.error(
                cube,
                path,
                format!("drills down by {id}, which is not there any more"),
            ));
        }
    }
}

/// Ids of the members that a member's SQL refers to.
fn references_of(model: &Model, id: &str) -> Vec<String> {
    let pieces = sql_of_member(model, id).into_iter().flat_map(|sql| &sql.0);
    pieces.filter_map(|piece| if let Piece::Member(id) = piece { Some(id.clone()) } else { None }).collect()
}

/// Depth first; a member that is met while it is being followed needs itself.
fn cycles(model: &Model, places: &Places<'_>, errors: &mut Vec<ModelError>) {
    let mut walk = Walk { model, done: BTreeSet::new(), trail: Vec::new(), found: Vec::new() };
    for cube in &model.cubes {
        for (id, _) in sql_of(cube).into_iter().filter(|(path, _)| path.contains('.')) {
            walk.follow(id);
        }
        for (id, trail) in walk.found.drain(..) {
            errors.push(places.error(cube, &id, format!("needs itself: {trail}")));
        }
    }
}

struct Walk<'m> {
    model: &'m Model,
    done: BTreeSet<String>,
    trail: Vec<String>,
    found: Vec<(String, String)>,
}

impl Walk<'_> {
    fn follow(&mut self, id: &str) {
        if let Some(start) = self.trail.iter().position(|earlier| earlier == id) {
            let trail = [&self.trail[start..], &[id.to_owned()]].concat().join(" -> ");
            self.found.push((id.to_owned(), trail));
            return;
        }
        if self.done.contains(id) {
            return;
        }
        self.trail.push(id.to_owned());
        for next in references_of(self.model, id) {
            self.follow(&next);
        }
        self.trail.pop();
        self.done.insert(id.to_owned());
    }
}

fn joins(model: &Model, places: &Places<'_>, errors: &mut Vec<ModelError>) {
    let components = components(model);
    for cube in &model.cubes {
        for (path, sql) in sql_of(cube) {
            let unreachable = sql.0.iter().filter_map(cube_named).find(|other| {
                *other != cube.name
                    && components.get(other).is_none_or(|it| components.get(cube.name.as_str()) != Some(it))
            });
            if let Some(other) = unreachable {
                errors.push(places.error(cube, path, format!("refers to {other}, which no join leads to")));
            }
        }
        for join in &cube.joins {
            let others = join.sql.0.iter().filter_map(cube_named);
            for other in others.filter(|other| *other != cube.name && *other != join.to) {
                let reason = format!("joins {} by a condition on {other}", join.to);
                errors.push(places.error(cube, &cube.name, reason));
            }
            let sides = [Some(cube), model.cube(&join.to)];
            for side in sides.into_iter().flatten().filter(|side| needs_primary_key(side)) {
                let reason = format!(
                    "primary key for '{}' is required when join is defined in order to make aggregates work properly",
                    side.name
                );
                errors.push(places.error(cube, &cube.name, reason));
            }
        }
    }
}

/// The cube that a piece refers to, itself or by a member.
fn cube_named(piece: &Piece) -> Option<&str> {
    match piece {
        Piece::Cube(name) => Some(name),
        Piece::Member(id) => id.split('.').next(),
        Piece::Text(_) | Piece::Value(_) | Piece::Tenant => None,
    }
}

/// Cube's rule: rows that a join repeats are told apart by the primary key, unless repeating them changes no measure.
fn needs_primary_key(cube: &Cube) -> bool {
    let changes = |measure: &Measure| {
        matches!(measure.kind, MeasureKind::Count | MeasureKind::Sum | MeasureKind::Avg | MeasureKind::Number)
    };
    cube.primary_key().next().is_none() && cube.measures.iter().any(changes)
}

/// Whether a calculation has one value a group: it calls a function, is computed of measures, or is a constant.
fn is_aggregated(model: &Model, measure: &Measure) -> bool {
    let pieces = || measure.sql.iter().flat_map(|sql| &sql.0);
    let of_measures = pieces().any(|piece| matches!(piece, Piece::Member(id) if model.measure(id).is_ok()));
    let calls = pieces().any(|piece| matches!(piece, Piece::Text(text) if text.contains('(')));
    let is_constant = pieces().all(|piece| matches!(piece, Piece::Text(text) if is_constant(text)));
    of_measures || calls || is_constant
}

fn is_constant(text: &str) -> bool {
    text.starts_with('\'') || !text.contains(|letter: char| letter.is_ascii_alphabetic() || letter == '`')
}

fn neither_aggregate() -> String {
    "is neither an aggregate nor computed of measures".to_owned()
}

/// A rollup holds the states of plain aggregates over columns of its own table.
fn pre_aggregations(model: &Model, cube: &Cube, places: &Places<'_>, errors: &mut Vec<ModelError>) {
    for rollup in &cube.pre_aggregations {
        let path = format!("{}.{}", cube.name, rollup.name);
        let mut refuse = |reason: String| errors.push(places.error(cube, &path, reason));
        let calculated = rollup
            .measures
            .iter()
            .filter(|id| model.measure(id).is_ok_and(|measure| measure.kind.is_calculation()));
        for id in calculated {
            refuse(format!("{id} is computed of aggregates; name those instead"));
        }
        let members = rollup.measures.iter().chain(&rollup.dimensions).chain(&rollup.segments);
        for id in members.chain(rollup.time.iter().map(|(id, _)| id)) {
            if reaches_other_cube(model, id, &cube.name) {
                refuse(format!("{id} needs another cube's rows"));
            }
        }
        if let Some((id, _)) = &rollup.time
            && model.dimension(id).is_ok_and(|time| time.kind != super::DimensionKind::Time)
        {
            refuse(format!("{id} is no time"));
        }
    }
}

/// Whether a member's SQL, with that of the members that it refers to, reads another cube.
fn reaches_other_cube(model: &Model, id: &str, cube: &str) -> bool {
    let owner_differs = id.split('.').next() != Some(cube);
    owner_differs
        || sql_of_member(model, id)
            .iter()
            .any(|sql| sql.0.iter().filter_map(cube_named).any(|name| name != cube))
        || references_of(model, id).iter().any(|next| reaches_other_cube(model, next, cube))
}

fn sql_of_member<'m>(model: &'m Model, id: &str) -> Vec<&'m Sql> {
    match model.member(id) {
        Ok(Member::Measure(measure)) => measure.sql.iter().chain(&measure.filters).collect(),
        Ok(Member::Dimension(dimension)) => expression_sql(&dimension.expression),
        Err(_) => model.segment(id).map(|segment| vec![&segment.sql]).unwrap_or_default(),
    }
}
