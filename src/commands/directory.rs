//! `tally directory`: imports, exports and compacts the directory, in the running process or in the log.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::administer::Request;
use crate::cli::{ConfigArgs, DirectoryCommand};
use crate::config::LogKind;
use crate::{control, open};

/// Runs `tally directory …`.
pub async fn run(command: DirectoryCommand) -> Result<()> {
    match command {
        DirectoryCommand::Import { config, file } => {
            let yaml = read(&file).with_context(|| format!("can't read {}", file.display()))?;
            ask(&config, Request::Import { yaml }).await
        }
        DirectoryCommand::Export { config } => ask(&config, Request::Export).await,
        DirectoryCommand::Remove { config, what } => ask(&config, Request::Remove { what }).await,
        DirectoryCommand::Compact { config } => {
            if open::load_config(&config, &[])?.log_storage.kind == LogKind::Embedded {
                bail!("the embedded log keeps every record: there is nothing to compact");
            }
            ask(&config, Request::Compact).await
        }
    }
}

/// Sends a request and prints what it gives.
pub async fn ask(args: &ConfigArgs, request: Request) -> Result<()> {
    let config = open::load_config(args, &[])?;
    let answer = control::send(&config, request).await?;
    Ok(std::io::stdout().write_all(answer.as_bytes())?)
}

fn read(file: &Path) -> std::io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    fs::read_to_string(file)
}
