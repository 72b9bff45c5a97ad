//! Engines in processes of their own, and small ways to talk to them.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use tally_store::{Compression, Engine, EngineConfig, Store, StoreConfig};

const DATA: &str = "TALLY_TEST_ENGINE_DATA";
const USER: &str = "TALLY_TEST_ENGINE_USER";
const PASSWORD: &str = "TALLY_TEST_ENGINE_PASSWORD";
const BODY_LIMIT: &str = "TALLY_TEST_ENGINE_BODY_LIMIT";
const STALL: &str = "TALLY_TEST_ENGINE_STALL";

/// The repository's root.
pub fn root() -> PathBuf {
    let package = env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    Path::new(&package).join("../..")
}

/// Says what is left out and why; fails when everything is required.
pub fn leave_out(what: &str, why: &str) {
    assert!(env::var("TALLY_REQUIRE").as_deref() != Ok("all"), "required, but left out: {what}: {why}");
    println!("left out: {what}: {why}");
}

/// Where `make setup` puts what it downloads, unless variables of their own say otherwise.
pub fn cache() -> PathBuf {
    let folder = |name: &str, below: &str| env::var_os(name).map(|value| Path::new(&value).join(below));
    folder("TALLY_CACHE", "")
        .or_else(|| folder("XDG_CACHE_HOME", "tally"))
        .or_else(|| folder("HOME", ".cache/tally"))
        .expect("there is a home directory")
}

fn library() -> Option<PathBuf> {
    let file = if cfg!(target_os = "macos") { "libchdb.dylib" } else { "libchdb.so" };
    let named = env::var_os("TALLY_CHDB_LIB").map(PathBuf::from);
    Some(named.unwrap_or_else(|| cache().join("chdb").join(file))).filter(|path| path.is_file())
}

/// Runs an engine until standard input ends, if the environment asks for it.
pub fn run_engine_if_asked() {
    let Ok(data) = env::var(DATA) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = EngineConfig::new(data);
        config.library = library();
        config.user = env::var(USER).ok();
        config.password = env::var(PASSWORD).ok();
        config.query_log = true;
        if let Ok(limit) = env::var(BODY_LIMIT) {
            config.body_limit = limit.parse().unwrap();
        }
        if let Ok(milliseconds) = env::var(STALL) {
            config.stall_timeout = Duration::from_millis(milliseconds.parse().unwrap());
        }
        let engine = Engine::start(config).await.unwrap();
        println!("\n{}", engine.url());
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
        engine.shutdown().await;
    });
    // Its threads end here, with what the engine's library has to do at a thread's end.
    drop(runtime);
    // The test harness would go on to print to a parent that may have gone.
    std::process::exit(0);
}

/// A running engine; killed when dropped.
pub struct EngineProcess {
    child: Child,
    url: String,
}

/// How an engine process differs from the default.
#[derive(Default)]
pub struct Options<'a> {
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    pub body_limit: Option<u64>,
    pub stall_timeout: Option<Duration>,
    /// The process's working directory; a relative data directory is below it.
    pub working_directory: Option<&'a Path>,
}

impl EngineProcess {
    /// Starts an engine on a data directory; `None` when there is no library.
    pub fn start(data: &Path, options: &Options<'_>) -> Option<Self> {
        if library().is_none() {
            leave_out("the embedded engine", "no libchdb.so; `make setup` fetches it");
            return None;
        }
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "engine_process", "--nocapture", "--test-threads=1"]).env(DATA, data);
        let limit = options.body_limit.map(|limit| limit.to_string());
        let stall = options.stall_timeout.map(|limit| limit.as_millis().to_string());
        for (name, value) in [
            (STALL, stall.as_deref()),
            (USER, options.user),
            (PASSWORD, options.password),
            (BODY_LIMIT, limit.as_deref()),
        ] {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        if let Some(folder) = options.working_directory {
            command.current_dir(folder);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let url = lines.find(|line| line.starts_with("http://"));
        // The process would fail to print what follows on a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, url: url.expect("the engine prints its URL") })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends standard input and waits; whether the process ended well.
    pub fn shut_down(mut self) -> bool {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().success()
    }

    /// The memory that the process holds, in MiB.
    pub fn resident_mib(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        (pages * 4096) >> 20
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The engine that most tests share; each uses a database of its own. It ends with this process.
pub fn shared() -> Option<&'static EngineProcess> {
    static SHARED: OnceLock<Option<(EngineProcess, tempfile::TempDir)>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        let data = tempfile::tempdir().unwrap();
        EngineProcess::start(data.path(), &Options::default()).map(|engine| (engine, data))
    });
    shared.as_ref().map(|(engine, _)| engine)
}

/// A POST's answer.
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap().trim_end()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Posts SQL with URL parameters.
pub async fn post(url: &str, parameters: &[(&str, &str)], sql: impl Into<reqwest::Body>) -> Answer {
    let request = reqwest::Client::new().post(url).query(parameters).body(sql);
    read(request.send().await.unwrap()).await
}

/// Reads an answer to its end.
pub async fn read(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
}

/// Runs SQL that must succeed, and returns its output.
pub async fn run(url: &str, sql: &str) -> String {
    let answer = post(url, &[], sql.to_owned()).await;
    assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    answer.text().to_owned()
}

/// A store on a fresh database.
pub async fn store(engine: &EngineProcess, database: &str, compression: Compression) -> Store {
    run(engine.url(), &format!("CREATE DATABASE {database}")).await;
    let mut config = StoreConfig::new(engine.url());
    database.clone_into(&mut config.database);
    config.compression = compression;
    Store::new(config)
}

/// Waits until `condition` holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
