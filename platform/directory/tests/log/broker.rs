//! A real Apache Kafka: the one at `TALLY_KAFKA` (host:port), or else one that `deploy/kafka/up` starts. Where it can't, what
//! needs it is left out and says so, unless `TALLY_REQUIRE=all`.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

/// Stopped when this process ends.
struct Broker {
    address: String,
    /// Waits for its standard input to close, which happens however this process ends.
    _stopper: Option<Child>,
}

/// The broker's address; `None`, with the reason printed, when there is no broker to be had.
pub fn address(test: &str) -> Option<String> {
    static BROKER: OnceLock<Result<Broker, String>> = OnceLock::new();
    match BROKER.get_or_init(find) {
        Ok(broker) => Some(broker.address.clone()),
        Err(why) => {
            let line = format!("left out: {test}: {why}\n");
            assert!(std::env::var("TALLY_REQUIRE").as_deref() != Ok("all"), "{line}");
            std::io::stdout().write_all(line.as_bytes()).unwrap();
            None
        }
    }
}

fn find() -> Result<Broker, String> {
    if let Ok(address) = std::env::var("TALLY_KAFKA") {
        return Ok(Broker { address, _stopper: None });
    }
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    let scripts = format!("{package}/../../deploy/kafka");
    let up = Command::new(format!("{scripts}/up")).output().map_err(|error| error.to_string())?;
    if !up.status.success() {
        return Err(String::from_utf8_lossy(&up.stderr).trim().replace('\n', "; "));
    }
    let address = String::from_utf8_lossy(&up.stdout).trim().to_owned();
    let wait_and_stop = "trap '' INT TERM HUP; cat; exec \"$0\" \"$1\"";
    let stopper = Command::new("sh")
        .args(["-c", wait_and_stop, &format!("{scripts}/down"), &address])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    Ok(Broker { address, _stopper: Some(stopper) })
}

/// Makes a compacted topic whose segments the broker closes and compacts at once.
pub async fn make_eagerly_compacted_topic(brokers: &str, name: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        .set("segment.ms", "500")
        .set("min.cleanable.dirty.ratio", "0.01")
        .set("delete.retention.ms", "0");
    admin.create_topics([&topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
}
