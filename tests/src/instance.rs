//! A standalone Tally with a directory of its own, for tests that look at it from outside as its clients do.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{STORE_PASSWORD, Tally, binary, free_port, get_json, run};
use crate::wait;

/// Two projects of one group: a public one of alice's, a private one of alice's and bob's.
const DIRECTORY: &str = "
users:
  - {id: 1, username: root, admin: true}
  - {id: 2, username: alice, name: Alice}
  - {id: 3, username: bob}
namespaces:
  - {id: 7, path: acme, kind: group}
projects:
  - id: 5
    path: acme/web
    namespace_id: 7
    visibility: public
    members: [{user: alice, access_level: developer}]
  - id: 6
    path: acme/secret
    namespace_id: 7
    visibility: private
    members: [{user: alice, access_level: developer}, {user: bob, access_level: developer}]
";

/// A Tally of its own, with users, projects, and tokens of alice's and the administrator's.
pub struct Instance {
    pub tally: Tally,
    pub internal_port: u16,
    /// The address of the engine's ClickHouse interface.
    pub store: String,
    /// Alice's.
    pub token: String,
    pub admin: String,
    pub folder: TempDir,
}

impl Instance {
    /// Imports the directory, makes the tokens, starts.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[], &[]).await
    }

    /// The same with further settings, and with variables in the process's environment.
    pub async fn start_with(settings: &[String], environment: &[(&str, String)]) -> Result<Self> {
        let more = settings;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("import.yml");
        std::fs::write(&file, DIRECTORY)?;
        let data = format!("standalone.data_dir={}", folder.path().join("data").display());
        run(&["directory", "import", "--set", &data, &file.display().to_string()])?;
        let token = |user| {
            let flags = ["--set", &data, "--user", user, "--name", "tests", "--scope", "api"];
            run(&[&["token", "create"], &flags[..]].concat()).map(|token| token.trim().to_owned())
        };
        let (token, admin) = (token("alice")?, token("root")?);
        let (port, internal_port, store_port) = (free_port(), free_port(), free_port());
        let listen = format!("127.0.0.1:{port}");
        let settings = [
            data,
            format!("services.internal=127.0.0.1:{internal_port}"),
            format!("engine.listen=127.0.0.1:{store_port}"),
            format!("store.password={STORE_PASSWORD}"),
        ];
        let flags = settings.iter().chain(more).flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> = ["standalone", "--listen", &listen].into_iter().chain(flags).collect();
        let tally = Tally::start_in(folder.path(), port, &arguments, environment).await?;
        let store = format!("http://127.0.0.1:{store_port}");
        Ok(Self { tally, internal_port, store, token, admin, folder })
    }

    /// Runs a subcommand on the data folder, while the process runs.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let data = format!("standalone.data_dir={}", self.data().display());
        run(&[arguments, &["--set", &data]].concat())
    }

    /// The same, for one that may fail and says all of it on standard output.
    pub fn run_to_any_end(&self, arguments: &[&str]) -> Result<String> {
        let data = format!("standalone.data_dir={}", self.data().display());
        let output = Command::new(binary()).args(arguments).args(["--set", &data]).output()?;
        ensure!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// `http://127.0.0.1:port` of the internal API.
    pub fn internal_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.internal_port)
    }

    /// The header by which GitLab Shell says who it is.
    pub fn shell_header(&self) -> Result<(&'static str, String)> {
        Ok(("Gitlab-Shared-Secret", BASE64.encode(self.secret("shell")?)))
    }

    /// The header by which the agent server says who it is: a JWT that it signs.
    pub fn agent_server_header(&self) -> Result<(&'static str, String)> {
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({"iss": "gitlab-kas", "iat": now, "exp": now + 3600});
        let key = EncodingKey::from_secret(self.secret("kas")?.as_bytes());
        Ok(("Gitlab-Kas-Api-Request", jsonwebtoken::encode(&Header::default(), &claims, &key)?))
    }

    fn secret(&self, name: &str) -> Result<String> {
        Ok(std::fs::read_to_string(self.data().join(format!("{name}.secret")))?.trim().to_owned())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Posts contributions with a token; their ids, ascending.
    pub async fn post(&self, token: &str, contributions: &Value) -> Result<Vec<u64>> {
        let response = Client::new()
            .post(format!("{}/api/v4/tally/contributions", self.tally.url()))
            .header("PRIVATE-TOKEN", token)
            .json(&json!({ "contributions": contributions }))
            .send()
            .await?;
        ensure!(response.status() == 201, "{}: {}", response.status(), response.text().await?);
        let answer: Value = response.json().await?;
        answer["ids"].as_array().context("ids")?.iter().map(|id| id.as_u64().context("an id")).collect()
    }

    /// Waits until the newest of `ids` is listed; how long that took.
    pub async fn listed(&self, token: &str, newest: u64) -> Result<Duration> {
        let started = Instant::now();
        let url = format!("{}/api/v4/events?per_page=1", self.tally.url());
        wait::until("the contribution in the listing", Duration::from_secs(20), || async {
            Ok((get_json(&url, token).await?[0]["id"] == newest).then_some(()))
        })
        .await
        .with_context(|| self.tally.log_tail())?;
        Ok(started.elapsed())
    }
}
