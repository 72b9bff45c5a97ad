//! `multipart/form-data` bodies: clients send parameters that are too long for a URL, or all of them, as fields.

use http::{HeaderMap, header};

use crate::engine::exception::Exception;

/// The boundary of a multipart body; `None` for any other body.
pub fn boundary(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let parameters = content_type.strip_prefix("multipart/form-data")?;
    let boundary = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    Some(boundary.trim_matches('"').to_owned())
}

/// The fields of a form. Fails on what isn't a form of plain fields: files are ClickHouse's external tables.
pub fn fields(body: &[u8], boundary: &str) -> Result<Vec<(String, String)>, Exception> {
    let invalid = || Exception::bad_request("The multipart/form-data body is malformed");
    let text = std::str::from_utf8(body).map_err(|_| invalid())?;
    let text = text.strip_prefix("--").and_then(|text| text.strip_prefix(boundary)).ok_or_else(invalid)?;
    let mut fields = Vec::new();
    for part in text.split(&format!("\r\n--{boundary}")) {
        if part.starts_with("--") {
            return Ok(fields);
        }
        let (head, value) = part.split_once("\r\n\r\n").ok_or_else(invalid)?;
        fields.push((field_name(head)?.to_owned(), value.to_owned()));
    }
    // The closing boundary is missing: the body was cut.
    Err(invalid())
}

fn field_name(head: &str) -> Result<&str, Exception> {
    let attribute =
        |name: &str| head.split_once(&format!(" {name}=\"")).and_then(|(_, rest)| rest.split('"').next());
    if attribute("filename").is_some() {
        return Err(Exception::new(48, "NOT_IMPLEMENTED", "External tables in a request are not supported"));
    }
    attribute("name")
        .ok_or_else(|| Exception::bad_request("A field of the multipart/form-data body has no name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_a_cut_form_is_an_error() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {x:String}\r\n\
                    --b\r\nContent-Disposition: form-data; name=\"param_x\"\r\n\r\na\r\n\r\nb--\r\n--b--\r\n";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("query", "SELECT {x:String}"), pair("param_x", "a\r\n\r\nb--")];
        assert_eq!(fields(body.as_bytes(), "b").unwrap(), expected);
        for length in 0..body.len() - 4 {
            assert!(fields(&body.as_bytes()[..length], "b").is_err(), "{length}");
        }
    }

    #[test]
    fn external_tables_are_refused() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"t\"; filename=\"t\"\r\n\r\n1\r\n--b--\r\n";
        assert_eq!(fields(body.as_bytes(), "b").unwrap_err().code, 48);
    }
}
