//! `POST /internal/personal_access_token`: a token for whoever holds a key. Shown once, kept as a hash.

use axum::Json;
use axum::extract::State;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use tally_directory::{AccessToken, Change, Scope, SecretHash, TOKEN_RANDOM_BYTES, token_from_random};
use utoipa::ToSchema;

use super::subject::{Failed, Unable, subject};
use crate::actor::Actor;
use crate::auth::ShellCall;
use crate::bounded::AnyRefusal;
use crate::declared::date;
use crate::git::note_use;
use crate::parameters::Parameters;
use crate::state::InternalState;

const DEPLOY_KEY: &str = "Deploy keys cannot be used to create personal access tokens";

/// Bytes that a token's name may have. GitLab's limit.
const MAX_NAME_BYTES: usize = 255;

/// The token that is wanted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
struct TokenCall {
    key_id: Option<i64>,
    user_id: Option<i64>,
    name: Option<String>,
    scopes: Option<Vec<String>>,
    /// The day (UTC) on which the token stops working; never without it.
    #[schema(format = Date)]
    expires_at: Option<String>,
}

/// The token, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedToken {
    success: bool,
    token: String,
    scopes: Vec<&'static str>,
    #[schema(value_type = Option<String>, format = Date)]
    expires_at: Option<Date>,
}

/// Either answer.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents the answers that the handler gives")]
enum TokenAnswer {
    Made(CreatedToken),
    Failed(Failed),
}

/// Make a personal access token
#[utoipa::path(
    post, path = "/api/v4/internal/personal_access_token", tag = "accounts", request_body = TokenCall,
    responses(
        (status = 200, description = "The token, or why there is none", body = TokenAnswer),
        (status = 503, description = "It took too long", body = AnyRefusal),
    ),
)]
pub(super) async fn personal_access_token(
    State(state): State<InternalState>,
    ShellCall(parameters): ShellCall,
) -> Result<Json<CreatedToken>, Unable> {
    let directory = &state.0.access.directory;
    let now = state.0.access.clock.now();
    let wanted = Wanted::read(&parameters, TimeZone::UTC.to_datetime(now).date());
    let mut random = [0; TOKEN_RANDOM_BYTES];
    state.0.randomness.fill(&mut random);
    let text = token_from_random(random);
    note_use(&state, &Actor::find(&parameters, &directory.read()));
    let created = directory.transact(now, |state| {
        // Who asks comes first, what is wrong with the wish after.
        let user = subject(&parameters, state, DEPLOY_KEY)?;
        let wanted = wanted.clone()?;
        if !user.state.is_active() {
            return Err(Unable::because("Failed to create token: Not permitted to create"));
        }
        if state.token_named(user.id, &wanted.name).is_some() {
            return Err(Unable::because("Failed to create token: Name has already been taken"));
        }
        let token = AccessToken {
            id: state.next_token_id(),
            user_id: user.id,
            name: wanted.name,
            hash: SecretHash::of(&text),
            scopes: wanted.scopes,
            expires_at: wanted.expires_at,
            revoked: false,
            created_at: now,
        };
        Ok((token.clone(), vec![Change::Token(token)]))
    });
    let token = created.await?;
    Ok(Json(CreatedToken {
        success: true,
        token: text,
        scopes: token.scopes.iter().map(|scope| scope.as_str()).collect(),
        expires_at: token.expires_at,
    }))
}

/// A token that could be made.
#[derive(Clone, Debug)]
struct Wanted {
    name: String,
    scopes: Vec<Scope>,
    expires_at: Option<Date>,
}

impl Wanted {
    fn read(parameters: &Parameters, today: Date) -> Result<Self, Unable> {
        let name = parameters.text("name").filter(|name| !name.trim().is_empty());
        let name = name.ok_or_else(|| Unable::because("No token name specified"))?.into_owned();
        let scopes = scopes(parameters)?;
        let expires_at = expiry(parameters, today)?;
        if name.len() > MAX_NAME_BYTES {
            return Err(Unable::because(
                "Failed to create token: Name is too long (maximum is 255 characters)",
            ));
        }
        Ok(Self { name, scopes, expires_at })
    }
}

/// Each once, in the order given.
fn scopes(parameters: &Parameters) -> Result<Vec<Scope>, Unable> {
    let mut scopes = Vec::new();
    for name in parameters.texts("scopes") {
        let scope = name.parse().map_err(|_| {
            Unable::because(format!("Invalid scope: '{name}'. Valid scopes are: {}", valid_scopes()))
        })?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() { Err(Unable::because("No token scopes specified")) } else { Ok(scopes) }
}

/// As Ruby writes a list of texts.
fn valid_scopes() -> String {
    let mut names = Scope::ALL.map(Scope::as_str);
    names.sort_unstable();
    format!("{names:?}")
}

/// A day to come; a token that ends before it begins would be none.
fn expiry(parameters: &Parameters, today: Date) -> Result<Option<Date>, Unable> {
    let Some(given) = parameters.value("expires_at").filter(|_| parameters.is_given("expires_at")) else {
        return Ok(None);
    };
    match date(given) {
        Ok(Some(date)) if date > today => Ok(Some(date)),
        _ => {
            let text = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
            Err(Unable::because(format!("Invalid token expiry date: '{text}'")))
        }
    }
}
