//! `@cubejs-client/core`, old and new, under both base paths.

use anyhow::{Result, ensure};
use tally_tests::instance::Instance;
use tally_tests::outside::{node_modules, require, root};
use tokio::process::Command;

use crate::visits::{self, CUBE_PATH, GITLAB_PATH, PROJECT};

#[tokio::test(flavor = "multi_thread")]
async fn cubes_client_is_content_under_both_paths() -> Result<()> {
    let Some(modules) = require("Cube's client", node_modules("cube-legacy")) else { return Ok(()) };
    let instance = Instance::start_with(&visits::settings(), &[]).await?;
    let first_day = visits::first_day();
    visits::write(&instance, first_day).await?;
    let ask = |path: &str, token: String, layer: &str| {
        Command::new("node")
            .env("TALLY_NODE_MODULES", &modules)
            .arg(root().join("tests/clients/cube_conformance.mjs"))
            .args([format!("{}{path}", instance.tally.url()), first_day.to_string(), token, layer.to_owned()])
            .output()
    };
    let gitlab = ask(GITLAB_PATH, instance.token.clone(), "gitlab");
    let cube = ask(CUBE_PATH, visits::cube_token(PROJECT)?, "cube");
    let (gitlab, cube) = tokio::try_join!(gitlab, cube)?;
    for output in [&gitlab, &cube] {
        println!("{}", String::from_utf8_lossy(&output.stdout));
    }
    ensure!(
        gitlab.status.success() && cube.status.success(),
        "{}{}\n{}",
        String::from_utf8_lossy(&gitlab.stderr),
        String::from_utf8_lossy(&cube.stderr),
        instance.tally.log_tail()
    );
    instance.tally.stop().await
}
