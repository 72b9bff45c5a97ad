//! What every endpoint under `/api/v4` has in common: who is calling ([`auth`]), which methods a path offers
//! ([`route`]) and how a refusal looks ([`error`]). Ingest and query answer alike because both stand on this.

pub mod auth;
pub mod error;
pub mod route;

pub use auth::{Access, Caller};
pub use error::{ApiError, RateLimit, TokenProblem};
pub use route::{get, post, with_fallbacks};
