//! A reverse proxy in front of a collector that loses answers: the request arrives, the connection ends without a word, and
//! the tracker can't know whether its events were taken. Remembers every event it has seen and how often.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The longest request that is passed on.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// How often each event, by its id, was sent.
type Sent = BTreeMap<String, u32>;

/// A proxy on a port of its own, until the test's runtime ends.
pub struct LosingProxy {
    port: u16,
    sent: Arc<Mutex<Sent>>,
}

impl LosingProxy {
    /// Passes requests on to `target`, `host:port`, and loses the answer to each that holds a page view for the first time.
    pub async fn start(target: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let sent = Arc::new(Mutex::new(Sent::new()));
        let noted = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (noted, target) = (Arc::clone(&noted), target.clone());
                tokio::spawn(async move {
                    if let Err(error) = pass_on(client, &target, &noted).await {
                        println!("a request did not get through the proxy: {error:#}");
                    }
                });
            }
        });
        Ok(Self { port, sent })
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every event so far, and how often it was sent.
    pub fn sent(&self) -> Sent {
        self.sent.lock().expect("nobody panics while holding it").clone()
    }
}

/// One request a connection: it is asked to close afterwards.
async fn pass_on(mut client: TcpStream, target: &str, noted: &Mutex<Sent>) -> Result<()> {
    let Some((head, body)) = receive(&mut client).await? else { return Ok(()) };
    let (line, headers) = head.split_once("\r\n").context("headers")?;
    let is_lost = note(&events(line, &body)?, noted);

    let mut server = TcpStream::connect(target).await?;
    let kept: Vec<&str> =
        headers.split("\r\n").filter(|header| header_value(header, "connection").is_none()).collect();
    server
        .write_all(format!("{line}\r\n{}\r\nConnection: close\r\n\r\n", kept.join("\r\n")).as_bytes())
        .await?;
    server.write_all(&body).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    if !is_lost {
        client.write_all(&answer).await?;
    }
    Ok(client.shutdown().await?)
}

/// Head and body; `None` where the client opened a connection for nothing, as browsers do.
async fn receive(client: &mut TcpStream) -> Result<Option<(String, Vec<u8>)>> {
    let mut received = Vec::new();
    loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(received[..end].to_vec())?;
            let length = head.split("\r\n").find_map(|header| header_value(header, "content-length"));
            let length: usize = length.unwrap_or("0").parse()?;
            if received.len() >= end + 4 + length {
                return Ok(Some((head, received.split_off(end + 4))));
            }
        }
        ensure!(received.len() < MAX_REQUEST_BYTES, "the request is too long");
        if client.read_buf(&mut received).await? == 0 {
            ensure!(received.is_empty(), "the request ends early");
            return Ok(None);
        }
    }
}

fn header_value<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    let (named, value) = header.split_once(':')?;
    named.eq_ignore_ascii_case(name).then(|| value.trim())
}

/// The kind and the id of each event in a request: in the address of a GET, in the `data` of a POST.
fn events(line: &str, body: &[u8]) -> Result<Vec<(String, String)>> {
    let mut words = line.split(' ');
    let (method, path) = (words.next().context("a method")?, words.next().context("a path")?);
    if method == "POST" {
        let sent: Value = serde_json::from_slice(body)?;
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        return Ok(sent["data"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|e| (text(e, "e"), text(e, "eid")))
            .collect());
    }
    let address = Url::parse("http://collector")?.join(path)?;
    let asked: BTreeMap<String, String> = address.query_pairs().into_owned().collect();
    let text = |key: &str| asked.get(key).cloned().unwrap_or_default();
    Ok(if asked.contains_key("eid") { vec![(text("e"), text("eid"))] } else { Vec::new() })
}

/// Counts the events; whether a page view is among them that was not here before.
fn note(events: &[(String, String)], noted: &Mutex<Sent>) -> bool {
    let mut noted = noted.lock().expect("nobody panics while holding it");
    let mut is_lost = false;
    for (kind, id) in events {
        let times = noted.entry(id.clone()).or_default();
        *times += 1;
        is_lost |= kind == "pv" && *times == 1;
    }
    is_lost
}
