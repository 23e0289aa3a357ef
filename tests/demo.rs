//! `turnlock demo` does what it claims and leaves nothing behind, also when it is interrupted.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::harness::{BINARY, Running, wait_for};
use crate::leftovers::processes;

fn demo(folder: &std::path::Path) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("demo").env("TMPDIR", folder).stdin(Stdio::null());
    command
}

#[tokio::test]
async fn the_demonstration_keeps_every_claim_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("All as claimed"), "{printed}");
    let keys = printed.replace("--prefix=pay_", "").matches("pay_").count();
    assert_eq!(keys, 0, "a key is shown: {printed}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a file is left");
    assert_eq!(processes(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn an_interrupted_demonstration_leaves_nothing_either() {
    leaves_nothing_after(Signal::INT).await;
}

#[tokio::test]
async fn a_demonstration_whose_terminal_is_closed_leaves_nothing_either() {
    leaves_nothing_after(Signal::HUP).await;
}

/// Its server runs in a process of its own and used to go on for ever.
#[tokio::test]
async fn a_demonstration_that_is_killed_leaves_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = at_the_rotation(folder.path());
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    wait_for("the server to end", async || processes(folder.path()).is_empty().then_some(())).await;
}

#[test]
fn a_server_follows_only_the_process_that_started_it() {
    let output = Command::new(BINARY).args(["server", "-dev", "-end-with=1"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("did not start this server"), "{told}");
}

/// A demonstration whose server runs.
fn at_the_rotation(folder: &std::path::Path) -> Running {
    let child = demo(folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut child = Running(child);
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    // The rotation's section waits.
    let seen = lines.map(Result::unwrap).find(|line| line.starts_with("5. "));
    assert!(seen.is_some() && !processes(folder).is_empty());
    child
}

async fn leaves_nothing_after(signal: Signal) {
    let folder = tempfile::tempdir().unwrap();
    let mut child = at_the_rotation(folder.path());
    let pid = rustix::process::Pid::from_child(&child.0);
    rustix::process::kill_process(pid, signal).unwrap();
    assert!(!child.0.wait().unwrap().success());
    wait_for("the server to end", async || processes(folder.path()).is_empty().then_some(())).await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a file is left");
}
