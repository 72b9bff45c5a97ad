//! A version's number: `17.5.2`, `17.5.2-ee`, `18.0.0-pre`.

use std::fmt;
use std::str::FromStr;

/// Orders as versions do: what comes before a release (`-pre`, `-rc42`) is older than it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) patch: u32,
    pub(super) is_released: bool,
}

/// Not of the form of a version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version is of the form 17.5.2 or 17.5.2-ee")]
pub struct NoVersion;

/// Parts of a suffix that mark what comes before the release. Others, as an edition or a build, don't change the order.
const BEFORE_RELEASE: [&str; 4] = ["pre", "rc", "alpha", "beta"];

/// Characters that a version may have.
const MAX_LENGTH: usize = 64;

impl Version {
    /// Major and minor.
    pub(super) const fn line(self) -> (u32, u32) {
        (self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = NoVersion;

    /// A missing patch is 0.
    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let (numbers, suffix) = text.split_once(['-', '+']).unwrap_or((text, ""));
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.+".contains(&byte);
        if text.len() > MAX_LENGTH || !suffix.bytes().all(fits) || (suffix.is_empty() && numbers != text) {
            return Err(NoVersion);
        }
        let mut numbers = numbers.split('.');
        let major = number(numbers.next())?;
        let minor = number(numbers.next())?;
        let patch = numbers.next().map_or(Ok(0), |patch| number(Some(patch)))?;
        if numbers.next().is_some() {
            return Err(NoVersion);
        }
        let mut parts = suffix.split(['-', '.', '+']);
        let is_released = !parts.any(|part| BEFORE_RELEASE.iter().any(|mark| part.starts_with(mark)));
        Ok(Self { major, minor, patch, is_released })
    }
}

/// One to five digits.
fn number(text: Option<&str>) -> Result<u32, NoVersion> {
    let digits = text.filter(|text| text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.ok_or(NoVersion)?.parse().map_err(|_| NoVersion)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch, is_released } = self;
        write!(f, "{major}.{minor}.{patch}{}", if *is_released { "" } else { "-pre" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_leniently_behind_their_numbers() {
        for (text, number) in [
            ("17.5.2", "17.5.2"),
            ("17.5", "17.5.0"),
            ("17.5.2-ee", "17.5.2"),
            ("17.5.2-ee.0", "17.5.2"),
            ("17.5.2+ce.0", "17.5.2"),
            ("18.9.0-pre", "18.9.0-pre"),
            ("18.9.0-rc42-ee", "18.9.0-pre"),
            ("0.1.0", "0.1.0"),
        ] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), number, "{text}");
        }
        for text in [
            "",
            "17",
            "17.",
            "17.x",
            "17.5.2.1",
            "-1.2",
            "17.5.2 ",
            "17.5.2-<b>",
            "17.5.2-",
            "v17.5",
            "999999.1",
        ] {
            assert_eq!(text.parse::<Version>(), Err(NoVersion), "{text}");
        }
        assert_eq!(format!("1.2.3-{}", "a".repeat(60)).parse::<Version>(), Err(NoVersion));
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let ordered =
            ["9.10.0", "17.4.10", "17.5.0-pre", "17.5.0", "17.5.9", "17.5.10", "17.10.0", "18.0.0-rc1"];
        let versions: Vec<Version> = ordered.iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.is_sorted(), "{versions:?}");
    }
}
