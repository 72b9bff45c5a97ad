//! A broker that is spoken to over TLS, by those who know a password: Tally passes the settings for it on to librdkafka.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tally_eventlog::kafka::KafkaLog;
use tally_eventlog::{EventLog, Position};
use tempfile::TempDir;

use super::cases::{append, read};
use super::subject::{Broker, kafka_config, leave_out, spec, unique};

const USER: &str = "tally";
const PASSWORD: &str = "of-the-tests";
const KEY_PASSWORD: &str = "of-the-key";

/// The broker, the address that asks for TLS and a password, and the folder with its certificate.
struct Secured {
    _broker: Broker,
    address: String,
    folder: TempDir,
}

impl Secured {
    fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        make_certificate(folder.path())?;
        let properties = folder.path().join("secure.properties");
        let settings = [
            format!("ssl.keystore.location={}", folder.path().join("broker.p12").display()),
            format!("ssl.keystore.password={KEY_PASSWORD}"),
            "ssl.keystore.type=PKCS12".to_owned(),
            "listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512".to_owned(),
            "listener.name.secure.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;"
                .to_owned(),
            String::new(),
        ];
        std::fs::write(&properties, settings.join("\n")).map_err(|error| error.to_string())?;
        let port = free_port();
        let broker = Broker::start(&[
            ("TALLY_KAFKA_LISTENERS", format!("SECURE:SASL_SSL:{port}")),
            ("TALLY_KAFKA_PROPERTIES", properties.display().to_string()),
            ("TALLY_KAFKA_SCRAM", format!("{USER}:{PASSWORD}")),
        ])?;
        Ok(Self { _broker: broker, address: format!("127.0.0.1:{port}"), folder })
    }

    fn connect(&self, password: &str) -> Arc<dyn EventLog> {
        let mut config = kafka_config(self.address.clone());
        config.append_timeout = Duration::from_secs(10);
        config.request_timeout = Duration::from_secs(5);
        let certificate = self.folder.path().join("broker.pem").display().to_string();
        let settings = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", USER),
            ("sasl.password", password),
            ("ssl.ca.location", &certificate),
        ];
        config.settings.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Arc::new(KafkaLog::connect(config).expect("a log"))
    }
}

/// A key and a certificate for 127.0.0.1, made with the JDK's own tool, which is there wherever a broker is.
fn make_certificate(folder: &Path) -> Result<(), String> {
    let keytool = |arguments: &[&str]| {
        let mut command = Command::new("keytool");
        command.args(arguments).args(["-alias", "broker", "-storepass", KEY_PASSWORD]);
        command.args(["-keystore", "broker.p12", "-storetype", "PKCS12"]).current_dir(folder);
        let output = command.output().map_err(|error| format!("keytool can't be started: {error}"))?;
        let failed = || format!("keytool: {}", String::from_utf8_lossy(&output.stdout).trim());
        if output.status.success() { Ok(()) } else { Err(failed()) }
    };
    keytool(&["-genkeypair", "-keyalg", "EC", "-dname", "CN=broker", "-ext", "san=ip:127.0.0.1"])?;
    keytool(&["-exportcert", "-rfc", "-file", "broker.pem"])
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a machine has free ports");
    listener.local_addr().expect("a bound listener has an address").port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_behind_tls_and_a_password_serves_those_who_know_it() {
    let secured = match Secured::start() {
        Ok(secured) => secured,
        Err(reason) => return leave_out("secure", &reason),
    };
    let log = secured.connect(PASSWORD);
    let topic = unique("secure");
    log.ensure_topic(&spec(&topic, 1)).await.expect("a topic");
    assert_eq!(append(&log, &topic, ["one".to_owned(), "two".to_owned()]).await, [0, 1]);
    let mut consumer = log.join("group", &topic).await.expect("joined");
    let mut reader = consumer.next_assignment().await.expect("assigned").reader;
    let values: Vec<_> = read(&mut reader, 2).await.into_iter().map(|record| record.value).collect();
    assert_eq!(values, ["one", "two"]);
    reader.commit(&Position::at(2)).await.expect("committed");

    let stranger = secured.connect("guessed");
    let refused = stranger.check().await.expect_err("a wrong password");
    assert!(refused.to_string().contains("Authentication"), "{refused}");
}
