//! Tests clean up after themselves: no process, no listener, no folder.

use std::net::TcpStream;
use std::path::Path;

use crate::harness::{Instance, wait_for};

/// Processes whose command line names `folder`.
pub(crate) fn processes(folder: &Path) -> Vec<String> {
    let name = folder.to_str().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().map(Result::unwrap);
    entries
        .filter(|entry| entry.file_name().to_str().unwrap().bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(name))
        .collect()
}

#[tokio::test]
async fn a_dropped_instance_leaves_nothing() {
    let mut instance = Instance::start().await;
    let (folder, port) = (instance.dir.path().to_path_buf(), instance.port);
    assert_eq!(processes(&folder).len(), 1, "one server runs in it");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert!(instance.stop().success(), "{}", instance.log());
    instance.spawn().await;
    drop(instance);
    wait_for("the process to end", async || processes(&folder).is_empty().then_some(())).await;
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "somebody still listens");
    assert!(!folder.exists(), "the folder is left");
}

#[tokio::test]
async fn a_server_writes_only_into_its_own_folder() {
    let instance = Instance::start().await;
    let folder = instance.dir.path().canonicalize().unwrap();
    let open = |process: String| {
        let entries = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().map(Result::unwrap);
        entries.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect::<Vec<_>>()
    };
    // What the test itself was given by whoever runs it goes on to its children.
    let given = open("self".to_owned());
    for file in open(instance.pid().to_string()).into_iter().filter(|file| !given.contains(file)) {
        let text = file.display().to_string();
        let own = file.starts_with(&folder) || text.starts_with("/dev/") || !text.starts_with('/');
        assert!(own || text.starts_with("/proc/") || text.starts_with("/memfd:"), "the server holds {text} open");
    }
}
