//! What a request's head says: credentials, settings, parameters, formats and encodings, out of URL and headers.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, header, request::Parts};
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::engine::{
    encoding::ContentEncoding,
    exception::Exception,
    session::{DEFAULT_TIMEOUT, LONGEST_TIMEOUT, SessionRequest},
};

/// Parameters of ClickHouse's HTTP interface that are no settings and change nothing here.
const IGNORED: [&str; 6] =
    ["buffer_size", "quota_key", "stacktrace", "client_protocol_version", "close_session", "framing"];

/// User and password that a request gives or has to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl Credentials {
    /// Compares in a time that says nothing of these credentials, not even their lengths.
    fn equals(&self, other: &Self) -> bool {
        let same = |ours: &str, theirs: &str| Sha256::digest(ours).ct_eq(&Sha256::digest(theirs));
        (same(&self.user, &other.user) & same(&self.password, &other.password)).into()
    }

    /// Fails as ClickHouse does when the request's credentials are not these.
    pub fn check(&self, given: &Self) -> Result<(), Exception> {
        if self.equals(given) {
            return Ok(());
        }
        let message = format!(
            "{}: Authentication failed: password is incorrect, or there is no user with such name.",
            given.user
        );
        Err(Exception::new(516, "AUTHENTICATION_FAILED", &message))
    }
}

/// A request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of ClickHouse's HTTP interface")]
pub struct RequestHead {
    pub credentials: Credentials,
    /// SQL from the URL; the body follows it.
    pub query: Option<String>,
    pub query_id: Option<String>,
    pub database: Option<String>,
    pub default_format: Option<String>,
    pub settings: Vec<(String, String)>,
    pub params: Vec<(String, String)>,
    pub session: Option<SessionPart>,
    pub read_only: bool,
    pub wait_end_of_query: bool,
    pub content_encoding: Option<ContentEncoding>,
    /// `decompress=1`.
    pub request_blocks: bool,
    /// `compress=1`.
    pub answer_blocks: bool,
    pub answer_encoding: Option<ContentEncoding>,
}

/// `session_id`, `session_timeout` and `session_check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPart {
    pub id: String,
    pub timeout: Duration,
    pub must_exist: bool,
}

impl From<SessionPart> for SessionRequest {
    fn from(part: SessionPart) -> Self {
        Self { id: part.id, timeout: part.timeout, must_exist: part.must_exist }
    }
}

#[derive(Default)]
struct SessionFields {
    id: Option<String>,
    timeout: Option<String>,
    check: bool,
}

impl RequestHead {
    /// Reads a head. Fails with what ClickHouse says of a parameter that can't be understood.
    pub fn parse(parts: &Parts) -> Result<Self, Exception> {
        let headers = &parts.headers;
        let mut head = Self {
            credentials: header_credentials(headers)?,
            query: None,
            query_id: text(headers, "x-clickhouse-query-id"),
            database: text(headers, "x-clickhouse-database"),
            default_format: text(headers, "x-clickhouse-format"),
            settings: Vec::new(),
            params: Vec::new(),
            session: None,
            read_only: parts.method == Method::GET,
            wait_end_of_query: false,
            content_encoding: content_encoding(headers)?,
            request_blocks: false,
            answer_blocks: false,
            answer_encoding: None,
        };
        let mut session = SessionFields::default();
        for pair in parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            head.take(&decode(name)?, decode(value)?, &mut session);
        }
        head.session = session.part()?;
        head.settle_answer_encoding(headers);
        Ok(head)
    }

    /// Adds what a form's fields say; they mean the same as parameters of the URL.
    pub fn add_form(&mut self, fields: Vec<(String, String)>) {
        for (name, value) in fields {
            // A session is named by the URL only: it is claimed before the body is read.
            self.take(&name, value, &mut SessionFields::default());
        }
    }

    fn take(&mut self, name: &str, value: String, session: &mut SessionFields) {
        match name {
            "query" => self.query = Some(value),
            "query_id" => self.query_id = Some(value),
            "database" => {
                self.database = Some(value).filter(|name| !name.is_empty()).or(self.database.take());
            }
            "default_format" => self.default_format = Some(value),
            "user" => self.credentials.user = value,
            "password" => self.credentials.password = value,
            "compress" => self.answer_blocks = is_on(&value),
            "decompress" => self.request_blocks = is_on(&value),
            "wait_end_of_query" => self.wait_end_of_query = is_on(&value),
            "session_id" => session.id = Some(value).filter(|id| !id.is_empty()),
            "session_timeout" => session.timeout = Some(value),
            "session_check" => session.check = is_on(&value),
            name if IGNORED.contains(&name) => {}
            name => match name.strip_prefix("param_") {
                Some(param) => self.params.push((param.to_owned(), value)),
                None => self.settings.push((name.to_owned(), value)),
            },
        }
    }

    /// ClickHouse compresses an answer only when `enable_http_compression` asks for it.
    fn settle_answer_encoding(&mut self, headers: &HeaderMap) {
        let asked =
            self.settings.iter().any(|(name, value)| name == "enable_http_compression" && is_on(value));
        if asked && !self.answer_blocks {
            self.answer_encoding =
                text(headers, "accept-encoding").and_then(|accepted| ContentEncoding::for_answer(&accepted));
        }
    }
}

impl SessionFields {
    fn part(self) -> Result<Option<SessionPart>, Exception> {
        let Some(id) = self.id else { return Ok(None) };
        let timeout = match self.timeout {
            None => DEFAULT_TIMEOUT,
            Some(seconds) => seconds
                .parse()
                .map(Duration::from_secs)
                .ok()
                .filter(|timeout| *timeout <= LONGEST_TIMEOUT)
                .ok_or_else(|| {
                    Exception::new(
                        374,
                        "INVALID_SESSION_TIMEOUT",
                        &format!("Invalid session timeout: '{seconds}'"),
                    )
                })?,
        };
        Ok(Some(SessionPart { id, timeout, must_exist: self.check }))
    }
}

fn is_on(value: &str) -> bool {
    matches!(value, "1" | "true")
}

/// Decodes a form's name or value: `+` is a blank.
fn decode(text: &str) -> Result<String, Exception> {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Exception::bad_request("A parameter of the URL is not UTF-8"))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn content_encoding(headers: &HeaderMap) -> Result<Option<ContentEncoding>, Exception> {
    let header = text(headers, header::CONTENT_ENCODING.as_str()).unwrap_or_default();
    ContentEncoding::of_request(&header).map_err(|name| {
        Exception::new(48, "NOT_IMPLEMENTED", &format!("Content-Encoding '{name}' is not supported"))
    })
}

fn header_credentials(headers: &HeaderMap) -> Result<Credentials, Exception> {
    let user = text(headers, "x-clickhouse-user");
    let password = text(headers, "x-clickhouse-key");
    if user.is_some() || password.is_some() {
        return Ok(Credentials {
            user: user.unwrap_or_else(|| "default".to_owned()),
            password: password.unwrap_or_default(),
        });
    }
    let basic = text(headers, header::AUTHORIZATION.as_str());
    let Some(encoded) = basic.as_deref().and_then(|value| value.strip_prefix("Basic ")) else {
        return Ok(Credentials { user: "default".to_owned(), password: String::new() });
    };
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let invalid = || Exception::new(516, "AUTHENTICATION_FAILED", "Invalid authorization header");
    let decoded = decoded.ok_or_else(invalid)?;
    let (user, password) = decoded.split_once(':').ok_or_else(invalid)?;
    Ok(Credentials { user: user.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str, headers: &[(&str, &str)]) -> Result<RequestHead, Exception> {
        let mut builder = http::Request::builder().method("POST").uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        RequestHead::parse(&builder.body(()).unwrap().into_parts().0)
    }

    type Headers<'a> = &'a [(&'a str, &'a str)];

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn url_parameters_are_told_apart() {
        let uri = "/?query=SELECT+%7Bx%3AInt8%7D&param_x=1&max_threads=2&database=d&default_format=CSV&compress=1\
                   &decompress=1&query_id=q&session_id=s&session_timeout=5&session_check=1&quota_key=k";
        let head = parse(uri, &[]).unwrap();
        assert_eq!(head.query.as_deref(), Some("SELECT {x:Int8}"));
        assert_eq!(head.params, [pair("x", "1")]);
        assert_eq!(head.settings, [pair("max_threads", "2")]);
        assert_eq!((head.database.as_deref(), head.default_format.as_deref()), (Some("d"), Some("CSV")));
        assert!(head.answer_blocks && head.request_blocks);
        let session = SessionPart { id: "s".to_owned(), timeout: Duration::from_secs(5), must_exist: true };
        assert_eq!((head.query_id.as_deref(), head.session), (Some("q"), Some(session)));
    }

    #[test]
    fn credentials_come_from_headers_basic_or_the_url() {
        let cases: [(&str, Headers<'_>, &str, &str); 5] = [
            ("/", &[], "default", ""),
            ("/", &[("x-clickhouse-user", "u"), ("x-clickhouse-key", "p")], "u", "p"),
            ("/", &[("x-clickhouse-key", "p")], "default", "p"),
            ("/", &[("authorization", "Basic dTpwOnE=")], "u", "p:q"),
            ("/?user=u&password=p", &[], "u", "p"),
        ];
        for (uri, headers, user, password) in cases {
            let expected = Credentials { user: user.to_owned(), password: password.to_owned() };
            assert_eq!(parse(uri, headers).unwrap().credentials, expected, "{uri} {headers:?}");
        }
    }

    #[test]
    fn wrong_credentials_are_refused_with_clickhouses_code() {
        let required = Credentials { user: "tally".to_owned(), password: "secret".to_owned() };
        assert!(required.check(&required.clone()).is_ok());
        for (user, password) in [("tally", "wrong"), ("default", "secret"), ("tally", "")] {
            let given = Credentials { user: user.to_owned(), password: password.to_owned() };
            assert_eq!(required.check(&given).unwrap_err().code, 516, "{user}");
        }
    }

    #[test]
    fn an_answer_is_encoded_only_when_asked() {
        let gzip = [("accept-encoding", "gzip")];
        assert_eq!(parse("/", &gzip).unwrap().answer_encoding, None);
        let asked = parse("/?enable_http_compression=1", &gzip).unwrap();
        assert_eq!(asked.answer_encoding, Some(ContentEncoding::Gzip));
        let blocks = parse("/?enable_http_compression=1&compress=1", &gzip).unwrap();
        assert_eq!(blocks.answer_encoding, None);
    }

    #[test]
    fn what_is_not_supported_is_said() {
        assert_eq!(parse("/", &[("content-encoding", "zstd")]).unwrap_err().code, 48);
        assert_eq!(parse("/?session_id=a&session_timeout=9999", &[]).unwrap_err().code, 374);
        assert_eq!(parse("/?query=%ff", &[]).unwrap_err().code, 408);
    }
}
