//! The paths that trackers post to beside Snowplow's own.

use crate::config::InvalidConfig;

/// Where trackers post by default.
pub(crate) const POST: &str = "/com.snowplowanalytics.snowplow/tp2";

/// Where trackers ask for a pixel.
pub(crate) const PIXEL: &str = "/i";

/// First segments that other endpoints have.
const TAKEN: [&str; 6] = ["admin", "api", "check", "cubejs-api", "dictionary", "usage_data"];

/// Refuses what is no `/vendor/version`, the form that Snowplow's trackers and collectors ask for, what other endpoints
/// answer to, and what stands there twice.
pub(crate) fn check(paths: &[String]) -> Result<(), InvalidConfig> {
    for (index, path) in paths.iter().enumerate() {
        if !is_usable(path) || paths[..index].contains(path) {
            return Err(InvalidConfig::PostPath(path.clone()));
        }
    }
    Ok(())
}

fn is_usable(path: &str) -> bool {
    let Some((vendor, version)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
        return false;
    };
    path != POST && is_segment(vendor) && is_segment(version) && !TAKEN.contains(&vendor)
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_free_paths_of_two_segments_are_taken() {
        let check = |paths: &[&str]| check(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        assert_eq!(check(&["/com.acme/track", "/v/1"]), Ok(()));
        for path in ["", "/", "/a", "/a/", "a/b", "/a/b/c", "/a/{b}", "/a/*b", "/api/v4", "/a b/c", POST] {
            assert_eq!(check(&[path]), Err(InvalidConfig::PostPath(path.to_owned())), "{path}");
        }
        assert_eq!(check(&["/a/b", "/a/b"]), Err(InvalidConfig::PostPath("/a/b".to_owned())));
    }
}
