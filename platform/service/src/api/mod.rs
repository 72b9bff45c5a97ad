//! What every endpoint under `/api/v4` has in common: which methods a path offers and how they are documented
//! ([`routes`], [`openapi`]), who is calling ([`auth`], [`security`]) and how often ([`guard`]), how a body is read ([`body`]), what a parameter's
//! text means ([`parameter`]) and how a refusal looks ([`error`]). All services answer alike because they stand on this.

pub mod auth;
pub mod body;
pub mod error;
pub mod guard;
pub mod openapi;
pub mod parameter;
pub mod routes;
pub mod security;

pub use auth::{Access, Caller, OptionalCaller};
pub use body::{BodyLimits, BodyReader, JsonBody, MalformedBody, RefusedBody};
pub use error::{ApiError, TokenProblem};
pub use guard::{Budget, ClientAddress, Guard, GuardConfig, Windows};
pub use routes::{Routes, with_fallbacks};
pub use security::Security;
