//! What the spool does when its disk takes no more, played by a limit on the length of files.

use std::path::Path;
use std::process::{Command, Stdio};

use tally_eventlog::spool::SpoolConfig;
use tally_eventlog::{AppendError, Intake};

use super::fake::{Fault, FaultyLog};
use super::{Running, TOPIC, config};
use crate::cases::record;
use crate::crash::say;
use crate::subject::leave_out;

const LIMIT_KB: u32 = 1000;
const RECORD_BYTES: usize = 300_000;

fn limit_files(to: &str) {
    let id = std::process::id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={to}:unlimited")]).status();
    assert!(limited.expect("prlimit").success());
}

async fn accept(running: &Running, number: usize) -> Result<(), AppendError> {
    let value = format!("{number} {}", "x".repeat(RECORD_BYTES));
    running.spool.accept(TOPIC, vec![record(None, value)]).await.remove(0)
}

/// The other process of `a_full_disk_refuses_until_there_is_room_again`; alone it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn spools_until_the_disk_is_full() {
    let Ok(folder) = std::env::var("TALLY_TEST_SPOOL_FULL") else { return };
    let log = FaultyLog::new(1, 1);
    log.set(Fault::Down);
    let spool = SpoolConfig { segment_bytes: 16 << 20, ..config(Path::new(&folder)) };
    let running = Running::start(&spool, &log);
    let mut taken = Vec::new();
    for number in 0..20 {
        match accept(&running, number).await {
            Ok(()) => taken.push(number),
            Err(error) => {
                assert!(matches!(error, AppendError::Unavailable(_)), "{error}");
                // From now on there is no room for as much as one entry in any file.
                limit_files("1024");
            }
        }
    }
    assert_eq!(taken, [0, 1, 2], "the limit is met in the middle of an entry");
    let not_ready = running.spool.readiness().await.expect_err("no room");
    assert!(not_ready.contains("can't write"), "{not_ready}");

    limit_files("unlimited");
    running.spool.readiness().await.expect("there is room again, and nobody else has tried");
    for number in 20..24 {
        accept(&running, number).await.expect("spooled");
        taken.push(number);
    }
    limit_files("1024");
    log.set(Fault::None);
    running.wait_until_drained().await;
    let drained: Vec<usize> =
        log.values()[0].iter().filter_map(|value| value.split(' ').next()?.parse().ok()).collect();
    assert_eq!(drained, taken);
    running.stop().await;
    say("came through");
}

#[test]
fn a_full_disk_refuses_until_there_is_room_again() {
    let name = "a_full_disk_refuses_until_there_is_room_again";
    let tools =
        ["bash", "prlimit"].map(|tool| Command::new(tool).arg("--version").stdout(Stdio::null()).status());
    if tools.iter().any(Result::is_err) {
        return leave_out(name, "bash or prlimit is not installed");
    }
    let folder = tempfile::tempdir().expect("a folder");
    // Without the trap, the signal of the limit would kill.
    let limited = format!("trap '' XFSZ; ulimit -S -f {LIMIT_KB}; exec \"$0\" \"$@\"");
    let child = Command::new("bash")
        .args(["-c", &limited])
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", "spool::disk::spools_until_the_disk_is_full", "--nocapture"])
        .env("TALLY_TEST_SPOOL_FULL", folder.path())
        .output()
        .expect("a process");
    let output = String::from_utf8_lossy(&child.stdout);
    let errors = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && output.contains("came through"), "{output}\n{errors}");
}
