//! A body's text to event parameters, as lenient and as strict as GitLab's parameter declarations
//! (contracts/gitlab-usage-data.md). One pass, text borrowed from the body, no tree of JSON values in between.
//!
//! Two things stop the parse at once and name their position: text that is no JSON, and JSON that hides something (a key
//! twice in one object, where GitLab would silently let the last win; nesting beyond the limit). Everything else that
//! is wrong is collected as [`Failures`], so that the answer can list all of it in declaration order.

/// Visitor methods for the scalars that a visitor does not tell apart: each gives `$value`, a function of the visitor.
macro_rules! scalars_give {
    ($value:expr; $($method:ident: $type:ty),+) => {
        $(fn $method<E: serde::de::Error>(self, _: $type) -> Result<Self::Value, E> {
            Ok($value(self))
        })+
    };
}
pub(crate) use scalars_give;

mod event;
mod failures;
mod list;
mod nested;
mod properties;
mod scalar;
mod strings;
#[cfg(test)]
mod tests;

use serde::de;
use tally_service::api::MalformedBody;
pub(crate) use tally_service::api::parameter::{Scalar, coerce};

pub(crate) use event::{EventParameters, ParsedEvent};
pub(crate) use failures::{Failures, Naming};
pub(crate) use list::ParsedList;
pub(crate) use nested::check_json;

use crate::config::IngestConfig;

/// Characters of a key that an error repeats; clients' keys can be as long as a body.
const MAX_SHOWN_CHARS: usize = 100;

/// What the parser goes by.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'c> {
    pub(crate) limits: &'c IngestConfig,
    /// The caller may name another actor with `user_id`; for everybody else that is an unknown parameter.
    pub(crate) administrator: bool,
}

/// The parameters of `track_event`. An empty body, and JSON that is no object, is one without parameters.
pub(crate) fn event<'b>(body: &'b str, rules: Rules<'_>) -> Result<ParsedEvent<'b>, MalformedBody> {
    if body.trim_ascii().is_empty() {
        return Ok(ParsedEvent::without_parameters());
    }
    parse(body, event::EventSeed::body(rules)).map(event::Item::or_without_parameters)
}

/// The parameters of `track_events`, by the same rules.
pub(crate) fn events<'b>(body: &'b str, rules: Rules<'_>) -> Result<ParsedList<'b>, MalformedBody> {
    if body.trim_ascii().is_empty() {
        return Ok(ParsedList::missing());
    }
    parse(body, list::BodySeed(rules))
}

fn parse<'b, S: de::DeserializeSeed<'b>>(body: &'b str, seed: S) -> Result<S::Value, MalformedBody> {
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Levels of arrays and objects that may still be opened.
#[derive(Clone, Copy)]
pub(crate) struct Levels {
    left: usize,
    limit: usize,
}

impl Levels {
    pub(crate) fn new(limit: usize) -> Self {
        Self { left: limit, limit }
    }

    /// What is left inside of an array or object.
    fn enter<E: de::Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(E::custom(format_args!("nested deeper than {} levels", self.limit))),
        }
    }
}

/// The error for a key that stands twice in one object.
fn duplicate_key<E: de::Error>(key: &str) -> E {
    let shown: String = key.chars().take(MAX_SHOWN_CHARS).collect();
    E::custom(format_args!("duplicate key {shown:?}"))
}
