//! A contribution as the tables hold it.

use clickhouse::Row;
use serde::Deserialize;

use super::cursor::Position;

/// The columns in the order in which `compile` selects them. Ids of 0 and empty texts mean none.
#[derive(Debug, Clone, Default, PartialEq, Row, Deserialize)]
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
    pub confidential: bool,
    pub target_author_id: i64,
    pub assignee_ids: Vec<i64>,
    /// JSON objects.
    pub note: String,
    pub push_data: String,
    pub wiki_page: String,
}

impl ContributionRow {
    pub(super) fn position(&self) -> Position {
        Position { created_at_ms: self.created_at_ms, id: self.id }
    }
}
