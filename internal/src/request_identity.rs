//! Which request a call is a try of. GitLab's services send the id of what they are doing, their correlation id, in header
//! `X-Request-ID` with every call that belongs to it (`LabKit`'s `correlation.NewInstrumentedRoundTripper` takes it from the context
//! of the request, <https://pkg.go.dev/gitlab.com/gitlab-org/labkit/correlation>). A try of the same call has the same context, and so should have the
//! same id. The same correlation id, call and parameters make the same ids, so that what a call records is recorded once.

use axum::http::HeaderMap;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::parameters::Parameters;

const HEADER: &str = "x-request-id";

/// What the tries of one request have in common.
pub(crate) struct RequestIdentity(Sha256);

impl RequestIdentity {
    /// The identity of a call with these parameters; `None` where the caller does not say what it belongs to.
    pub(crate) fn of(headers: &HeaderMap, call: &str, parameters: &Parameters) -> Option<Self> {
        let correlation_id = headers.get(HEADER)?.as_bytes().trim_ascii();
        if correlation_id.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        for part in [correlation_id, call.as_bytes(), parameters.to_string().as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Some(Self(hash))
    }

    /// The id of the request's record with this number: a `UUIDv8` (RFC 9562) of the first 16 bytes of SHA-256 over
    /// correlation id, call and parameters, each after its length, and the number; integers are 64 bits, little endian.
    pub(crate) fn id(&self, number: usize) -> Uuid {
        let hash = self.0.clone().chain_update((number as u64).to_le_bytes()).finalize();
        let bytes = hash[..16].try_into().expect("SHA-256 has 32 bytes");
        Builder::from_custom_bytes(bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity(correlation_id: &str, call: &str, parameters: &serde_json::Value) -> Option<RequestIdentity> {
        let mut headers = HeaderMap::new();
        headers.insert("X-Request-ID", correlation_id.parse().unwrap());
        RequestIdentity::of(&headers, call, &Parameters::from(parameters.as_object().unwrap().clone()))
    }

    #[test]
    fn an_id_is_the_same_for_the_same_call_only() {
        let first = identity("01J", "post_receive", &json!({"a": 1})).unwrap();
        assert_eq!(first.id(0), identity(" 01J ", "post_receive", &json!({"a": 1})).unwrap().id(0));
        assert_eq!(first.id(0).get_version_num(), 8);
        let others = [
            first.id(1),
            identity("01K", "post_receive", &json!({"a": 1})).unwrap().id(0),
            identity("01J", "usage_metrics", &json!({"a": 1})).unwrap().id(0),
            identity("01J", "post_receive", &json!({"a": 2})).unwrap().id(0),
            identity("01Jp", "ost_receive", &json!({"a": 1})).unwrap().id(0),
        ];
        assert!(others.iter().all(|other| *other != first.id(0)));
    }

    #[test]
    fn a_call_that_belongs_to_nothing_has_no_identity() {
        assert!(identity("", "post_receive", &json!({})).is_none());
        assert!(RequestIdentity::of(&HeaderMap::new(), "post_receive", &Parameters::default()).is_none());
    }
}
