//! From files to a checked model: all names first, then each cube, then what only the whole shows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::names::{Names, declared_name};
use super::places::Places;
use super::yaml::{self, Fields, Node, Report};
use super::{Model, ModelError, ModelErrors, check, read_cube};

/// The files that are part of Tally.
const BUILT_IN: [(&str, &str); 5] = [
    ("internal_events.yml", include_str!("../../../schemas/cubes/internal_events.yml")),
    ("retention.yml", include_str!("../../../schemas/cubes/retention.yml")),
    ("returning_users.yml", include_str!("../../../schemas/cubes/returning_users.yml")),
    ("sessions.yml", include_str!("../../../schemas/cubes/sessions.yml")),
    ("tracked_events.yml", include_str!("../../../schemas/cubes/tracked_events.yml")),
];

/// Whose rows the cubes of a folder are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Every project's: each cube must say how its rows are told apart.
    Shared,
    /// One project's own: all rows belong to it, unless a cube says how its rows are told apart.
    Project(i64),
}

impl Model {
    /// Tally's own model.
    pub fn built_in() -> Self {
        Self::parse(&BUILT_IN, Ownership::Shared).expect("the built-in model is valid, a test loads it")
    }

    /// Reads a model from the texts of its files, each with the path that errors shall name. References may go from
    /// file to file.
    pub fn parse<P, T>(files: &[(P, T)], ownership: Ownership) -> Result<Self, ModelErrors>
    where
        P: AsRef<str>,
        T: AsRef<str>,
    {
        Self::default().with_files(files, ownership)
    }

    /// Reads all `.yml` and `.yaml` files below a folder, in the order of their paths, but none that are hidden.
    pub fn load_folder(folder: &Path, ownership: Ownership) -> Result<Self, ModelErrors> {
        Self::default().with_folder(folder, ownership)
    }

    /// Like [`Model::with_files`], of all `.yml` and `.yaml` files below a folder, in the order of their paths.
    pub fn with_folder(&self, folder: &Path, ownership: Ownership) -> Result<Self, ModelErrors> {
        let mut files = Vec::new();
        read_folder(folder, &mut files).map_err(|(path, error)| {
            let file = path.display().to_string();
            ModelErrors(vec![ModelError { file, line: None, path: String::new(), reason: error.to_string() }])
        })?;
        let mut model = self.with_files(&files, ownership)?;
        for cube in &mut model.cubes {
            if let Ok(relative) = Path::new(&cube.file).strip_prefix(folder) {
                cube.file = relative.display().to_string();
            }
        }
        Ok(model)
    }

    /// This model and the cubes of these files, which may refer to this model's cubes and replace those of the same
    /// name. The result is checked as a whole.
    pub fn with_files<P, T>(&self, files: &[(P, T)], ownership: Ownership) -> Result<Self, ModelErrors>
    where
        P: AsRef<str>,
        T: AsRef<str>,
    {
        let mut errors = Vec::new();
        let documents: Vec<(&str, Vec<Node>)> = files
            .iter()
            .map(|(file, text)| {
                let mut report = Report { file: file.as_ref(), errors: &mut errors };
                (file.as_ref(), entries(text.as_ref(), &mut report))
            })
            .collect();
        let mut names = Names::of_model(self);
        let mut places = Places::default();
        let all =
            || documents.iter().flat_map(|(file, entries)| entries.iter().map(move |entry| (*file, entry)));
        for name in all().filter_map(|(_, entry)| declared_name(entry)) {
            names.forget(name);
        }
        for (file, entry) in all() {
            names.declare(entry);
            let mut report = Report { file, errors: &mut errors };
            places.note(file, entry, &mut report);
        }
        let cubes = all()
            .filter_map(|(file, entry)| {
                read_cube::cube(entry, ownership, &names, &mut Report { file, errors: &mut errors })
            })
            .collect();
        let model = self.with(&Self { cubes });
        // What a cube that can't be read leaves behind would look like mistakes of others.
        if errors.is_empty() {
            check::check(&model, &places, &mut errors);
        }
        if errors.is_empty() {
            return Ok(model);
        }
        let place = |file: &str| files.iter().position(|(path, _)| path.as_ref() == file);
        errors.sort_by_key(|error| (place(&error.file), error.line));
        Err(ModelErrors(errors))
    }
}

/// The entries of `cubes` of a file.
fn entries(text: &str, report: &mut Report<'_>) -> Vec<Node> {
    let document = match yaml::parse(text) {
        Ok(Some(document)) => document,
        Ok(None) => return Vec::new(),
        Err((line, reason)) => {
            report.error(line, "", format!("not YAML: {reason}"));
            return Vec::new();
        }
    };
    let Some(mut fields) = Fields::of(&document, "", report) else { return Vec::new() };
    let cubes = fields.list("cubes", report).to_vec();
    fields.finish(report);
    cubes
}

fn read_folder(folder: &Path, files: &mut Vec<(String, String)>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (folder.to_owned(), error);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    // Kubernetes keeps what it mounts in hidden folders beside the files.
    paths.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    paths.sort();
    for path in paths {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            read_folder(&path, files)?;
        } else if matches!(extension, Some("yml" | "yaml")) {
            let text = fs::read_to_string(&path).map_err(|error| (path.clone(), error))?;
            files.push((path.display().to_string(), text));
        }
    }
    Ok(())
}
