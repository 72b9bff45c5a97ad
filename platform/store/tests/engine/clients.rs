//! Other people's clients work against the engine: Python's clickhouse-connect and Node's @clickhouse/client.

use std::{env, path::PathBuf, process::Command};

use crate::support::{cache, leave_out, root, run, shared};

fn script(name: &str) -> PathBuf {
    root().join("platform/store/tests/clients").join(name)
}

/// Runs a client's script against the engine; its assertions are its own.
fn run_script(command: &mut Command, engine: &str) {
    let output = command.arg(engine).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

#[tokio::test]
async fn pythons_clickhouse_connect_works() {
    let Some(engine) = shared() else { return };
    let default = || cache().join("venv/bin/python");
    let python = env::var_os("TALLY_PYTHON").map_or_else(default, PathBuf::from);
    let has_client = Command::new(&python).args(["-c", "import clickhouse_connect"]).output();
    if !has_client.is_ok_and(|output| output.status.success()) {
        return leave_out("clickhouse-connect", "no python with it; set TALLY_PYTHON");
    }
    run(engine.url(), "CREATE DATABASE python_client").await;
    run_script(Command::new(python).arg(script("clickhouse_connect_client.py")), engine.url());
}

#[tokio::test]
async fn nodes_clickhouse_client_works() {
    let Some(engine) = shared() else { return };
    let default = || cache().join("node/node_modules");
    let modules = env::var_os("TALLY_NODE_MODULES").map_or_else(default, PathBuf::from);
    if !modules.join("@clickhouse/client").is_dir() || Command::new("node").arg("--version").output().is_err()
    {
        return leave_out("@clickhouse/client", "no node with it; set TALLY_NODE_MODULES");
    }
    run(engine.url(), "CREATE DATABASE node_client").await;
    run_script(
        Command::new("node").env("TALLY_NODE_MODULES", modules).arg(script("clickhouse_client.mjs")),
        engine.url(),
    );
}
