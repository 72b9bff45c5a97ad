//! `tally` as a child process: started with its own folder and ports, waited for until ready, killed as rudely as a test
//! likes.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::wait;

/// How long a process may take until it is ready.
const READY_DEADLINE: Duration = Duration::from_mins(1);
/// How long an answer about its state may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// The binary under test: `TALLY_BIN`, or the one built beside the tests.
pub fn binary() -> PathBuf {
    if let Ok(path) = std::env::var("TALLY_BIN") {
        return path.into();
    }
    let tests = std::env::current_exe().expect("a test has a path");
    tests.ancestors().nth(2).expect("a test lies two folders below the binary").join("tally")
}

/// A port that is free and that the kernel gives to no outgoing connection, so that a process which was killed gets it back.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 10_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Far from those of test binaries that run beside this one, whose numbers are next to its own.
    let start = std::process::id().wrapping_mul(197) % COUNT;
    loop {
        let port = (FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A `tally` process that serves HTTP. Killed when dropped.
pub struct Tally {
    child: Child,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    pub port: u16,
    log: PathBuf,
}

impl Tally {
    /// Starts `tally ARGUMENTS` in `folder` and waits until `/readyz` on `port` says so. Its output goes to a file there.
    pub async fn start(folder: &Path, port: u16, arguments: &[&str]) -> Result<Self> {
        Self::start_in(folder, port, arguments, &[]).await
    }

    /// The same with further variables in the process's environment.
    pub async fn start_in(
        folder: &Path,
        port: u16,
        arguments: &[&str],
        environment: &[(&str, String)],
    ) -> Result<Self> {
        let mut tally = Self::launch_in(folder, port, arguments, environment)?;
        tally.ready().await?;
        Ok(tally)
    }

    /// The same without waiting until it is ready, which it may not be while what it stands on is away.
    pub fn launch_in(
        folder: &Path,
        port: u16,
        arguments: &[&str],
        environment: &[(&str, String)],
    ) -> Result<Self> {
        let log = folder.join(format!("{}-{port}.log", arguments[0]));
        let command: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let child = spawn(&command, &environment, &log)?;
        Ok(Self { child, command, environment, port, log })
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(&mut self) {
        // The process may be gone already; gone is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks for a graceful shutdown and waits for it. The exit status must say success.
    pub async fn stop(mut self) -> Result<()> {
        Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        let status = wait::until("the process to end", Duration::from_secs(30), || {
            let ended = self.child.try_wait().map_err(anyhow::Error::from);
            async move { ended }
        })
        .await?;
        if status.success() { Ok(()) } else { bail!("ended with {status}; its log:\n{}", self.log_tail()) }
    }

    /// Starts the same command again after it was killed.
    pub async fn restart(&mut self) -> Result<()> {
        self.start_again()?;
        self.ready().await
    }

    /// The same without waiting until it is ready.
    pub fn start_again(&mut self) -> Result<()> {
        self.child = spawn(&self.command, &self.environment, &self.log)?;
        Ok(())
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Where its output goes.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it printed last.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Everything it printed.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The sum of a metric over all its labels; `None` when it is not reported.
    pub async fn metric(&self, name: &str) -> Result<Option<f64>> {
        metric(&self.url(), name).await
    }

    async fn ready(&mut self) -> Result<()> {
        // The engine's own process speaks ClickHouse's HTTP interface and nothing else.
        let path = if self.command[0] == "store" { "ping" } else { "readyz" };
        let url = format!("{}/{path}", self.url());
        let outcome = wait::until("the process to be ready", READY_DEADLINE, || {
            let ended = self.child.try_wait();
            let url = url.clone();
            async move {
                match ended? {
                    Some(status) => Ok(Some(Err(anyhow!("it ended with {status}")))),
                    None => Ok(is_ready(&url).await?.map(Ok)),
                }
            }
        })
        .await;
        outcome.flatten().with_context(|| format!("tally {}\n{}", self.command.join(" "), self.log_tail()))
    }
}

/// `Some` once the address answers with success.
pub async fn is_ready(url: &str) -> Result<Option<()>> {
    let request = reqwest::Client::new().get(url).timeout(ANSWER_DEADLINE);
    Ok(request.send().await?.status().is_success().then_some(()))
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(command: &[String], environment: &[(String, String)], log: &Path) -> Result<Child> {
    let folder = log.parent().context("the log lies in the process's folder")?;
    let output = File::options().create(true).append(true).open(log)?;
    let mut process = if cfg!(target_os = "linux") {
        // A limit on the length of files plays a full disk in some tests, and its signal would kill.
        let mut process = Command::new("env");
        process.arg("--ignore-signal=XFSZ").arg(binary());
        process
    } else {
        Command::new(binary())
    };
    process
        .args(command)
        // Every standalone serves the internal API, too: tests that run at once must not meet on its port.
        .env("TALLY_SERVICES__INTERNAL", "127.0.0.1:0")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("can't start {}; build it with `cargo build --release`", binary().display()))
}

/// The sum of a metric of the Tally at `url` over all its labels; `None` when it is not reported.
pub async fn metric(url: &str, name: &str) -> Result<Option<f64>> {
    let request = reqwest::Client::new().get(format!("{url}/metrics")).timeout(ANSWER_DEADLINE);
    let text = request.send().await?.text().await?;
    let values: Vec<f64> = text
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
        .collect();
    Ok(if values.is_empty() { None } else { Some(values.iter().sum()) })
}

/// Runs `tally ARGUMENTS` to its end; its standard output when it succeeded.
pub fn run(arguments: &[&str]) -> Result<String> {
    let output = Command::new(binary()).args(arguments).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!(
            "tally {} ended with {}:\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The administrator's token in [`write_directory`]'s file.
pub const ADMIN_TOKEN: &str = "glpat-of-the-end-to-end";

const DIRECTORY: &str = "
users: [{id: 1, username: root, admin: true}]
tokens:
  - name: tests
    user: root
    scopes: [api]
    sha256: 59ebcf749342aeec64775769781e14a5e42f64e399d59185a3ba079f3399db2a
";

/// Writes a directory file that holds user 1, an administrator, and their token.
pub fn write_directory(file: &Path) -> Result<()> {
    Ok(std::fs::write(file, DIRECTORY)?)
}

/// A GET with a token; the answer's JSON. Anything but success is an error.
pub async fn get_json(url: &str, token: &str) -> Result<Value> {
    json(reqwest::Client::new().get(url), url, token).await
}

/// A Service Ping of this moment, computed by the Tally at `url`; the token is an administrator's.
pub async fn service_ping(url: &str, token: &str) -> Result<Value> {
    let url = format!("{url}/api/v4/tally/service_ping");
    json(reqwest::Client::new().post(&url), &url, token).await
}

async fn json(request: reqwest::RequestBuilder, url: &str, token: &str) -> Result<Value> {
    let response = request.header("PRIVATE-TOKEN", token).send().await?;
    let status = response.status();
    let text = response.text().await?;
    if !status.is_success() {
        bail!("{url} answered {status}: {text}");
    }
    Ok(serde_json::from_str(&text)?)
}

/// The password under which the tests' engines serve.
pub const STORE_PASSWORD: &str = "of-the-tests";

/// A query sent to ClickHouse's HTTP interface; the answer's text.
pub async fn clickhouse(url: &str, sql: &str) -> Result<String> {
    let request = reqwest::Client::new().post(url).header("X-ClickHouse-Key", STORE_PASSWORD);
    let response = request.query(&[("database", "tally")]).body(sql.to_owned()).send().await?;
    let status = response.status();
    let text = response.text().await?;
    if status != 200 {
        bail!("{sql}: {status}: {text}");
    }
    Ok(text.trim().to_owned())
}
