//! Which cubes and members there are, before any of them is read: references may go forwards and from file to file.

use std::collections::BTreeMap;

use super::Model;
use super::yaml::{Content, Node};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Measure,
    Dimension,
    Segment,
}

/// The names of cubes, and of each cube's members.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    cubes: BTreeMap<String, BTreeMap<String, Kind>>,
}

impl Names {
    /// The names of a model that others may refer to.
    pub fn of_model(model: &Model) -> Self {
        let mut names = Self::default();
        for cube in &model.cubes {
            names.add_cube(&cube.name);
            let measures = cube.measures.iter().map(|measure| (&measure.label, Kind::Measure));
            let dimensions = cube.dimensions.iter().map(|dimension| (&dimension.label, Kind::Dimension));
            let segments = cube.segments.iter().map(|segment| (&segment.label, Kind::Segment));
            for (label, kind) in measures.chain(dimensions).chain(segments) {
                let member = label.id.rsplit('.').next().unwrap_or(&label.id);
                names.add_member(&cube.name, member, kind);
            }
        }
        names
    }

    /// Adds the names that a cube's entry declares. Mistakes in it are found when it is read.
    pub fn declare(&mut self, entry: &Node) {
        let Some(cube) = text_of(entry, "name") else { return };
        self.add_cube(cube);
        for (list, kind) in
            [("measures", Kind::Measure), ("dimensions", Kind::Dimension), ("segments", Kind::Segment)]
        {
            let Some(Node { content: Content::List(members), .. }) = value_of(entry, list) else { continue };
            for member in members.iter().filter_map(|member| text_of(member, "name")) {
                self.add_member(cube, member, kind);
            }
        }
    }

    /// Forgets a cube, because another one takes its name.
    pub fn forget(&mut self, cube: &str) {
        self.cubes.remove(cube);
    }

    pub fn add_member(&mut self, cube: &str, member: &str, kind: Kind) {
        self.add_cube(cube);
        if let Some(members) = self.cubes.get_mut(cube) {
            members.entry(member.to_owned()).or_insert(kind);
        }
    }

    pub fn has_cube(&self, cube: &str) -> bool {
        self.cubes.contains_key(cube)
    }

    pub fn kind(&self, cube: &str, member: &str) -> Option<Kind> {
        self.cubes.get(cube)?.get(member).copied()
    }

    fn add_cube(&mut self, cube: &str) {
        self.cubes.entry(cube.to_owned()).or_default();
    }
}

/// The name that a cube's entry declares.
pub(super) fn declared_name(entry: &Node) -> Option<&str> {
    text_of(entry, "name")
}

fn text_of<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    match value_of(node, key) {
        Some(Node { content: Content::Text(text), .. }) => Some(text),
        _ => None,
    }
}

fn value_of<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match &node.content {
        Content::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
        _ => None,
    }
}
