//! The programs of `examples/` do what their first lines say.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use turnlock::config::{Config, StorageConfig};

use crate::harness::{Instance, Running, free_port, on_path, text, top};

/// A server with a secret and a workload that may read it.
async fn with_workload() -> (Instance, String, String) {
    with_workload_and("").await
}

/// The same, with more lines of configuration.
async fn with_workload_and(extra: &str) -> (Instance, String, String) {
    let instance = Instance::start_with(extra).await;
    let root = instance.as_root();
    root.put("sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    root.put("secret/data/app/db", json!({"data": {"user": "svc", "password": "tlk_canary_example"}})).await;
    let policy = r#"path "secret/data/app/*" { capabilities = ["read"] }"#;
    root.put("sys/policies/acl/app", json!({"policy": policy})).await;
    root.put("sys/auth/approle", json!({"type": "approle"})).await;
    root.put("auth/approle/role/app", json!({"token_policies": "app"})).await;
    let (_, role) = root.get("auth/approle/role/app/role-id").await;
    let (_, secret) = root.put("auth/approle/role/app/secret-id", json!({})).await;
    (instance, text(&role["data"]["role_id"]), text(&secret["data"]["secret_id"]))
}

#[test]
fn the_servers_configuration_is_accepted() {
    let file = std::fs::read_to_string(top().join("examples/server.hcl")).unwrap();
    let config = Config::parse(&file).unwrap();
    assert!(matches!(config.storage, StorageConfig::Sled { .. }) && config.audit.is_some());
    assert_eq!((config.listeners.len(), config.without_effect.len()), (2, 0));
    // What is commented out is as good as what is not.
    let all = file
        .replace("  # x_", "  x_")
        .replace("# seal", "seal")
        .replace("#   current_key", "current_key")
        .replace("# }", "}");
    assert_ne!(Config::parse(&all).unwrap().seal, config.seal);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workload_logs_in_reads_its_secret_and_revokes_its_token() {
    let (instance, role_id, secret_id) = with_workload().await;
    let secret_id_file = instance.dir.path().join("secret-id");
    std::fs::write(&secret_id_file, secret_id).unwrap();
    let output = Command::new(top().join("target/clients/python/bin/python"))
        .arg(top().join("examples/workload.py"))
        .args(["secret", "app/db"])
        .env("TURNLOCK_ADDR", &instance.address)
        .env("ROLE_ID", role_id)
        .env("SECRET_ID_FILE", secret_id_file)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        printed,
        "version 1 of secret/app/db has the fields password, user\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_rotates_into_a_file_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let extra = format!("agent {{ target_dirs = [\"{}\"] }}", folder.path().display());
    let (instance, ..) = with_workload_and(&extra).await;
    let file = folder.path().join("db-password");
    let output = Command::new(top().join("examples/rotate_into_file.sh"))
        .args(["secret/app/db", "password"])
        .arg(&file)
        .env("PATH", on_path())
        .env("TURNLOCK_ADDR", &instance.address)
        .env("TURNLOCK_TOKEN", &instance.root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (_, now) = instance.as_root().get("secret/data/app/db").await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text(&now["data"]["data"]["password"]));
    assert_ne!(text(&now["data"]["data"]["password"]), "tlk_canary_example");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_takes_what_turnlock_signed_and_nothing_else() {
    let (instance, ..) = with_workload().await;
    let key_file = instance.dir.path().join("signing-key");
    std::fs::write(&key_file, "tlk_canary_signing_key").unwrap();
    let port = free_port();
    let receiver = Command::new("python3")
        .arg(top().join("examples/webhook_receiver.py"))
        .arg(port.to_string())
        .env("SIGNING_KEY_FILE", key_file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut receiver = Running(receiver);
    let url = format!("http://127.0.0.1:{port}/");
    let forged = json!({"secret": "secret/app/db", "field": "password", "value": "mine", "version": 9}).to_string();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = || http.post(&url).header("Turnlock-Signature", "t=1,v1=00").body(forged.clone()).send();
    let status =
        crate::harness::wait_for("the receiver", async || post().await.ok().map(|answer| answer.status())).await;
    assert_eq!(status, 403);
    let targets = json!([{"name": "app", "type": "webhook", "url": url, "signing_key": "tlk_canary_signing_key"}]);
    let definition = json!({"field": "password", "targets": targets});
    let (status, answer) = instance.as_root().put("rotation/definitions/secret/app/db", definition).await;
    assert!(status < 300, "{answer}");
    instance.as_root().put("rotation/run/secret/app/db", json!({})).await;
    let mut said = String::new();
    BufReader::new(receiver.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "version 2 of secret/app/db#password arrived\n");
}

#[test]
fn the_hook_stops_a_commit_with_a_credential_and_lets_others_pass() {
    let dir = tempfile::tempdir().unwrap();
    assert!(git(dir.path(), &["init", "-q"]).status.success());
    std::fs::create_dir_all(dir.path().join(".git/hooks")).unwrap();
    std::os::unix::fs::symlink(top().join("examples/pre-commit.sh"), dir.path().join(".git/hooks/pre-commit")).unwrap();
    std::fs::write(dir.path().join("plain.txt"), "nothing to see\n").unwrap();
    assert!(commit(dir.path()).status.success());
    // Put together here, so that a scan of these sources does not find it.
    let key = ["AKIA", "Q3EGRZ7M5XWT2JLB"].concat();
    std::fs::write(dir.path().join("config.py"), format!("aws_access_key_id = \"{key}\"\n")).unwrap();
    let refused = commit(dir.path());
    assert!(!refused.status.success(), "{}", String::from_utf8_lossy(&refused.stdout));
    assert!(!String::from_utf8_lossy(&refused.stdout).contains(&key));
}

fn commit(folder: &Path) -> Output {
    assert!(git(folder, &["add", "."]).status.success());
    git(folder, &["commit", "-q", "-m", "A change"])
}

fn git(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@test"])
        .args(arguments)
        .env("PATH", on_path())
        .current_dir(folder)
        .output()
        .unwrap()
}
