//! Puts a query's SQL together: one SELECT over the joined cubes; or, where a join repeats the rows that a measure is taken
//! over, one SELECT for each cube whose measures are asked for, and their rows side by side.

use std::collections::HashMap;

use tally_store::Parameter;

use super::filter::Conditions;
use super::granularity::Zone;
use super::joins::JoinTree;
use super::members::{cube_name, group_measures, is_on_groups, one_cube_measures, references};
use super::output::{Output, columns, outputs};
use super::rollup::{Rollup, is_utc};
use super::source::{Origin, own_rows, table_of};
use super::writer::{Measures, Rows, Writer, no_primary_key, quoted};
use super::{Compiled, UsedPreAggregation};
use crate::model::{Cube, Measure};
use crate::query::{Filter, Order, Query, default_order};
use crate::{CubeError, Model};

/// A query whose members and joins are found.
pub(super) struct Selection<'m, 'q> {
    model: &'m Model,
    query: &'q Query,
    tenant: i64,
    tree: JoinTree<'m>,
    outputs: Vec<Output<'m>>,
    rollup: Option<Rollup>,
}

/// SQL whose rows are those of the answer but for order, limit and how values are shown.
struct Body {
    /// What each output is called or computed by.
    values: Vec<String>,
    /// FROM and all that follows up to the order.
    tail: String,
}

impl<'m, 'q> Selection<'m, 'q> {
    pub fn of(model: &'m Model, query: &'q Query, tenant: i64) -> Result<Self, CubeError> {
        let tree = JoinTree::of(model, query)?;
        let outputs = outputs(model, query)?;
        let rollup = if tree.joins.is_empty() { Rollup::of(model, tree.root, query)? } else { None };
        Ok(Self { model, query, tenant, tree, outputs, rollup })
    }

    pub fn compile(&self) -> Result<Compiled, CubeError> {
        let columns = columns(&self.outputs);
        let mut writer = Writer::new(self.model, self.tenant, Rows::Aliased);
        let zone = self.zone(&mut writer);
        let body = self.body(&mut writer, &zone)?;
        let shown = self.outputs.iter().zip(&body.values).zip(&columns).map(|((output, sql), column)| {
            format!("{} AS {}", output.shown(self.model, sql, &zone), quoted(&column.alias))
        });
        let shown: Vec<String> = shown.collect();
        let order = self.order(&body);
        let limit = self.limit(&mut writer);
        let sql = format!("SELECT {} {}{order}{limit}{}", shown.join(", "), body.tail, self.settings());
        Ok(Compiled {
            rows: writer.finish(sql),
            total: if self.query.total { Some(self.total()?) } else { None },
            columns,
            pre_aggregations: self.used_pre_aggregations(),
            tables: self.tables(),
        })
    }

    fn total(&self) -> Result<tally_store::Statement, CubeError> {
        let mut writer = Writer::new(self.model, self.tenant, Rows::Aliased);
        let zone = self.zone(&mut writer);
        let body = self.body(&mut writer, &zone)?;
        // A value of each row has to be asked for: an aggregate keeps a query of measures alone at its one row.
        let sql = format!(
            "SELECT toString(count()) FROM (SELECT {} {}){}",
            body.values.join(", "),
            body.tail,
            self.settings()
        );
        Ok(writer.finish(sql))
    }

    /// The query's zone, which all parts of the SQL name alike.
    fn zone(&self, writer: &mut Writer<'_>) -> Zone {
        let zone = &self.query.zone;
        let sql = if is_utc(zone) {
            "'UTC'".to_owned()
        } else {
            writer.bind_text(zone.iana_name().unwrap_or(&self.query.timezone))
        };
        Zone::new(zone, sql)
    }

    fn body(&self, writer: &mut Writer<'m>, zone: &Zone) -> Result<Body, CubeError> {
        if self.query.ungrouped {
            writer.measures = Measures::PerRow;
            return self.plain(writer, zone);
        }
        let parts = self.parts()?;
        if parts.iter().all(|part| part.multiplied.is_none()) {
            writer.measures = Measures::Aggregated { counted_by_key: self.counted_by_key() };
            return self.plain(writer, zone);
        }
        self.side_by_side(writer, zone, &parts)
    }

    /// Cubes whose rows a left join may leave out.
    fn counted_by_key(&self) -> Vec<String> {
        self.tree.joins.iter().map(|joined| joined.to.name.clone()).collect()
    }

    fn plain(&self, writer: &mut Writer<'m>, zone: &Zone) -> Result<Body, CubeError> {
        let mut values = Vec::new();
        for output in &self.outputs {
            values.push(output.sql(writer, zone, self.rollup.as_ref())?);
        }
        let from = self.joined_rows(writer)?;
        let is_group = |output: &&Output<'_>| !matches!(output, Output::Measure(_));
        let keys: Vec<String> = self
            .outputs
            .iter()
            .zip(&values)
            .filter(|(output, _)| is_group(output) && !self.query.ungrouped)
            .map(|(_, sql)| sql.clone())
            .collect();
        let having = self.conditions_on_groups(writer)?;
        let tail =
            format!("{from}{}{}", clause(" GROUP BY ", &keys, ", "), clause(" HAVING ", &having, " AND "));
        Ok(Body { values, tail })
    }

    /// The joined cubes and every condition on rows.
    fn joined_rows(&self, writer: &mut Writer<'m>) -> Result<String, CubeError> {
        let root = self.tree.root;
        let origin = Origin::of(writer, root, Rows::Aliased)?;
        let mut from = vec![format!("FROM {} AS {}", origin.from, quoted(&root.alias))];
        for joined in &self.tree.joins {
            let rows = own_rows(writer, joined.to)?;
            let condition = writer.text(joined.from, &joined.join.sql)?;
            from.push(format!("LEFT JOIN {rows} ON {condition}"));
        }
        let mut conditions: Vec<String> = origin.tenant_condition.into_iter().collect();
        for time in &self.query.time_dimensions {
            if let Some(range) = &time.range {
                conditions.push(self.conditions(writer).range(&time.dimension, false, range)?);
            }
        }
        for id in &self.query.segments {
            let segment = self.model.segment(id)?;
            conditions.push(format!("({})", writer.sql(self.model.cube_of(id)?, &segment.sql)?));
        }
        for filter in self.filters(false) {
            conditions.extend(self.conditions(writer).filter(filter)?);
        }
        Ok(format!("{}{}", from.join(" "), clause(" WHERE ", &conditions, " AND ")))
    }

    fn conditions_on_groups(&self, writer: &mut Writer<'m>) -> Result<Vec<String>, CubeError> {
        let mut conditions = Vec::new();
        for filter in self.filters(true) {
            conditions.extend(self.conditions(writer).filter(filter)?);
        }
        Ok(conditions)
    }

    fn filters(&self, on_groups: bool) -> impl Iterator<Item = &'q Filter> {
        let model = self.model;
        self.query.filters.iter().filter(move |filter| is_on_groups(model, filter) == on_groups)
    }

    fn conditions<'w>(&'w self, writer: &'w mut Writer<'m>) -> Conditions<'w, 'm> {
        Conditions { writer, zone: &self.query.zone, rollup: self.rollup.as_ref() }
    }

    /// Members of the order that aren't selected don't order anything, as in Cube.
    fn order(&self, body: &Body) -> String {
        let asked = self.query.order.clone().unwrap_or_else(|| default_order(self.query));
        let ordered: Vec<String> = asked
            .iter()
            .filter_map(|Order { id, descending }| {
                let place = self.outputs.iter().position(|output| output.answers_to(id))?;
                let direction = if *descending { "DESC" } else { "ASC" };
                Some(format!("{} {direction}", body.values[place]))
            })
            .collect();
        clause(" ORDER BY ", &ordered, ", ")
    }

    fn limit(&self, writer: &mut Writer<'_>) -> String {
        let limit = writer.bind(Parameter::Unsigned(self.query.limit), "UInt64");
        match self.query.offset {
            Some(offset) if offset > 0 => {
                let offset = writer.bind(Parameter::Unsigned(offset), "UInt64");
                format!(" LIMIT {limit} OFFSET {offset}")
            }
            _ => format!(" LIMIT {limit}"),
        }
    }

    /// What a join doesn't find is null, as in SQL, and not zero or empty.
    fn settings(&self) -> &'static str {
        if self.tree.joins.is_empty() { "" } else { " SETTINGS join_use_nulls = 1" }
    }

    fn used_pre_aggregations(&self) -> Vec<UsedPreAggregation> {
        self.rollup.iter().map(|rollup| rollup.used.clone()).collect()
    }

    fn tables(&self) -> Vec<String> {
        self.tree.cubes().map(table_of).collect::<Option<Vec<_>>>().unwrap_or_default()
    }
}

/// Measures that are taken over the same rows.
struct Part<'m> {
    /// The cube that the join repeats rows of; `None` for measures that the joined rows are right for.
    multiplied: Option<&'m Cube>,
    measures: Vec<&'m Measure>,
}

/// Columns of the SELECTs inside; no model's column is likely to be called so.
const GROUP: &str = "cube_group_";
const KEY: &str = "cube_key_";
const PART_VALUE: &str = "cube_part_";
const VALUE: &str = "cube_value_";

impl<'m> Selection<'m, '_> {
    fn parts(&self) -> Result<Vec<Part<'m>>, CubeError> {
        let mut parts: Vec<Part<'m>> = Vec::new();
        for measure in self.one_cube_measures()? {
            let cube = self.model.cube_of(&measure.label.id)?;
            let multiplied = self.tree.multiplies(&cube.name).then_some(cube);
            if multiplied.is_some() {
                self.check_own_rows(measure, cube)?;
            }
            let name = |cube: Option<&Cube>| cube.map(|cube| cube.name.clone());
            match parts.iter_mut().find(|part| name(part.multiplied) == name(multiplied)) {
                Some(part) => part.measures.push(measure),
                None => parts.push(Part { multiplied, measures: vec![measure] }),
            }
        }
        Ok(parts)
    }

    /// All measures that the query needs, taken apart until each is of one cube.
    fn one_cube_measures(&self) -> Result<Vec<&'m Measure>, CubeError> {
        let mut measures = Vec::new();
        for output in &self.outputs {
            if let Output::Measure(measure) = output {
                one_cube_measures(self.model, measure, &mut measures);
            }
        }
        for measure in group_measures(self.model, self.query)? {
            one_cube_measures(self.model, measure, &mut measures);
        }
        Ok(measures)
    }

    fn check_own_rows(&self, measure: &Measure, cube: &Cube) -> Result<(), CubeError> {
        let mut named = Vec::new();
        references(self.model, &measure.label.id, &mut named, 0)?;
        if named.iter().all(|id| cube_name(id) == cube.name) {
            return Ok(());
        }
        Err(CubeError::User(format!(
            "'{}' references cubes that lead to row multiplication. Please rewrite it using sub query.",
            measure.label.id
        )))
    }

    /// One SELECT a part, each with all groups and null for the others' measures; a group's values are then its only ones.
    fn side_by_side(
        &self,
        writer: &mut Writer<'m>,
        zone: &Zone,
        parts: &[Part<'m>],
    ) -> Result<Body, CubeError> {
        let measures: Vec<&Measure> = parts.iter().flat_map(|part| part.measures.iter().copied()).collect();
        let mut selects = Vec::new();
        for part in parts {
            selects.push(self.part(writer, zone, part, &measures)?);
        }
        let groups: Vec<String> = (0..self.groups().count()).map(|place| format!("{GROUP}{place}")).collect();
        let mut columns = groups.clone();
        columns
            .extend((0..measures.len()).map(|place| format!("any({PART_VALUE}{place}) AS {VALUE}{place}")));
        let together = format!(
            "SELECT {} FROM ({}){}",
            columns.join(", "),
            selects.join(" UNION ALL "),
            clause(" GROUP BY ", &groups, ", "),
        );
        let held = measures.iter().enumerate();
        let held: HashMap<String, String> =
            held.map(|(place, measure)| (measure.label.id.clone(), format!("{VALUE}{place}"))).collect();
        writer.measures = Measures::Columns(held);
        let mut unused_groups = groups.into_iter();
        let mut values = Vec::new();
        for output in &self.outputs {
            values.push(match output {
                Output::Measure(measure) => writer.measure(measure)?,
                _ => unused_groups.next().unwrap_or_default(),
            });
        }
        let having = self.conditions_on_groups(writer)?;
        Ok(Body { values, tail: format!("FROM ({together}){}", clause(" WHERE ", &having, " AND ")) })
    }

    fn groups(&self) -> impl Iterator<Item = &Output<'m>> {
        self.outputs.iter().filter(|output| !matches!(output, Output::Measure(_)))
    }

    fn part(
        &self,
        writer: &mut Writer<'m>,
        zone: &Zone,
        part: &Part<'m>,
        measures: &[&Measure],
    ) -> Result<String, CubeError> {
        let counted_by_key = match part.multiplied {
            Some(cube) => vec![cube.name.clone()],
            None => self.counted_by_key(),
        };
        writer.measures = Measures::Aggregated { counted_by_key };
        let mut groups = Vec::new();
        for (place, output) in self.groups().enumerate() {
            groups.push(format!("{} AS {GROUP}{place}", output.sql(writer, zone, None)?));
        }
        let mut values = Vec::new();
        for (place, measure) in measures.iter().enumerate() {
            let is_of_part = part.measures.iter().any(|own| own.label.id == measure.label.id);
            let value = if is_of_part { writer.measure(measure)? } else { "NULL".to_owned() };
            values.push(format!("{value} AS {PART_VALUE}{place}"));
        }
        let names: Vec<String> = (0..groups.len()).map(|place| format!("{GROUP}{place}")).collect();
        let joined = self.joined_rows(writer)?;
        let grouped = clause(" GROUP BY ", &names, ", ");
        let Some(cube) = part.multiplied else {
            groups.extend(values);
            return Ok(format!("SELECT {} {joined}{grouped}", groups.join(", ")));
        };
        let mut matches = Vec::new();
        for (place, key) in cube.primary_key().enumerate() {
            let sql = writer.dimension(key)?;
            groups.push(format!("{sql} AS {KEY}{place}"));
            matches.push(format!("{KEY}{place} = {sql}"));
        }
        if matches.is_empty() {
            return Err(no_primary_key(cube));
        }
        let rows = own_rows(writer, cube)?;
        let mut selected = names;
        selected.extend(values);
        Ok(format!(
            "SELECT {} FROM (SELECT DISTINCT {} {joined}) AS cube_keys LEFT JOIN {rows} ON {}{grouped}",
            selected.join(", "),
            groups.join(", "),
            matches.join(" AND "),
        ))
    }
}

/// A clause with its elements, or nothing when there are none.
fn clause(name: &str, elements: &[String], separator: &str) -> String {
    if elements.is_empty() { String::new() } else { format!("{name}{}", elements.join(separator)) }
}
