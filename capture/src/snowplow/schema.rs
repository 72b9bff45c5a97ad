//! Self-describing JSON: data that name their schema, plain or in base64, as self-describing events and contexts travel.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What `iglu:vendor/name/format/version` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SchemaKey<'a> {
    pub(crate) vendor: &'a str,
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
}

impl<'a> SchemaKey<'a> {
    /// Snowplow's own vendor name.
    pub(crate) const SNOWPLOW: &'static str = "com.snowplowanalytics.snowplow";

    /// `None` if the text names no schema.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix("iglu:")?.split('/');
        let key = Self {
            vendor: parts.next()?,
            name: parts.next()?,
            version: {
                parts.next()?;
                parts.next()?
            },
        };
        let is_whole = parts.next().is_none() && !key.vendor.is_empty() && !key.name.is_empty();
        is_whole.then_some(key)
    }
}

/// Data and the name of their schema.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct SelfDescribing<'a> {
    #[serde(borrow)]
    pub(crate) schema: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) data: &'a RawValue,
}

/// Several of them in one.
#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    data: Vec<SelfDescribing<'a>>,
}

/// The event within Snowplow's `unstruct_event`.
pub(crate) fn unstruct(text: &str) -> Result<SelfDescribing<'_>, serde_json::Error> {
    let wrapped: SelfDescribing<'_> = serde_json::from_str(text)?;
    serde_json::from_str(wrapped.data.get())
}

/// The contexts within Snowplow's `contexts`.
pub(crate) fn contexts(text: &str) -> Result<Vec<SelfDescribing<'_>>, serde_json::Error> {
    Ok(serde_json::from_str::<Wrapped<'_>>(text)?.data)
}

/// Trackers pad or don't.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The text of whichever of the two forms is there; `None` if neither is.
pub(crate) fn text<'a>(base64: &str, plain: &'a str) -> Result<Option<Cow<'a, str>>, String> {
    if base64.is_empty() {
        return Ok(Some(plain).filter(|plain| !plain.is_empty()).map(Cow::Borrowed));
    }
    let bytes = BASE64.decode(url_safe(base64).as_bytes()).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map(|text| Some(Cow::Owned(text))).map_err(|error| error.to_string())
}

/// The alphabet of RFC 4648's section 4 in that of section 5; a plus that a query made a blank, too.
fn url_safe(base64: &str) -> Cow<'_, str> {
    if base64.contains(['+', '/', ' ']) {
        Cow::Owned(base64.replace(['+', ' '], "-").replace('/', "_"))
    } else {
        Cow::Borrowed(base64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_has_four_parts() {
        let key = SchemaKey::parse("iglu:com.gitlab/custom_event/jsonschema/1-0-0");
        assert_eq!(key, Some(SchemaKey { vendor: "com.gitlab", name: "custom_event", version: "1-0-0" }));
        for text in ["", "iglu:a/b/c", "iglu:a/b/c/d/e", "a/b/c/d", "iglu:/b/c/d", "iglu:a//c/d"] {
            assert_eq!(SchemaKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn both_alphabets_with_and_without_padding_are_read() {
        // `{"a":"ü?>"}` has a character of each that differs.
        for base64 in ["eyJhIjoiw7w_PiJ9", "eyJhIjoiw7w/PiJ9", "eyJhIjoiw7w_PiJ9Cg==", "eyJhIjoiw7w_PiJ9Cg"] {
            let text = text(base64, "unused").unwrap().unwrap();
            assert_eq!(text.trim_end(), r#"{"a":"ü?>"}"#, "{base64}");
        }
        assert_eq!(text("", "{}"), Ok(Some("{}".into())));
        assert_eq!(text("", ""), Ok(None));
        assert!(text("!!", "").is_err());
        assert!(text("_w", "").is_err(), "no UTF-8");
    }
}
