//! The start of a server: what it warns of, what it makes on the disk, and that a start which fails makes nothing.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{BINARY, Instance, free_port};

/// All that is below `folder`, itself left out, with its mode.
fn below(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let facts = entry.metadata().unwrap();
        found.push((entry.path(), facts.permissions().mode() & 0o777));
        if facts.is_dir() {
            found.extend(below(&entry.path()));
        }
    }
    found
}

/// What a start says that comes to nothing, in a folder with this configuration.
fn failed_start(folder: &Path, config: &str) -> String {
    let path = folder.join("turnlock.hcl");
    std::fs::write(&path, config).unwrap();
    let output = Command::new(BINARY)
        .args(["server", "-config"])
        .arg(&path)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the server ends by itself");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_first_start_that_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let before = below(folder.path());
    let storage = "storage \"sled\" { path = \"new/data\" }\n";
    let free = free_port();
    let listener = format!("listener \"tcp\" {{ address = \"127.0.0.1:{free}\" tls_disable = true }}\n");
    let socket = "listener \"unix\" { address = \"socket\" }\n";
    let audit = "audit \"file\" { path = \"audit.log\" }\n";
    for (config, told) in [
        (
            format!("{storage}{socket}{audit}listener \"tcp\" {{ address = \"{address}\" tls_disable = true }}"),
            "in use",
        ),
        (
            format!(
                "{storage}{socket}{audit}listener \"tcp\" {{\n  address = \"127.0.0.1:{free}\"\n  tls_cert_file = \"a\"\n  \
                 tls_key_file = \"b\"\n}}"
            ),
            "a (tls_cert_file in line 6 of the configuration)",
        ),
        (format!("{storage}{listener}{socket}audit \"file\" {{ path = \"missing/audit.log\" }}"), "missing/audit.log"),
        (
            format!("{storage}{listener}{socket}{audit}seal \"static\" {{ current_key = \"file:///missing\" }}"),
            "/missing (current_key in line 5 of the configuration): No such file",
        ),
        (format!("{storage}{listener}{socket}{audit}seal \"static\" {{ current_key = \"env://MISSING\" }}"), "MISSING"),
        (format!("storage \"sled\" {{ path = \"file/data\" }}\n{listener}{socket}{audit}"), "file/data"),
    ] {
        let text = failed_start(folder.path(), &config);
        assert!(text.contains(told), "{told}: {text}");
        assert_eq!(below(folder.path()), before, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_umask_is_files_of_the_store_and_the_audit_are_for_nobody_else() {
    let mut instance = Instance::prepare("");
    std::fs::remove_dir(instance.dir.path().join("data")).unwrap();
    instance.before("umask 000");
    instance.spawn().await;
    instance.initialize().await;
    // Once more, so that what an end in order leaves is there too.
    instance.stop();
    instance.spawn().await;
    let mut seen = below(&instance.dir.path().join("data"));
    seen.extend(below(&instance.dir.path().join("audit")));
    assert!(seen.len() > 4, "{seen:?}");
    for (path, mode) in seen {
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{} is {mode:o}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_leave_files_for_the_store_and_the_audit() {
    for (limits, named) in [("ulimit -S -n 300", false), ("ulimit -n 300", true)] {
        let mut instance = Instance::prepare("");
        instance.before(limits);
        instance.spawn().await;
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", instance.pid())).unwrap();
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let mut files = files.split_whitespace();
        assert_eq!(files.next(), files.next(), "as many as it may allow itself");
        let log = instance.log();
        assert_eq!(log.contains("there is room for 44 connections only and not for 4096"), named, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_to_others_is_named_with_the_command_that_mends_it() {
    let mut instance = Instance::prepare("");
    let folder = instance.dir.path().to_owned();
    for (name, mode) in [("data", 0o755), ("audit", 0o777), ("turnlock.hcl", 0o666)] {
        set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
    }
    instance.spawn().await;
    let log = instance.log();
    let commands: Vec<&str> = log.lines().filter_map(|line| line.split_once("): chmod ")).map(|(_, end)| end).collect();
    assert_eq!(commands.len(), 3, "{log}");
    for command in commands {
        let (mode, path) = command.split_once(' ').unwrap();
        assert!(Command::new("chmod").arg(mode).arg(path).status().unwrap().success());
    }
    instance.stop();
    std::fs::remove_file(instance.log_path()).unwrap();
    instance.spawn().await;
    assert!(!instance.log().contains("open to other users"), "{}", instance.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_others_can_read_is_named() {
    let instance = Instance::start().await;
    let path = instance.dir.path().join("token");
    std::fs::write(&path, &instance.root).unwrap();
    for (mode, named) in [(0o644, true), (0o600, false)] {
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let mut command = instance.command("");
        let output = command.args(["token", "lookup", "-token-file"]).arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        assert_eq!(text.contains(&format!("(mode 0644): chmod 600 {}\n", path.display())), named, "{text}");
    }
}

/// The address is one for documentation, which no machine has, so that nobody listens on it.
#[test]
fn a_server_without_tls_that_others_reach_is_warned_of() {
    for (address, warned) in [("192.0.2.1", true), ("127.0.0.1", false)] {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = format!("-dev-listen-address={address}:{}", taken.local_addr().unwrap().port());
        let output = Command::new(BINARY).args(["server", "-dev", &listen]).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("cannot listen"), "{text}");
        assert_eq!(text.contains("ANYBODY who reaches 192.0.2.1"), warned, "{text}");
        let port = taken.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let text = failed_start(
            folder.path(),
            &format!(
                "storage \"sled\" {{ path = \"data\" }}\n\
                 listener \"tcp\" {{ address = \"{address}:{port}\" tls_disable = true }}\n"
            ),
        );
        assert_eq!(text.contains("ANYBODY between 192.0.2.1"), warned, "{text}");
    }
}
