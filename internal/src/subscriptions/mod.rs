//! `/namespaces/:id/gitlab_subscription`: what the billing portal sold to a namespace, and how many seats are in use.

mod answer;
mod parameters;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use tally_directory::{Change, Subscription};
use tally_service::api::{ApiError, Routes, Security};
use utoipa_axum::routes;

use crate::administrator::{Administrator, READING, WRITING};
use crate::namespaces::{self, Named};
use crate::parameters::Parameters;
use crate::refusal::{RecordRefusal, Refusal};
use crate::state::{Inner, InternalState};
use answer::SubscriptionAnswer;
use parameters::{ChangedSubscription, Need, NewSubscription, SubscriptionParameters};

/// What a 404 calls a subscription.
const SUBSCRIPTION: &str = "GitlabSubscription";

/// The endpoints of this part.
pub(crate) fn routes() -> Routes<InternalState> {
    Routes::new()
        .secured(Security::Administrator(WRITING), routes!(create, update))
        .secured(Security::Administrator(READING), routes!(show))
}

/// Create a subscription
///
/// A namespace has one subscription at most. A trial needs `trial_starts_on`.
#[utoipa::path(
    post, path = "/api/v4/namespaces/{id}/gitlab_subscription", tag = "subscriptions",
    params(("id" = String, Path, description = "The namespace's id or its URL-encoded full path")),
    request_body = NewSubscription,
    responses(
        (status = 201, description = "The subscription", body = SubscriptionAnswer),
        (status = 400, description = "The parameters or the subscription they would make don't fit", body = RecordRefusal),
    ),
)]
pub(crate) async fn create(
    State(state): State<InternalState>,
    _: Administrator,
    Named(id): Named<String>,
    request: Request,
) -> Result<(StatusCode, Json<SubscriptionAnswer>), Refusal> {
    let sent = Parameters::read(request, &state.0.bodies).await?.into_fields();
    let parameters = SubscriptionParameters::parse(&sent, Need::StartDate)?;
    let answer = write(&state.0, &id, |namespace_id, existing: Option<&Subscription>| match existing {
        Some(_) => Err(Refusal::Field { field: "namespace_id", problem: "has already been taken" }),
        None => parameters.new_subscription(namespace_id),
    });
    Ok((StatusCode::CREATED, Json(answer.await?)))
}

/// Change a subscription
///
/// What is not sent stays as it is.
#[utoipa::path(
    put, path = "/api/v4/namespaces/{id}/gitlab_subscription", tag = "subscriptions",
    params(("id" = String, Path, description = "The namespace's id or its URL-encoded full path")),
    request_body = ChangedSubscription,
    responses(
        (status = 200, description = "The subscription", body = SubscriptionAnswer),
        (status = 400, description = "The parameters or the subscription they would make don't fit", body = RecordRefusal),
    ),
)]
pub(crate) async fn update(
    State(state): State<InternalState>,
    _: Administrator,
    Named(id): Named<String>,
    request: Request,
) -> Result<Json<SubscriptionAnswer>, Refusal> {
    let sent = Parameters::read(request, &state.0.bodies).await?.into_fields();
    let parameters = SubscriptionParameters::parse(&sent, Need::Nothing)?;
    let answer = write(&state.0, &id, |_, existing: Option<&Subscription>| match existing {
        Some(existing) => parameters.changed(existing),
        None => Err(Refusal::Api(ApiError::NotFound(Some(SUBSCRIPTION)))),
    });
    Ok(Json(answer.await?))
}

/// Show a subscription
#[utoipa::path(
    get, path = "/api/v4/namespaces/{id}/gitlab_subscription", tag = "subscriptions",
    params(("id" = String, Path, description = "The namespace's id or its URL-encoded full path")),
    responses((status = 200, description = "The subscription", body = SubscriptionAnswer)),
)]
pub(crate) async fn show(
    State(state): State<InternalState>,
    _: Administrator,
    Named(id): Named<String>,
) -> Result<Json<SubscriptionAnswer>, Refusal> {
    let directory = state.0.access.directory.read();
    let namespace = namespaces::find(&directory, &id, "Namespace")?;
    let subscription = directory.subscription(namespace.id).ok_or(ApiError::NotFound(Some(SUBSCRIPTION)))?;
    Ok(Json(SubscriptionAnswer::new(&directory, namespace, subscription)))
}

/// Writes what `decide` makes of the namespace's subscription.
async fn write(
    state: &Inner,
    id: &str,
    decide: impl Fn(i64, Option<&Subscription>) -> Result<Subscription, Refusal> + Send + Sync,
) -> Result<SubscriptionAnswer, Refusal> {
    let now = state.access.clock.now();
    let written = state.access.directory.transact(now, |directory| {
        let namespace = namespaces::find(directory, id, "Namespace")?;
        let subscription = decide(namespace.id, directory.subscription(namespace.id).map(|known| &**known))?;
        let answer = SubscriptionAnswer::new(directory, namespace, &subscription);
        Ok::<_, Refusal>((answer, vec![Change::Subscription(subscription)]))
    });
    Ok(written.await?)
}
