//! Which methods a path offers, and the answers for paths and methods that nobody offers.

use axum::handler::Handler;
use axum::http::{HeaderValue, StatusCode, header};
use axum::routing::{self, MethodRouter};

use crate::api::ApiError;

/// A path that offers GET (and HEAD). GitLab names the methods in this order.
pub fn get<H, T, S>(handler: H) -> MethodRouter<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    offered("OPTIONS, GET, HEAD", routing::get(handler))
}

/// A path that offers POST.
pub fn post<H, T, S>(handler: H) -> MethodRouter<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    offered("OPTIONS, POST", routing::post(handler))
}

/// Adds the answers to OPTIONS (204) and to every other method (405), both with `Allow`.
pub fn offered<S>(allow: &'static str, methods: MethodRouter<S>) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let allow = HeaderValue::from_static(allow);
    let not_offered = ApiError::MethodNotAllowed(allow.clone());
    methods
        .options(move || async move { (StatusCode::NO_CONTENT, [(header::ALLOW, allow)]) })
        .fallback(move || async move { not_offered })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use axum::response::Response;
    use futures::executor::block_on;
    use tower::ServiceExt;

    use super::*;
    use crate::api::with_fallbacks;
    use axum::Router;

    fn answer(method: &str, path: &str) -> Response {
        let router =
            Router::new().route("/read", get(|| async { "r" })).route("/write", post(|| async { "w" }));
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        block_on(with_fallbacks(router).oneshot(request)).unwrap()
    }

    #[test]
    fn a_method_that_is_not_offered_is_405_and_names_those_that_are() {
        for (method, path, allow) in [
            ("GET", "/write", "OPTIONS, POST"),
            ("HEAD", "/write", "OPTIONS, POST"),
            ("DELETE", "/write", "OPTIONS, POST"),
            ("POST", "/read", "OPTIONS, GET, HEAD"),
        ] {
            let response = answer(method, path);
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(response.headers()["allow"], allow, "{method} {path}");
        }
    }

    #[test]
    fn options_is_answered_for_every_path() {
        let response = answer("OPTIONS", "/write");
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers()["allow"], "OPTIONS, POST");
    }

    #[test]
    fn an_unknown_path_is_404() {
        assert_eq!(answer("GET", "/nowhere").status(), StatusCode::NOT_FOUND);
        assert_eq!(answer("GET", "/read").status(), StatusCode::OK);
    }
}
