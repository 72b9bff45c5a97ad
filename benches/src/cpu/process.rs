//! A process under measurement: started, asked for its CPU time and memory, stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};

/// Clock ticks in a second as `/proc` counts them (`USER_HZ`), 100 on every Linux that Tally runs on.
const TICKS_PER_SECOND: u64 = 100;
const READY_WITHIN: Duration = Duration::from_mins(1);
const STOPPED_WITHIN: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

/// A child that is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: u32,
    output: PathBuf,
}

impl Process {
    /// Starts `binary`; what it prints goes to `output`.
    pub fn start(binary: &Path, arguments: &[String], output: &Path) -> Result<Self> {
        let name = format!("tally {}", arguments.first().map_or("", String::as_str));
        let log = fs::File::create(output).with_context(|| format!("creating {}", output.display()))?;
        let child = Command::new(binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing the output file")?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let pid = child.id().context("a process that was just started has an id")?;
        Ok(Self { name, child, pid, output: output.to_owned() })
    }

    /// Waits until `GET url` answers 200.
    pub async fn ready(&mut self, url: &str) -> Result<()> {
        let outcome = self.answers(url).await;
        outcome.with_context(|| self.last_lines())
    }

    async fn answers(&mut self, url: &str) -> Result<()> {
        let client = reqwest::Client::new();
        let start = Instant::now();
        while start.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before it was ready", self.name);
            }
            if let Ok(response) = client.get(url).send().await
                && response.status().is_success()
            {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("{} was not ready within {} s", self.name, READY_WITHIN.as_secs())
    }

    /// User and system time of all its threads so far.
    pub fn cpu(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.pid);
        let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        cpu_of_stat(&stat).with_context(|| format!("{path} has an unknown form"))
    }

    /// The most memory it ever had resident, in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// The memory it has resident now, in bytes.
    pub fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    fn status(&self, field: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        bytes_of_status(&status, field).with_context(|| format!("{path} has an unknown form"))
    }

    /// Asks it to end and waits for that; an unclean end is an error.
    pub async fn stop(mut self) -> Result<()> {
        let asked = Command::new("kill").args(["-TERM", &self.pid.to_string()]).status().await?;
        ensure!(asked.success(), "{} could not be asked to end", self.name);
        let ended = tokio::time::timeout(STOPPED_WITHIN, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} did not end", self.name))??;
        ensure!(status.success(), "{} ended with {status}: {}", self.name, self.last_lines());
        Ok(())
    }

    /// The end of what it printed, to explain why it failed.
    fn last_lines(&self) -> String {
        let text = fs::read_to_string(&self.output).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// Fields 14 and 15 of `/proc/PID/stat`. The second field, the program's name, may hold spaces and parentheses.
fn cpu_of_stat(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1_000 / TICKS_PER_SECOND))
}

fn bytes_of_status(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell, and the folder that its output is in.
    fn shell(script: &str) -> (Process, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-c".to_owned(), script.to_owned()];
        let process = Process::start(Path::new("/bin/sh"), &arguments, &folder.path().join("output"));
        (process.unwrap(), folder)
    }

    async fn until(condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(Instant::now() < deadline, "what was waited for never came");
            tokio::time::sleep(POLL).await;
        }
    }

    #[test]
    fn cpu_time_is_user_plus_system_whatever_the_program_is_called() {
        let stat = "42 (tally) x (1 2) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 8 0 100";
        assert_eq!(cpu_of_stat(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(cpu_of_stat("42 (tally) S 1"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "Name:\ttally\nVmHWM:\t    2048 kB\nVmRSS:\t 10 kB\n";
        assert_eq!(bytes_of_status(status, "VmHWM:"), Some(2_097_152));
        assert_eq!(bytes_of_status(status, "VmRSS:"), Some(10_240));
        assert_eq!(bytes_of_status("Name:\ttally\n", "VmRSS:"), None);
    }

    #[tokio::test]
    async fn a_busy_process_shows_its_cpu_time() {
        let (process, _folder) = shell("while :; do :; done");
        until(|| process.cpu().unwrap() >= Duration::from_millis(50)).await;
        assert!(process.peak_memory().unwrap() > 0);
    }

    #[tokio::test]
    async fn a_process_that_ends_is_not_waited_for() {
        let (mut process, _folder) = shell("echo out of luck; exit 3");
        let error = format!("{:#}", process.ready("http://127.0.0.1:9/readyz").await.unwrap_err());
        assert!(error.contains("before it was ready") && error.contains("out of luck"), "{error}");
    }

    #[tokio::test]
    async fn stopping_reports_an_unclean_end() {
        for (status, is_clean) in [(0, true), (4, false)] {
            let script = format!("trap 'exit {status}' TERM; echo trapped; while :; do sleep 0.02; done");
            let (process, _folder) = shell(&script);
            // Before a shell has set its trap, SIGTERM would end it at once.
            until(|| process.last_lines() == "trapped").await;
            assert_eq!(process.stop().await.is_ok(), is_clean);
        }
    }
}
