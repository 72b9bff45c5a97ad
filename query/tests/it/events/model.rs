//! The Events API over a handful of records in plain vectors: what contracts/gitlab-events.md says, written down without
//! looking at the compiler, its SQL or the directory's indexes. The property test compares the service with it.

use jiff::Timestamp;

/// Everything that decides about listings.
#[derive(Debug, Clone)]
pub struct World {
    pub users: Vec<User>,
    /// Each lies in the one before it of which it holds the position, or in none.
    pub namespaces: Vec<Option<usize>>,
    pub projects: Vec<Project>,
    pub members: Vec<Member>,
    pub events: Vec<Event>,
}

/// A user's id is their position and 1.
#[derive(Debug, Clone)]
pub struct User {
    pub is_admin: bool,
    pub is_external: bool,
    pub has_private_profile: bool,
}

/// A project's id is its position and 1.
#[derive(Debug, Clone)]
pub struct Project {
    pub namespace: Option<usize>,
    pub visibility: &'static str,
    /// Issues, repository, merge requests, wiki, snippets: `disabled`, `private` or `enabled`.
    pub features: [&'static str; 5],
}

#[derive(Debug, Clone)]
pub struct Member {
    pub user: usize,
    pub source: Source,
    /// 10 to 50.
    pub level: i64,
    pub is_expired: bool,
}

/// What somebody is a member of, by position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    Project(usize),
    Namespace(usize),
}

#[derive(Debug, Clone)]
pub struct Event {
    pub id: u64,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    pub action: &'static str,
    pub target_type: &'static str,
    /// What was commented on.
    pub noteable_type: &'static str,
    pub is_internal: bool,
    pub is_confidential: bool,
    /// Ids; 0 is none.
    pub project_id: i64,
    pub author_id: i64,
    pub target_author_id: i64,
    pub assignee_ids: Vec<i64>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Endpoint {
    Own,
    All,
    User(i64),
    Project(i64),
}

/// The filters of the property test.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub action: Option<&'static str>,
    pub target_type: Option<&'static str>,
    pub before: Option<&'static str>,
    pub after: Option<&'static str>,
}

/// A reader is a user's id; none is somebody who is not signed in.
type Reader = Option<i64>;

impl World {
    /// The events that pages are cut from, oldest first, each with whether the reader sees it there. `None`: 404.
    pub fn listing(
        &self,
        reader: Reader,
        endpoint: Endpoint,
        filter: &Filter,
        now: Timestamp,
    ) -> Option<Vec<(u64, bool)>> {
        let is_admin = reader.is_some_and(|id| self.user(id).is_admin);
        let in_scope = |event: &&Event| match endpoint {
            Endpoint::Own => Some(event.author_id) == reader && self.is_in_sight(reader, event),
            Endpoint::All => self.level(reader, event.project_id) > 0,
            Endpoint::User(id) => {
                let is_hidden = self.user(id).has_private_profile && !is_admin && reader != Some(id);
                event.author_id == id && !is_hidden && self.is_in_sight(reader, event)
            }
            Endpoint::Project(id) => event.project_id == id,
        };
        if let Endpoint::Project(id) = endpoint
            && (id > self.projects.len() as i64 || !self.is_readable(reader, id))
        {
            return None;
        }
        let matching = self.events.iter().filter(in_scope).filter(|event| filter.matches(event, now));
        let mut events: Vec<&Event> = matching.collect();
        events.sort_by_key(|event| (event.created_at, event.id));
        Some(events.into_iter().map(|event| (event.id, self.is_visible(reader, event))).collect())
    }

    fn user(&self, id: i64) -> &User {
        &self.users[id as usize - 1]
    }

    /// 0 for somebody who is no member.
    fn level(&self, reader: Reader, project_id: i64) -> i64 {
        let Some(position) =
            usize::try_from(project_id - 1).ok().filter(|position| *position < self.projects.len())
        else {
            return 0;
        };
        let mut sources = vec![Source::Project(position)];
        let mut namespace = self.projects[position].namespace;
        while let Some(inner) = namespace {
            sources.push(Source::Namespace(inner));
            namespace = self.namespaces[inner];
        }
        let of_reader = self.members.iter().filter(|member| Some(member.user as i64 + 1) == reader);
        let current = of_reader.filter(|member| !member.is_expired && sources.contains(&member.source));
        current.map(|member| member.level).max().unwrap_or(0)
    }

    fn is_readable(&self, reader: Reader, project_id: i64) -> bool {
        let project = &self.projects[project_id as usize - 1];
        let by_visibility = match (project.visibility, reader) {
            ("public", _) => true,
            ("internal", Some(id)) => !self.user(id).is_external,
            _ => false,
        };
        by_visibility || self.level(reader, project_id) > 0 || reader.is_some_and(|id| self.user(id).is_admin)
    }

    /// Whether the reader may know that there is such an event: what totals count.
    fn is_in_sight(&self, reader: Reader, event: &Event) -> bool {
        if reader.is_some_and(|id| self.user(id).is_admin) {
            return true;
        }
        match event.project_id {
            0 => reader == Some(event.author_id),
            id => id <= self.projects.len() as i64 && self.is_readable(reader, id),
        }
    }

    fn is_visible(&self, reader: Reader, event: &Event) -> bool {
        if reader.is_some_and(|id| self.user(id).is_admin) {
            return true;
        }
        if !self.is_in_sight(reader, event) {
            return false;
        }
        if event.project_id == 0 {
            return true;
        }
        let project = &self.projects[event.project_id as usize - 1];
        let level = self.level(reader, event.project_id);
        let [issues, repository, merge_requests, wiki, snippets] =
            project.features.map(|access| access == "enabled" || (access == "private" && level > 0));
        let code = repository && (project.visibility != "private" || level >= 20);
        let target = match (event.action, event.target_type) {
            ("pushed", _) => "Commit",
            (_, "Note" | "DiffNote" | "DiscussionNote") => event.noteable_type,
            (_, target_type) => target_type,
        };
        let part = match target {
            "Issue" | "WorkItem" | "DesignManagement::Design" => issues,
            "MergeRequest" => code && merge_requests,
            "Commit" => code,
            "Milestone" => issues || (code && merge_requests),
            "Snippet" => snippets,
            "WikiPage::Meta" => wiki,
            _ => true,
        };
        let is_reader = |id: i64| reader == Some(id);
        let is_involved =
            event.assignee_ids.iter().any(|id| is_reader(*id)) || is_reader(event.target_author_id);
        let target_author =
            if event.target_author_id == 0 { event.author_id } else { event.target_author_id };
        let sees_target = !event.is_confidential || level >= 20 || is_involved || is_reader(target_author);
        let sees_note = !event.is_internal || level >= 20 || is_involved || is_reader(event.author_id);
        part && sees_target && sees_note
    }
}

impl Filter {
    fn matches(&self, event: &Event, now: Timestamp) -> bool {
        let at = Timestamp::from_millisecond(event.created_at).unwrap();
        let day = at.to_string()[..10].to_owned();
        let three_years_ago = now.to_string().replacen("2026", "2023", 1).parse::<Timestamp>().unwrap();
        let target_type = self.target_type.is_none_or(|name| match name {
            "issue" => ["Issue", "WorkItem"].contains(&event.target_type),
            "note" => ["Note", "DiffNote", "DiscussionNote"].contains(&event.target_type),
            "merge_request" => event.target_type == "MergeRequest",
            "wiki" => event.target_type == "WikiPage::Meta",
            "project" => {
                event.target_type.is_empty()
                    && ["created", "pushed", "joined", "left", "expired"].contains(&event.action)
            }
            other => panic!("{other} is no filter of this test"),
        });
        at >= three_years_ago
            && self.action.is_none_or(|action| action == event.action)
            && target_type
            && self.before.is_none_or(|before| day.as_str() < before)
            && self.after.is_none_or(|after| day.as_str() > after)
    }

    /// As a query string, each parameter with its `&`.
    pub fn query(&self) -> String {
        let parameters = [
            ("action", self.action),
            ("target_type", self.target_type),
            ("before", self.before),
            ("after", self.after),
        ];
        parameters.iter().filter_map(|(name, value)| Some(format!("&{name}={}", (*value)?))).collect()
    }
}
