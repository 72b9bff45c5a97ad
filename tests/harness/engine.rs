//! The embedded engine for all tests of one binary, in a process of its own: the engine lives in process-wide state, and a
//! test harness ends its process without giving it a chance to stop. The other process is this same test binary, asked to
//! run [`engine_process`] only; it stops when this process, and with it the pipe between them, is gone. The binaries that
//! need an engine have this file as their module `engine`.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use tally_store::{Engine, EngineConfig};

/// Tells the other process that it is meant; holds the library's path.
const ROLE: &str = "TALLY_TEST_ENGINE";

/// What the other process prints before its address.
const ANNOUNCEMENT: &str = "engine at ";

struct EngineProcess {
    url: String,
    /// Owns the pipe.
    _child: Child,
}

static ENGINE: LazyLock<Result<EngineProcess, String>> = LazyLock::new(|| {
    let library = std::env::var_os("TALLY_CHDB_LIB").map(PathBuf::from).filter(|path| path.exists());
    let library = library.ok_or("TALLY_CHDB_LIB names no engine library")?;
    let mut child = Command::new(std::env::current_exe().expect("a running test has a file"))
        .args(["engine::engine_process", "--exact", "--nocapture"])
        .env(ROLE, library)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary can be started again");
    let output = BufReader::new(child.stdout.take().expect("the pipe was asked for"));
    let mut lines = output.lines().map_while(Result::ok);
    let url = lines.find_map(|line| Some(line.split_once(ANNOUNCEMENT)?.1.to_owned()));
    // The other harness says so when a test takes a minute, and ends when nobody reads it.
    std::thread::spawn(move || lines.for_each(drop));
    Ok(EngineProcess { url: url.expect("the engine starts"), _child: child })
});

/// The engine's address, or why there is none.
pub fn url() -> Result<&'static str, &'static str> {
    ENGINE.as_ref().map(|engine| engine.url.as_str()).map_err(String::as_str)
}

/// Serves the engine until the pipe closes, where this process was started for it; else there is nothing to test.
#[test]
fn engine_process() {
    let Some(library) = std::env::var_os(ROLE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let data = tempfile::tempdir().unwrap();
        // One engine for the databases of all tests of a binary.
        let memory_limit = 4 << 30;
        let config =
            EngineConfig { library: Some(library.into()), memory_limit, ..EngineConfig::new(data.path()) };
        let engine = Engine::start(config).await.unwrap();
        println!("{ANNOUNCEMENT}{}", engine.url());
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
        engine.shutdown().await;
        data.close().unwrap();
    });
    // The harness would report to a pipe that nobody reads any more.
    std::process::exit(0);
}
