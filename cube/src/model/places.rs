//! Where the files declare what, so that a mistake that shows late can still be named with file and line.

use std::collections::BTreeMap;

use super::names::declared_name;
use super::yaml::{Content, Node, Report};
use super::{Cube, ModelError};

/// Files and lines by cube, and by `Cube.member`.
#[derive(Debug, Default)]
pub(super) struct Places<'f>(BTreeMap<String, (&'f str, usize)>);

impl<'f> Places<'f> {
    /// Notes a cube's entry and all named entries in it. A cube that was declared before is a mistake.
    pub fn note(&mut self, file: &'f str, entry: &Node, report: &mut Report<'_>) {
        let (Some(cube), Content::Map(fields)) = (declared_name(entry), &entry.content) else { return };
        if let Some((other, line)) = self.0.get(cube) {
            report.error(
                entry.line,
                cube,
                format!("a second cube of this name; the first is at {other}:{line}"),
            );
            return;
        }
        self.0.insert(cube.to_owned(), (file, entry.line));
        let lists = fields.iter().filter_map(|(_, value)| match &value.content {
            Content::List(items) => Some(items),
            _ => None,
        });
        for item in lists.flatten() {
            if let Some(name) = declared_name(item) {
                self.0.entry(format!("{cube}.{name}")).or_insert((file, item.line));
            }
        }
    }

    /// A mistake in a cube (`Cube`) or member (`Cube.member`).
    pub fn error(&self, cube: &Cube, path: &str, reason: String) -> ModelError {
        let place = self.0.get(path).or_else(|| self.0.get(&cube.name));
        ModelError {
            file: place.map_or(cube.file.as_str(), |(file, _)| file).to_owned(),
            line: place.map(|(_, line)| *line),
            path: path.to_owned(),
            reason,
        }
    }
}
