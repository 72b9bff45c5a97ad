//! Whether a version is up to date.
//!
//! * **danger**: there is a newer security release that the version's own minor line has not got. The line has got it when it
//!   had a security release of its own, included in the version, on that day or later: security releases come for all
//!   maintained lines at once. A newer security release of the line itself is never got.
//! * **warning**: there is a newer release.
//! * **success**: there is none.

use super::number::Version;
use super::releases::Release;

/// How many minor lines are told of.
const STABLE_LINES: usize = 3;

/// How urgent an update is, in GitLab's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Success,
    Warning,
    Danger,
}

impl Severity {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Danger => "danger",
        }
    }
}

/// What is said of a version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) severity: Severity,
    pub(super) latest_version: Version,
    /// The latest patch of each of the last minor lines, the newest first.
    pub(super) latest_stable_versions: Vec<Version>,
    /// The latest patch of the version's own line, where that is newer.
    latest_of_line: Option<Version>,
}

impl Verdict {
    /// Compares with the releases; `None` where there are none.
    pub(super) fn on(version: Version, releases: &[Release]) -> Option<Self> {
        let latest_version = releases.iter().map(|release| release.version).max()?;
        let severity = if releases.iter().any(|release| is_missed(version, release, releases)) {
            Severity::Danger
        } else if latest_version > version {
            Severity::Warning
        } else {
            Severity::Success
        };
        let latest_of_line = releases.iter().map(|release| release.version);
        let latest_of_line = latest_of_line.filter(|other| other.line() == version.line()).max();
        Some(Self {
            severity,
            latest_version,
            latest_stable_versions: latest_stable_versions(releases),
            latest_of_line: latest_of_line.filter(|latest| *latest > version),
        })
    }

    /// A sentence for people.
    pub(super) fn details(&self) -> String {
        let latest = self.latest_version;
        let update = match self.latest_of_line {
            Some(of_line) if of_line != latest => format!("{of_line} or {latest}"),
            _ => latest.to_string(),
        };
        match self.severity {
            Severity::Success => "This is the latest version.".to_owned(),
            Severity::Warning => format!("An update is available: {update}."),
            Severity::Danger => format!("A security release is out: update to {update} as soon as possible."),
        }
    }
}

/// Whether `release` closes a hole that `version` may still have.
fn is_missed(version: Version, release: &Release, releases: &[Release]) -> bool {
    if !release.security || release.version <= version {
        return false;
    }
    let is_of_line = |other: Version| other.line() == version.line();
    let is_got = |own: &Release| {
        own.security && is_of_line(own.version) && own.version <= version && own.date >= release.date
    };
    is_of_line(release.version) || !releases.iter().any(is_got)
}

fn latest_stable_versions(releases: &[Release]) -> Vec<Version> {
    let mut versions: Vec<Version> = releases.iter().map(|release| release.version).collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    versions.dedup_by_key(|version| version.line());
    versions.truncate(STABLE_LINES);
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `version date`, with a `!` for a security release.
    const RELEASES: &[&str] = &[
        "17.2.9 2024-10-09 !",
        "17.3.0 2024-08-15",
        "17.3.5 2024-10-09 !",
        "17.3.6 2024-10-23 !",
        "17.4.0 2024-09-19",
        "17.4.2 2024-10-09 !",
        "17.4.3 2024-10-23 !",
        "17.4.4 2024-10-30",
        "17.5.0 2024-10-17",
        "17.5.1 2024-10-23 !",
        "17.5.2 2024-11-05",
    ];

    fn releases(lines: &[&str]) -> Vec<Release> {
        let release = |line: &&str| {
            let mut words = line.split(' ');
            let mut word = || words.next();
            Release {
                version: word().unwrap().parse().unwrap(),
                date: word().unwrap().parse().unwrap(),
                security: word().is_some(),
            }
        };
        lines.iter().map(release).collect()
    }

    fn severity(version: &str, lines: &[&str]) -> &'static str {
        Verdict::on(version.parse().unwrap(), &releases(lines)).unwrap().severity.as_str()
    }

    #[test]
    fn an_update_is_urgent_when_the_own_line_lacks_a_newer_security_release() {
        for (version, expected, why) in [
            ("17.5.2", "success", "the latest"),
            ("17.5.2-ee", "success", "the latest, whichever edition"),
            ("17.6.0", "success", "newer than all that is known"),
            ("18.0.0-pre", "success", "newer than all that is known"),
            ("17.5.1", "warning", "a patch behind that is no security release"),
            ("17.5.0", "danger", "17.5.1 is of its own line"),
            ("17.5.0-pre", "danger", "before 17.5.0, too"),
            ("17.4.4", "warning", "17.4.3 came the same day as 17.5.1"),
            ("17.4.3", "warning", "it came the same day as 17.5.1"),
            ("17.4.2", "danger", "17.4.3 is of its own line"),
            ("17.3.6", "warning", "it came the same day as 17.5.1"),
            ("17.3.9", "warning", "an unknown patch of a line that got it"),
            ("17.3.5", "danger", "17.3.6 is of its own line"),
            ("17.2.9", "danger", "its line got nothing on 2024-10-23"),
            ("17.1.0", "danger", "a line without security releases"),
            ("9.0.0", "danger", "long ago"),
        ] {
            assert_eq!(severity(version, RELEASES), expected, "{version}: {why}");
        }
    }

    #[test]
    fn without_security_releases_nothing_is_urgent() {
        let lines = ["17.4.0 2024-09-19", "17.5.0 2024-10-17"];
        assert_eq!(severity("17.3.0", &lines), "warning");
        assert_eq!(severity("17.5.0", &lines), "success");
    }

    #[test]
    fn two_security_releases_of_a_line_on_one_day_are_two() {
        let lines = ["17.5.1 2024-10-23 !", "17.5.2 2024-10-23 !"];
        assert_eq!(severity("17.5.1", &lines), "danger");
    }

    #[test]
    fn a_verdict_names_the_latest_of_the_last_three_lines_and_what_to_update_to() {
        let of = |version: &str| Verdict::on(version.parse().unwrap(), &releases(RELEASES)).unwrap();
        let texts: Vec<String> =
            of("17.4.2").latest_stable_versions.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["17.5.2", "17.4.4", "17.3.6"]);
        for (version, details) in [
            ("17.5.2", "This is the latest version."),
            ("17.5.1", "An update is available: 17.5.2."),
            ("17.4.3", "An update is available: 17.4.4 or 17.5.2."),
            ("17.4.2", "A security release is out: update to 17.4.4 or 17.5.2 as soon as possible."),
            ("17.2.9", "A security release is out: update to 17.5.2 as soon as possible."),
        ] {
            assert_eq!(of(version).details(), details, "{version}");
        }
    }

    #[test]
    fn without_releases_there_is_no_verdict() {
        assert_eq!(Verdict::on("17.5.2".parse().unwrap(), &[]), None);
    }
}
