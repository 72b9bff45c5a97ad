//! The internal API and the directory's commands on a running Tally: what they do shows in listings, in the Service Ping, in
//! the tables and in who gets in, also after a restart.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tally_tests::instance::Instance;
use tally_tests::process::{clickhouse, get_json, service_ping};
use tally_tests::wait;

const DEADLINE: Duration = Duration::from_secs(20);

async fn status(url: &str, method: Method, (header, value): (&str, String), body: &Value) -> Result<u16> {
    let request = Client::new().request(method, url).header(header, value).json(body);
    Ok(request.send().await?.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_listed_and_the_agent_servers_counts_are_in_the_ping() -> Result<()> {
    let instance = Instance::start().await?;
    let (internal, public) = (instance.internal_url(), instance.tally.url());
    let push = json!({"identifier": "user-2", "gl_repository": "project-5",
                      "changes": format!("{} {} refs/heads/topic\n", "0".repeat(40), "1".repeat(40))});
    let post_receive = "api/v4/internal/post_receive";
    let shell = instance.shell_header()?;
    ensure!(status(&format!("{internal}/{post_receive}"), Method::POST, shell.clone(), &push).await? == 200);
    let answered = Instant::now();
    wait::until("the push in the project's listing", DEADLINE, || async {
        let events = get_json(&format!("{public}/api/v4/projects/5/events"), &instance.token).await?;
        Ok((events[0]["action_name"] == "pushed new" && events[0]["push_data"]["ref"] == "topic")
            .then_some(()))
    })
    .await?;
    ensure!(answered.elapsed() < Duration::from_secs(1), "listed after {:?}", answered.elapsed());

    let usage = "api/v4/internal/kubernetes/usage_metrics";
    for _ in 0..2 {
        let counts =
            json!({"gitops_sync_count": 5, "unique_counters": {"agent_users_using_ci_tunnel": [2, 3]}});
        let url = format!("{internal}/{usage}");
        ensure!(status(&url, Method::POST, instance.agent_server_header()?, &counts).await? == 204);
    }
    wait::until("the counts in the Service Ping", DEADLINE, || async {
        let ping = service_ping(&public, &instance.admin).await?;
        Ok((ping["counts"]["kubernetes_agent_gitops_sync"] == 10).then_some(()))
    })
    .await?;

    // Neither port serves the other's endpoints, whatever the caller shows.
    ensure!(status(&format!("{public}/{post_receive}"), Method::POST, shell, &push).await? == 404);
    let token = ("PRIVATE-TOKEN", instance.admin.clone());
    ensure!(status(&format!("{internal}/api/v4/events"), Method::GET, token, &Value::Null).await? == 404);
    instance.tally.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_reach_the_running_process_and_outlive_it() -> Result<()> {
    let mut instance = Instance::start().await?;
    let events = format!("{}/api/v4/events", instance.tally.url());
    let as_alice = || ("PRIVATE-TOKEN", instance.token.clone());
    ensure!(status(&events, Method::GET, as_alice(), &Value::Null).await? == 200);
    ensure!(instance.run(&["token", "list"])?.contains("tests\talice\tapi\tnever expires\tactive"));
    instance.run(&["token", "revoke", "tests", "--user", "alice"])?;
    ensure!(status(&events, Method::GET, as_alice(), &Value::Null).await? == 401);
    let again = instance.run(&["token", "revoke", "unheard-of"]).unwrap_err().to_string();
    ensure!(again.contains("unheard-of"), "{again}");

    let file = instance.folder.path().join("more.yml");
    std::fs::write(&file, "users: [{id: 3, username: bob, state: blocked}, {id: 4, username: carol}]\n")?;
    instance.run(&["directory", "import", &file.display().to_string()])?;
    let users = "SELECT arrayStringConcat(groupArray((username || ' ' || toString(state))), ', ') FROM \
                 (SELECT username, state FROM current_users ORDER BY id)";
    let expected = "root active, alice active, bob blocked, carol active";
    wait::until("the users in the tables", DEADLINE, || async {
        Ok((clickhouse(&instance.store, users).await? == expected).then_some(()))
    })
    .await?;

    for (removal, name) in [(&["user", "4"][..], "user"), (&["project-member", "3", "6"], "membership")] {
        let remove = [&["directory", "remove"], removal].concat();
        instance.run(&remove)?;
        let again = instance.run(&remove).unwrap_err().to_string();
        ensure!(again.contains(&format!("there is no such {name}")), "{again}");
    }
    wait::until("the user gone from the tables", DEADLINE, || async {
        Ok((clickhouse(&instance.store, users).await? == "root active, alice active, bob blocked")
            .then_some(()))
    })
    .await?;
    ensure!(instance.run(&["directory", "compact"]).is_err(), "the embedded log can't be compacted");
    instance.tally.kill();
    instance.tally.restart().await?;
    ensure!(status(&events, Method::GET, as_alice(), &Value::Null).await? == 401);
    let export = instance.run(&["directory", "export"])?;
    ensure!(!export.contains("carol") && export.contains("state: blocked"), "{export}");
    instance.tally.stop().await
}
