//! Stands before the handlers: finds out whose a request is, charges it to its caller's budget before its body is read,
//! and keeps the audit log of what is denied. Authentication happens here once; [`Caller`] takes its outcome.
//!
//! Requests with a good token are charged to the token, all others to the client's address. A good token is therefore never
//! refused for what else comes from its address, which may be a load balancer's. Windows are fixed, as GitLab's throttles
//! are: around a window's end a caller may make twice its requests in a short time.

mod address;
mod audit;
mod limit;
mod window;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use jiff::Timestamp;
use prometheus::Registry;
use serde::{Deserialize, Serialize};
use tally_directory::Principal;
use tower::{Layer, Service};

use crate::api::auth::{Authenticated, presented_token};
use crate::api::{Access, ApiError, Caller, TokenProblem};
use address::{client_address, counted};
pub use audit::Denial;
use audit::{Audit, Denied, HashPrefix};
use limit::{Charge, Exceeded, Limit};
pub use window::{Count, Windows};

/// How many requests a caller may make. 0 switches a limit off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardConfig {
    /// Seconds in which the requests below may be made.
    pub period_s: u64,
    /// Requests to the tracking endpoints with one token.
    pub tracking_per_token: u32,
    /// Requests to all other endpoints with one token.
    pub other_per_token: u32,
    /// Requests without a good token from one address; a /64 of IPv6 counts as one.
    pub without_token_per_address: u32,
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Denials that the audit log may hold for one minute; further ones are only counted.
    pub audit_per_minute: u32,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            period_s: 60,
            tracking_per_token: 600_000,
            other_per_token: 30_000,
            without_token_per_address: 6_000,
            trusted_proxies: Vec::new(),
            audit_per_minute: 600,
        }
    }
}

/// Which budget a route's requests are charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// That of the endpoints that take events in.
    Tracking,
    /// That of all others.
    Other,
    /// None: callers are known by other means, and denials are only logged.
    Unlimited,
}

/// The address a request comes from, past trusted proxies; every request that went through a [`Guard`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// One for all services of a process, so that a budget is one across them. Cloning shares it.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    access: Access,
    trusted_proxies: Vec<IpNet>,
    tracking: Limit<i64>,
    other: Limit<i64>,
    without_token: Limit<IpAddr>,
    audit: Audit,
}

impl Guard {
    /// A guard whose metrics are in `registry`.
    pub fn new(access: Access, config: GuardConfig, registry: &Registry) -> Result<Self, prometheus::Error> {
        let period_s = config.period_s;
        Ok(Self(Arc::new(Inner {
            tracking: Limit::new("throttle_authenticated_tracking", config.tracking_per_token, period_s),
            other: Limit::new("throttle_authenticated_api", config.other_per_token, period_s),
            without_token: Limit::new(
                "throttle_unauthenticated_api",
                config.without_token_per_address,
                period_s,
            ),
            audit: Audit::new(config.audit_per_minute, registry)?,
            trusted_proxies: config.trusted_proxies,
            access,
        })))
    }

    /// The same routes behind the guard. To be called on routes, not on a fallback alone: it is the matched route that the
    /// audit log names.
    pub fn protect<S>(&self, budget: Budget, router: Router<S>) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        router.layer(self.layer(budget))
    }

    /// The guard as a layer.
    pub fn layer(&self, budget: Budget) -> GuardLayer {
        GuardLayer { guard: self.clone(), budget }
    }
}

/// Puts a [`Guard`] before a service.
#[derive(Clone)]
pub struct GuardLayer {
    guard: Guard,
    budget: Budget,
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: self.guard.clone(), budget: self.budget }
    }
}

/// A service behind a [`Guard`].
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    guard: Guard,
    budget: Budget,
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response>,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let guard = self.guard.clone();
        let (visit, admission) = guard.0.admit(self.budget, &mut request);
        if let Err(refusal) = admission {
            return Box::pin(async move { Ok(guard.0.leave(&visit, refusal.into_response())) });
        }
        let answering = self.inner.call(request);
        Box::pin(async move { Ok(guard.0.leave(&visit, answering.await?)) })
    }
}

/// What the guard remembers of a request until it is answered.
struct Visit {
    now: Timestamp,
    address: IpAddr,
    method: Method,
    endpoint: Option<MatchedPath>,
    caller: Option<Caller>,
    has_token: bool,
    unknown_token: Option<HashPrefix>,
    charge: Option<Charge>,
}

impl Inner {
    /// Authenticates and charges. The request takes the outcome of authentication along.
    fn admit(&self, budget: Budget, request: &mut Request) -> (Visit, Result<(), ApiError>) {
        let now = self.access.clock.now();
        let address = client_address(request, &self.trusted_proxies);
        request.extensions_mut().insert(ClientAddress(address));
        let mut visit = Visit {
            now,
            address,
            method: request.method().clone(),
            endpoint: request.extensions().get::<MatchedPath>().cloned(),
            caller: None,
            has_token: false,
            unknown_token: None,
            charge: None,
        };
        let token = presented_token(request.uri(), request.headers());
        visit.has_token = token.is_some();
        let authenticated = match &token {
            None => Err(ApiError::Unauthorized),
            Some(token) => self.access.authenticate_token(token, now),
        };
        if let Some(token) = &token
            && is_unknown(&authenticated)
        {
            visit.unknown_token = Some(HashPrefix::of(&token.text));
        }
        visit.caller = authenticated.as_ref().ok().cloned();
        request.extensions_mut().insert(Authenticated(authenticated));
        if budget == Budget::Unlimited {
            return (visit, Ok(()));
        }
        let (charge, outcome) = self.charge(budget, &visit, counted(address));
        if let Err(Exceeded) = outcome {
            let refusal = visit.refuse(charge);
            return (visit, Err(refusal));
        }
        visit.charge = charge;
        (visit, Ok(()))
    }

    fn charge(
        &self,
        budget: Budget,
        visit: &Visit,
        address: IpAddr,
    ) -> (Option<Charge>, Result<(), Exceeded>) {
        match &visit.caller {
            Some(caller) if budget == Budget::Tracking => self.tracking.charge(caller.0.token_id, visit.now),
            Some(caller) => self.other.charge(caller.0.token_id, visit.now),
            None => self.without_token.charge(address, visit.now),
        }
    }

    /// Adds the state of the budget to the answer, and a denial to the audit log.
    fn leave(&self, visit: &Visit, mut response: Response) -> Response {
        if let Some(charge) = &visit.charge {
            charge.add_headers(response.headers_mut());
        }
        if let Some(denial) = visit.denial(&response) {
            let denied = Denied {
                denial,
                status: response.status().as_u16(),
                endpoint: visit.endpoint.as_ref().map_or("", MatchedPath::as_str),
                method: &visit.method,
                address: visit.address,
                principal: visit.principal(),
                unknown_token: visit.unknown_token,
            };
            self.audit.record(&denied, visit.now);
        }
        response
    }
}

/// Whether nobody has the token.
fn is_unknown(authenticated: &Result<Caller, ApiError>) -> bool {
    matches!(authenticated, Err(ApiError::Unauthorized | ApiError::InvalidToken(TokenProblem::Bad)))
}

impl Visit {
    fn principal(&self) -> Option<&Principal> {
        self.caller.as_ref().map(|caller| &*caller.0)
    }

    fn refuse(&mut self, charge: Option<Charge>) -> ApiError {
        let now_s = u64::try_from(self.now.as_second()).unwrap_or(0);
        let ends_at_s = charge.as_ref().map_or(now_s, Charge::ends_at_s);
        self.charge = charge;
        ApiError::TooManyRequests { retry_after_s: ends_at_s.saturating_sub(now_s).max(1) }
    }

    /// Why the request is denied, if it is.
    fn denial(&self, response: &Response) -> Option<Denial> {
        let by_status = match response.status() {
            StatusCode::UNAUTHORIZED => Denial::Unauthorized,
            StatusCode::FORBIDDEN => Denial::Forbidden,
            StatusCode::TOO_MANY_REQUESTS => Denial::TooManyRequests,
            _ => return None,
        };
        Some(match response.extensions().get::<Denial>().copied().unwrap_or(by_status) {
            Denial::Unauthorized if self.unknown_token.is_some() => Denial::UnknownToken,
            Denial::Unauthorized if !self.has_token => Denial::NoToken,
            denial => denial,
        })
    }
}
