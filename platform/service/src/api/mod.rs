//! What every endpoint under `/api/v4` has in common: who is calling ([`auth`]), which methods a path offers
//! ([`route`]), how a body is read ([`body`]), what a parameter's text means ([`parameter`]) and how a refusal looks
//! ([`error`]). Ingest and query answer alike because both stand on this.

pub mod auth;
pub mod body;
pub mod error;
pub mod parameter;
pub mod route;

pub use auth::{Access, Caller};
pub use body::{BodyLimits, BodyReader, JsonBody, MalformedBody};
pub use error::{ApiError, TokenProblem};
pub use route::{get, post, with_fallbacks};
