//! The collector's endpoints. Their statuses are chosen by what trackers do with them: all of them send again after any
//! status but 2xx, 400, 401, 403, 410 and 422.
//!
//! | status | what it means |
//! | --- | --- |
//! | 200 | durable: every event of the request is in the log, or set aside as a dead letter while others were kept |
//! | 400, 422 | final: nothing of it was kept, and sending again would not help; counted by drop reason |
//! | 408, 429, 503 | not now: the tracker keeps the events and sends them again, which counts once |

use std::mem;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, REFERER, SET_COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use tally_schemas::{DropReason, topics};
use tally_service::api::{ApiError, ClientAddress};
use tally_service::http::Peer;
use uuid::{Builder, Uuid};

use crate::admit::{self, Admitted, Posted, admit, dead_letters, refused_body};
use crate::append::append;
use crate::event::{Receipt, Refused};
use crate::service::{Capture, Inner};
use crate::snowplow::parameters::Parameters;
use crate::snowplow::payload::{self, MalformedPayload};
use crate::snowplow::{cookie, paths};

/// A transparent pixel.
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// A tracker asks with it that neither address nor cookie be looked at.
const ANONYMOUS: HeaderName = HeaderName::from_static("sp-anonymous");

/// GitLab's SDK names the tracking key here, too.
const APP_ID: HeaderName = HeaderName::from_static("x-gitlab-appid");

/// Take in events of a Snowplow tracker
///
/// Snowplow's tracker protocol: the body is a self-describing JSON of the schema `payload_data`. No token: each event names
/// its project's tracking key (`aid`). Answered once the events are durable; 408, 429 and 503 ask to send again.
#[utoipa::path(
    post,
    path = "/com.snowplowanalytics.snowplow/tp2",
    tag = "product analytics",
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses(
        (status = 200, description = "The events are kept", body = String, content_type = "text/plain"),
        (status = 400, description = "No payload of a tracker"),
        (status = 422, description = "Nothing in it can be kept: too large, no known tracking key, or malformed events"),
    ),
)]
pub(crate) async fn post(State(capture): State<Capture>, request: Request) -> Response {
    let visit = Visit::new(&capture.0, request.headers(), request.extensions());
    match post_events(&capture.0, &visit, request).await {
        Ok(()) => visit.answer("ok".into_response()),
        Err(refusal) => refusal.into_response(),
    }
}

async fn post_events(capture: &Inner, visit: &Visit, mut request: Request) -> Result<(), Refusal> {
    // Some trackers send JSON as plain text, which spares browsers a preflight request.
    request.headers_mut().remove(CONTENT_TYPE);
    let body = match capture.bodies.read_keeping(request, 0).await {
        Ok(body) => body,
        Err(refused) => {
            return Err(Refusal::of_body(capture, refused.error, refused.whole_size.unwrap_or(0)));
        }
    };
    let texts = payload::events(body.text(), capture.config.max_events)
        .map_err(|problem| Refusal::of_payload(capture, &problem, body.text().len()))?;
    let events = texts.into_iter().map(|text| Posted {
        text,
        parameters: serde_json::from_str(text).map_err(|error| Refused::invalid(error.to_string())),
    });
    let admitted = admit(capture, &visit.app_id, &visit.receipt(), events);
    keep(capture, visit, paths::POST, admitted).await
}

/// Take in one event of a Snowplow tracker
///
/// The event's parameters are the query's. Answers with a transparent pixel.
#[utoipa::path(
    get,
    path = "/i",
    tag = "product analytics",
    params(
        ("e" = String, Query, description = "The kind of event: pv, pp, se, ue, ..."),
        ("aid" = String, Query, description = "The project's tracking key"),
    ),
    responses(
        (status = 200, description = "The event is kept", body = String, content_type = "image/gif"),
        (status = 422, description = "The event can't be kept: no known tracking key, or malformed"),
    ),
)]
pub(crate) async fn pixel(State(capture): State<Capture>, request: Request) -> Response {
    let visit = Visit::new(&capture.0, request.headers(), request.extensions());
    // HEAD is to change nothing.
    if request.method() == Method::GET {
        let query = request.uri().query().unwrap_or_default();
        let event = Posted { text: query, parameters: Ok(Parameters::of_query(query)) };
        let admitted = admit(&capture.0, &visit.app_id, &visit.receipt(), std::iter::once(event));
        if let Err(refusal) = keep(&capture.0, &visit, paths::PIXEL, admitted).await {
            return refusal.into_response();
        }
    }
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("image/gif")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate")),
    ];
    visit.answer((headers, PIXEL).into_response())
}

/// Waits until the log has what is to be kept.
async fn keep(
    capture: &Inner,
    visit: &Visit,
    endpoint: &'static str,
    admitted: Admitted<'_>,
) -> Result<(), Refusal> {
    let Admitted { records, by_project, set_aside } = admitted;
    if records.is_empty() {
        return match set_aside.first() {
            None => Ok(()),
            Some((_, refused)) => {
                let answer = Refusal::Final(StatusCode::UNPROCESSABLE_ENTITY, refused.detail.clone());
                count_drops(capture, &set_aside);
                for event in &set_aside {
                    let kept =
                        admit::refused_event(capture, endpoint, &visit.app_id, &visit.receipt(), event);
                    capture.letters.keep(kept);
                }
                Err(answer)
            }
        };
    }
    // Letters take room, too: they go to the account of a key that came with them.
    let mut letters_to_charge = u32::try_from(set_aside.len()).unwrap_or(u32::MAX);
    for (project_id, events) in by_project {
        let charged = events.saturating_add(mem::take(&mut letters_to_charge));
        capture.budget.charge(project_id, charged, visit.now).map_err(Refusal::Api)?;
    }
    let count = records.len() as u64;
    let letters = dead_letters(capture, endpoint, &visit.app_id, &visit.receipt(), &set_aside);
    // Letters first: once the events are there nothing can fail any more, and what has no id of its own is not sent again.
    match append(capture, topics::DEAD_LETTERS, letters).await {
        // One that is longer than the log takes must not spoil the events beside it. It is counted below.
        Ok(()) | Err(ApiError::PayloadTooLarge { .. }) => {}
        Err(error) => return Err(Refusal::of_append(capture, error)),
    }
    append(capture, topics::PAGE_EVENTS, records)
        .await
        .map_err(|error| Refusal::of_append(capture, error))?;
    capture.metrics.events.inc_by(count);
    count_drops(capture, &set_aside);
    Ok(())
}

fn count_drops(capture: &Inner, set_aside: &[(&str, Refused)]) {
    for (_, refused) in set_aside {
        capture.metrics.drop_one(refused.reason);
        tracing::debug!(reason = %refused.reason, detail = refused.detail, "an event was not kept");
    }
}

/// What one request's headers and connection tell.
struct Visit {
    now: Timestamp,
    app_id: String,
    user_agent: String,
    referrer: String,
    is_anonymous: bool,
    address: Option<std::net::IpAddr>,
    network_user_id: Option<Uuid>,
    set_cookie: Option<HeaderValue>,
}

impl Visit {
    fn new(capture: &Inner, headers: &HeaderMap, extensions: &http::Extensions) -> Self {
        let text = |name: &HeaderName| {
            let value = headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        let is_anonymous = headers.contains_key(ANONYMOUS);
        let behind_proxies = extensions.get::<ClientAddress>().map(|client| client.0);
        let address = behind_proxies.or_else(|| extensions.get::<Peer>().map(|peer| peer.0));
        let network_user_id = (capture.config.cookie.enabled && !is_anonymous)
            .then(|| cookie::read(&capture.config.cookie, headers).unwrap_or_else(|| new_visitor(capture)));
        Self {
            now: capture.clock.now(),
            app_id: text(&APP_ID),
            user_agent: text(&USER_AGENT),
            referrer: text(&REFERER),
            is_anonymous,
            address: address.filter(|_| !is_anonymous),
            set_cookie: network_user_id.map(|id| cookie::write(&capture.config.cookie, id)),
            network_user_id,
        }
    }

    fn receipt(&self) -> Receipt<'_> {
        Receipt {
            received_at: self.now.as_millisecond(),
            address: self.address,
            network_user_id: self.network_user_id.map_or_else(String::new, |id| id.to_string()),
            is_anonymous: self.is_anonymous,
            user_agent: &self.user_agent,
            referrer: &self.referrer,
        }
    }

    fn answer(self, mut response: Response) -> Response {
        if let Some(set_cookie) = self.set_cookie {
            response.headers_mut().insert(SET_COOKIE, set_cookie);
        }
        response
    }
}

fn new_visitor(capture: &Inner) -> Uuid {
    let mut random = [0; 16];
    capture.randomness.fill(&mut random);
    Builder::from_random_bytes(random).into_uuid()
}

/// Why a request is not kept, as the tracker is told.
enum Refusal {
    /// Sending again would not help.
    Final(StatusCode, String),
    /// As in the rest of the API.
    Api(ApiError),
}

impl Refusal {
    fn of_payload(capture: &Inner, problem: &MalformedPayload, length: usize) -> Self {
        let (reason, status) = match problem {
            MalformedPayload::TooMany { .. } => (DropReason::Oversized, StatusCode::UNPROCESSABLE_ENTITY),
            _ => (DropReason::Invalid, StatusCode::BAD_REQUEST),
        };
        capture.metrics.drop_one(reason);
        capture.letters.keep(refused_body(paths::POST, reason, problem.to_string(), length as u64));
        Self::Final(status, problem.to_string())
    }

    /// The body can't be read; at least `length` bytes of it came.
    fn of_body(capture: &Inner, error: ApiError, length: u64) -> Self {
        if let Some(reason) = tally_letters::reason_of(&error) {
            capture.letters.keep(refused_body(paths::POST, reason, error.to_string(), length));
        }
        Self::of_append(capture, error)
    }

    /// Trackers would send what is too large, or has an encoding that nobody reads, for ever.
    fn of_append(capture: &Inner, error: ApiError) -> Self {
        let reason = match &error {
            ApiError::PayloadTooLarge { .. } => DropReason::Oversized,
            ApiError::UnsupportedContentEncoding(_) | ApiError::BadParameters(_) => DropReason::Invalid,
            _ => return Self::Api(error),
        };
        capture.metrics.drop_one(reason);
        match error {
            ApiError::BadParameters(_) => Self::Api(error),
            _ => Self::Final(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Final(status, text) => {
                (status, Json(serde_json::json!({ "message": text }))).into_response()
            }
            Self::Api(error) => error.into_response(),
        }
    }
}
