//! Runs the embedded engine alone: prints its URL, serves until standard input ends, and shuts down.
//!
//!     cargo run --release -p tally-store --example engine -- DATA_DIR [LISTEN]

use std::{env, io::Read, net::SocketAddr};

use tally_store::{Engine, EngineConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut arguments = env::args().skip(1);
    let mut config = EngineConfig::new(arguments.next().ok_or("usage: engine DATA_DIR [LISTEN]")?);
    if let Some(listen) = arguments.next() {
        config.listen = listen.parse::<SocketAddr>()?;
    }
    config.user = env::var("TALLY_ENGINE_USER").ok();
    config.password = env::var("TALLY_ENGINE_PASSWORD").ok();
    config.query_log = env::var_os("TALLY_ENGINE_QUERY_LOG").is_some();
    let engine = Engine::start(config).await?;
    println!("{}", engine.url());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    engine.shutdown().await;
    Ok(())
}
