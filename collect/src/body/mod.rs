//! What every body here has in common: it is JSON text of bounded depth, of which only the fields that are looked at are
//! taken apart. A payload of megabytes stays the text it is.

mod fields;

use axum::extract::Request;
use serde_json::value::RawValue;
use tally_service::api::{ApiError, BodyReader, MalformedBody};

pub(crate) use fields::{Fields, kind_of};

use crate::refusal::Refusal;

/// Reads a JSON body; nothing but JSON will do, though [`BodyReader`] would take a form for it.
pub(crate) async fn read_json(
    reader: &BodyReader,
    request: Request,
) -> Result<tally_service::api::JsonBody, Refusal> {
    let content_type = request.headers().get(axum::http::header::CONTENT_TYPE);
    let content_type = content_type.map(|value| value.to_str().unwrap_or("?").to_owned());
    let media_type = content_type.as_deref().map(media_type);
    if let Some(other) = media_type.filter(|media_type| !media_type.eq_ignore_ascii_case("application/json"))
    {
        return Err(ApiError::UnsupportedContentType(other.to_owned()).into());
    }
    Ok(reader.read(request).await?)
}

/// `application/json` of `application/json; charset=utf-8`.
pub(crate) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Checks that a text is one JSON value of at most `max_depth` levels.
pub(crate) fn check_json(text: &str, max_depth: usize) -> Result<&RawValue, Refusal> {
    let value: &RawValue =
        serde_json::from_str(text).map_err(|error| ApiError::from(MalformedBody::from(error)))?;
    if depth(value.get()) > max_depth {
        let malformed = MalformedBody(format!("it is nested deeper than {max_depth} levels"));
        return Err(ApiError::from(malformed).into());
    }
    Ok(value)
}

/// Levels of arrays and objects in a text that is JSON.
fn depth(json: &str) -> usize {
    let (mut open, mut deepest): (usize, usize) = (0, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'[' | b'{' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Goes on behind a string's closing quote.
fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_that_of_arrays_and_objects_and_not_of_texts() {
        for (json, levels) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[{"b":1}],"c":[]}"#, 3),
            (r#"{"a":"[[[[\"[[[["}"#, 1),
            (r#"["\\",[1]]"#, 2),
        ] {
            assert_eq!(depth(json), levels, "{json}");
        }
    }

    #[test]
    fn a_body_is_one_value_of_bounded_depth() {
        assert!(check_json(r#" {"a":[1]} "#, 2).is_ok());
        for (text, reason) in [
            (r#"{"a":[[1]]}"#, "nested deeper than 2 levels"),
            (r#"{"a":1} x"#, "trailing characters at line 1 column 9"),
            (r#"{"a""#, "EOF"),
            ("", "EOF"),
        ] {
            let refusal = check_json(text, 2).unwrap_err().to_string();
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }
}
