//! A real Apache Kafka broker, started by `deploy/kafka/up` for one test and stopped with it. It can be killed and started
//! again with its records, and may be reached through proxies.

use std::process::Command;
use std::sync::Mutex;

use crate::outside::root;
use crate::process::free_port;

/// A running broker.
pub struct Kafka {
    port: u16,
    /// Further listeners, in the form that `up` takes.
    via: String,
    /// Held while the broker is being started or killed: faults overlap, and each is to find it as it stands.
    changing: Mutex<()>,
    /// `host:port`
    pub address: String,
}

/// A listener of its own for those who reach the broker through a proxy.
#[derive(Clone, Debug)]
pub struct Via {
    /// Capital letters and digits.
    pub name: String,
    /// Where the broker listens.
    pub port: u16,
    /// Where it sends those who ask here: the proxy's port.
    pub advertised: u16,
}

impl Kafka {
    /// Starts a broker with a folder of its own; the error says why there can't be one on this machine.
    pub fn start() -> Result<Self, String> {
        Self::start_on(free_port(), &[])
    }

    /// The same on this port, with further listeners.
    pub fn start_on(port: u16, via: &[Via]) -> Result<Self, String> {
        let via: Vec<String> =
            via.iter().map(|via| format!("{}:PLAINTEXT:{}:{}", via.name, via.port, via.advertised)).collect();
        let mut kafka = Self { port, via: via.join(" "), changing: Mutex::default(), address: String::new() };
        kafka.address = kafka.start_once()?;
        Ok(kafka)
    }

    /// Starts the broker again with its records after it was killed; one that the end of another fault has started will do.
    pub fn start_again(&self) -> Result<(), String> {
        let _changing = self.changing.lock().expect("nobody panics while holding it");
        match self.start_once() {
            Err(reason) if !reason.contains("is running on port") => Err(reason),
            _ => Ok(()),
        }
    }

    fn start_once(&self) -> Result<String, String> {
        let said = succeed(&mut self.script("up"))?;
        Ok(said.lines().last().unwrap_or_default().trim().to_owned())
    }

    /// `kill -9`. The records stay for [`Self::start_again`].
    pub fn kill(&self) -> Result<(), String> {
        let _changing = self.changing.lock().expect("nobody panics while holding it");
        succeed(self.script("down").args(["--keep", "--kill", &self.port.to_string()])).map(drop)
    }

    /// The broker's process.
    pub fn id(&self) -> Option<u32> {
        let folder = root().join(format!(".cache/kafka/broker-{}", self.port));
        std::fs::read_to_string(folder.join("pid")).ok()?.trim().parse().ok()
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(root().join("deploy/kafka").join(name));
        command.env("TALLY_KAFKA_PORT", self.port.to_string()).env("TALLY_KAFKA_LISTENERS", &self.via);
        command
    }
}

/// What the script says, which must succeed.
fn succeed(script: &mut Command) -> Result<String, String> {
    let name = script.get_program().display().to_string();
    let output = script.output().map_err(|error| format!("{name} can't be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // A broker that is gone already needs no stopping.
        let _ = self.script("down").arg(self.port.to_string()).output();
    }
}
