//! The data models of all readers: the built-in one, the operator's folders, each project's own cubes and its funnels. Each
//! made model has a number of its own, so that answers of one are never taken for another's.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tally_cube::Model;
use tally_cube::model::funnel::{Funnel, funnel_cubes};
use tally_cube::model::{ModelErrors, Ownership};

use super::config::ModelFolder;

/// Projects whose funnels' models are kept; more are made anew when asked for.
const MAX_KEPT: usize = 1_000;

/// A model that is never changed, with its number.
#[derive(Debug)]
pub struct NumberedModel {
    /// Unlike any other model's of this process.
    pub number: u64,
    model: Model,
}

impl NumberedModel {
    fn new(model: Model) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self { number: NEXT.fetch_add(1, Ordering::Relaxed), model })
    }
}

impl Deref for NumberedModel {
    type Target = Model;

    fn deref(&self) -> &Model {
        &self.model
    }
}

/// All models, as of the last load.
pub struct Models {
    folders: Vec<ModelFolder>,
    loaded: RwLock<Arc<Loaded>>,
}

struct Loaded {
    shared: Arc<NumberedModel>,
    own: HashMap<i64, Arc<NumberedModel>>,
    /// By project, with the model and the funnels that each was made of.
    with_funnels: Mutex<HashMap<i64, WithFunnels>>,
}

#[derive(Clone)]
struct WithFunnels {
    funnels: Vec<Funnel>,
    model: Arc<NumberedModel>,
}

impl Models {
    /// Loads the built-in model and these folders.
    pub fn load(folders: Vec<ModelFolder>) -> Result<Self, ModelErrors> {
        let loaded = RwLock::new(Arc::new(load(&folders)?));
        Ok(Self { folders, loaded })
    }

    /// Loads the folders again. With an error all stays as it was.
    pub fn reload(&self) -> Result<(), ModelErrors> {
        let loaded = Arc::new(load(&self.folders)?);
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// What a project sees: its own cubes before everybody's, and its funnels where no cube has their name.
    pub fn of(&self, project: i64, funnels: &[Funnel]) -> Arc<NumberedModel> {
        let loaded = self.loaded();
        let own = loaded.own.get(&project).unwrap_or(&loaded.shared);
        if funnels.is_empty() {
            return Arc::clone(own);
        }
        let mut kept = loaded.with_funnels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(&project).filter(|known| known.funnels == funnels) {
            return Arc::clone(&known.model);
        }
        let model = NumberedModel::new(Model { cubes: funnel_cubes(funnels) }.with(own));
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(project, WithFunnels { funnels: funnels.to_vec(), model: Arc::clone(&model) });
        model
    }

    /// Every model whose tables are Tally's to care for: everybody's and each project's own.
    pub fn all(&self) -> Vec<Arc<NumberedModel>> {
        let loaded = self.loaded();
        std::iter::once(&loaded.shared).chain(loaded.own.values()).cloned().collect()
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Every folder is read over what is there before it, whose cubes its own may refer to or replace; the projects' own folders
/// over everybody's.
fn load(folders: &[ModelFolder]) -> Result<Loaded, ModelErrors> {
    let mut errors = Vec::new();
    let mut shared = Model::built_in();
    for folder in folders.iter().filter(|folder| folder.project.is_none()) {
        match shared.with_folder(Path::new(&folder.path), Ownership::Shared) {
            Ok(model) => shared = model,
            Err(found) => errors.extend(found.0),
        }
    }
    // What everybody's folders lack would look like mistakes of the projects' own.
    if !errors.is_empty() {
        return Err(ModelErrors(errors));
    }
    let mut own: BTreeMap<i64, Model> = BTreeMap::new();
    for (folder, project) in folders.iter().filter_map(|folder| Some((folder, folder.project?))) {
        let before = own.get(&project).unwrap_or(&shared);
        match before.with_folder(Path::new(&folder.path), Ownership::Project(project)) {
            Ok(model) => drop(own.insert(project, model)),
            Err(found) => errors.extend(found.0),
        }
    }
    if !errors.is_empty() {
        return Err(ModelErrors(errors));
    }
    let own = own.into_iter().map(|(project, model)| (project, NumberedModel::new(model)));
    Ok(Loaded { own: own.collect(), shared: NumberedModel::new(shared), with_funnels: Mutex::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_texts(texts: &[(&str, Option<i64>)]) -> Result<Loaded, String> {
        let folders: Vec<_> = texts.iter().map(|_| tempfile::tempdir().unwrap()).collect();
        let described = folders.iter().zip(texts).map(|(folder, (text, project))| {
            std::fs::write(folder.path().join("model.yml"), text).unwrap();
            ModelFolder { path: folder.path().display().to_string(), project: *project }
        });
        load(&described.collect::<Vec<_>>()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn cubes_of_a_folder_may_refer_to_those_before_it() {
        let devices = "cubes: [{name: Devices, sql_table: devices, meta: {tenant_column: project_id}, \
            dimensions: [{name: id, sql: id, type: string, primary_key: true}], \
            joins: [{name: Sessions, relationship: one_to_many, sql: \"{CUBE}.id = {Sessions.deviceType}\"}]}]";
        let own = "cubes: [{name: Own, sql_table: own, dimensions: [{name: id, sql: id, type: string, primary_key: true}], \
            joins: [{name: Devices, relationship: many_to_one, sql: \"{CUBE}.device = {Devices.id}\"}]}]";
        let loaded = load_texts(&[(own, Some(42)), (devices, None)]).unwrap();
        assert!(loaded.shared.cube("Devices").is_some() && loaded.shared.cube("Own").is_none());
        assert!(loaded.own[&42].cube("Own").is_some() && loaded.own[&42].cube("TrackedEvents").is_some());
    }

    #[test]
    fn a_folder_is_checked_together_with_what_is_there_before_it() {
        let same_alias = "cubes: [{name: Other, sql_alias: sessions, sql_table: other, meta: {tenant_column: project_id}}]";
        for project in [None, Some(42)] {
            let error = load_texts(&[(same_alias, project)]).err().unwrap();
            assert!(error.contains("same name in SQL"), "{error}");
        }
    }
}
