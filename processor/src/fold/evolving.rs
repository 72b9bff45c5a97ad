//! A folder whose topic may hold records of other versions of Tally: they are rewritten before they are folded.

use std::sync::Arc;

use futures::future::BoxFuture;
use tally_evolution::Schemas;
use tally_store::{Store, StoreError};

use super::{DeadLetters, Fold, Folder, RawTable};
use crate::partition::Progress;
use crate::repetitions::SharedFilter;

/// Folds as `folder` does, with the schemas of others at hand.
pub struct Evolving {
    folder: Arc<dyn Folder>,
    schemas: Arc<Schemas>,
}

impl Evolving {
    /// `schemas` are asked where the folder's version alone doesn't know what a record says.
    pub fn new(folder: Arc<dyn Folder>, schemas: Arc<Schemas>) -> Self {
        Self { folder, schemas }
    }
}

impl Folder for Evolving {
    fn topic(&self) -> &'static str {
        self.folder.topic()
    }

    fn tables(&self) -> &'static [&'static str] {
        self.folder.tables()
    }

    fn raw_tables(&self) -> &'static [RawTable] {
        self.folder.raw_tables()
    }

    fn prepare<'a>(
        &'a self,
        store: &'a Store,
        partition: u32,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Option<SharedFilter>, StoreError>> {
        self.folder.prepare(store, partition, progress)
    }

    fn letters(&self, partition: u32) -> DeadLetters {
        self.folder.letters(partition)
    }

    fn schemas(&self) -> Option<Arc<Schemas>> {
        Some(Arc::clone(&self.schemas))
    }

    fn start(&self, partition: u32) -> Box<dyn Fold> {
        self.folder.start(partition)
    }
}
