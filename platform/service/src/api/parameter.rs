//! What GitLab's API framework makes of a parameter's text, shared by all that take one in a query string or a body.

/// The text does not fit the declared type.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid;

/// dry-types' spellings of true and false, which are GitLab's.
const TRUE: [&str; 13] = ["1", "on", "On", "ON", "t", "true", "True", "TRUE", "T", "y", "yes", "Yes", "YES"];
const FALSE: [&str; 13] =
    ["0", "off", "Off", "OFF", "f", "false", "False", "FALSE", "F", "n", "no", "No", "NO"];

/// A boolean in any of its spellings; the empty text is `None`, as if the parameter were not given.
pub fn boolean(text: &str) -> Result<Option<bool>, Invalid> {
    match text {
        "" => Ok(None),
        text if TRUE.contains(&text) => Ok(Some(true)),
        text if FALSE.contains(&text) => Ok(Some(false)),
        _ => Err(Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_have_many_spellings() {
        for spelling in TRUE {
            assert_eq!(boolean(spelling), Ok(Some(true)), "{spelling}");
        }
        for spelling in FALSE {
            assert_eq!(boolean(spelling), Ok(Some(false)), "{spelling}");
        }
        assert_eq!(boolean(""), Ok(None));
        for text in ["maybe", "tRUE", "2", " true", "Y"] {
            assert_eq!(boolean(text), Err(Invalid), "{text}");
        }
    }
}
