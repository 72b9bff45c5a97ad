//! ClickHouse's own engine (libchdb) inside this process, served on a loopback port with ClickHouse's HTTP interface.
//! This file starts and stops it; `http` speaks the protocol, `execute` runs a request, `ffi` calls the C API.

mod cancel;
mod deduplication_log;
mod encoding;
mod exception;
mod execute;
mod ffi;
mod formats;
mod http;
mod lanes;
mod library;
mod lz4_blocks;
mod query_log;
mod session;
mod settings;
mod statement;

use std::{
    ffi::CString,
    fs::{File, TryLockError},
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{net::TcpListener, runtime, sync::oneshot};
use tokio_util::sync::CancellationToken;

use self::{
    ffi::{Connection, Library},
    http::{Server, request::Credentials},
    lanes::Lane,
    query_log::QueryLog,
};

/// How often waiting rows go to `system.query_log`.
const QUERY_LOG_INTERVAL: Duration = Duration::from_secs(1);
/// How long `shutdown` waits for what can't be cancelled.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);
/// In the data directory; a running engine holds a lock on it.
const LOCK_FILE: &str = "status";

/// How the embedded engine runs.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where `libchdb.so` is; `None` looks at `TALLY_CHDB_LIB`, beside the executable, and in `$TALLY_CACHE/chdb`,
    /// `$XDG_CACHE_HOME/tally/chdb` and `~/.cache/tally/chdb`.
    pub library: Option<PathBuf>,
    /// Where the engine keeps its data; created when absent. One process at a time.
    pub data_dir: PathBuf,
    /// Where to serve; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many queries run at once.
    pub connections: usize,
    /// How many inserts run at once, beside the queries.
    pub insert_connections: usize,
    /// How long a request waits for a free connection before it is refused.
    pub queue_timeout: Duration,
    /// How long a client may leave an answer unread or a body unsent before its request is given up.
    pub stall_timeout: Duration,
    /// Threads that one query may use.
    pub threads_per_query: usize,
    /// Threads that merge parts.
    pub merge_threads: usize,
    /// What the engine may allocate, in bytes.
    pub memory_limit: u64,
    /// The largest request body, in bytes after decompression.
    pub body_limit: u64,
    /// When either is set, every request must carry them; a user that isn't set is `default`, a password is empty.
    pub user: Option<String>,
    pub password: Option<String>,
    /// Whether `system.query_log` is kept: in memory, and bounded.
    pub query_log: bool,
}

impl EngineConfig {
    /// Defaults for a machine of two cores, keeping data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            library: None,
            data_dir: data_dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            connections: 8,
            insert_connections: 4,
            queue_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_mins(1),
            threads_per_query: 2,
            merge_threads: 2,
            memory_limit: 2 << 30,
            body_limit: 1 << 30,
            user: None,
            password: None,
            query_log: false,
        }
    }

    /// Whoever reaches the port may do anything: off this machine it takes a password.
    fn check(&self) -> Result<(), EngineError> {
        let has_password = self.password.as_ref().is_some_and(|password| !password.is_empty());
        if has_password || self.listen.ip().is_loopback() {
            return Ok(());
        }
        Err(EngineError::NoPassword { address: self.listen })
    }

    fn credentials(&self) -> Option<Credentials> {
        (self.user.is_some() || self.password.is_some()).then(|| Credentials {
            user: self.user.clone().unwrap_or_else(|| "default".to_owned()),
            password: self.password.clone().unwrap_or_default(),
        })
    }
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(
        "clickhouse's engine (libchdb) was not found; run `make setup` to fetch it. Looked at: {looked_at}"
    )]
    LibraryMissing { looked_at: String },
    #[error("cannot use {}: {message}; run `make setup` to fetch the engine again", path.display())]
    LibraryUnusable { path: PathBuf, message: String },
    #[error(
        "the engine would be open to the network on {address} without a password: set one, or listen on 127.0.0.1"
    )]
    NoPassword { address: SocketAddr },
    #[error("the engine can't listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the engine can't use its data directory {}: {source}", path.display())]
    DataDirectory { path: PathBuf, source: io::Error },
    #[error("the data directory {} is in use by another process", path.display())]
    InUse { path: PathBuf },
    #[error("the engine refused its data directory {}; its reason is on standard error (another process may use it)", path.display())]
    Refused { path: PathBuf },
    #[error("an engine runs or has run in this process; it can be started once")]
    StartedBefore,
    #[error("the engine can't start a thread: {0}")]
    Thread(io::Error),
    #[error("the engine does not work: {0}")]
    Broken(String),
}

/// The running engine. Call `shutdown`; a process that just exits loses nothing that was acknowledged.
pub struct Engine {
    address: SocketAddr,
    library: Arc<Library>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    query_log: Option<tokio::task::JoinHandle<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Loads the library, opens the data directory and serves. One engine a process, once.
    pub async fn start(config: EngineConfig) -> Result<Self, EngineError> {
        config.check()?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| EngineError::Listen { address: config.listen, source })?;
        let address =
            listener.local_addr().map_err(|source| EngineError::Listen { address: config.listen, source })?;
        let library_path = library::find(config.library.as_deref())?;
        claim_process()?;
        let booted = {
            let config = config.clone();
            tokio::task::spawn_blocking(move || boot(&library_path, &config)).await
        };
        let booted = booted.map_err(|error| EngineError::Broken(error.to_string()))??;
        Self::serve(&config, booted, listener, address)
    }

    fn serve(
        config: &EngineConfig,
        booted: Booted,
        listener: TcpListener,
        address: SocketAddr,
    ) -> Result<Self, EngineError> {
        let library = Arc::clone(&booted.library);
        let engine = Arc::new(execute::Engine {
            library: booted.library,
            arguments: booted.arguments,
            sessions: session::Sessions::default(),
            version: booted.about.version,
            stall_limit: config.stall_timeout,
            runtime: runtime::Handle::current(),
            query_log: booted.query_log,
        });
        let lane = |name, threads: usize| {
            Lane::start(name, threads.max(1), config.queue_timeout).map_err(EngineError::Thread)
        };
        let (queries, mut threads) = lane("engine-query", config.connections)?;
        let (inserts, insert_threads) = lane("engine-insert", config.insert_connections)?;
        threads.extend(insert_threads);
        let (killer, tickets) = mpsc::channel();
        let keeper = booted.keeper;
        let kill = move || cancel::run(keeper, &tickets);
        threads.push(
            thread::Builder::new().name("engine-kill".to_owned()).spawn(kill).map_err(EngineError::Thread)?,
        );

        let stop = CancellationToken::new();
        let query_log = engine
            .query_log
            .is_some()
            .then(|| tokio::spawn(flush_query_log(Arc::clone(&engine), stop.clone())));
        let server = Arc::new(Server {
            engine,
            credentials: config.credentials(),
            queries,
            inserts,
            killer,
            timezone: booted.about.timezone,
            display_name: booted.about.host,
            body_limit: config.body_limit,
        });
        let server = tokio::spawn(http::serve(server, listener, stop.clone()));
        Ok(Self { address, library, stop, server, query_log, threads })
    }

    /// `http://address:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cancels what runs, closes the engine and stops its threads, within 15 s. The process can't start it again.
    pub async fn shutdown(self) {
        if tokio::time::timeout(SHUTDOWN_LIMIT, self.stop_all()).await.is_err() {
            tracing::warn!("the engine did not stop in time: a query or an insert can't be cancelled");
        }
    }

    async fn stop_all(self) {
        self.stop.cancel();
        // Ends the connections; each cancels its query, and with the last one the lanes and the sessions go.
        if let Err(error) = self.server.await {
            tracing::error!(%error, "the engine's server did not end well");
        }
        if let Some(task) = self.query_log {
            // It is a loop over a timer; it can't fail.
            let _ = task.await;
        }
        let (threads, library) = (self.threads, self.library);
        let (stopped, all_stopped) = oneshot::channel();
        // Not one of the runtime's blocking threads: the runtime would wait for it past the limit.
        let joining = thread::Builder::new().name("engine-stop".to_owned()).spawn(move || {
            stop_threads(threads, library);
            // Nobody waits past the limit.
            let _ = stopped.send(());
        });
        match joining {
            // An error would be a panic, which has been reported.
            Ok(_) => drop(all_stopped.await),
            Err(error) => tracing::error!(%error, "could not wait for the engine's threads"),
        }
    }
}

fn stop_threads(threads: Vec<JoinHandle<()>>, library: Arc<Library>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread of the engine panicked");
        }
    }
    let stopped = library.shutdown();
    match Arc::try_unwrap(library) {
        Ok(_) if stopped => {}
        // The idle workers of the library's own process-wide pools; they hold no data.
        Ok(_) => tracing::debug!("the engine has closed and left idle threads"),
        Err(_) => tracing::warn!("the engine could not close: a connection is still open"),
    }
}

/// The engine lives in process-wide state of the library: it starts once.
fn claim_process() -> Result<(), EngineError> {
    static CLAIMED: AtomicBool = AtomicBool::new(false);
    if CLAIMED.swap(true, Ordering::AcqRel) { Err(EngineError::StartedBefore) } else { Ok(()) }
}

/// What the engine says of itself.
struct About {
    version: String,
    timezone: String,
    host: String,
}

struct Booted {
    library: Arc<Library>,
    arguments: Vec<CString>,
    /// Open until the end: the engine stops with its last connection.
    keeper: Connection,
    about: About,
    query_log: Option<QueryLog>,
}

fn boot(library_path: &Path, config: &EngineConfig) -> Result<Booted, EngineError> {
    // The engine resolves a relative path more than once, and each time against the last.
    let path = std::path::absolute(&config.data_dir)
        .and_then(|path| std::fs::create_dir_all(&path).map(|()| path))
        .map_err(|source| EngineError::DataDirectory { path: config.data_dir.clone(), source })?;
    prepare(&path)?;
    let library = Library::load(library_path)?;
    let arguments = connection_arguments(config, &path)?;
    let mut first = arguments.clone();
    first.extend(server_arguments(config)?);
    let mut keeper = library.connect(&first).ok_or(EngineError::Refused { path })?;
    let about = about(&mut keeper)?;
    let query_log = config.query_log.then(|| QueryLog::create(&mut keeper)).transpose();
    let query_log = query_log.map_err(|exception| EngineError::Broken(exception.message))?;
    Ok(Booted { library, arguments, keeper, about, query_log })
}

/// Repairs what a killed process may have left, under the lock that a running engine holds.
fn prepare(path: &Path) -> Result<(), EngineError> {
    let failed = |source| EngineError::DataDirectory { path: path.to_owned(), source };
    let lock = match File::open(path.join(LOCK_FILE)) {
        Ok(file) => Some(file),
        // Whoever stops in order removes it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    match lock.as_ref().map(File::try_lock) {
        None | Some(Ok(())) => {}
        Some(Err(TryLockError::WouldBlock)) => return Err(EngineError::InUse { path: path.to_owned() }),
        Some(Err(TryLockError::Error(error))) => return Err(failed(error)),
    }
    deduplication_log::repair(path).map(drop).map_err(failed)
}

fn about(connection: &mut Connection) -> Result<About, EngineError> {
    let result = connection
        .query(b"SELECT version(), timezone(), hostName()", "TabSeparated", &[])
        .map_err(EngineError::Broken)?;
    let line = String::from_utf8_lossy(result.as_ref()).into_owned();
    let mut fields = line.trim_end().split('\t').map(str::to_owned);
    let mut next = || fields.next().unwrap_or_default();
    Ok(About { version: next(), timezone: next(), host: next() })
}

fn arguments(list: Vec<String>) -> Result<Vec<CString>, EngineError> {
    list.into_iter()
        .map(|argument| CString::new(argument).map_err(|error| EngineError::Broken(error.to_string())))
        .collect()
}

/// What every connection opens with. The library's defaults are those of `clickhouse local`; these are the server's.
fn connection_arguments(config: &EngineConfig, path: &Path) -> Result<Vec<CString>, EngineError> {
    arguments(vec![
        "clickhouse".to_owned(),
        format!("--path={}", path.display()),
        format!("--max_threads={}", config.threads_per_query.max(1)),
        "--implicit_select=0".to_owned(),
        "--allow_introspection_functions=0".to_owned(),
        "--storage_file_read_method=pread".to_owned(),
        // Formatting on threads of its own costs a small query a third of its time, and gains a large one nothing:
        // its blocks are formatted one by one.
        "--output_format_parallel_formatting=0".to_owned(),
    ])
}

/// What only the connection that starts the engine can say.
fn server_arguments(config: &EngineConfig) -> Result<Vec<CString>, EngineError> {
    arguments(vec![
        format!("--max_server_memory_usage={}", config.memory_limit),
        format!("--background_pool_size={}", config.merge_threads.max(1)),
        "--background_schedule_pool_size=2".to_owned(),
        "--background_common_pool_size=1".to_owned(),
        "--background_move_pool_size=1".to_owned(),
        "--background_fetches_pool_size=1".to_owned(),
        // The defaults are meant for a machine of its own.
        format!("--mark_cache_size={}", config.memory_limit / 16),
        "--uncompressed_cache_size=0".to_owned(),
        format!("--index_mark_cache_size={}", config.memory_limit / 32),
    ])
}

async fn flush_query_log(engine: Arc<execute::Engine>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(QUERY_LOG_INTERVAL);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stop.cancelled() => return,
        }
        let engine = Arc::clone(&engine);
        let flushed = tokio::task::spawn_blocking(move || match &engine.query_log {
            Some(query_log) if !query_log.is_empty() => query_log.flush(&engine),
            _ => Ok(()),
        });
        if let Ok(Err(exception)) = flushed.await {
            tracing::warn!(error = exception.message, "could not write system.query_log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_open_to_the_network_needs_a_password() {
        let cases = [
            ("127.0.0.1:0", None, true),
            ("[::1]:8123", None, true),
            ("0.0.0.0:8123", None, false),
            ("0.0.0.0:8123", Some(""), false),
            ("[::]:8123", None, false),
            ("192.0.2.1:8123", None, false),
            ("192.0.2.1:8123", Some("secret"), true),
        ];
        for (listen, password, starts) in cases {
            let config = EngineConfig {
                listen: listen.parse().unwrap(),
                password: password.map(str::to_owned),
                ..EngineConfig::new("data")
            };
            assert_eq!(config.check().is_ok(), starts, "{listen} {password:?}");
        }
    }
}
