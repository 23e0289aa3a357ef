//! Real clients of the protocol do their work against the real server: hvac, node-vault, vaultrs.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Instance, top};

/// Runs a client's script; it exits with 0 when all it asked for was as its library expects.
fn run(instance: &Instance, program: PathBuf, arguments: &[&str]) {
    assert!(program.exists(), "{} is missing: ./test.sh installs the clients", program.display());
    let output = Command::new(program)
        .args(arguments)
        .env("VAULT_ADDR", &instance.address)
        .env("VAULT_TOKEN", &instance.root)
        .env("NODE_PATH", clients().join("node/node_modules"))
        .env_remove("http_proxy")
        .env_remove("HTTP_PROXY")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}\n{}", text(&output.stdout), text(&output.stderr), instance.log());
}

fn clients() -> PathBuf {
    top().join("target/clients")
}

fn script(name: &str) -> String {
    top().join("tests/wire").join(name).display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn hvac_reads_writes_logs_in_wraps_and_judges() {
    let instance = Instance::start().await;
    run(&instance, clients().join("python/bin/python"), &[&script("client.py")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn node_vault_reads_writes_logs_in_wraps_and_judges() {
    let instance = Instance::start().await;
    let path = std::env::var_os("PATH").unwrap();
    let node = std::env::split_paths(&path)
        .map(|dir| dir.join("node"))
        .find(|path| path.exists())
        .expect("node is installed by ./test.sh");
    run(&instance, node, &[&script("client.js")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn vaultrs_reads_writes_logs_in_wraps_and_judges() {
    let instance = Instance::start().await;
    run(&instance, clients().join("vaultrs/debug/vaultrs-client"), &[]);
}
