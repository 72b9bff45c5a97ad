//! One process under fire: killed, frozen, stopped, filled up, and started again whenever it is gone but wanted, as a service
//! manager would.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::{self, Tally};
use crate::wait;

/// How often a process is looked after.
const ROUND: Duration = Duration::from_millis(100);
/// Between a process's end and its next start.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// A process, its name, and what became of it.
pub struct Service {
    pub name: String,
    pub port: u16,
    state: Mutex<State>,
}

struct State {
    tally: Tally,
    is_wanted: bool,
    is_frozen: bool,
    /// Whether its end is of our making.
    is_ended: bool,
    ended_at: Option<Instant>,
    /// Ends that nobody asked for.
    surprises: Vec<String>,
}

impl Service {
    /// Starts `tally ARGUMENTS` in `folder`, waits until it is ready, and looks after it from then on.
    pub async fn start(name: &str, folder: &Path, port: u16, arguments: &[String]) -> Result<Arc<Self>> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let tally =
            Tally::start(folder, port, &arguments).await.with_context(|| format!("starting {name}"))?;
        Ok(Self::look_after_it(name, tally))
    }

    /// The same without waiting: what it stands on may be away.
    pub fn launch(name: &str, folder: &Path, port: u16, arguments: &[String]) -> Result<Arc<Self>> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Ok(Self::look_after_it(name, Tally::launch_in(folder, port, &arguments, &[])?))
    }

    fn look_after_it(name: &str, tally: Tally) -> Arc<Self> {
        let port = tally.port;
        let state = State {
            tally,
            is_wanted: true,
            is_frozen: false,
            is_ended: false,
            ended_at: None,
            surprises: Vec::new(),
        };
        let service = Arc::new(Self { name: name.to_owned(), port, state: Mutex::new(state) });
        let weak = Arc::downgrade(&service);
        tokio::spawn(async move {
            while let Some(service) = weak.upgrade() {
                service.look_after();
                drop(service);
                tokio::time::sleep(ROUND).await;
            }
        });
        service
    }

    /// `http://127.0.0.1:port`, past all proxies.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `kill -9`; it stays away until [`Self::want`].
    pub fn kill(&self) {
        let mut state = self.state();
        state.is_wanted = false;
        state.is_frozen = false;
        state.is_ended = true;
        state.tally.kill();
        state.ended_at = Some(Instant::now());
    }

    /// From now on it is to run.
    pub fn want(&self) {
        self.state().is_wanted = true;
    }

    /// Whether it is to run.
    pub fn is_wanted(&self) -> bool {
        self.state().is_wanted
    }

    /// Asks for a graceful end, and kills what does not end in time; it stays away until [`Self::want`].
    pub async fn stop(&self, deadline: Duration) -> Result<()> {
        let id = {
            let mut state = self.state();
            state.is_wanted = false;
            state.is_ended = true;
            state.tally.id()
        };
        signal(id, "TERM")?;
        let ended = wait::until("a graceful end", deadline, || {
            let ended = self.state().tally.ended();
            async move { ended }
        })
        .await;
        if let Err(error) = ended {
            self.state().surprises.push(format!("{} did not stop gracefully: {error:#}", self.name));
            self.kill();
        }
        Ok(())
    }

    /// SIGSTOP.
    pub fn freeze(&self) -> Result<()> {
        let mut state = self.state();
        state.is_frozen = true;
        signal(state.tally.id(), "STOP")
    }

    /// SIGCONT.
    pub fn thaw(&self) -> Result<()> {
        let mut state = self.state();
        state.is_frozen = false;
        signal(state.tally.id(), "CONT")
    }

    /// Files take no more than this; `None` lifts the limit. A process that is started again begins without one.
    pub fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let id = self.state().tally.id().to_string();
        let status =
            Command::new("prlimit").args(["--pid", &id, &format!("--fsize={limit}:unlimited")]).status();
        // It may have ended meanwhile.
        let _ = status.context("prlimit")?;
        Ok(())
    }

    /// The sum of a metric over all its labels.
    pub async fn metric(&self, name: &str) -> Result<Option<f64>> {
        process::metric(&self.url(), name).await
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self, deadline: Duration) -> Result<()> {
        let path = if self.name == "store" { "ping" } else { "readyz" };
        let url = format!("{}/{path}", self.url());
        wait::until(&format!("{} to be ready", self.name), deadline, || async {
            process::is_ready(&url).await
        })
        .await
        .with_context(|| format!("{}\n{}", self.log_path(), self.state().tally.log_tail()))
    }

    /// Ends that nobody asked for, and panics.
    pub fn surprises(&self) -> Vec<String> {
        let state = self.state();
        let log = state.tally.log_text();
        let panics = log.lines().filter(|line| line.contains("panicked at"));
        let panics = panics.map(|line| format!("{}: {line}", self.name));
        state.surprises.iter().cloned().chain(panics).collect()
    }

    /// Where its output is.
    pub fn log_path(&self) -> String {
        self.state().tally.log_path().display().to_string()
    }

    /// Starts it if it is wanted and gone.
    fn look_after(&self) {
        let mut state = self.state();
        let ended = state.tally.ended().ok().flatten();
        if let Some(status) = ended
            && state.is_wanted
        {
            let ended_at = *state.ended_at.get_or_insert_with(Instant::now);
            if ended_at.elapsed() < RESTART_PAUSE {
                return;
            }
            if !std::mem::take(&mut state.is_ended) {
                let log = state.tally.log_text();
                let why = log.lines().rev().find(|line| line.starts_with("tally: ")).unwrap_or_default();
                let surprise = format!("{} ended by itself with {status}: {why}", self.name);
                state.surprises.push(surprise);
            }
            state.ended_at = None;
            if let Err(error) = state.tally.start_again() {
                state.surprises.push(format!("{} can't be started: {error:#}", self.name));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // One that is frozen would not end otherwise but by the kill that follows.
        if self.state().is_frozen {
            let _ = self.thaw();
        }
    }
}

/// Sends a signal to a process; one that has ended meanwhile needs none.
pub fn signal(id: u32, name: &str) -> Result<()> {
    let sent = Command::new("kill").args([&format!("-{name}"), &id.to_string()]).output()?;
    let complaint = String::from_utf8_lossy(&sent.stderr);
    ensure!(sent.status.success() || complaint.contains("No such process"), "kill -{name} {id}: {complaint}");
    Ok(())
}
