//! A contribution event as it travels on the log: what the Events API lists. Rendering it in GitLab's form,
//! and deciding who may see it, are the query service's.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// One contribution event. Timestamps are milliseconds since the epoch, UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    /// The key of deduplication, chosen by the client or by ingest.
    pub event_id: Uuid,
    /// The event's number in the API; follows `created_at`.
    pub id: i64,
    /// What was done.
    pub action: Action,
    /// The kind of thing it was done to; `None` for project and push events.
    pub target_type: Option<TargetType>,
    /// The target's id.
    pub target_id: Option<i64>,
    /// The target's number within its project.
    pub target_iid: Option<i64>,
    /// The target's title at the time.
    pub target_title: Option<String>,
    /// The project; `None` for events outside any.
    pub project_id: Option<i64>,
    /// Who did it.
    pub author_id: i64,
    /// When it happened, in milliseconds since the epoch.
    pub created_at: i64,
    /// When ingest accepted it, in milliseconds since the epoch.
    pub received_at: i64,
    /// Where it was imported from, such as `github`; `None` when it happened here.
    pub imported_from: Option<String>,
    /// The target is confidential: readers below reporter don't see the event.
    pub confidential: bool,
    /// The comment, for `commented`.
    pub note: Option<Note>,
    /// What was pushed, for `pushed`.
    pub push_data: Option<PushData>,
    /// The page, for wiki events.
    pub wiki_page: Option<WikiPage>,
    /// The client chose `event_id`: only such events can repeat.
    pub client_event_id: bool,
    /// Who wrote the target, or what was commented on: they see the event though it is confidential. `None` when the
    /// producer did not say.
    pub target_author_id: Option<i64>,
    /// Who the target, or what was commented on, is assigned to: they see the event though it is confidential.
    pub assignee_ids: Vec<i64>,
}

/// The comment of a `commented` event. Its author and project are the contribution's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the API's own fields, each on its own")]
pub struct Note {
    /// The note's id.
    pub id: i64,
    /// `DiffNote`, `DiscussionNote` or none for a plain note.
    pub kind: Option<String>,
    /// The text.
    pub body: String,
    /// The attachment's JSON text, if any.
    pub attachment: Option<String>,
    /// In milliseconds since the epoch.
    pub created_at: i64,
    /// In milliseconds since the epoch.
    pub updated_at: i64,
    /// Written by the system, not by a person.
    pub system: bool,
    /// What the note is on.
    pub noteable_id: Option<i64>,
    /// `Issue`, `MergeRequest`, `Snippet`, `Commit` …
    pub noteable_type: Option<String>,
    /// The number of what the note is on within its project.
    pub noteable_iid: Option<i64>,
    /// Whether the discussion can be resolved.
    pub resolvable: bool,
    /// The note is confidential.
    pub confidential: bool,
    /// The note is internal: readers below reporter don't see the event.
    pub internal: bool,
    /// The JSON object text of quick actions' changes; `None` for `{}`.
    pub commands_changes: Option<String>,
}

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushData {
    /// How many commits it brought.
    pub commit_count: i64,
    /// What became of the ref.
    pub action: PushAction,
    /// Branch or tag.
    pub ref_type: RefType,
    /// The commit before; `None` for a new ref.
    pub commit_from: Option<String>,
    /// The commit after; `None` for a removed ref.
    pub commit_to: Option<String>,
    /// The ref's name without `refs/heads/`; `None` for pushes of many refs at once.
    pub ref_name: Option<String>,
    /// The last commit's title.
    pub commit_title: Option<String>,
    /// How many refs, for pushes of many at once.
    pub ref_count: Option<i64>,
}

/// The page of a wiki event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WikiPage {
    /// `markdown`, `asciidoc` …
    pub format: String,
    /// The page's path within the wiki.
    pub slug: String,
    /// The page's title.
    pub title: String,
    /// The page's id.
    pub wiki_page_meta_id: i64,
}

/// The text is none of the values a contribution's field may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} does not have a valid value: {value:?}")]
pub struct UnknownValue {
    /// The field's name.
    pub field: &'static str,
    /// What was given.
    pub value: String,
}

/// An enum whose variants have one fixed text each, in API, Avro and tables alike.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident, $field:literal, { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* #[doc = concat!("`", $text, "`")] $variant),+ }

        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value's fixed text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownValue;

            fn from_str(text: &str) -> Result<Self, UnknownValue> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err(UnknownValue { field: $field, value: other.to_owned() }),
                }
            }
        }
    };
}

text_enum!(
    /// What was done: the `action` filter of the Events API.
    Action, "action", {
        Created = "created", Updated = "updated", Closed = "closed", Reopened = "reopened", Pushed = "pushed",
        Commented = "commented", Merged = "merged", Joined = "joined", Left = "left",
        Destroyed = "destroyed", Expired = "expired", Approved = "approved",
    }
);

text_enum!(
    /// The kind of thing an event is about, as the Events API names it in its answers.
    TargetType, "target_type", {
        Issue = "Issue", WorkItem = "WorkItem", Milestone = "Milestone", MergeRequest = "MergeRequest",
        Note = "Note", DiffNote = "DiffNote", DiscussionNote = "DiscussionNote", Snippet = "Snippet",
        User = "User", WikiPage = "WikiPage::Meta", Design = "DesignManagement::Design",
    }
);

text_enum!(
    /// What a push did to its ref.
    PushAction, "push_data.action", { Created = "created", Removed = "removed", Pushed = "pushed" }
);

text_enum!(
    /// What kind of ref was pushed.
    RefType, "push_data.ref_type", { Branch = "branch", Tag = "tag" }
);
