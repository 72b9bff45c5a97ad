//! What the guard adds to a request: the same router with it and without it, on one thread, without sockets. Best of several
//! rounds, because only what else the machine does can make a round slower.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use futures::executor::block_on;
use prometheus::Registry;
use tally_directory::{Directory, SecretHash};
use tally_service::api::{Access, Budget, Caller, Guard, GuardConfig};
use tally_service::clock::system_clock;
use tally_service::http::Peer;
use tower::ServiceExt;

const ROUNDS: usize = 15;
const REQUESTS: u32 = 50_000;

fn main() {
    let yaml = format!(
        "users: [{{id: 1, username: u}}]\ntokens: [{{name: t, user: u, scopes: [api], sha256: \"{}\"}}]",
        SecretHash::of("glpat-token").to_hex()
    );
    let directory = Directory::from_yaml(&yaml, "directory.yml").expect("the directory is sound");
    let access = Access { directory: Arc::new(directory), clock: system_clock() };
    let config = GuardConfig { tracking_per_token: u32::MAX, ..GuardConfig::default() };
    let guard = Guard::new(access.clone(), config, &Registry::new()).expect("a fresh registry");
    let plain = Router::new()
        .route("/api/v4/read", axum::routing::get(|caller: Caller| async move { drop(caller) }))
        .with_state::<()>(access);
    let guarded = guard.protect(Budget::Tracking, plain.clone());
    let (mut without, mut with) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        without = without.min(nanoseconds(&plain));
        with = with.min(nanoseconds(&guarded));
    }
    println!("without {without:.0} ns, with {with:.0} ns: the guard adds {:.0} ns a request", with - without);
}

fn nanoseconds(router: &Router) -> f64 {
    let started = Instant::now();
    for _ in 0..REQUESTS {
        let request = Request::get("/api/v4/read")
            .header("PRIVATE-TOKEN", "glpat-token")
            .extension(Peer([192, 0, 2, 1].into()))
            .body(Body::empty())
            .expect("the request is sound");
        let response = block_on(router.clone().oneshot(request)).expect("a router always answers");
        assert!(black_box(response).status().is_success());
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(REQUESTS)
}
