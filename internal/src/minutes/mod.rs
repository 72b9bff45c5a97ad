//! `/namespaces/:id/minutes`: packs of compute minutes that a namespace has bought, and moving them to another one.

mod packs;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use tally_directory::{Change, MinutePack, Namespace, State as Directory};
use tally_service::api::{ApiError, Routes, Security};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::administrator::{Administrator, WRITING};
use crate::namespaces::{self, Named};
use crate::parameters::Parameters;
use crate::refusal::{EndpointError, Refusal};
use crate::state::InternalState;

/// The endpoints of this part.
pub(crate) fn routes() -> Routes<InternalState> {
    Routes::new()
        .secured(Security::Administrator(WRITING), routes!(buy))
        .secured(Security::Administrator(WRITING), routes!(transfer))
}

/// A pack as it is answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MinutePack)]
pub(crate) struct PackAnswer {
    namespace_id: i64,
    #[schema(value_type = String, format = Date)]
    expires_at: jiff::civil::Date,
    number_of_minutes: i64,
    purchase_xid: String,
}

/// The answer to a move.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Moved {
    message: &'static str,
}

impl From<&MinutePack> for PackAnswer {
    fn from(pack: &MinutePack) -> Self {
        Self {
            namespace_id: pack.namespace_id,
            expires_at: pack.expires_at,
            number_of_minutes: pack.number_of_minutes,
            purchase_xid: pack.purchase_xid.clone(),
        }
    }
}

/// Add packs of compute minutes
///
/// All packs are written, or none. A purchase that is known is answered as it is, whoever has its minutes now.
#[utoipa::path(
    post, path = "/api/v4/namespaces/{id}/minutes", tag = "subscriptions",
    params(("id" = String, Path, description = "The namespace's id or its URL-encoded full path")),
    request_body = packs::Packs,
    responses((status = 201, description = "The packs", body = [PackAnswer])),
)]
pub(crate) async fn buy(
    State(state): State<InternalState>,
    _: Administrator,
    Named(id): Named<String>,
    request: Request,
) -> Result<(StatusCode, Json<Vec<PackAnswer>>), Refusal> {
    let sent = Parameters::read(request, &state.0.bodies).await?.into_fields();
    let purchases = packs::parse(&sent)?;
    let now = state.0.access.clock.now();
    let bought = state.0.access.directory.transact(now, |directory| {
        let namespace = namespaces::find(directory, &id, "Namespace")?;
        let mut new: Vec<MinutePack> = Vec::new();
        let mut answers = Vec::with_capacity(purchases.len());
        for purchase in &purchases {
            let xid = purchase.xid.as_deref().unwrap_or_default();
            let is_it = |pack: &&MinutePack| pack.purchase_xid == xid;
            let known = directory.pack(xid).map(|pack| &**pack).or_else(|| new.iter().find(is_it));
            if let Some(known) = known {
                answers.push(PackAnswer::from(known));
                continue;
            }
            let pack = purchase.pack(namespace.id)?;
            answers.push(PackAnswer::from(&pack));
            new.push(pack);
        }
        Ok::<_, Refusal>((answers, new.into_iter().map(Change::MinutePack).collect()))
    });
    Ok((StatusCode::CREATED, Json(bought.await?)))
}

/// Move packs of compute minutes
///
/// All packs of the one namespace become the other's. Both must be top-level namespaces.
#[utoipa::path(
    patch, path = "/api/v4/namespaces/{id}/minutes/move/{target_id}", tag = "subscriptions",
    params(
        ("id" = String, Path, description = "The namespace's id or its URL-encoded full path"),
        ("target_id" = String, Path, description = "The same of the namespace that gets the packs"),
    ),
    responses(
        (status = 202, description = "Moved", body = Moved),
        (status = 400, description = "Minutes can't move between these namespaces", body = EndpointError),
    ),
)]
pub(crate) async fn transfer(
    State(state): State<InternalState>,
    _: Administrator,
    Named((id, target_id)): Named<(String, String)>,
) -> Result<(StatusCode, Json<Moved>), Refusal> {
    let now = state.0.access.clock.now();
    let moved = state.0.access.directory.transact(now, |directory| {
        let (source, target) = ends(directory, &id, &target_id)?;
        let packs = directory.packs_of(source.id);
        let moved = packs.map(|pack| MinutePack { namespace_id: target.id, ..MinutePack::clone(pack) });
        Ok::<_, Refusal>(((), moved.map(Change::MinutePack).collect()))
    });
    moved.await?;
    Ok((StatusCode::ACCEPTED, Json(Moved { message: "202 Accepted" })))
}

/// The namespaces at both ends of a move, if minutes may move between them.
fn ends<'d>(
    directory: &'d Directory,
    id: &str,
    target_id: &str,
) -> Result<(&'d Namespace, &'d Namespace), ApiError> {
    let source = namespaces::find(directory, id, "Namespace")?;
    let target = namespaces::find(directory, target_id, "Target namespace")?;
    let problem = if source.parent_id.is_some() {
        "400 Bad request - Namespace must be a top-level namespace"
    } else if target.parent_id.is_some() {
        "400 Bad request - Target namespace must be a top-level namespace"
    } else if source.id == target.id {
        "400 Bad request - Namespace and target must be different"
    } else {
        return Ok((source, target));
    };
    Err(ApiError::BadRequest(problem.into()))
}
