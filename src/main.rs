//! The `tally` binary: reads the command line and hands over to the subcommand.

mod administer;
mod cli;
mod commands;
mod config;
mod control;
mod dead_letters;
mod holding;
mod instance;
mod models;
mod open;
mod processing;
mod randomness;
mod recounting;
mod registry;
mod services;
mod welcome;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use cli::{Cli, Command};

/// How long work that blocks may take to end after everything else has.
const LINGER: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("tally: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Definitions(command) => return commands::definitions::run(*command),
        Command::Config => print!("{}", config::DEFAULTS),
        Command::Openapi => println!("{}", services::document().to_pretty_json()?),
        serving => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let done = runtime.block_on(serve(serving));
            // What hangs with a disk would keep the process for as long.
            runtime.shutdown_timeout(LINGER);
            return done;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(command: Command) -> Result<ExitCode> {
    let done = match command {
        Command::Standalone(args) => Box::pin(commands::standalone::run(args)).await,
        Command::Ingest(args) => commands::services::ingest(args).await,
        Command::Capture(args) => commands::services::capture(args).await,
        Command::Processor(args) => Box::pin(commands::services::processor(args)).await,
        Command::Query(args) => commands::services::query(args).await,
        Command::Internal(args) => commands::services::internal(args).await,
        Command::Token(command) => commands::token::run(command).await,
        Command::Directory(command) => commands::directory::run(command).await,
        Command::Ping(args) => Box::pin(commands::ping::run(args)).await,
        Command::Collect(args) => commands::collect::run(args).await,
        Command::Rebuild(args) => Box::pin(commands::rebuild::run(args)).await,
        Command::Replay(args) => Box::pin(commands::replay::run(args)).await,
        Command::Verify(args) => return Box::pin(commands::verify::run(args)).await,
        Command::DeadLetters(command) => return Box::pin(commands::dead_letters::run(command)).await,
        Command::Sessions(command) => commands::sessions::run(command).await,
        Command::Store(args) => commands::store::run(args).await,
        Command::Migrate(args) => commands::migrate::run(args).await,
        Command::Load(args) => {
            let summary = tally_benches::load::run(*args).await?;
            println!("{summary}");
            Ok(())
        }
        Command::Definitions(_) | Command::Config | Command::Openapi => {
            unreachable!("handled without a runtime")
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}
