//! What the embedded log does when the disk takes no more, played by a limit on the length of files.

use std::process::{Command, Stdio};
use std::sync::Arc;

use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::{AppendError, EventLog, Record, TopicSpec};

use super::cases::record;
use super::crash::say;
use super::subject::{leave_out, spec};

/// A little more than a journal reserves from the start.
const LIMIT_KB: u32 = 66_000;

/// The other process of `nothing_is_acknowledged_while_the_disk_is_full`; alone it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn appends_until_the_disk_is_full() {
    let Ok(directory) = std::env::var("TALLY_TEST_FULL") else { return };
    // Nothing is flushed, so that it is the journal that meets the limit.
    let config = EmbeddedConfig { memtable_bytes: 512 << 20, ..EmbeddedConfig::new(directory) };
    let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(config).expect("a log"));
    log.ensure_topic(&TopicSpec { max_record_bytes: 2 << 20, ..spec("full", 1) }).await.expect("a topic");

    let mut acknowledged = 0;
    let error = loop {
        match append(&log).await {
            Ok(offset) => assert_eq!(offset, acknowledged),
            Err(error) => break error,
        }
        acknowledged += 1;
        assert!(acknowledged < 1000, "the limit was never met");
    };
    assert!(error.is_retriable(), "{error}");
    assert!(acknowledged > 10);
    for _ in 0..3 {
        let error = append(&log).await.expect_err("no room yet");
        assert!(error.is_retriable(), "{error}");
    }

    let id = std::process::id().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited"]).status();
    assert!(lifted.expect("prlimit").success());
    let deadline = std::time::Instant::now() + super::cases::DEADLINE;
    let next = loop {
        match append(&log).await {
            Ok(offset) => break offset,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(next, acknowledged, "nothing of the refused ones is there");
    log.check().await.expect("in order again");
    say("came through");
}

async fn append(log: &Arc<dyn EventLog>) -> Result<u64, AppendError> {
    let mut state = 0x9e37_79b9_u64;
    let noise = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let record: Record = record(None, (0..1 << 20).map(noise).collect::<Vec<u8>>());
    log.append("full", vec![record]).await.pop().expect("a result").map(|appended| appended.offset)
}

#[test]
fn nothing_is_acknowledged_while_the_disk_is_full() {
    let tools =
        ["bash", "prlimit"].map(|tool| Command::new(tool).arg("--version").stdout(Stdio::null()).status());
    if tools.iter().any(Result::is_err) {
        return leave_out(
            "nothing_is_acknowledged_while_the_disk_is_full",
            "bash or prlimit is not installed",
        );
    }
    let directory = tempfile::tempdir().expect("a directory");
    // Without the trap, the signal of the limit would kill.
    let limited = format!("trap '' XFSZ; ulimit -S -f {LIMIT_KB}; exec \"$0\" \"$@\"");
    let child = Command::new("bash")
        .args(["-c", &limited])
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", "disk_full::appends_until_the_disk_is_full", "--nocapture"])
        .env("TALLY_TEST_FULL", directory.path())
        .output()
        .expect("a process");
    let output = String::from_utf8_lossy(&child.stdout);
    let errors = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && output.contains("came through"), "{output}\n{errors}");
}
