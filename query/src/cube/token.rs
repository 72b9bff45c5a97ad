//! Tokens for Cube's own base path: JSON Web Tokens signed with the API secret, whose claims say which project they are for.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

/// What Cube signs with, if its secret is a plain one.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

/// What GitLab puts before the project's id in the claim `appId`.
const APP_ID_PREFIX: &str = "gitlab_project_";

/// Why a token is not let in; the texts are Cube's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("Authorization header isn't set")]
    Missing,
    #[error("Invalid token")]
    Invalid,
    /// Not Cube's: its tokens need not say anything.
    #[error("The token names no project: expected the claim appId or project_id")]
    NoProject,
}

/// The token of a header's value, which may have any word before it.
pub fn token_of(header: &str) -> Result<&str, TokenError> {
    let mut words = header.split(' ');
    let first = words.next().unwrap_or_default();
    let token = words.next().unwrap_or(first);
    if header.is_empty() { Err(TokenError::Missing) } else { Ok(token) }
}

/// The id of the project that a token is for.
pub fn project_of(token: &str, secret: &[u8], now: Timestamp) -> Result<i64, TokenError> {
    if secret.is_empty() {
        return Err(TokenError::Invalid);
    }
    let mut validation = Validation::new(Algorithm::HS256);
    validation.algorithms = ALGORITHMS.to_vec();
    validation.required_spec_claims.clear();
    // Times are checked below, against the clock that was passed in.
    validation.validate_exp = false;
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_secret(secret), &validation);
    let claims = decoded.map_err(|_| TokenError::Invalid)?.claims;
    if !is_in_force(&claims, now) {
        return Err(TokenError::Invalid);
    }
    project(&claims)
}

/// `exp` and `nbf` are optional, and numbers where they are there.
fn is_in_force(claims: &Value, now: Timestamp) -> bool {
    let now = now.as_second() as f64;
    let holds = |claim: &str, check: &dyn Fn(f64) -> bool| match claims.get(claim) {
        None => true,
        Some(time) => time.as_f64().is_some_and(check),
    };
    holds("exp", &|end| now < end) && holds("nbf", &|begin| begin <= now)
}

/// The one project that the claims name. A claim that is null isn't there, and an `appId` of another form is no project's.
/// Whoever signs two that disagree has made a mistake, and which of them is meant is not for us to guess.
fn project(claims: &Value) -> Result<i64, TokenError> {
    let by_id = claims.get("project_id").filter(|id| !id.is_null()).map(|id| match id {
        Value::String(id) => id.parse().ok(),
        id => id.as_i64(),
    });
    let app_id = claims.get("appId").and_then(Value::as_str).and_then(|id| id.strip_prefix(APP_ID_PREFIX));
    let by_app = app_id.map(|id| id.parse().ok());
    let named: Option<i64> = match (by_id, by_app) {
        (Some(by_id), Some(by_app)) if by_id != by_app => return Err(TokenError::Invalid),
        (by_id, by_app) => by_id.or(by_app).flatten(),
    };
    named.filter(|id| *id > 0).ok_or(TokenError::NoProject)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn signed(algorithm: Algorithm, claims: &Value, secret: &str) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
    }

    fn accepted(token: &str) -> Result<i64, TokenError> {
        project_of(token, b"secret", Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn a_token_is_the_headers_only_or_second_word() {
        for header in ["abc", "Bearer abc", "anything abc", "anything abc more"] {
            assert_eq!(token_of(header), Ok("abc"), "{header}");
        }
        assert_eq!(token_of(""), Err(TokenError::Missing));
    }

    #[test]
    fn a_projects_token_is_accepted_with_any_of_the_algorithms() {
        for algorithm in ALGORITHMS {
            for claims in [
                json!({"appId": "gitlab_project_7"}),
                json!({"project_id": 7, "appId": "gitlab_project_7"}),
                json!({"project_id": 7, "appId": "a dashboard"}),
                json!({"project_id": null, "appId": "gitlab_project_7"}),
                json!({"project_id": "7", "iat": NOW + 1000, "exp": NOW + 1, "nbf": NOW}),
            ] {
                assert_eq!(accepted(&signed(algorithm, &claims, "secret")), Ok(7), "{claims}");
            }
        }
    }

    #[test]
    fn what_is_forged_over_or_early_is_refused() {
        let good = json!({"project_id": 7});
        let sign = |claims: &Value| signed(Algorithm::HS256, claims, "secret");
        let unsigned = sign(&good).rsplit_once('.').unwrap().0.to_owned() + ".";
        let none = format!("eyJhbGciOiJub25lIn0.{}.", sign(&good).split('.').nth(1).unwrap());
        for token in [
            signed(Algorithm::HS256, &good, "other"),
            unsigned,
            none,
            String::new(),
            "undefined".to_owned(),
            sign(&json!({"project_id": 7, "exp": NOW})),
            sign(&json!({"project_id": 7, "exp": "tomorrow"})),
            sign(&json!({"project_id": 7, "nbf": NOW + 1})),
            sign(&json!({"project_id": 7, "appId": "gitlab_project_8"})),
            sign(&json!({"project_id": "x", "appId": "gitlab_project_7"})),
            sign(&json!({"project_id": 7, "appId": "gitlab_project_"})),
        ] {
            assert_eq!(accepted(&token), Err(TokenError::Invalid), "{token}");
        }
        for claims in [json!({}), json!({"appId": "7"}), json!({"project_id": 0}), json!({"project_id": "x"})]
        {
            assert_eq!(accepted(&sign(&claims)), Err(TokenError::NoProject), "{claims}");
        }
        let now = Timestamp::from_second(NOW).unwrap();
        assert_eq!(project_of(&signed(Algorithm::HS256, &good, ""), b"", now), Err(TokenError::Invalid));
    }
}
