//! A contribution as the table holds it, and the two queries of a listing.

use clickhouse::Row;
use serde::Deserialize;

use super::PURPOSE;
use super::compile;
use super::parameters::Parameters;
use crate::warehouse::{Warehouse, WarehouseError};

/// The columns in the order in which `compile` selects them. Ids of 0 and empty texts mean none.
#[derive(Debug, Clone, Default, Row, Deserialize)]
pub(super) struct ContributionRow {
    pub id: u64,
    pub action: String,
    pub target_type: String,
    pub target_id: i64,
    pub target_iid: i64,
    pub target_title: String,
    pub project_id: i64,
    pub author_id: i64,
    /// Milliseconds since the epoch.
    pub created_at_ms: i64,
    pub imported_from: String,
    /// JSON objects.
    pub note: String,
    pub push_data: String,
    pub wiki_page: String,
}

/// One page and how many events there are in all.
#[derive(Debug)]
pub(super) struct Listing {
    pub rows: Vec<ContributionRow>,
    /// Whether there are events after this page.
    pub has_next: bool,
    /// As far as they are counted.
    pub total: u64,
}

/// Reads the author's page.
pub(super) async fn execute(
    warehouse: &Warehouse,
    parameters: &Parameters,
    author_id: i64,
) -> Result<Listing, WarehouseError> {
    let (page, count) = (compile::page(parameters, author_id), compile::count(parameters, author_id));
    let (mut rows, counts) = tokio::try_join!(
        warehouse.rows::<ContributionRow>(PURPOSE, &page),
        warehouse.rows::<u64>(PURPOSE, &count),
    )?;
    let per_page = parameters.per_page as usize;
    let has_next = rows.len() > per_page;
    rows.truncate(per_page);
    Ok(Listing { rows, has_next, total: counts.first().copied().unwrap_or(0) })
}
