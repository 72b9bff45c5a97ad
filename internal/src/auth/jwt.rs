//! JSON Web Tokens over a shared secret, HS256 alone: read and checked as GitLab's `JSONWebToken::HMACToken` does, and
//! made where an answer hands one out.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

/// How many seconds the two sides' clocks may differ.
const LEEWAY_S: f64 = 60.0;

/// A token that is not accepted, for whatever reason: the caller isn't told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// Which of the times a token must have. Those it has must be right in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// When it was issued and when it ends.
    Required,
    /// None.
    Optional,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: Option<f64>,
    nbf: Option<f64>,
    exp: Option<f64>,
}

/// Accepts a token that `issuer` signed with one of `keys` and that is in force at `now`.
pub(crate) fn verify<'k>(
    token: &str,
    issuer: &str,
    keys: impl IntoIterator<Item = &'k [u8]>,
    times: Times,
    now: Timestamp,
) -> Result<(), Refused> {
    let claims = keys.into_iter().find_map(|key| decode(token, key)).ok_or(Refused)?;
    let now = now.as_second() as f64;
    let has_times = times == Times::Optional || (claims.iat.is_some() && claims.exp.is_some());
    let has_begun = [claims.iat, claims.nbf].into_iter().flatten().all(|begin| begin <= now + LEEWAY_S);
    let is_over = claims.exp.is_some_and(|end| end + LEEWAY_S <= now);
    if claims.iss == issuer && has_times && has_begun && !is_over { Ok(()) } else { Err(Refused) }
}

/// The claims if the signature is right. Times are checked by the caller, who has the clock.
fn decode(token: &str, key: &[u8]) -> Option<Claims> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(key), &validation);
    decoded.ok().map(|token| token.claims)
}

/// A token with these claims, signed with `key`.
pub(crate) fn sign(claims: &impl Serialize, key: &[u8]) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(key))
        .expect("claims are plain JSON, and any key does for an HMAC")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_772_366_400;

    fn accepts(claims: &Value, times: Times) -> bool {
        let token = sign(claims, b"key");
        let now = Timestamp::from_second(NOW).unwrap();
        verify(&token, "me", [b"other".as_slice(), b"key"], times, now).is_ok()
    }

    #[test]
    fn issuer_and_times_decide() {
        let rows = [
            (json!({"iss": "me", "iat": NOW, "exp": NOW + 5}), true),
            (json!({"iss": "me", "iat": NOW, "exp": NOW + 5, "nbf": NOW - 5, "jti": "x"}), true),
            (json!({"iss": "me", "iat": NOW - 100, "exp": NOW - 59}), true),
            (json!({"iss": "me", "iat": NOW - 100, "exp": NOW - 60}), false),
            (json!({"iss": "me", "iat": NOW + 60, "exp": NOW + 100}), true),
            (json!({"iss": "me", "iat": NOW + 61, "exp": NOW + 100}), false),
            (json!({"iss": "me", "iat": NOW, "nbf": NOW + 61, "exp": NOW + 100}), false),
            (json!({"iss": "you", "iat": NOW, "exp": NOW + 5}), false),
            (json!({"iat": NOW, "exp": NOW + 5}), false),
            (json!({"iss": "me", "iat": NOW, "exp": "soon"}), false),
        ];
        for (claims, accepted) in rows {
            assert_eq!(accepts(&claims, Times::Required), accepted, "{claims}");
        }
        for claims in
            [json!({"iss": "me"}), json!({"iss": "me", "iat": NOW}), json!({"iss": "me", "exp": NOW})]
        {
            assert!(!accepts(&claims, Times::Required), "{claims}");
            assert!(accepts(&claims, Times::Optional), "{claims}");
        }
        assert!(!accepts(&json!({"iss": "me", "exp": NOW - 60}), Times::Optional));
    }

    #[test]
    fn only_hs256_over_one_of_the_keys_is_a_signature() {
        let claims = json!({"iss": "me", "iat": NOW, "exp": NOW + 5});
        let now = Timestamp::from_second(NOW).unwrap();
        let check = |token: &str| verify(token, "me", [b"key".as_slice()], Times::Required, now);
        assert_eq!(check(&sign(&claims, b"key")), Ok(()));
        assert_eq!(check(&sign(&claims, b"another")), Err(Refused));
        let key = EncodingKey::from_secret(b"key");
        let hs512 = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims, &key).unwrap();
        assert_eq!(check(&hs512), Err(Refused));
        let unsigned = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJtZSJ9.";
        for token in [unsigned, "", "a.b.c", "x"] {
            assert_eq!(check(token), Err(Refused), "{token}");
        }
    }
}
