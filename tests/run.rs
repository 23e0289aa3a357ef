//! `turnlock run` end to end: masking across write boundaries, and real interactive programs that keep their terminal.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{BINARY, Instance, PATIENCE};

const PASSWORD: &str = "tlk_canary_run+/\"p4ss";

/// A server with the password at `secret/app/db`.
async fn with_password() -> Instance {
    let instance = Instance::start().await;
    let root = instance.as_root();
    let (status, _) = root.put("sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    assert!(status < 300);
    let (status, _) = root.put("secret/data/app/db", json!({"data": {"password": PASSWORD}})).await;
    assert_eq!(status, 200);
    instance
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_written_one_byte_at_a_time_is_masked_in_every_form() {
    let instance = with_password().await;
    let script = "import base64, json, os, sys, urllib.parse\n\
         secret = os.environ['DB_PASSWORD']\n\
         forms = [secret, base64.b64encode(secret.encode()).decode(), secret.encode().hex(), \
                  urllib.parse.quote(secret, safe=''), json.dumps(secret)]\n\
         for form in forms:\n\
         \x20   for byte in ('<' + form + '>\\n').encode():\n\
         \x20       os.write(1, bytes([byte]))\n\
         \x20       os.write(2, bytes([byte]))\n\
         sys.exit(23)\n";
    let output = instance
        .command(&instance.root)
        .args(["run", "--env", "DB_PASSWORD=secret/app/db#password", "--", "python3", "-c", script])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(23), "{}", String::from_utf8_lossy(&output.stderr));
    for stream in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(stream);
        assert_eq!(text.matches("***").count(), 5, "{text}");
        assert!(!text.contains("canary") && !text.contains("746c6b"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_references_may_be_committed_and_the_child_gets_values_but_no_token() {
    let instance = with_password().await;
    let references = instance.dir.path().join(".env");
    std::fs::write(&references, "DB_PASSWORD=turnlock://secret/app/db#password\nMODE=fast\n").unwrap();
    let output = instance
        .command(&instance.root)
        .args(["run", "--no-masking", "--env-file", ".env", "--", "sh", "-c"])
        .arg("printf '%s|%s|%s|%s' \"$DB_PASSWORD\" \"$MODE\" \"$VAULT_TOKEN\" \"$TURNLOCK_TOKEN\"")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{PASSWORD}|fast||"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_too_short_to_be_masked_is_named_before_the_program_prints_it() {
    let instance = with_password().await;
    let (status, _) = instance.as_root().put("secret/data/app/pin", json!({"data": {"pin": "7q9"}})).await;
    assert_eq!(status, 200);
    let run = |more: &[&str]| {
        let mut command = instance.command(&instance.root);
        command.args(["run", "--env", "PIN=secret/app/pin#pin", "--env", "DB=secret/app/db#password"]).args(more);
        command.args(["--", "sh", "-c", "echo \"$PIN $DB\""]).output().unwrap()
    };
    let masked = run(&[]);
    assert_eq!(String::from_utf8_lossy(&masked.stdout), "7q9 ***\n");
    let told = "turnlock: warning: not masked, as it has fewer than 4 bytes: the value of PIN\n";
    assert_eq!(String::from_utf8_lossy(&masked.stderr), told);
    assert!(run(&["--no-masking"]).stderr.is_empty(), "who asked for no masking is told nothing of it");
}

#[test]
fn a_program_that_cannot_be_started_is_named() {
    let output = Command::new(BINARY).args(["run", "--", "no-such-program"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("program no-such-program cannot be started: No such file"), "{text}");
    assert_eq!(output.status.code(), Some(127));
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_keeps_its_terminal_and_its_password_is_masked() {
    let instance = with_password().await;
    let database = Database::start(instance.dir.path());
    let (mut terminal, slave) = pty_process::open().unwrap();
    terminal.resize(pty_process::Size::new(40, 120)).unwrap();
    let mut child = pty_process::Command::new(BINARY)
        .args(["run", "--env", "PGPASSWORD=secret/app/db#password", "--", "psql", "-X", "-h"])
        .arg(&database.sockets)
        .args(["-U", "postgres", "postgres"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", instance.dir.path())
        .env("TERM", "xterm")
        .env("PAGER", "cat")
        .env("VAULT_ADDR", &instance.address)
        .env("VAULT_TOKEN", &instance.root)
        .spawn(slave)
        .unwrap();
    let mut seen = String::new();
    // psql shows its prompt only when it talks to a terminal.
    expect(&mut terminal, &mut seen, "postgres=#").await;
    terminal.write_all(b"select 6 * 7 as answer;\r").await.unwrap();
    expect(&mut terminal, &mut seen, "42").await;
    terminal.write_all(b"\\! test -t 0 && test -t 1 && stty size && echo \"<$PGPASSWORD>\"\r").await.unwrap();
    expect(&mut terminal, &mut seen, "40 120").await;
    expect(&mut terminal, &mut seen, "<***>").await;
    terminal.write_all(b"\\q\r").await.unwrap();
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("psql ends").unwrap();
    assert!(status.success(), "{seen}");
    assert!(!seen.contains("canary"), "{seen}");
}

/// The program has a terminal of its own, so that the key stops it and not us; the shell must get its prompt back all the same.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_z_gives_the_terminal_back_to_the_shell_and_fg_goes_on() {
    let instance = with_password().await;
    let (mut terminal, mut shell) = shell(&instance);
    let mut seen = String::new();
    let program = "while read line; do echo \"read <$line> $P\"; done";
    expect(&mut terminal, &mut seen, "shell> ").await;
    let run = format!("turnlock run --env P=secret/app/db#password -- sh -c '{program}'\r");
    terminal.write_all(run.as_bytes()).await.unwrap();
    // Typed ahead, it would reach the program too; but the shell's own echo is not to be taken for it.
    terminal.write_all(b"a\r").await.unwrap();
    expect(&mut terminal, &mut seen, "read <a> ***").await;
    for round in 0..2 {
        seen.clear();
        terminal.write_all(b"\x1a").await.unwrap();
        expect(&mut terminal, &mut seen, "Stopped").await;
        expect(&mut terminal, &mut seen, "shell> ").await;
        // The terminal is as the shell left it: it edits lines and answers.
        seen.clear();
        terminal.write_all(format!("echo shell-{round}-$((40 + 2))\r").as_bytes()).await.unwrap();
        expect(&mut terminal, &mut seen, &format!("shell-{round}-42")).await;
        expect(&mut terminal, &mut seen, "shell> ").await;
        terminal.write_all(b"fg\r").await.unwrap();
        expect(&mut terminal, &mut seen, "turnlock run").await;
        // The shell names the program before it goes on, and what stops a stopped program is lost: wait for an answer.
        terminal.write_all(format!("b{round}\r").as_bytes()).await.unwrap();
        expect(&mut terminal, &mut seen, &format!("read <b{round}> ***")).await;
    }
    seen.clear();
    terminal.write_all(b"\x04").await.unwrap();
    expect(&mut terminal, &mut seen, "shell> ").await;
    terminal.write_all(b"exit\r").await.unwrap();
    tokio::time::timeout(PATIENCE, shell.wait()).await.expect("the shell ends").unwrap();
    assert!(!seen.contains("canary"), "{seen}");
}

/// In the background the terminal is the shell's: setting or reading it there had the shell stop us, while the program
/// ran on with nobody to take its output.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_background_the_program_runs_and_the_terminal_stays_the_shells() {
    let instance = with_password().await;
    let (mut terminal, mut shell) = shell(&instance);
    let mut seen = String::new();
    expect(&mut terminal, &mut seen, "shell> ").await;
    let program = "until test -e go; do sleep 0.02; done; rm go; echo \"saw $P\"";
    let program = format!(
        "while :; do {program}; while read line; do echo \"read <$line> $P\"; test $line != w || break; done; done"
    );
    let run = format!("turnlock run --env P=secret/app/db#password -- sh -c '{program}' &\r");
    terminal.write_all(run.as_bytes()).await.unwrap();
    expect(&mut terminal, &mut seen, "shell> ").await;
    for round in 0..2 {
        seen.clear();
        terminal.write_all(b"> go\r").await.unwrap();
        expect(&mut terminal, &mut seen, "saw ***").await;
        // Long enough to be found in the background more than once, and typed to the shell.
        for _ in 0..4 {
            seen.clear();
            terminal.write_all(b"sleep 0.1; echo answer-$((40 + 2)); jobs\r").await.unwrap();
            expect(&mut terminal, &mut seen, "answer-42").await;
            expect(&mut terminal, &mut seen, "Running").await;
        }
        seen.clear();
        terminal.write_all(b"fg\r").await.unwrap();
        expect(&mut terminal, &mut seen, "turnlock run").await;
        terminal.write_all(format!("a{round}\r").as_bytes()).await.unwrap();
        expect(&mut terminal, &mut seen, &format!("read <a{round}> ***")).await;
        terminal.write_all(b"w\r").await.unwrap();
        expect(&mut terminal, &mut seen, "read <w> ***").await;
        seen.clear();
        terminal.write_all(b"\x1a").await.unwrap();
        expect(&mut terminal, &mut seen, "Stopped").await;
        seen.clear();
        terminal.write_all(b"bg\r").await.unwrap();
        expect(&mut terminal, &mut seen, "turnlock run").await;
    }
    terminal.write_all(b"kill %1\r").await.unwrap();
    expect(&mut terminal, &mut seen, "shell> ").await;
    terminal.write_all(b"wait; exit\r").await.unwrap();
    tokio::time::timeout(PATIENCE, shell.wait()).await.expect("the shell ends").unwrap();
    assert!(!seen.contains("canary"), "{seen}");
}

/// A shell with jobs on a terminal of its own, with turnlock on its path.
fn shell(instance: &Instance) -> (pty_process::Pty, tokio::process::Child) {
    let (terminal, slave) = pty_process::open().unwrap();
    terminal.resize(pty_process::Size::new(40, 120)).unwrap();
    let shell = pty_process::Command::new("bash")
        .args(["--norc", "--noprofile", "-i"])
        .env_clear()
        .env("PATH", crate::harness::on_path())
        .env("HOME", instance.dir.path())
        .env("PS1", "shell> ")
        .env("TERM", "dumb")
        .env("VAULT_ADDR", &instance.address)
        .env("VAULT_TOKEN", &instance.root)
        .current_dir(instance.dir.path())
        .spawn(slave)
        .unwrap();
    (terminal, shell)
}

/// Reads from the terminal until `wanted` shows.
pub(crate) async fn expect(terminal: &mut pty_process::Pty, seen: &mut String, wanted: &str) {
    let start = Instant::now();
    let mut buffer = [0; 4096];
    while !seen.contains(wanted) {
        assert!(start.elapsed() < PATIENCE, "{wanted:?} does not show in {seen:?}");
        if let Ok(Ok(count)) = tokio::time::timeout(PATIENCE, terminal.read(&mut buffer)).await {
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }
}

/// A PostgreSQL server on a Unix socket.
struct Database {
    child: Child,
    sockets: PathBuf,
}

impl Database {
    /// The superuser's password is [`PASSWORD`].
    fn start(folder: &Path) -> Self {
        let mut programs: Vec<_> =
            std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed by ./test.sh").collect();
        programs.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
        let programs = programs.pop().unwrap().unwrap().path().join("bin");
        let home = folder.join("postgres");
        let (data, sockets, password) = (home.join("data"), home.join("sockets"), home.join("password"));
        std::fs::create_dir_all(&sockets).unwrap();
        std::fs::write(&password, PASSWORD).unwrap();
        if rustix::process::geteuid().is_root() {
            // PostgreSQL refuses to run as root.
            assert!(Command::new("chmod").arg("a+x").arg(folder).status().unwrap().success());
            assert!(Command::new("chown").args(["-R", "postgres"]).arg(&home).status().unwrap().success());
        }
        let mut initdb = as_nobody_special(&programs.join("initdb"));
        initdb
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "--auth=scram-sha-256", "--no-sync", "--pwfile"])
            .arg(&password);
        let output = initdb.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut child = as_nobody_special(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&sockets)
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = child.stderr.take().unwrap();
        let start = Instant::now();
        let mut log = Vec::new();
        let mut chunk = [0; 1024];
        while !String::from_utf8_lossy(&log).contains("ready to accept connections") {
            let count = errors.read(&mut chunk).unwrap();
            assert!(count > 0 && start.elapsed() < PATIENCE, "{}", String::from_utf8_lossy(&log));
            log.extend(&chunk[..count]);
        }
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Self { child, sockets }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A fast shutdown, so that its own processes end with it.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.child.wait();
    }
}

/// The program as the user `postgres` when the test runs as root.
fn as_nobody_special(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}
