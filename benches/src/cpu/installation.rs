//! A Tally on this machine for measurements: its folders, ports, directory file and the command lines of its processes.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::process::Process;

/// The token that the load is sent with. It opens nothing but the measured processes on loopback.
pub const TOKEN: &str = "glpat-cpu-table-benchmark";

/// The password under which the measured engines serve ClickHouse's HTTP interface.
pub const STORE_PASSWORD: &str = "of-the-benchmark";

/// The directory's file. It names no projects, so that project ids are taken as given.
const DIRECTORY: &str = "\
users:
- { id: 1, username: root, admin: true }
tokens:
- name: cpu-table
  user: root
  sha256: SHA256
  scopes: [api]
";

/// Where everything of one installation is.
#[derive(Debug)]
pub struct Installation {
    binary: PathBuf,
    data: PathBuf,
    definitions: Vec<String>,
}

/// A process that serves HTTP, and possibly ClickHouse's HTTP interface beside it.
#[derive(Debug)]
pub struct Service {
    /// The process.
    pub process: Process,
    url: String,
    store_url: String,
}

impl Service {
    /// The base URL of its API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of the ClickHouse that it serves or uses.
    pub fn store_url(&self) -> &str {
        &self.store_url
    }
}

impl Installation {
    /// An installation in `data`, which must be empty or not yet exist.
    pub fn new(binary: PathBuf, data: &Path, definitions: &[String]) -> Result<Self> {
        fs::create_dir_all(data).with_context(|| format!("creating {}", data.display()))?;
        let occupied = fs::read_dir(data)?.next().is_some();
        ensure!(!occupied, "{} is not empty", data.display());
        fs::write(data.join("directory.yml"), DIRECTORY.replace("SHA256", TOKEN_SHA256))?;
        Ok(Self { binary, data: data.to_owned(), definitions: definitions.to_vec() })
    }

    /// `tally store`: the engine in a process of its own, its tables in the folder `tables`.
    pub async fn store(&self, tables: &str) -> Result<Service> {
        let port = free_port()?;
        let settings = vec![format!("engine.directory={}", self.quoted(tables))];
        self.start("store", port, settings, format!("http://127.0.0.1:{port}")).await
    }

    /// One service, `ingest` or `processor`, over the embedded log in `folder` and the ClickHouse at `store_url`.
    pub async fn only(&self, service: &str, folder: &str, store_url: &str) -> Result<Service> {
        let settings = vec![
            format!("standalone.services=[{service:?}]"),
            format!("standalone.data_dir={}", self.quoted(folder)),
            format!("store.url={store_url:?}"),
        ];
        self.start("standalone", free_port()?, settings, store_url.to_owned()).await
    }

    /// All of `tally standalone`, with log and tables in `folder`.
    pub async fn standalone(&self, folder: &str) -> Result<Service> {
        let store_port = free_port()?;
        let settings = vec![
            format!("standalone.data_dir={}", self.quoted(folder)),
            format!("engine.listen=\"127.0.0.1:{store_port}\""),
        ];
        self.start("standalone", free_port()?, settings, format!("http://127.0.0.1:{store_port}")).await
    }

    /// A path in the data folder as a TOML string.
    fn quoted(&self, name: &str) -> String {
        format!("{:?}", self.data.join(name).display().to_string())
    }

    async fn start(
        &self,
        command: &str,
        port: u16,
        settings: Vec<String>,
        store_url: String,
    ) -> Result<Service> {
        let everywhere = [
            format!("directory.file={}", self.quoted("directory.yml")),
            format!("definitions.paths={:?}", self.definitions),
            format!("store.password={STORE_PASSWORD}"),
        ];
        let mut arguments = vec![command.to_owned(), format!("--listen=127.0.0.1:{port}")];
        for setting in settings.into_iter().chain(everywhere) {
            arguments.extend(["--set".to_owned(), setting]);
        }
        let output = self.data.join(format!("{command}-{port}.output"));
        let mut process = Process::start(&self.binary, &arguments, &output)?;
        let url = format!("http://127.0.0.1:{port}");
        let probe = if command == "store" { format!("{url}/ping") } else { format!("{url}/readyz") };
        process.ready(&probe).await?;
        Ok(Service { process, url, store_url })
    }
}

/// SHA-256 of [`TOKEN`].
const TOKEN_SHA256: &str = "482376a9f539d844f613104f89a49ed369a08b1cced615b08db9054b791d0615";

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in for the binary that prints its arguments and ends.
    fn printing_binary(folder: &Path) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join("printing");
        fs::write(&path, "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_process_that_fails_to_start_shows_what_it_printed() {
        let folder = tempfile::tempdir().unwrap();
        let binary = printing_binary(folder.path());
        let definitions = ["config/events".to_owned()];
        let installation = Installation::new(binary, &folder.path().join("data"), &definitions).unwrap();
        let error = format!("{:#}", installation.store("tables").await.unwrap_err());
        assert!(error.contains("definitions.paths=[\"config/events\"]"), "{error}");
        assert!(error.contains("before it was ready"), "{error}");
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("precious"), "").unwrap();
        let error = Installation::new(PathBuf::new(), folder.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("not empty"), "{error}");
    }
}
