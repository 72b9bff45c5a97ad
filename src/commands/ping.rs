//! `tally ping`: the scheduler as a process of its own, and questions about the Service Ping, answered by the running process
//! or, where the log is on Kafka, by this one.

use anyhow::{Result, bail};

use crate::administer::{Administered, PingRequest, Request, perform};
use crate::cli::{PingArgs, PingTask};
use crate::commands::services;
use crate::config::LogKind;
use crate::{control, open};

/// Runs `tally ping …`.
pub async fn run(args: PingArgs) -> Result<()> {
    let Some(task) = request(args.task) else {
        return services::ping(&args.config, args.listen.as_deref()).await;
    };
    let config = open::load_config(&args.config, &[])?;
    let request = Request::Ping { task };
    let answer = if config.log_storage.kind == LogKind::Embedded {
        match control::ask_running(&config, &request).await? {
            Some(answer) => answer,
            None => bail!(
                "no tally is running on {}: start `tally standalone` first",
                config.standalone.data_dir.display()
            ),
        }
    } else {
        let (process, directory, ping) = services::open_ping(config).await?;
        let administered =
            Administered { directory, ping: Some(ping), store: None, recounting: None, dead_letters: None };
        let outcome = perform(&administered, request).await;
        process.stop().await;
        outcome?
    };
    print!("{answer}");
    Ok(())
}

/// What is asked, if anything is.
fn request(task: PingTask) -> Option<PingRequest> {
    if let Some(key_path) = task.explain {
        return Some(PingRequest::Explain { key_path });
    }
    let asked = [
        (task.preview, PingRequest::Preview),
        (task.generate, PingRequest::Generate),
        (task.send, PingRequest::Send),
        (task.status, PingRequest::Status),
        (task.version_check, PingRequest::VersionCheck),
    ];
    asked.into_iter().find_map(|(is_asked, request)| is_asked.then_some(request))
}
