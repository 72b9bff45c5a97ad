//! schemathesis tries what the OpenAPI documents allow, on both ports of a running Tally: no 5xx, and no answer that the
//! documents don't know.
//!
//! `TALLY_SCHEMATHESIS_EXAMPLES` chooses another number of cases for each operation.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tally_tests::instance::Instance;
use tally_tests::outside::{python, require, root};
use tally_tests::setting;

/// What a schema can be broken by. What a valid request is, GitLab's API takes more lightly than a schema can say: it
/// ignores what it does not know and takes texts for numbers; so accepting and refusing are not among the checks.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method";

/// Runs schemathesis against one port's document; how many cases it tried.
fn try_all(python: &Path, instance: &Instance, port: u16, headers: &[String]) -> Result<u64> {
    let examples: u32 = setting("TALLY_SCHEMATHESIS_EXAMPLES", 50);
    let mut command = Command::new(python);
    command
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(root().join("tests/clients/schemathesis.toml"))
        .arg("run")
        .arg(format!("http://127.0.0.1:{port}/api/v4/openapi.json"))
        .args(["--checks", CHECKS, "--max-examples", &examples.to_string(), "--generation-deterministic"])
        .args(["--generation-with-security-parameters", "false"])
        .args(["--continue-on-failure", "--no-color", "--warnings", "off"])
        .current_dir(instance.folder.path());
    for header in headers {
        command.args(["-H", header]);
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let cases = text.lines().find_map(|line| line.trim().split_once(" generated")?.0.parse().ok());
    cases.with_context(|| format!("no number of cases in {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_documents_allow_is_answered_as_they_say() -> Result<()> {
    let Some(python) = require("schemathesis", python()) else { return Ok(()) };
    let instance = Instance::start().await?;
    let contributions =
        json!([{"action": "created", "project_id": 5}, {"action": "joined", "project_id": 6}]);
    let ids = instance.post(&instance.token, &contributions).await?;
    instance.listed(&instance.token, ids[1]).await?;
    let token = format!("PRIVATE-TOKEN: {}", instance.admin);
    let public = try_all(&python, &instance, instance.tally.port, std::slice::from_ref(&token))?;
    let header = |(name, value)| format!("{name}: {value}");
    let (shell, agent_server) = (header(instance.shell_header()?), header(instance.agent_server_header()?));
    let internal = try_all(&python, &instance, instance.internal_port, &[token, shell, agent_server])?;
    println!("schemathesis: {public} cases of the public API, {internal} of the internal API");
    ensure!(public > 500 && internal > 500, "too few cases to say anything");
    instance.tally.stop().await
}
