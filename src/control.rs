//! How `tally token`, `tally directory` and `tally ping` reach what they are about: through the running process that holds the embedded log, over
//! a Unix socket in its data folder that only the owner may use; else by opening the log themselves.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::administer::{Administered, Request, perform};
use crate::config::{Config, LogKind};
use crate::open;
use crate::recounting::{Line, Task, told};

/// The socket's name in the data folder.
const SOCKET: &str = "control.sock";

/// The longest request: a YAML file of a large directory.
const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024 * 1024;

fn socket(config: &Config) -> PathBuf {
    config.standalone.data_dir.join(SOCKET)
}

/// Serves requests on the socket until `shutdown`.
pub fn serve(config: &Config, administered: Administered, shutdown: CancellationToken) -> Result<()> {
    let path = socket(config);
    let listener = bind(&path).with_context(|| format!("can't make {}", path.display()))?;
    let router = Router::new()
        .route("/", post(answer))
        .route("/recount", post(recount))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(Arc::new(administered));
    tokio::spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "the control socket is not served any more");
        }
        let _ = fs::remove_file(path);
    });
    Ok(())
}

/// Listens on a socket that nobody else could ever connect to: it gets its mode in a folder that is closed to others, and
/// comes into place after that, over what an earlier process left; the log's lock says that it is gone.
fn bind(path: &Path) -> std::io::Result<UnixListener> {
    // Together no longer than the socket's own name: a socket's path may have some 100 bytes.
    let folder = path.with_file_name(".control");
    let closed = folder.join("new");
    let _ = fs::remove_dir_all(&folder);
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let listener = UnixListener::bind(&closed)?;
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o600))?;
    fs::rename(&closed, path)?;
    fs::remove_dir(&folder)?;
    Ok(listener)
}

async fn answer(
    State(administered): State<Arc<Administered>>,
    Json(request): Json<Request>,
) -> Result<String, (StatusCode, String)> {
    let refused = |error: anyhow::Error| (StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}"));
    perform(&administered, request).await.map_err(refused)
}

/// Recounts may take long: how far one is goes over the socket, too.
async fn recount(State(administered): State<Arc<Administered>>, Json(task): Json<Task>) -> Response {
    match &administered.recounting {
        Some(recounting) => Body::from_stream(told(Arc::clone(recounting), task)).into_response(),
        None => (StatusCode::UNPROCESSABLE_ENTITY, "this process has no tables").into_response(),
    }
}

/// Performs a request wherever the directory is; what it has to say.
pub async fn send(config: &Config, request: Request) -> Result<String> {
    if config.log_storage.kind == LogKind::Embedded
        && let Some(answer) = ask_running(config, &request).await?
    {
        return Ok(answer);
    }
    let shutdown = CancellationToken::new();
    let log = open::log(config).await?;
    let directory = open::directory(config, log, &shutdown).await?;
    let administered =
        Administered { directory, ping: None, store: None, recounting: None, dead_letters: None };
    let outcome = perform(&administered, request).await;
    shutdown.cancel();
    administered.directory.stopped().await;
    outcome
}

/// The answer of the running process whose data folder this is; `None` when nobody serves its socket.
pub async fn ask_running(config: &Config, request: &Request) -> Result<Option<String>> {
    match post_to_running(config, "", request).await? {
        Some(response) => Ok(Some(response.text().await?)),
        None => Ok(None),
    }
}

/// As [`ask_running`], for a recount; `progress` hears how far it is.
pub async fn recount_running(
    config: &Config,
    task: &Task,
    progress: impl Fn(String),
) -> Result<Option<String>> {
    let Some(mut response) = post_to_running(config, "recount", task).await? else { return Ok(None) };
    let mut unread = Vec::new();
    while let Some(chunk) = response.chunk().await.context("the running process ended meanwhile")? {
        unread.extend_from_slice(&chunk);
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            match serde_json::from_slice(&line)? {
                Line::At(at) => progress(at),
                Line::Done(answer) => return Ok(Some(answer)),
                Line::Failed(why) => bail!(why),
            }
        }
    }
    bail!("the running process ended meanwhile")
}

/// What the running process answers when all is well; `None` when nobody serves its socket.
async fn post_to_running(
    config: &Config,
    path: &str,
    request: &impl Serialize,
) -> Result<Option<reqwest::Response>> {
    let socket = socket(config);
    if !socket.exists() {
        return Ok(None);
    }
    let client = reqwest::Client::builder().unix_socket(socket).build()?;
    let response = match client.post(format!("http://tally/{path}")).json(request).send().await {
        Ok(response) => response,
        // Left by a process that was killed.
        Err(error) if error.is_connect() => return Ok(None),
        Err(error) => return Err(error).context("the running process does not answer"),
    };
    if response.status().is_success() { Ok(Some(response)) } else { bail!(response.text().await?) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn the_socket_is_never_open_to_others() {
        let folder = std::env::temp_dir().join(format!("tally-control-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join(SOCKET);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut modes = std::collections::BTreeSet::new();
                while !done.load(Ordering::Acquire) {
                    modes.extend(fs::metadata(&path).map(|found| found.permissions().mode() & 0o777));
                }
                modes
            });
            for _ in 0..2_000 {
                drop(bind(&path).unwrap());
            }
            done.store(true, Ordering::Release);
            assert_eq!(watching.join().unwrap().into_iter().collect::<Vec<_>>(), [0o600]);
        });
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "only the socket is left");
        fs::remove_dir_all(folder).unwrap();
    }
}
