//! Serves a router on a bound listener with the limits that keep a slow or greedy client from harming the others.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long to wait after accepting failed (too many open files, for one) before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds on connections. What a request's body may hold is the business of the service that reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Connections served at once; more wait in the listener's queue.
    pub max_connections: usize,
    /// Seconds a client may take to send a request's headers.
    pub header_timeout_s: u64,
    /// Bytes of headers a request may have.
    pub max_header_bytes: usize,
    /// Seconds that requests under way get to finish after a shutdown began.
    pub drain_s: u64,
}

/// The address at the other end of a request's connection; every request that [`serve`] takes has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {source}")]
pub struct BindError {
    address: String,
    source: std::io::Error,
}

/// Listens on `address` (`host:port`). Done before any other work, so that a bad port fails at once.
pub async fn bind(address: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address: address.to_owned(), source })
}

/// Serves `router` until `shutdown`, then lets requests under way finish for at most `drain_s` seconds.
pub async fn serve(listener: TcpListener, router: Router, config: HttpConfig, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let graceful = GracefulShutdown::new();
    let service = TowerToHyperService::new(router);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(config.header_timeout_s))
        .max_buf_size(config.max_header_bytes.max(8192));
    loop {
        let (stream, slot) = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = shutdown.cancelled() => break,
        };
        let peer = stream.peer_addr().ok().map(|address| Peer(address.ip()));
        let router = service.clone();
        let service = service_fn(move |mut request| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            router.call(request)
        });
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A broken connection is the client's affair; requests log their own errors.
            let _ = connection.await;
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(Duration::from_secs(config.drain_s), graceful.shutdown()).await.is_err() {
        tracing::warn!(
            seconds = config.drain_s,
            "requests were still under way when the drain time was over"
        );
    }
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it small answers wait for the client's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                return (stream, slot);
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The address a listener got, for printing and for tests that listen on port 0.
pub fn local_address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound listener has an address")
}
