//! A TCP proxy between two processes that does to their connections what networks do: resets, stalls, slowness, one half
//! closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a direction of one connection holds back at most; then the sender has to wait.
const MAX_HELD_BYTES: usize = 8 << 20;
/// What is read at a time, more or less.
const PIECE_BYTES: usize = 16 << 10;

/// What happens to what goes through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    /// It is passed on.
    Clear,
    /// Connections are reset, new ones at once.
    Cut,
    /// Connections are taken, and what comes is held back until the weather changes.
    Stalled,
    /// A request whose first piece has this text is held back, and all that follows on its connection.
    Withheld(&'static str),
    /// Each piece waits, and follows at this rate.
    Slow { latency: Duration, bytes_per_second: u64 },
    /// Those who have a connection are told that there will be no more answers, but may go on sending; new ones are well.
    HalfClosed,
}

/// A proxy on a port of its own, until the test's runtime ends.
pub struct ChaosProxy {
    /// Where it listens.
    pub port: u16,
    weather: watch::Sender<Weather>,
    held: Arc<AtomicUsize>,
}

/// What the tasks of a connection know.
#[derive(Clone)]
struct Link {
    weather: watch::Receiver<Weather>,
    held: Arc<AtomicUsize>,
    /// The connection began while others were half closed, so it stays whole.
    is_whole: bool,
}

impl ChaosProxy {
    /// Passes connections on `port` on to `target`, a port of this machine.
    pub async fn start(port: u16, target: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let port = listener.local_addr()?.port();
        let (weather, seen) = watch::channel(Weather::Clear);
        let held = Arc::new(AtomicUsize::new(0));
        let of_connections = Arc::clone(&held);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let is_whole = *seen.borrow() == Weather::HalfClosed;
                let link = Link { weather: seen.clone(), held: Arc::clone(&of_connections), is_whole };
                tokio::spawn(pass_on(client, target, link));
            }
        });
        Ok(Self { port, weather, held })
    }

    /// From now on this happens to all connections.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// The bytes towards the server that are being held back.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }
}

/// Why one direction of a connection ended before the other.
struct Broken;

/// One connection until both sides have closed it or something broke it.
async fn pass_on(client: TcpStream, target: u16, link: Link) {
    if *link.weather.borrow() == Weather::Cut {
        return reset(&client);
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return reset(&client) };
    // Small requests and their answers are not to wait for each other.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = pump(&mut from_client, &mut to_server, link.clone(), Direction::Requests);
    let answers = pump(&mut from_server, &mut to_client, link, Direction::Answers);
    if let Err(Broken) = tokio::try_join!(requests, answers).map(|_| ()) {
        reset(to_client.as_ref());
        reset(to_server.as_ref());
        // Else they would say goodbye first.
        to_client.forget();
        to_server.forget();
    }
}

/// The peer learns that the connection is gone as soon as it is dropped.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Requests,
    Answers,
}

/// Passes one direction on until it ends.
async fn pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut link: Link,
    direction: Direction,
) -> Result<(), Broken> {
    let mut holding = Held::new(direction, Arc::clone(&link.held));
    let mut is_ended = false;
    loop {
        let weather = *link.weather.borrow_and_update();
        match weather {
            Weather::Cut => return Err(Broken),
            Weather::HalfClosed if direction == Direction::Answers && !link.is_whole => {
                return close_and_drain(from, to, link).await;
            }
            Weather::Stalled => {}
            Weather::Withheld(text) if direction == Direction::Requests && holding.begins_with(text) => {}
            _ if holding.bytes.is_empty() && is_ended => return to.shutdown().await.map_err(|_| Broken),
            _ if !holding.bytes.is_empty() => {
                let mut cut = link.weather.clone();
                tokio::select! {
                    written = write(to, &holding.bytes, weather) => written?,
                    _ = cut.wait_for(|weather| *weather == Weather::Cut) => return Err(Broken),
                }
                holding.clear();
                continue;
            }
            _ => {}
        }
        holding.report();
        let is_room = !is_ended && holding.bytes.len() < MAX_HELD_BYTES;
        tokio::select! {
            changed = link.weather.changed() => changed.map_err(|_| Broken)?,
            read = from.read_buf(&mut holding.bytes), if is_room => match read {
                Ok(0) => is_ended = true,
                Ok(_) => {}
                Err(_) => return Err(Broken),
            },
        }
    }
}

/// What was read and not passed on yet; reported where it goes to the server.
struct Held {
    bytes: Vec<u8>,
    reported: usize,
    sum: Arc<AtomicUsize>,
    direction: Direction,
}

impl Held {
    fn new(direction: Direction, sum: Arc<AtomicUsize>) -> Self {
        Self { bytes: Vec::with_capacity(PIECE_BYTES), reported: 0, sum, direction }
    }

    /// Whether the text is in the first piece of it.
    fn begins_with(&self, text: &str) -> bool {
        let first = &self.bytes[..self.bytes.len().min(PIECE_BYTES)];
        first.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// It has to wait.
    fn report(&mut self) {
        if self.direction == Direction::Requests {
            self.sum.fetch_add(self.bytes.len() - self.reported, Ordering::AcqRel);
            self.reported = self.bytes.len();
        }
    }

    fn clear(&mut self) {
        self.sum.fetch_sub(std::mem::take(&mut self.reported), Ordering::AcqRel);
        self.bytes.clear();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.clear();
    }
}

async fn write(to: &mut OwnedWriteHalf, bytes: &[u8], weather: Weather) -> Result<(), Broken> {
    if let Weather::Slow { latency, bytes_per_second } = weather {
        let passing = Duration::from_secs_f64(bytes.len() as f64 / bytes_per_second.max(1) as f64);
        // A long piece is let through after a while, so that slow does not become stalled.
        tokio::time::sleep(latency + passing.min(Duration::from_secs(1))).await;
    }
    to.write_all(bytes).await.map_err(|_| Broken)
}

/// The client hears no more; what the server still says is thrown away.
async fn close_and_drain(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut link: Link,
) -> Result<(), Broken> {
    to.shutdown().await.map_err(|_| Broken)?;
    let mut thrown_away = vec![0; PIECE_BYTES];
    loop {
        tokio::select! {
            _ = link.weather.wait_for(|weather| *weather == Weather::Cut) => return Err(Broken),
            read = from.read(&mut thrown_away) => match read {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(_) => return Err(Broken),
            },
        }
    }
}
