//! A real Apache Kafka broker, started by `deploy/kafka/up` for one test and stopped with it.

use std::process::Command;

use crate::outside::root;
use crate::process::free_port;

/// A running broker.
pub struct Kafka {
    port: u16,
    /// `host:port`
    pub address: String,
}

impl Kafka {
    /// Starts a broker with a folder of its own; the error says why there can't be one on this machine.
    pub fn start() -> Result<Self, String> {
        let port = free_port();
        let output = Command::new(root().join("deploy/kafka/up"))
            .env("TALLY_KAFKA_PORT", port.to_string())
            .output()
            .map_err(|error| format!("deploy/kafka/up can't be started: {error}"))?;
        if !output.status.success() {
            return Err(format!("deploy/kafka/up: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        let address =
            String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().trim().to_owned();
        Ok(Self { port, address })
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // A broker that is gone already needs no stopping.
        let _ = Command::new(root().join("deploy/kafka/down"))
            .env("TALLY_KAFKA_PORT", self.port.to_string())
            .output();
    }
}
