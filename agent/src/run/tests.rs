//! Each test starts this test binary again as the process that runs the program, because the streams, signals and
//! terminal of a whole process are what is tested.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::exit)]

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use turnlock_core::Protected;

use super::Run;

const CANARY: &str = "tlk_canary_run_value";

/// Not a test by itself: what the others start.
#[test]
fn runner() {
    let Ok(script) = std::env::var("TEST_RUN_SCRIPT") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let run = Run {
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
        secrets: vec![("SECRET".to_owned(), Protected::copy_of(CANARY.as_bytes()))],
        settings: vec![("MODE".to_owned(), "test".to_owned())],
        masking: std::env::var("TEST_RUN_PLAIN").is_err(),
    };
    let code = runtime.block_on(run.run()).unwrap();
    std::process::exit(code);
}

fn runner_of(script: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "run::tests::runner", "--nocapture", "-q"]).env("TEST_RUN_SCRIPT", script);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn output_of(script: &str) -> Output {
    runner_of(script).output().await.unwrap()
}

/// A runner whose program has ended while nobody read its output: more than one pipe holds and less than two.
async fn ended_unread() -> (Child, impl Sized) {
    let mut runner = runner_of("head -c 100000 /dev/zero; echo done >&2");
    let mut child = runner.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(errors.next_line().await.unwrap().as_deref(), Some("done"));
    (child, errors)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn one_byte_writes_are_masked_on_both_streams() {
    let script = r#"for stream in 1 2; do i=1; while [ $i -le ${#SECRET} ]; do
        printf %s "$(printf %s "$SECRET" | cut -c$i)" >&$stream; i=$((i+1)); done; echo . >&$stream; done"#;
    let output = output_of(script).await;
    assert!(text(&output.stdout).contains("***."), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("***."), "{}", text(&output.stderr));
}

#[tokio::test]
async fn base64_split_over_two_writes_is_masked() {
    let script = r#"b=$(printf %s "$SECRET" | base64); printf %.9s "$b"; sleep 0.2; echo "${b#?????????}.""#;
    let output = text(&output_of(script).await.stdout);
    assert!(output.contains("***.") && !output.contains("dGxr"), "{output}");
    let whole = text(&output_of(r#"printf %s "$SECRET" | base64"#).await.stdout);
    assert!(whole.contains("***\n"), "{whole}");
}

#[tokio::test]
async fn exit_codes_and_signals_are_returned() {
    assert_eq!(output_of("exit 41").await.status.code(), Some(41));
    assert_eq!(output_of("kill -KILL $$").await.status.code(), Some(137));
}

#[tokio::test]
async fn the_program_gets_the_secret_and_not_our_token() {
    let script = r#"echo "${#SECRET} ${TURNLOCK_TOKEN-none} ${VAULT_TOKEN-none} $MODE""#;
    let mut runner = runner_of(script);
    runner.env("TURNLOCK_TOKEN", "tlk_canary_own").env("VAULT_TOKEN", "tlk_canary_vault");
    let output = text(&runner.output().await.unwrap().stdout);
    assert!(output.contains(&format!("{} none none test", CANARY.len())), "{output}");
}

#[tokio::test]
async fn a_signal_reaches_the_program_which_decides_the_exit_code() {
    let mut child = runner_of("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while lines.next_line().await.unwrap().is_some_and(|line| !line.contains("ready")) {}
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = tokio::time::timeout(Duration::from_secs(10), child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(7));
}

#[tokio::test]
async fn binary_output_passes_unchanged() {
    let output = output_of(r"printf '\000\377\200\001tail'").await;
    assert!(output.stdout.windows(8).any(|window| window == b"\x00\xff\x80\x01tail"), "{:?}", output.stdout);
}

#[tokio::test]
async fn without_masking_the_output_is_as_it_is() {
    let mut runner = runner_of(r#"echo "$SECRET""#);
    let output = runner.env("TEST_RUN_PLAIN", "1").output().await.unwrap();
    assert!(text(&output.stdout).contains(CANARY));
}

/// What a reader had not taken when the program ended was cut off after a moment, with exit code 0. Output waits for its
/// reader, however slow.
#[tokio::test]
async fn a_slow_reader_gets_all_of_the_output() {
    let (mut child, _errors) = ended_unread().await;
    // Longer than what descendants of the program are waited for.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).await.unwrap();
    assert_eq!(output.iter().filter(|byte| **byte == 0).count(), 100_000);
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn who_waits_for_a_reader_can_be_told_to_end() {
    let (mut child, _errors) = ended_unread().await;
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    tokio::time::timeout(Duration::from_secs(10), child.wait()).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn a_descendant_that_writes_on_and_on_does_not_hold_us() {
    let outcome = tokio::time::timeout(Duration::from_secs(20), async {
        let mut child = runner_of("yes & echo $! >&2").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let reading = tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await });
        let mut errors = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut errors).await.unwrap();
        child.wait().await.unwrap();
        reading.await.unwrap().unwrap();
        errors
    });
    let errors = outcome.await.expect("it ends");
    let pid = errors.split_whitespace().rev().find_map(|word| word.parse().ok()).unwrap();
    // It may have noticed that nobody reads any more.
    let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL);
}

#[tokio::test]
async fn a_descendant_that_keeps_the_stream_does_not_hold_us() {
    let outcome = tokio::time::timeout(Duration::from_secs(10), async {
        let mut child = runner_of("sleep 30 & echo $!").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = String::new();
        child.stdout.take().unwrap().read_to_string(&mut output).await.unwrap();
        child.wait().await.unwrap();
        output
    });
    let output = outcome.await.unwrap();
    let pid = output.split_whitespace().rev().find_map(|word| word.parse().ok()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
}

/// Runs `script` under a terminal of 33 rows and 101 columns, types `typed` once `prompt` has appeared, and returns
/// what the terminal shows.
async fn on_terminal(script: &str, prompt: &str, typed: &str) -> String {
    use tokio::io::AsyncWriteExt as _;
    let (mut pty, pts) = pty_process::open().unwrap();
    pty.resize(pty_process::Size::new(33, 101)).unwrap();
    let command = pty_process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "run::tests::runner", "--nocapture", "-q"])
        .env("TEST_RUN_SCRIPT", script)
        .kill_on_drop(true);
    let mut child = command.spawn(pts).unwrap();
    let mut shown = String::new();
    let mut typed = Some(typed);
    let reading = async {
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = pty.read(&mut buffer).await {
            shown.push_str(&String::from_utf8_lossy(buffer.get(..length).unwrap()));
            if shown.contains(prompt)
                && let Some(typed) = typed.take()
            {
                pty.write_all(typed.as_bytes()).await.unwrap();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(15), reading).await.expect("the terminal is closed in time");
    child.wait().await.unwrap();
    shown
}

#[tokio::test]
async fn a_terminal_stays_a_terminal_of_the_same_size_and_is_masked() {
    let script = r#"test -t 0 && test -t 1 && test -t 2 && echo all-tty; stty size; echo "<$SECRET>""#;
    let shown = on_terminal(script, "\0", "").await;
    assert!(shown.contains("all-tty"), "{shown}");
    assert!(shown.contains("33 101"), "{shown}");
    assert!(shown.contains("<***>") && !shown.contains(CANARY), "{shown}");
}

#[tokio::test]
async fn keys_reach_the_program_and_a_prompt_that_begins_a_secret_appears() {
    let shown = on_terminal("printf 'name: t'; read answer; echo \"got:$answer\"", "name: t", "me\r").await;
    assert!(shown.contains("got:me"), "{shown}");
}
