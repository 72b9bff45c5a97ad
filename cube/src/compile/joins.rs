//! Which cubes a query needs and how their rows meet: the shortest tree of joins from one of them to all others, and which
//! cubes' rows appear more than once in it. The rules are those of Cube's join graph.

use std::collections::{HashMap, VecDeque};

use super::members::cubes_of;
use crate::model::{Cube, Join, Relationship};
use crate::query::Query;
use crate::{CubeError, Model};

/// The cubes of a query, joined.
#[derive(Clone, Debug)]
pub(super) struct JoinTree<'m> {
    pub root: &'m Cube,
    /// Every join's `from` is the root or the `to` of one before it.
    pub joins: Vec<Joined<'m>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Joined<'m> {
    pub from: &'m Cube,
    pub to: &'m Cube,
    pub join: &'m Join,
}

impl<'m> JoinTree<'m> {
    /// The tree of a query's cubes. The first of its cubes is the root, unless another one needs fewer joins.
    pub fn of(model: &'m Model, query: &Query) -> Result<Self, CubeError> {
        let cubes = cubes_of(model, query)?;
        let mut best: Option<Self> = None;
        for root in &cubes {
            if let Some(tree) = Self::from_root(model, root, &cubes)
                && best.as_ref().is_none_or(|best| tree.joins.len() < best.joins.len())
            {
                best = Some(tree);
            }
        }
        best.ok_or_else(|| no_path(&cubes))
    }

    fn from_root(model: &'m Model, root: &'m Cube, cubes: &[&'m Cube]) -> Option<Self> {
        let arrivals = shortest_paths(model, root);
        let mut joins: Vec<Joined<'m>> = Vec::new();
        for cube in cubes.iter().filter(|cube| cube.name != root.name) {
            let mut path = Vec::new();
            let mut place: &str = &cube.name;
            while place != root.name {
                let joined = arrivals.get(place)?;
                path.push(*joined);
                place = &joined.from.name;
            }
            for joined in path.into_iter().rev() {
                if !joins.iter().any(|known| known.to.name == joined.to.name) {
                    joins.push(joined);
                }
            }
        }
        Some(Self { root, joins })
    }

    pub fn cubes(&self) -> impl Iterator<Item = &'m Cube> + '_ {
        std::iter::once(self.root).chain(self.joins.iter().map(|joined| joined.to))
    }

    /// Whether a row of `cube` may appear more than once, because some cube beyond it has many rows for one.
    pub fn multiplies(&self, cube: &str) -> bool {
        let mut visited = vec![cube];
        let mut pending = vec![cube];
        while let Some(place) = pending.pop() {
            for joined in &self.joins {
                let (next, many) = if joined.from.name == place {
                    (joined.to.name.as_str(), joined.join.relationship == Relationship::OneToMany)
                } else if joined.to.name == place {
                    (joined.from.name.as_str(), joined.join.relationship == Relationship::ManyToOne)
                } else {
                    continue;
                };
                if visited.contains(&next) {
                    continue;
                }
                if many {
                    return true;
                }
                visited.push(next);
                pending.push(next);
            }
        }
        false
    }
}

/// For every cube that can be reached from `root`, the last join of the shortest way.
fn shortest_paths<'m>(model: &'m Model, root: &'m Cube) -> HashMap<&'m str, Joined<'m>> {
    let mut arrivals = HashMap::new();
    let mut pending = VecDeque::from([root]);
    while let Some(from) = pending.pop_front() {
        for join in &from.joins {
            if join.to == root.name || arrivals.contains_key(join.to.as_str()) {
                continue;
            }
            if let Some(to) = model.cube(&join.to) {
                arrivals.insert(to.name.as_str(), Joined { from, to, join });
                pending.push_back(to);
            }
        }
    }
    arrivals
}

fn no_path(cubes: &[&Cube]) -> CubeError {
    let names: Vec<String> = cubes.iter().map(|cube| format!("'{}'", cube.name)).collect();
    CubeError::User(format!("Can't find join path to join {}", names.join(", ")))
}
