//! The filters of a topic's partitions that are worked on here.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tally_store::{Store, StoreError};

use super::{IdFilter, IdTable, load_filter};
use crate::partition::Progress;

/// A partition's filter.
pub type SharedFilter = Arc<Mutex<IdFilter>>;

/// One filter a partition, each of at most so many bytes.
pub struct PartitionFilters {
    table: IdTable,
    bytes: usize,
    filters: Mutex<HashMap<u32, SharedFilter>>,
}

impl PartitionFilters {
    /// Filters of the ids in `table`; `bytes` as for [`IdFilter::new`].
    pub fn new(table: IdTable, bytes: usize) -> Self {
        Self { table, bytes, filters: Mutex::default() }
    }

    /// The table whose ids they hold.
    pub fn table(&self) -> IdTable {
        self.table
    }

    /// Others may have worked on the partition since it was last here: what its filter knows comes out of the store. Whoever works
    /// on it holds the filter meanwhile; those that nobody holds any more are let go.
    pub async fn load(
        &self,
        store: &Store,
        partition: u32,
        progress: &Progress,
    ) -> Result<SharedFilter, StoreError> {
        let filter = load_filter(store, self.table, partition, self.bytes, progress).await?;
        let filter: SharedFilter = Arc::new(filter.into());
        let mut filters = self.filters.lock();
        filters.retain(|_, filter| Arc::strong_count(filter) > 1);
        filters.insert(partition, Arc::clone(&filter));
        Ok(filter)
    }

    /// The partition's filter; one that knows nothing if it was never loaded.
    pub fn of(&self, partition: u32) -> SharedFilter {
        let mut filters = self.filters.lock();
        let filter = filters.entry(partition).or_insert_with(|| Arc::new(IdFilter::new(self.bytes).into()));
        Arc::clone(filter)
    }
}
