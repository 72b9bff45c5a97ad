//! The contributions that a push is listed as: one for each branch and tag it changed.

use bytes::Bytes;
use jiff::Timestamp;
use tally_eventlog::Record;
use tally_schemas::contribution::{Action, PushAction, PushData};
use tally_schemas::{Contribution, ContributionIds, Framings};
use tally_service::randomness::Randomness;
use uuid::{Builder, Uuid};

use super::changes::RefChange;
use crate::request_identity::RequestIdentity;

/// Random bytes in a `UUIDv7`, next to its 48 bits of time.
const RANDOM_BYTES_PER_ID: usize = 10;

/// Who pushed where.
pub(super) struct Push {
    pub(super) author_id: i64,
    pub(super) project_id: i64,
    pub(super) received_at: Timestamp,
}

impl Push {
    /// One contribution a branch or tag; other refs are the repository's own affair. With an identity of the request, their ids
    /// are the same for each of its tries.
    pub(super) fn contributions(
        &self,
        changes: &[RefChange],
        ids: &ContributionIds,
        identity: Option<&RequestIdentity>,
        randomness: &dyn Randomness,
    ) -> Vec<Contribution> {
        let mut random = vec![0; changes.len() * RANDOM_BYTES_PER_ID];
        randomness.fill(&mut random);
        let pushed = changes.iter().zip(random.chunks_exact(RANDOM_BYTES_PER_ID)).enumerate();
        let pushed = pushed.filter_map(|(number, (change, random))| {
            let random = random.try_into().expect("chunks are as long as asked for");
            let event_id = identity.map_or_else(|| self.new_event_id(random), |identity| identity.id(number));
            let contribution = self.contribution(push_data(change)?, ids.next(self.received_at), event_id);
            Some(Contribution { client_event_id: identity.is_some(), ..contribution })
        });
        pushed.collect()
    }

    fn new_event_id(&self, random: &[u8; RANDOM_BYTES_PER_ID]) -> Uuid {
        let millis = u64::try_from(self.received_at.as_millisecond()).unwrap_or(0);
        Builder::from_unix_timestamp_millis(millis, random).into_uuid()
    }

    fn contribution(&self, pushed: PushData, id: i64, event_id: Uuid) -> Contribution {
        let received_at = self.received_at.as_millisecond();
        Contribution {
            event_id,
            id,
            action: Action::Pushed,
            target_type: None,
            target_id: None,
            target_iid: None,
            target_title: None,
            project_id: Some(self.project_id),
            author_id: self.author_id,
            created_at: received_at,
            received_at,
            imported_from: None,
            confidential: false,
            target_author_id: None,
            assignee_ids: Vec::new(),
            note: None,
            push_data: Some(pushed),
            wiki_page: None,
            client_event_id: false,
        }
    }
}

/// Commits can't be counted, nor their titles read, without the repository itself, which Tally doesn't have.
fn push_data(change: &RefChange) -> Option<PushData> {
    let (ref_type, name) = change.branch_or_tag()?;
    let action = change.action();
    Some(PushData {
        commit_count: 0,
        action,
        ref_type,
        commit_from: (action != PushAction::Created).then(|| change.old.clone()),
        commit_to: (action != PushAction::Removed).then(|| change.new.clone()),
        ref_name: Some(name.to_owned()),
        commit_title: None,
        ref_count: None,
    })
}

/// The contributions as records. An id that another try may bring again is the record's key.
pub(super) fn records(contributions: &[Contribution], framings: Framings) -> Vec<Record> {
    let encode = |contribution: &Contribution| {
        let mut value = Vec::new();
        contribution.encode_framed(framings.contribution, &mut value);
        let key =
            contribution.client_event_id.then(|| Bytes::copy_from_slice(contribution.event_id.as_bytes()));
        Record { key, value: Bytes::from(value), timestamp: contribution.received_at }
    };
    contributions.iter().map(encode).collect()
}
