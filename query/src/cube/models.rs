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

fn load(folders: &[ModelFolder]) -> Result<Loaded, ModelErrors> {
    let mut errors = Vec::new();
    let mut shared = Model::built_in();
    let mut of_projects: BTreeMap<i64, Model> = BTreeMap::new();
    for folder in folders {
        let ownership = folder.project.map_or(Ownership::Shared, Ownership::Project);
        match Model::load_folder(Path::new(&folder.path), ownership) {
            Ok(model) => match folder.project {
                None => shared = shared.with(&model),
                Some(project) => {
                    let own = of_projects.entry(project).or_default();
                    *own = own.with(&model);
                }
            },
            Err(found) => errors.extend(found.0),
        }
    }
    if !errors.is_empty() {
        return Err(ModelErrors(errors));
    }
    let own = of_projects.into_iter().map(|(project, own)| (project, NumberedModel::new(shared.with(&own))));
    Ok(Loaded { own: own.collect(), shared: NumberedModel::new(shared), with_funnels: Mutex::default() })
}
