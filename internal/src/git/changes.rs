//! The refs that a push changes, as hooks list them: a line each, `old new ref`, where forty zeros stand for a ref that is
//! not there yet or any more.

use serde_json::Value;
use tally_schemas::contribution::{PushAction, RefType};

use crate::parameters::Parameters;

/// What callers send before they know which refs a push changes.
const ANY: &str = "_any";

const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

/// One ref and where it points before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefChange {
    pub(crate) old: String,
    pub(crate) new: String,
    /// The whole name, such as `refs/heads/main`.
    pub(crate) name: String,
}

impl RefChange {
    /// `None` for a line that isn't one.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (old, new, name) = (words.next()?, words.next()?, words.next()?);
        Some(Self { old: old.to_owned(), new: new.to_owned(), name: name.to_owned() })
    }

    /// Branch or tag, and the name without `refs/heads/` or `refs/tags/`; `None` for all other refs.
    pub(crate) fn branch_or_tag(&self) -> Option<(RefType, &str)> {
        let branch = self.name.strip_prefix(BRANCHES).map(|name| (RefType::Branch, name));
        branch.or_else(|| Some((RefType::Tag, self.name.strip_prefix(TAGS)?)))
    }

    /// What becomes of the ref.
    pub(crate) fn action(&self) -> PushAction {
        match (is_blank(&self.old), is_blank(&self.new)) {
            (true, false) => PushAction::Created,
            (_, true) => PushAction::Removed,
            (false, false) => PushAction::Pushed,
        }
    }
}

/// Forty zeros, or sixty-four where commits are named by SHA-256.
fn is_blank(commit: &str) -> bool {
    matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte == b'0')
}

/// The changes that a call lists; `None` if it doesn't know them yet. Lines that are none are left out.
pub(crate) fn read(parameters: &Parameters) -> Option<Vec<RefChange>> {
    let lines = match parameters.value("changes")? {
        Value::String(text) if text == ANY => return None,
        Value::String(text) => text.lines().filter_map(RefChange::parse).collect(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).filter_map(RefChange::parse).collect(),
        _ => Vec::new(),
    };
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_becomes_of_which_ref() {
        let (zeros, long, a, b) = ("0".repeat(40), "0".repeat(64), "a".repeat(40), "b".repeat(40));
        let rows = [
            (format!("{a} {b} refs/heads/main"), Some((RefType::Branch, "main")), PushAction::Pushed),
            (format!("{zeros} {b} refs/heads/a/b"), Some((RefType::Branch, "a/b")), PushAction::Created),
            (format!("{a} {zeros} refs/tags/v1"), Some((RefType::Tag, "v1")), PushAction::Removed),
            (format!("{long} {b} refs/tags/v1"), Some((RefType::Tag, "v1")), PushAction::Created),
            (format!(" {zeros}  {zeros}\trefs/heads/x "), Some((RefType::Branch, "x")), PushAction::Removed),
            (format!("{a} {b} refs/merge-requests/1/head"), None, PushAction::Pushed),
            ("0 0 refs/heads/main".to_owned(), Some((RefType::Branch, "main")), PushAction::Pushed),
        ];
        for (line, named, action) in rows {
            let change = RefChange::parse(&line).unwrap();
            assert_eq!((change.branch_or_tag(), change.action()), (named, action), "{line}");
        }
        for line in ["", " ", "a b", "refs/heads/main"] {
            assert_eq!(RefChange::parse(line), None, "{line:?}");
        }
    }
}
