//! Projects and which of their features are open to whom.

use serde::{Deserialize, Serialize};

use super::{is_false, yes};
use crate::{ProductAnalytics, Visibility};

/// A project of the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Positive and unique.
    pub id: i64,
    /// The full path, such as `group/subgroup/project`. Unique.
    pub path: String,
    /// The display name.
    pub name: String,
    /// The namespace the project is in, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<i64>,
    /// Who can read it.
    #[serde(default)]
    pub visibility: Visibility,
    /// Whether it can only be read.
    #[serde(default, skip_serializing_if = "is_false")]
    pub archived: bool,
    /// Whether Git LFS is on.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub lfs_enabled: bool,
    /// The branch that clones check out.
    #[serde(default = "Project::usual_branch")]
    pub default_branch: String,
    /// Names of refs that only maintainers push to; `*` stands for any text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protected_refs: Vec<String>,
    /// Who may see which part of it.
    #[serde(default, skip_serializing_if = "Features::are_all_enabled")]
    pub features: Features,
    /// Its trackers' key and its funnels.
    #[serde(default, skip_serializing_if = "ProductAnalytics::is_empty")]
    pub product_analytics: ProductAnalytics,
}

impl Project {
    /// The default branch of a project that doesn't name one.
    pub fn usual_branch() -> String {
        "main".to_owned()
    }
}

/// Who may see the parts of a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Features {
    /// Issues and work items.
    pub issues: FeatureAccess,
    /// Code, and with it push events.
    pub repository: FeatureAccess,
    /// Merge requests.
    pub merge_requests: FeatureAccess,
    /// The wiki.
    pub wiki: FeatureAccess,
    /// Snippets.
    pub snippets: FeatureAccess,
}

impl Features {
    /// Whether nothing is hidden from whoever can read the project.
    pub fn are_all_enabled(&self) -> bool {
        *self == Self::default()
    }
}

/// Who may see a part of a project. GitLab's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureAccess {
    /// Nobody.
    Disabled,
    /// Members only.
    Private,
    /// Whoever can read the project.
    #[default]
    Enabled,
}
