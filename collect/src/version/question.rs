//! What a version check asks: the version out of `gitlab_info`, and whose it is out of `Referer`.

use axum::http::header::REFERER;
use axum::http::{HeaderMap, Uri};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::number::Version;

/// Bytes that `gitlab_info` may have.
const MAX_INFO_BYTES: usize = 4096;

/// Bytes of a DNS name.
const MAX_HOSTNAME_BYTES: usize = 253;

/// GitLab pads, others don't.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a question can't be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadQuestion {
    #[error("gitlab_info is missing")]
    Missing,
    #[error("gitlab_info is invalid: expected Base64 of a JSON object with a text at version")]
    Undecodable,
    #[error("gitlab_info is invalid: expected a version of the form 17.5.2 or 17.5.2-ee")]
    NoVersion,
    #[error("Referer is invalid: expected the address of the asking instance")]
    Referer,
}

/// A version, and who asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) version: Version,
    /// The version as it was sent.
    pub(super) text: String,
    /// Empty without `Referer`.
    pub(super) hostname: String,
}

#[derive(Deserialize)]
struct Info {
    version: String,
}

impl Question {
    /// Reads a query (`gitlab_info=…`) and the headers.
    pub(super) fn read(query: &str, headers: &HeaderMap) -> Result<Self, BadQuestion> {
        let info = parameter(query).ok_or(BadQuestion::Missing)?;
        if info.len() > MAX_INFO_BYTES {
            return Err(BadQuestion::Undecodable);
        }
        let json = BASE64.decode(info).map_err(|_| BadQuestion::Undecodable)?;
        let Info { version: text } = serde_json::from_slice(&json).map_err(|_| BadQuestion::Undecodable)?;
        let version = text.parse().map_err(|_| BadQuestion::NoVersion)?;
        Ok(Self { version, text, hostname: hostname(headers)? })
    }
}

/// The parameter's Base64 text in the standard alphabet, whichever it came in. A `+` that was not escaped, which forms read
/// as a space, is the character it looks like.
fn parameter(query: &str) -> Option<String> {
    let value = query.split('&').rev().find_map(|pair| pair.strip_prefix("gitlab_info="))?;
    let value = value.replace("%2B", "+").replace("%2b", "+").replace("%2F", "/").replace("%2f", "/");
    let value = value.replace("%3D", "=").replace("%3d", "=").replace('-', "+").replace('_', "/");
    Some(value).filter(|value| !value.is_empty())
}

/// The host of `https://gitlab.example.com/admin`, or of the bare `gitlab.example.com` that GitLab itself sends.
fn hostname(headers: &HeaderMap) -> Result<String, BadQuestion> {
    let Some(referer) = headers.get(REFERER) else { return Ok(String::new()) };
    let referer = referer.to_str().map_err(|_| BadQuestion::Referer)?;
    let uri: Uri = referer.parse().map_err(|_| BadQuestion::Referer)?;
    let host = uri.host().ok_or(BadQuestion::Referer)?.trim_matches(['[', ']']).to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if host.is_empty() || host.len() > MAX_HOSTNAME_BYTES || !host.bytes().all(fits) {
        return Err(BadQuestion::Referer);
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};

    use super::*;

    fn read(query: &str, referer: Option<&str>) -> Result<Question, BadQuestion> {
        let headers = referer.map(|referer| (REFERER, HeaderValue::from_str(referer).unwrap()));
        Question::read(query, &headers.into_iter().collect())
    }

    #[test]
    fn a_version_is_read_in_every_base64() {
        // Of these bytes Base64 makes a + or a - and a / or a _, and padding.
        let json = r#"{"version":"17.5.2-ee","x":"~~~???>"}"#;
        for info in [
            BASE64_STANDARD.encode(json),
            BASE64_STANDARD.encode(json).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"),
            BASE64_URL_SAFE.encode(json),
            BASE64_URL_SAFE_NO_PAD.encode(json),
        ] {
            let question = read(&format!("a=b&gitlab_info={info}"), None).unwrap();
            assert_eq!((question.text.as_str(), question.hostname.as_str()), ("17.5.2-ee", ""), "{info}");
        }
    }

    #[test]
    fn a_bad_question_says_what_is_wrong() {
        let of = |json: &str| format!("gitlab_info={}", BASE64_STANDARD.encode(json));
        for (query, reason) in [
            (String::new(), BadQuestion::Missing),
            ("gitlab_info=".into(), BadQuestion::Missing),
            ("gitlab_info=***".into(), BadQuestion::Undecodable),
            (of("17.5.2"), BadQuestion::Undecodable),
            (of("{}"), BadQuestion::Undecodable),
            (of(r#"{"version":17.5}"#), BadQuestion::Undecodable),
            (of(&format!(r#"{{"version":"{}"}}"#, "1".repeat(9000))), BadQuestion::Undecodable),
            (of(r#"{"version":"new"}"#), BadQuestion::NoVersion),
        ] {
            assert_eq!(read(&query, None), Err(reason), "{query}");
        }
    }

    #[test]
    fn the_host_name_comes_from_the_referer() {
        let query = format!("gitlab_info={}", BASE64_STANDARD.encode(r#"{"version":"17.5.2"}"#));
        for (referer, hostname) in [
            ("https://GitLab.example.com/admin?a=b", Ok("gitlab.example.com")),
            ("http://10.0.0.7:8080/", Ok("10.0.0.7")),
            ("http://[2001:db8::1]:8080/", Ok("2001:db8::1")),
            ("gitlab.example.com", Ok("gitlab.example.com")),
            ("gitlab.example.com:8080", Ok("gitlab.example.com")),
            ("https://user:secret@gitlab.example.com/", Ok("gitlab.example.com")),
            ("/admin", Err(BadQuestion::Referer)),
            ("not a host", Err(BadQuestion::Referer)),
            ("https://a<b>/", Err(BadQuestion::Referer)),
        ] {
            let read = read(&query, Some(referer)).map(|question| question.hostname);
            assert_eq!(read, hostname.map(ToOwned::to_owned), "{referer}");
        }
    }
}
