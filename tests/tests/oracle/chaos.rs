//! The proxy does what its weathers say.

use std::time::Duration;

use anyhow::{Result, ensure};
use tally_tests::oracle::chaos_proxy::{ChaosProxy, Weather};
use tally_tests::process::free_port;
use tally_tests::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);
const MEANWHILE: Duration = Duration::from_millis(100);

/// A proxy before a server that sends everything back.
async fn echo() -> Result<ChaosProxy> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = client.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    ChaosProxy::start(free_port(), port).await
}

async fn connect(proxy: &ChaosProxy) -> Result<TcpStream> {
    Ok(TcpStream::connect(("127.0.0.1", proxy.port)).await?)
}

async fn said(client: &mut TcpStream, text: &str) -> Result<bool> {
    client.write_all(text.as_bytes()).await?;
    heard(client, text).await
}

async fn heard(client: &mut TcpStream, text: &str) -> Result<bool> {
    let mut answer = vec![0; text.len()];
    let read = timeout(SOON, client.read_exact(&mut answer)).await?;
    Ok(read.is_ok() && answer == text.as_bytes())
}

#[tokio::test]
async fn clear_weather_passes_everything_on() -> Result<()> {
    let proxy = echo().await?;
    let mut client = connect(&proxy).await?;
    ensure!(said(&mut client, "hello").await?);
    client.shutdown().await?;
    ensure!(client.read(&mut [0]).await? == 0, "the end goes through, too");
    Ok(())
}

#[tokio::test]
async fn a_cut_resets_old_and_new_connections() -> Result<()> {
    let proxy = echo().await?;
    let mut client = connect(&proxy).await?;
    ensure!(said(&mut client, "hello").await?);
    proxy.set(Weather::Cut);
    let error = timeout(SOON, client.read(&mut [0])).await?.expect_err("reset");
    ensure!(error.kind() == std::io::ErrorKind::ConnectionReset, "{error}");
    let mut another = connect(&proxy).await?;
    ensure!(timeout(SOON, another.read(&mut [0])).await?.is_err());
    proxy.set(Weather::Clear);
    ensure!(said(&mut connect(&proxy).await?, "hello").await?);
    Ok(())
}

#[tokio::test]
async fn a_stall_holds_back_and_lets_go() -> Result<()> {
    let proxy = echo().await?;
    let mut client = connect(&proxy).await?;
    proxy.set(Weather::Stalled);
    client.write_all(b"hello").await?;
    wait::until("bytes to be held", SOON, || async { Ok((proxy.held() == 5).then_some(())) }).await?;
    ensure!(timeout(MEANWHILE, client.read(&mut [0])).await.is_err(), "nothing comes through");
    proxy.set(Weather::Clear);
    ensure!(heard(&mut client, "hello").await?);
    ensure!(proxy.held() == 0);
    Ok(())
}

#[tokio::test]
async fn what_is_withheld_waits_alone() -> Result<()> {
    let proxy = echo().await?;
    proxy.set(Weather::Withheld("hell"));
    let (mut client, mut other) = (connect(&proxy).await?, connect(&proxy).await?);
    ensure!(said(&mut client, "good morning").await?);
    client.write_all(b"hello").await?;
    wait::until("bytes to be held", SOON, || async { Ok((proxy.held() == 5).then_some(())) }).await?;
    ensure!(said(&mut other, "good evening").await?);
    proxy.set(Weather::Clear);
    ensure!(heard(&mut client, "hello").await?);
    Ok(())
}

#[tokio::test]
async fn a_slow_connection_is_late() -> Result<()> {
    let proxy = echo().await?;
    let mut client = connect(&proxy).await?;
    proxy.set(Weather::Slow { latency: MEANWHILE, bytes_per_second: 1 << 20 });
    let started = std::time::Instant::now();
    ensure!(said(&mut client, "hello").await?);
    ensure!(started.elapsed() >= 2 * MEANWHILE, "there and back");
    Ok(())
}

#[tokio::test]
async fn half_closed_connections_hear_no_answer() -> Result<()> {
    let proxy = echo().await?;
    let mut client = connect(&proxy).await?;
    ensure!(said(&mut client, "hello").await?);
    proxy.set(Weather::HalfClosed);
    ensure!(timeout(SOON, client.read(&mut [0])).await?? == 0);
    client.write_all(b"still heard").await?;
    ensure!(said(&mut connect(&proxy).await?, "hello").await?, "new ones are whole");
    Ok(())
}
