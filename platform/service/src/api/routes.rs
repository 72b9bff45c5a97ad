//! Endpoints and their documentation in one: handlers that carry `#[utoipa::path]` become an axum router and an OpenAPI
//! document. Which methods a path offers is known from its handlers, so OPTIONS, 405 and `Allow` follow by themselves,
//! and so do the refusals that every endpoint of a kind shares.

use std::collections::BTreeMap;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::MethodRouter;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{Components, Info, OpenApi, Paths, Ref, RefOr};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::api::openapi::{self, Refusal};
use crate::api::{ApiError, Security};

/// Documented endpoints of one service, on their way to a router and a document.
///
/// ```
/// use tally_service::api::{Routes, Security};
/// use tally_directory::Scope;
/// use utoipa_axum::routes;
///
/// /// The version
/// #[utoipa::path(get, path = "/api/v4/version", responses((status = 200, body = String)))]
/// async fn version() -> &'static str {
///     "1"
/// }
///
/// let (router, document) = Routes::<()>::new()
///     .secured(Security::Token(&[Scope::Api, Scope::ReadApi]), routes!(version))
///     .into_parts();
/// # let _: axum::Router = router;
/// assert!(document.paths.get_path_item("/api/v4/version").is_some());
/// ```
pub struct Routes<S = ()> {
    methods: BTreeMap<String, MethodRouter<S>>,
    paths: Paths,
    components: Components,
}

impl<S> Default for Routes<S>
where
    S: Clone + Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Routes<S>
where
    S: Clone + Send + Sync + 'static,
{
    /// No endpoints yet.
    pub fn new() -> Self {
        Self { methods: BTreeMap::new(), paths: Paths::new(), components: openapi::components() }
    }

    /// Adds the handlers of one path, open to everybody.
    #[must_use]
    pub fn routes(self, handlers: UtoipaMethodRouter<S>) -> Self {
        self.secured(Security::Public, handlers)
    }

    /// Adds the handlers of one path and documents what they ask of the caller. Asking is the handlers' affair
    /// ([`Caller::require_scope`](crate::api::Caller::require_scope)); give both the same constant.
    ///
    /// Handlers of one path may be added one after the other.
    #[must_use]
    pub fn secured(mut self, security: Security, handlers: UtoipaMethodRouter<S>) -> Self {
        let (schemas, paths, methods) = handlers;
        let mut paths = paths.paths.into_iter();
        let (path, mut item) = paths.next().expect("handlers have a path");
        assert!(
            paths.next().is_none(),
            "handlers of {path} are registered together with those of another path"
        );
        for operation in operations(&mut item) {
            document(operation, security);
        }
        self.components.schemas.extend(schemas);
        self.add(path, item, methods);
        self
    }

    /// Adds all of `other`.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.components.schemas.extend(other.components.schemas);
        let mut items = other.paths.paths;
        for (path, methods) in other.methods {
            let item = items.remove(&path).expect("every path is documented");
            self.add(path, item, methods);
        }
        self
    }

    /// Gives the handlers their state, so that routes of several services can be merged.
    pub fn with_state<S2>(self, state: S) -> Routes<S2> {
        let methods = self.methods.into_iter();
        let methods = methods.map(|(path, methods)| (path, methods.with_state(state.clone()))).collect();
        Routes { methods, paths: self.paths, components: self.components }
    }

    /// The router, without a fallback for unknown paths ([`with_fallbacks`]), and the document.
    pub fn into_parts(self) -> (Router<S>, OpenApi) {
        let mut router = Router::new();
        let mut documented = Paths::new();
        let mut items = self.paths.paths;
        for (path, methods) in self.methods {
            let item = items.remove(&path).expect("every path is documented");
            router = router.route(&path, offered(&allow(&item), methods));
            documented.paths.insert(documented_path(&path), item);
        }
        let mut document = OpenApi::new(Info::new("", ""), documented);
        document.components = Some(self.components);
        (router, document)
    }

    fn add(&mut self, path: String, item: PathItem, methods: MethodRouter<S>) {
        let known = self.methods.remove(&path).unwrap_or_default();
        self.methods.insert(path.clone(), known.merge(methods));
        match self.paths.paths.get_mut(&path) {
            Some(known) => known.merge_operations(item),
            None => {
                self.paths.paths.insert(path, item);
            }
        }
    }
}

/// Answers unknown paths with GitLab's 404. For the outermost router: two routers with fallbacks can't be merged.
pub fn with_fallbacks<S>(router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.fallback(|| async { ApiError::UnknownPath.into_response() })
}

/// Adds the answers to OPTIONS (204) and to every method that is not there (405), both with `Allow`.
fn offered<S>(allow: &str, methods: MethodRouter<S>) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let allow = HeaderValue::from_str(allow).expect("names of methods are header text");
    let not_offered = ApiError::MethodNotAllowed(allow.clone());
    methods
        .options(move || async move { (StatusCode::NO_CONTENT, [(header::ALLOW, allow)]) })
        .fallback(move || async move { not_offered })
}

/// The methods of a path in GitLab's order. What answers GET answers HEAD.
fn allow(item: &PathItem) -> String {
    let offered = [
        ("GET", item.get.is_some()),
        ("HEAD", item.get.is_some() || item.head.is_some()),
        ("POST", item.post.is_some()),
        ("PUT", item.put.is_some()),
        ("PATCH", item.patch.is_some()),
        ("DELETE", item.delete.is_some()),
    ];
    let mut allow = "OPTIONS".to_owned();
    for (method, _) in offered.into_iter().filter(|(_, is_offered)| *is_offered) {
        allow += ", ";
        allow += method;
    }
    allow
}

/// axum's `{*rest}` is an ordinary parameter in a document.
fn documented_path(path: &str) -> String {
    path.replace("{*", "{")
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.head, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete]
        .into_iter()
        .filter_map(Option::as_mut)
}

/// Adds what the operation asks of its caller and the refusals that follow from its kind, where it doesn't document that
/// status itself.
fn document(operation: &mut Operation, security: Security) {
    if operation.security.is_none() {
        operation.security = Some(security.requirements());
    }
    if let Some(sentence) = security.sentence() {
        let description = operation.description.get_or_insert_default();
        if !description.is_empty() {
            description.push_str("\n\n");
        }
        description.push_str(&sentence);
    }
    let takes_body = operation.request_body.is_some();
    let refusals = security.refusals().iter().copied();
    let refusals = refusals.chain(takes_body.then_some(Refusal::OF_BODIES).into_iter().flatten().copied());
    let refusals = refusals
        .chain(has_parameter(operation, |of| *of == ParameterIn::Query).then_some(Refusal::BadRequest));
    let refusals =
        refusals.chain(has_parameter(operation, |of| *of == ParameterIn::Path).then_some(Refusal::NotFound));
    let refusals: Vec<Refusal> = refusals.chain([Refusal::Unavailable]).collect();
    for refusal in refusals {
        let response = RefOr::Ref(Ref::from_response_name(refusal.name()));
        operation.responses.responses.entry(refusal.status().to_owned()).or_insert(response);
    }
}

fn has_parameter(operation: &Operation, is_kind: impl Fn(&ParameterIn) -> bool) -> bool {
    let parameters = operation.parameters.iter().flatten();
    parameters.into_iter().any(|parameter| match parameter {
        RefOr::T(parameter) => is_kind(&parameter.parameter_in),
        RefOr::Ref(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use axum::response::Response;
    use futures::executor::block_on;
    use serde_json::{Value, json};
    use tally_directory::Scope;
    use tower::ServiceExt;
    use utoipa_axum::routes;

    use super::*;

    #[utoipa::path(get, path = "/both", params(("n" = i64, Query)), responses((status = 200, body = i64)))]
    async fn read() -> &'static str {
        "1"
    }

    #[utoipa::path(post, path = "/both", request_body = Value, responses((status = 201), (status = 400, description = "own")))]
    async fn write() -> StatusCode {
        StatusCode::CREATED
    }

    #[utoipa::path(delete, path = "/one/{*path}", params(("path" = String, Path)), responses((status = 204)))]
    async fn delete() -> StatusCode {
        StatusCode::NO_CONTENT
    }

    const SCOPES: &[Scope] = &[Scope::Api, Scope::ReadApi];

    fn parts() -> (Router, Value) {
        let more = Routes::new()
            .secured(Security::Administrator(SCOPES), routes!(write))
            .secured(Security::Agent, routes!(delete));
        let (router, document) = Routes::new().routes(routes!(read)).merge(more).into_parts();
        (router, serde_json::to_value(document).unwrap())
    }

    fn answer(method: &str, path: &str) -> Response {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        block_on(with_fallbacks(parts().0).oneshot(request)).unwrap()
    }

    #[test]
    fn what_a_path_offers_follows_from_its_handlers() {
        let both = "OPTIONS, GET, HEAD, POST";
        for (method, path, status, allow) in [
            ("GET", "/both", 200, None),
            ("HEAD", "/both", 200, None),
            ("POST", "/both", 201, None),
            ("DELETE", "/one/a/b", 204, None),
            ("OPTIONS", "/both", 204, Some(both)),
            ("PUT", "/both", 405, Some(both)),
            ("TRACE", "/both", 405, Some(both)),
            ("GET", "/one/a", 405, Some("OPTIONS, DELETE")),
            ("HEAD", "/one/a", 405, Some("OPTIONS, DELETE")),
            ("GET", "/nowhere", 404, None),
            ("OPTIONS", "/nowhere", 404, None),
        ] {
            let response = answer(method, path);
            assert_eq!(response.status().as_u16(), status, "{method} {path}");
            let named = response.headers().get("allow").map(|allow| allow.to_str().unwrap());
            if status != 200 && status != 201 {
                assert_eq!(named, allow, "{method} {path}");
            }
        }
    }

    fn statuses(operation: &Value) -> Vec<&str> {
        operation["responses"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn an_operation_documents_what_every_one_of_its_kind_answers() {
        let document = parts().1;
        let paths = &document["paths"];
        assert_eq!(statuses(&paths["/both"]["get"]), ["200", "400", "429", "503"]);
        assert_eq!(
            statuses(&paths["/both"]["post"]),
            ["201", "400", "401", "403", "408", "413", "415", "429", "503"]
        );
        assert_eq!(statuses(&paths["/one/{path}"]["delete"]), ["204", "401", "403", "404", "503"]);
        let post = &paths["/both"]["post"];
        assert_eq!(post["responses"]["400"]["description"], "own");
        assert_eq!(post["responses"]["429"], json!({"$ref": "#/components/responses/TooManyRequests"}));
        for (status, response) in post["responses"].as_object().unwrap() {
            if let Some(reference) = response["$ref"].as_str() {
                let pointer = reference.trim_start_matches('#');
                assert!(document.pointer(pointer).is_some(), "{status}: {reference}");
            }
        }
    }

    #[test]
    fn an_operation_documents_whom_it_serves() {
        let document = parts().1;
        let paths = &document["paths"];
        assert_eq!(paths["/both"]["get"]["security"], json!([{}]));
        let post = &paths["/both"]["post"];
        assert_eq!(post["description"], "For administrators. Scope: `api` or `read_api`.");
        assert_eq!(
            post["security"],
            json!([
                {"private_token": ["api"]}, {"private_token": ["read_api"]},
                {"bearer": ["api"]}, {"bearer": ["read_api"]},
                {"private_token_parameter": ["api"]}, {"private_token_parameter": ["read_api"]},
            ])
        );
        assert_eq!(paths["/one/{path}"]["delete"]["security"], json!([{"agent": [], "agent_server": []}]));
        let schemes = &document["components"]["securitySchemes"];
        assert_eq!(schemes["private_token"]["name"], "PRIVATE-TOKEN");
        assert_eq!(schemes["agent_server"]["name"], "Gitlab-Kas-Api-Request");
    }
}
