//! A parameter's value as it was sent, before it is coerced into what the declaration wants.

use std::borrow::Cow;

use serde_json::Value;

/// A JSON value of which only scalars keep their content.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// Nothing.
    Null,
    /// true or false.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// An integer beyond `i64`.
    Unsigned(u64),
    /// Any other number.
    Float(f64),
    /// Text; what a query string holds is always text.
    Text(Cow<'a, str>),
    /// An array or object, checked and left out.
    Container,
}

impl<'v> From<&'v Value> for Scalar<'v> {
    fn from(value: &'v Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Boolean(*value),
            Value::Number(number) => number
                .as_i64()
                .map(Self::Integer)
                .or_else(|| number.as_u64().map(Self::Unsigned))
                .or_else(|| number.as_f64().map(Self::Float))
                .expect("a JSON number is one of the three"),
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(_) | Value::Object(_) => Self::Container,
        }
    }
}

impl<'v> From<&'v str> for Scalar<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}
