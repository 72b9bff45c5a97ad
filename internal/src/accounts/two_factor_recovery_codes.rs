//! `POST /internal/two_factor_recovery_codes`: new codes for somebody who has lost their second factor and still has
//! their key. Shown once, kept as hashes.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tally_directory::{Change, SecretHash, User};
use utoipa::ToSchema;

use super::subject::{Failed, Unable, subject};
use crate::actor::Actor;
use crate::auth::ShellCall;
use crate::bounded::AnyRefusal;
use crate::git::note_use;
use crate::state::InternalState;

/// How many codes there are at a time.
const CODES: usize = 10;

/// A code is written in twice as many hexadecimal digits.
const BYTES_PER_CODE: usize = 8;

const DEPLOY_KEY: &str = "Deploy keys cannot be used to retrieve recovery codes";
const NOT_ENABLED: &str = "Two-factor authentication is not enabled for this user";

/// Whose codes are wanted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
struct RecoveryCodesCall {
    key_id: Option<i64>,
    user_id: Option<i64>,
}

/// The codes that are good from now on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecoveryCodes {
    success: bool,
    recovery_codes: Vec<String>,
}

/// Either answer.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents the answers that the handler gives")]
enum RecoveryCodesAnswer {
    Made(RecoveryCodes),
    Failed(Failed),
}

/// Make recovery codes
///
/// Ten new codes in place of all that were good before. They are shown this once.
#[utoipa::path(
    post, path = "/api/v4/internal/two_factor_recovery_codes", tag = "accounts", request_body = RecoveryCodesCall,
    responses(
        (status = 200, description = "The codes, or why there are none", body = RecoveryCodesAnswer),
        (status = 503, description = "It took too long", body = AnyRefusal),
    ),
)]
pub(super) async fn two_factor_recovery_codes(
    State(state): State<InternalState>,
    ShellCall(parameters): ShellCall,
) -> Result<Json<RecoveryCodes>, Unable> {
    let directory = &state.0.access.directory;
    let mut random = [0; CODES * BYTES_PER_CODE];
    state.0.randomness.fill(&mut random);
    let codes: Vec<String> = random.chunks_exact(BYTES_PER_CODE).map(hex::encode).collect();
    let hashes: Vec<SecretHash> = codes.iter().map(|code| SecretHash::of(code)).collect();
    note_use(&state, &Actor::find(&parameters, &directory.read()));
    let replaced = directory.transact(state.0.access.clock.now(), |state| {
        let user = subject(&parameters, state, DEPLOY_KEY)?;
        if !user.two_factor {
            return Err(Unable::because(NOT_ENABLED));
        }
        Ok(((), vec![Change::User(User { recovery_codes: hashes.clone(), ..user.clone() })]))
    });
    replaced.await?;
    Ok(Json(RecoveryCodes { success: true, recovery_codes: codes }))
}
