//! Finding cubes and members by the ids of a request, with Cube's words for what is not there.

use super::{Cube, Dimension, Measure, Model, Segment};
use crate::CubeError;

/// What an id of a filter or an order names.
#[derive(Clone, Copy, Debug)]
pub enum Member<'m> {
    Measure(&'m Measure),
    Dimension(&'m Dimension),
}

impl Model {
    /// The cube of this name.
    pub fn cube(&self, name: &str) -> Option<&Cube> {
        self.cubes.iter().find(|cube| cube.name == name)
    }

    /// The cube that `id` (`Cube.member`, perhaps with a granularity) starts with.
    pub fn cube_of(&self, id: &str) -> Result<&Cube, CubeError> {
        let name = id.split('.').next().unwrap_or(id);
        self.cube(name).ok_or_else(|| CubeError::User(format!("Cube '{name}' not found for path '{id}'")))
    }

    pub fn measure(&self, id: &str) -> Result<&Measure, CubeError> {
        let cube = self.cube_of(id)?;
        cube.measures.iter().find(|measure| measure.label.id == id).ok_or_else(|| not_found(id))
    }

    pub fn dimension(&self, id: &str) -> Result<&Dimension, CubeError> {
        let cube = self.cube_of(id)?;
        cube.dimensions.iter().find(|dimension| dimension.label.id == id).ok_or_else(|| not_found(id))
    }

    pub fn segment(&self, id: &str) -> Result<&Segment, CubeError> {
        let cube = self.cube_of(id)?;
        cube.segments.iter().find(|segment| segment.label.id == id).ok_or_else(|| not_found(id))
    }

    /// The measure or dimension that a filter names.
    pub fn member(&self, id: &str) -> Result<Member<'_>, CubeError> {
        self.measure(id).map(Member::Measure).or_else(|_| self.dimension(id).map(Member::Dimension))
    }

    /// These cubes and `other`'s; where both have a cube of one name, it is `other`'s.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let kept = self.cubes.iter().filter(|cube| other.cube(&cube.name).is_none());
        Self { cubes: kept.chain(&other.cubes).cloned().collect() }
    }
}

impl Cube {
    /// The dimensions that tell its rows apart.
    pub fn primary_key(&self) -> impl Iterator<Item = &Dimension> {
        self.dimensions.iter().filter(|dimension| dimension.primary_key)
    }
}

fn not_found(id: &str) -> CubeError {
    let member = id.split('.').nth(1).unwrap_or(id);
    CubeError::User(format!("'{member}' not found for path '{id}'"))
}
