//! The naive reference program and the comparison with a Service Ping: numbers computed twice, by code that shares nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::outside::root;

/// A stream of events on disk, with the reference's answer beside it.
pub struct Expected {
    python: PathBuf,
    answer: PathBuf,
}

impl Expected {
    /// Computes every metric of `definitions` from the NDJSON `stream`, as of the UTC date `today` (`YYYY-MM-DD`).
    pub fn compute(
        python: &Path,
        definitions: &[String],
        stream: &Path,
        token_user: i64,
        today: &str,
    ) -> Result<Self> {
        let answer = stream.with_extension("reference.json");
        let mut command = script(python, "reference.py");
        command.arg("--definitions").args(definitions);
        command.arg("--stream").arg(stream).args(["--now", today, "--token-user", &token_user.to_string()]);
        run(command.arg("--out").arg(&answer))?;
        Ok(Self { python: python.to_owned(), answer })
    }

    /// Compares a Service Ping's JSON with the reference: counts and sums exactly, uniques within 1 %. The table of what
    /// was compared.
    pub fn compare(&self, ping: &Path) -> Result<String> {
        run(script(&self.python, "compare.py").arg("--reference").arg(&self.answer).arg("--ping").arg(ping))
    }
}

fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(root().join("tests/reference").join(name));
    command
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("can't start {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{command:?} ended with {}:\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}
