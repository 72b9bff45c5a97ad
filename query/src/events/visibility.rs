//! What a reader may see of a page, event by event: the project, the part of it that the event is about, and what is
//! confidential there. The rules are GitLab's (contracts/gitlab-events.md, "Visibility"). An archived project is read as
//! any other.

use serde::Deserialize;
use tally_directory::{AccessLevel, FeatureAccess, Project, Visibility};

use super::reader::Reader;
use super::row::ContributionRow;

/// The least role that sees confidential issues and internal notes of others.
const LEAST_CONFIDENTIAL: Option<AccessLevel> = Some(AccessLevel::Reporter);

/// The part of a project that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The project as such: members that come and go, its creation.
    Project,
    Issues,
    MergeRequests,
    /// Pushes and comments on commits.
    Code,
    Snippets,
    Wiki,
    /// Seen by whoever sees issues or merge requests.
    Milestones,
    /// A comment on something that the record does not name: seen by whoever sees all that is commented on most.
    Unnamed,
}

/// What decides about a comment.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NoteFacts {
    noteable_type: Option<String>,
    confidential: bool,
    internal: bool,
}

/// Whether the reader may see the event.
pub(super) fn is_visible(reader: &Reader<'_>, row: &ContributionRow) -> bool {
    if reader.is_admin() {
        return true;
    }
    if row.project_id == 0 || !reader.state.has_projects() {
        // Nobody's membership is known there.
        return reader.is(row.author_id);
    }
    let Some(project) = reader.state.project(row.project_id) else { return false };
    if !reader.can_read(project) {
        return false;
    }
    let level = reader.level(project);
    let note = note_facts(row);
    sees_part(project, level, part(row, &note))
        && (level >= LEAST_CONFIDENTIAL || !is_hidden_from(reader, row, &note))
}

fn note_facts(row: &ContributionRow) -> NoteFacts {
    if row.note.is_empty() {
        return NoteFacts::default();
    }
    // What can't be read is shown to few.
    let unreadable = |_| NoteFacts { noteable_type: None, confidential: true, internal: true };
    serde_json::from_str(&row.note).unwrap_or_else(unreadable)
}

fn part(row: &ContributionRow, note: &NoteFacts) -> Part {
    if row.action == "pushed" {
        return Part::Code;
    }
    match row.target_type.as_str() {
        "Issue" | "WorkItem" | "DesignManagement::Design" => Part::Issues,
        "MergeRequest" => Part::MergeRequests,
        "Milestone" => Part::Milestones,
        "Snippet" => Part::Snippets,
        "WikiPage::Meta" => Part::Wiki,
        "Note" | "DiffNote" | "DiscussionNote" => commented_part(&row.target_type, note),
        _ => Part::Project,
    }
}

fn commented_part(note_type: &str, note: &NoteFacts) -> Part {
    match note.noteable_type.as_deref() {
        Some("Issue" | "WorkItem" | "DesignManagement::Design") => Part::Issues,
        Some("MergeRequest") => Part::MergeRequests,
        Some("Commit") => Part::Code,
        Some("Snippet" | "ProjectSnippet" | "PersonalSnippet") => Part::Snippets,
        Some("WikiPage" | "WikiPage::Meta") => Part::Wiki,
        None if note_type == "DiffNote" => Part::MergeRequests,
        _ => Part::Unnamed,
    }
}

fn sees_part(project: &Project, level: Option<AccessLevel>, part: Part) -> bool {
    let is_open = |access: FeatureAccess| match access {
        FeatureAccess::Disabled => false,
        FeatureAccess::Private => level.is_some(),
        FeatureAccess::Enabled => true,
    };
    let features = &project.features;
    let issues = is_open(features.issues);
    let code = is_open(features.repository) && can_download(project, level);
    let merge_requests = code && is_open(features.merge_requests);
    match part {
        Part::Project => true,
        Part::Issues => issues,
        Part::MergeRequests => merge_requests,
        Part::Code => code,
        Part::Snippets => is_open(features.snippets),
        Part::Wiki => is_open(features.wiki),
        Part::Milestones => issues || merge_requests,
        Part::Unnamed => issues && merge_requests,
    }
}

/// Whether somebody of this role may download the project's code: in private projects guests may not.
fn can_download(project: &Project, level: Option<AccessLevel>) -> bool {
    project.visibility != Visibility::Private || level >= Some(AccessLevel::Reporter)
}

/// Whether it is confidential and not the reader's own affair.
fn is_hidden_from(reader: &Reader<'_>, row: &ContributionRow, note: &NoteFacts) -> bool {
    if row.assignee_ids.iter().any(|id| reader.is(*id)) || reader.is(row.target_author_id) {
        return false;
    }
    // Without a word about the target's author, whoever did something to it is the only one who is known to see it.
    let is_authors_affair = row.target_author_id == 0 && reader.is(row.author_id);
    let is_internal_note = note.confidential || note.internal;
    (row.confidential && !is_authors_affair) || (is_internal_note && !reader.is(row.author_id))
}
