//! What all endpoints' documentation shares: the forms of refusals, the ways to say who one is, and the document as a
//! whole.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use utoipa::openapi::{Components, Info, OpenApi, RefOr, Schema, Server};

use crate::api::security::{
    AGENT, AGENT_SERVER, BEARER, PRIVATE_TOKEN, PRIVATE_TOKEN_PARAMETER, SECRET_TOKEN, SHARED_SECRET,
    SHELL_TOKEN,
};

/// Where a process offers its document.
pub const PATH: &str = "/api/v4/openapi.json";

/// The refusals that are components of every document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: parameters or the body don't fit.
    BadRequest,
    /// 401: no token, or no good one.
    Unauthorized,
    /// 403: the token is good, and not good enough.
    Forbidden,
    /// 404: what the path names isn't there, or not for this caller.
    NotFound,
    /// 408: the body did not arrive in time.
    RequestTimeout,
    /// 413: the body is too long.
    PayloadTooLarge,
    /// 415: no parser or decoder for the body.
    UnsupportedMediaType,
    /// 429: too many requests.
    TooManyRequests,
    /// 503: not now.
    Unavailable,
}

impl Refusal {
    /// Every refusal.
    const ALL: [Self; 9] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::RequestTimeout,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::TooManyRequests,
        Self::Unavailable,
    ];

    /// What any endpoint with a body may answer.
    pub(crate) const OF_BODIES: &[Self] =
        &[Self::BadRequest, Self::RequestTimeout, Self::PayloadTooLarge, Self::UnsupportedMediaType];

    /// The component's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::RequestTimeout => "RequestTimeout",
            Self::PayloadTooLarge => "PayloadTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::TooManyRequests => "TooManyRequests",
            Self::Unavailable => "Unavailable",
        }
    }

    /// The status as documents write it.
    pub const fn status(self) -> &'static str {
        match self {
            Self::BadRequest => "400",
            Self::Unauthorized => "401",
            Self::Forbidden => "403",
            Self::NotFound => "404",
            Self::RequestTimeout => "408",
            Self::PayloadTooLarge => "413",
            Self::UnsupportedMediaType => "415",
            Self::TooManyRequests => "429",
            Self::Unavailable => "503",
        }
    }

    /// The response object.
    fn response(self) -> Value {
        let (description, forms): (&str, &[&str]) = match self {
            Self::BadRequest => ("Parameters or the body don't fit", &["ParameterError", "EndpointError"]),
            Self::Unauthorized => ("No token, or no good one", &["EndpointError", "TokenError"]),
            Self::Forbidden => ("The token is not good enough for this", &["EndpointError", "TokenError"]),
            Self::NotFound => ("Not there, or not for this caller", &["EndpointError", "ParameterError"]),
            Self::RequestTimeout => ("The body did not arrive in time", &["EndpointError"]),
            Self::PayloadTooLarge => ("The body is too long", &["EndpointError"]),
            Self::UnsupportedMediaType => ("The body's type or encoding is not offered", &["ParameterError"]),
            Self::TooManyRequests => ("Too many requests", &["TooManyRequestsError"]),
            Self::Unavailable => ("Not now; the same request may succeed later", &["EndpointError"]),
        };
        let reference = |form: &&str| json!({"$ref": format!("#/components/schemas/{form}")});
        let schema = match forms {
            [form] => reference(form),
            forms => json!({"oneOf": forms.iter().map(reference).collect::<Vec<_>>()}),
        };
        json!({
            "description": description,
            "content": {"application/json": {"schema": schema}},
            "headers": self.headers(),
        })
    }

    fn headers(self) -> Value {
        let integer = |description: &str| json!({"description": description, "schema": {"type": "integer"}});
        let text = |description: &str| json!({"description": description, "schema": {"type": "string"}});
        match self {
            Self::TooManyRequests => json!({
                "RateLimit-Limit": integer("Requests a minute"),
                "RateLimit-Observed": integer("Requests counted in this period"),
                "RateLimit-Remaining": integer("Requests left in this period"),
                "RateLimit-Reset": integer("When the period ends, in seconds since the epoch"),
                "RateLimit-ResetTime": text("The same as an HTTP date"),
                "RateLimit-Name": text("Which limit it is"),
                "Retry-After": integer("Seconds to wait"),
            }),
            Self::Unavailable => json!({"Retry-After": integer("Seconds to wait")}),
            _ => json!({}),
        }
    }
}

/// The forms of refusals and the security schemes, which every document has.
pub fn components() -> Components {
    let responses: serde_json::Map<String, Value> =
        Refusal::ALL.iter().map(|refusal| (refusal.name().to_owned(), refusal.response())).collect();
    let components = json!({
        "schemas": {
            "EndpointError": {
                "type": "object",
                "description": "A refusal by an endpoint",
                "required": ["message"],
                "properties": {"message": {"type": "string"}},
            },
            "ParameterError": {
                "type": "object",
                "description": "A refusal by the check of parameters or by the router",
                "required": ["error"],
                "properties": {"error": {"type": "string"}},
            },
            "TokenError": {
                "type": "object",
                "description": "OAuth's form of a refusal: a token that is known and not good enough",
                "required": ["error", "error_description"],
                "properties": {
                    "error": {"type": "string", "enum": ["invalid_token", "insufficient_scope"]},
                    "error_description": {"type": "string"},
                    "scope": {"type": "string", "description": "The scopes that would do"},
                },
            },
            "TooManyRequestsError": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "message": {
                        "type": "object",
                        "required": ["error"],
                        "properties": {"error": {"type": "string"}},
                    },
                },
            },
        },
        "responses": responses,
        "securitySchemes": {
            PRIVATE_TOKEN: {"type": "apiKey", "in": "header", "name": "PRIVATE-TOKEN"},
            BEARER: {"type": "http", "scheme": "bearer"},
            PRIVATE_TOKEN_PARAMETER: {"type": "apiKey", "in": "query", "name": "private_token"},
            SHARED_SECRET: {
                "type": "apiKey", "in": "header", "name": "Gitlab-Shared-Secret",
                "description": "The instance's shared secret in Base64",
            },
            SECRET_TOKEN: {
                "type": "apiKey", "in": "query", "name": "secret_token",
                "description": "The instance's shared secret as it is; also taken from the body",
            },
            SHELL_TOKEN: {
                "type": "apiKey", "in": "header", "name": "Gitlab-Shell-Api-Request",
                "description": "A JWT over the shared secret (HS256), issued by gitlab-shell",
            },
            AGENT_SERVER: {
                "type": "apiKey", "in": "header", "name": "Gitlab-Kas-Api-Request",
                "description": "A JWT over the agent server's secret (HS256), issued by gitlab-kas",
            },
            AGENT: {"type": "http", "scheme": "bearer", "description": "The agent's token"},
        },
    });
    serde_json::from_value(components).expect("the components are OpenAPI's")
}

/// A schema out of its JSON text, for what Rust's types can't say: a body that is read more leniently than any type is.
pub fn schema(json: Value) -> RefOr<Schema> {
    serde_json::from_value(json).expect("the schema is OpenAPI's")
}

/// Declares a type that exists for the document only: a component under its name, with the schema that the JSON is.
///
/// ```
/// tally_service::described! {
///     /// A yes or no.
///     struct Answer = serde_json::json!({"type": "string", "enum": ["yes", "no"]});
/// }
/// ```
#[macro_export]
macro_rules! described {
    ($($(#[$doc:meta])* $visibility:vis struct $name:ident = $json:expr;)+) => {$(
        $(#[$doc])*
        $visibility struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::api::openapi::schema($json)
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}

/// One document out of several services' documents. `server` is the address people reach the instance at; empty: the
/// address the document came from.
pub fn document(
    title: &str,
    version: &str,
    server: &str,
    parts: impl IntoIterator<Item = OpenApi>,
) -> OpenApi {
    let mut document = OpenApi::new(Info::new(title, version), utoipa::openapi::Paths::new());
    let server = if server.is_empty() { "/" } else { server };
    document.servers = Some(vec![Server::new(server)]);
    for part in parts {
        document.merge(part);
    }
    document
}

/// `GET /api/v4/openapi.json` with this document, which describes itself, too.
pub fn router(mut document: OpenApi) -> Router {
    let (router, own) =
        crate::api::Routes::<Arc<str>>::new().routes(utoipa_axum::routes!(openapi)).into_parts();
    document.merge(own);
    let text: Arc<str> = document.to_json().expect("a document is JSON").into();
    router.with_state(text)
}

/// This document
///
/// The OpenAPI document of all endpoints that this process offers.
#[utoipa::path(get, path = PATH, tag = "metadata", responses((status = 200, description = "The document", body = Value)))]
async fn openapi(axum::extract::State(text): axum::extract::State<Arc<str>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text.to_string())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use futures::executor::block_on;
    use tower::ServiceExt;

    use super::*;

    #[utoipa::path(get, path = "/a", responses((status = 200)))]
    async fn a() {}

    #[utoipa::path(get, path = "/b", responses((status = 200)))]
    async fn b() {}

    #[test]
    fn documents_merge_into_one_that_is_served_and_describes_itself() {
        let (_, first) = crate::api::Routes::<()>::new().routes(utoipa_axum::routes!(a)).into_parts();
        let (_, second) = crate::api::Routes::<()>::new().routes(utoipa_axum::routes!(b)).into_parts();
        let document = document("Tally", "1.2", "https://tally.example.com", [first, second]);
        let request = Request::get(PATH).body(Body::empty()).unwrap();
        let response = block_on(router(document).oneshot(request)).unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = block_on(to_bytes(response.into_body(), 1 << 20)).unwrap();
        let served: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(served["openapi"], "3.1.0");
        assert_eq!(served["info"], json!({"title": "Tally", "version": "1.2"}));
        assert_eq!(served["servers"], json!([{"url": "https://tally.example.com"}]));
        assert_eq!(served["paths"].as_object().unwrap().keys().collect::<Vec<_>>(), ["/a", PATH, "/b"]);
    }

    #[test]
    fn components_are_written_as_they_are_meant() {
        let written = serde_json::to_value(components()).unwrap();
        let too_many = &written["responses"]["TooManyRequests"];
        assert_eq!(too_many["headers"]["Retry-After"]["schema"]["type"], "integer");
        let forms = &written["responses"]["Unauthorized"]["content"]["application/json"]["schema"]["oneOf"];
        assert_eq!(forms[1], json!({"$ref": "#/components/schemas/TokenError"}));
        assert_eq!(written["securitySchemes"]["bearer"], json!({"type": "http", "scheme": "bearer"}));
    }
}
