//! A call's parameters: those of the query string and those of the body, JSON or form, in one map, as GitLab's API
//! framework has them. The body wins.

use std::borrow::Cow;
use std::fmt;

use axum::extract::Request;
use axum::http::Uri;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use tally_service::api::{ApiError, BodyReader, MalformedBody, RefusedBody};

/// Pairs a query string may have.
const MAX_QUERY_PAIRS: usize = 100;

/// Named values, not yet of any type. Null and absent are the same.
#[derive(Debug, Default)]
pub(crate) struct Parameters(Map<String, Value>);

impl From<Map<String, Value>> for Parameters {
    fn from(parameters: Map<String, Value>) -> Self {
        Self(parameters)
    }
}

/// As a JSON object.
impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).expect("JSON values are JSON"))
    }
}

impl Parameters {
    /// The query string's parameters, each a text, and the body's.
    pub(crate) async fn read(request: Request, bodies: &BodyReader) -> Result<Self, ApiError> {
        Self::read_keeping(request, bodies, 0).await.map_err(|refused| refused.error)
    }

    /// The same; of a body that is refused up to `max_kept` bytes are there, as far as they had arrived.
    pub(crate) async fn read_keeping(
        request: Request,
        bodies: &BodyReader,
        max_kept: usize,
    ) -> Result<Self, RefusedBody> {
        let of_query = Self::of_query(request.uri());
        let body = bodies.read_keeping(request, max_kept).await?;
        let read = of_query.and_then(|of_query| of_query.with_body(body.text()));
        read.map_err(|error| {
            let text = body.text().as_bytes();
            let whole_size = (text.len() > max_kept).then_some(text.len() as u64);
            RefusedBody { error, bytes: text[..text.len().min(max_kept)].to_vec(), whole_size }
        })
    }

    /// Takes in the parameters of a body, too.
    fn with_body(mut self, text: &str) -> Result<Self, ApiError> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(self);
        }
        let value: Value = serde_json::from_str(text).map_err(MalformedBody::from)?;
        // GitLab's documentation sends an alert as a text that holds the object.
        let value = match value {
            Value::String(text) => serde_json::from_str(&text).unwrap_or_default(),
            value => value,
        };
        // Anything but an object names nothing.
        if let Value::Object(object) = value {
            self.0.extend(object);
        }
        Ok(self)
    }

    /// The query string's parameters alone. `a[]=1` is an array, as in a form.
    pub(crate) fn of_query(uri: &Uri) -> Result<Self, ApiError> {
        let mut all = Map::new();
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for (index, pair) in pairs.enumerate() {
            if index == MAX_QUERY_PAIRS {
                return Err(ApiError::BadParameters("the query string has too many parameters".to_owned()));
            }
            let (name, value) =
                pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
            let value = value.map_or(Value::Null, |value| Value::String(decode(value)));
            let name = decode(name);
            match name.strip_suffix("[]") {
                Some(list) => match all.entry(list).or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(values) => values.push(value),
                    other => *other = value,
                },
                None => {
                    all.insert(name, value);
                }
            }
        }
        Ok(Self(all))
    }

    /// All values as they came, null and absent told apart.
    pub(crate) fn into_fields(self) -> Map<String, Value> {
        self.0
    }

    /// The value as it came.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Whether the parameter was given; an empty text is as good as none.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.as_str() != Some(""))
    }

    /// A text, or a number's text.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value(name).and_then(text_of)
    }

    /// An id; `None` too when what was given is none: then nothing has it.
    pub(crate) fn id(&self, name: &str) -> Option<i64> {
        let id = match self.value(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        id.filter(|id| *id > 0)
    }

    /// A list of texts; a single text is a list of one.
    pub(crate) fn texts(&self, name: &str) -> Vec<Cow<'_, str>> {
        match self.value(name) {
            Some(Value::Array(values)) => values.iter().filter_map(text_of).collect(),
            Some(single) => text_of(single).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(boolean) => Some(Cow::Owned(boolean.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `+` stands for a blank, as in a form.
fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
