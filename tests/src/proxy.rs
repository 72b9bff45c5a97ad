//! A forward proxy for plain HTTP, as `HTTP_PROXY` names one: passes requests on, and remembers what it was asked for.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// The longest head of a request that is passed on.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A proxy on a port of its own, until the test's runtime ends.
pub struct Proxy {
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts it.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let noted = Arc::clone(&noted);
                tokio::spawn(async move { pass_on(client, &noted).await });
            }
        });
        Ok(Self { port, seen })
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Method and address of every request so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("nobody panics while holding it").clone()
    }
}

/// One request a connection: the head goes on in origin form, asking to close afterwards; all else as it comes.
async fn pass_on(mut client: TcpStream, noted: &Mutex<Vec<String>>) -> Result<()> {
    let mut received = Vec::new();
    let end = loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        anyhow::ensure!(received.len() < MAX_HEAD_BYTES, "the head is too long");
        anyhow::ensure!(client.read_buf(&mut received).await? > 0, "the request ends early");
    };
    let head = String::from_utf8(received[..end].to_vec())?;
    let (line, headers) = head.split_once("\r\n").context("headers")?;
    let mut words = line.split(' ');
    let (method, address) = (words.next().context("a method")?, words.next().context("an address")?);
    noted.lock().expect("nobody panics while holding it").push(format!("{method} {address}"));
    let (host, path) =
        address.strip_prefix("http://").context("plain http")?.split_once('/').context("a path")?;
    let mut server = TcpStream::connect(host).await?;
    server
        .write_all(format!("{method} /{path} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    server.write_all(&received[end + 4..]).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
