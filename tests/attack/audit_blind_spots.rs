//! Every request leaves a record, the ones refused early too; no record shows a secret; a lost device is noticed.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{done, mount, post, token_with, with_mounts};
use crate::harness::{BINARY, Instance, text, wait_for};
use crate::raw;
use crate::small_disk::SmallDisk;

fn records(instance: &Instance) -> usize {
    std::fs::read_to_string(instance.audit_path()).unwrap().lines().count()
}

#[tokio::test]
async fn requests_refused_early_leave_a_record() {
    let instance = with_mounts().await;
    let token = &instance.root;
    let head = |extra: &str| {
        format!(
            "PUT /v1/secret/data/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Vault-Token: {token}\r\n{extra}\r\n"
        )
    };
    for (what, bytes) in [
        ("traversal", raw::request("GET", "/v1/secret/data/../x", token, "")),
        ("bad UTF-8", raw::request("GET", "/v1/secret/data/%ff", token, "")),
        ("long path", raw::request("GET", &format!("/v1/secret/data/{}", "a".repeat(3000)), token, "")),
        ("malformed body", raw::request("PUT", "/v1/secret/data/x", token, "{\"data\":")),
        ("second value", raw::request("PUT", "/v1/secret/data/x", token, "{\"data\":{}}{}")),
        ("deep body", raw::request("PUT", "/v1/secret/data/x", token, &format!("{{\"data\":{}", "[".repeat(5000)))),
        ("oversize body", head("Content-Length: 99999999999\r\n").into_bytes()),
        ("bad wrap TTL", head("X-Vault-Wrap-TTL: soon\r\nContent-Length: 0\r\n").into_bytes()),
        ("namespace", head("X-Vault-Namespace: other\r\nContent-Length: 0\r\n").into_bytes()),
        ("unknown verb", raw::request("PURGE", "/v1/secret/data/x", token, "")),
        ("wrong patch", head("Content-Length: 2\r\n\r\n{}").replace("PUT", "PATCH").into_bytes()),
        ("bad flag", raw::request("GET", "/v1/secret/metadata/x?list=perhaps", token, "")),
        ("no token", raw::request("GET", "/v1/secret/data/x", "", "")),
        ("unknown token", raw::request("GET", "/v1/secret/data/x", "s.unknown", "")),
        ("huge token", raw::request("GET", "/v1/secret/data/x", &"t".repeat(9000), "")),
        ("unknown mount", raw::request("GET", "/v1/nomount/x", token, "")),
    ] {
        let before = records(&instance);
        let answer = raw::send(&instance, &bytes).await;
        assert!(answer.refused(), "{what}: {answer:?}");
        assert!(records(&instance) > before, "{what} left no record: {answer:?}");
    }
}

#[tokio::test]
async fn no_record_shows_a_token_or_a_value() {
    let instance = with_mounts().await;
    let root = instance.as_root();
    let victim = text(&token_with(&instance, json!({"policies": ["default"], "ttl": "1h"})).await["client_token"]);
    done(root.put("secret/data/a", json!({"data": {"value": "tlk_canary_value"}})).await);
    let _ = root.get("secret/data/a").await;
    let _ = root.put("sys/wrapping/wrap", json!({"value": "tlk_canary_value"})).await;
    // Also where a token does not belong.
    for path in [
        format!("auth/token/lookup/{victim}"),
        format!("auth/token/revoke/{victim}"),
        format!("auth/token/lookup?token={victim}"),
        format!("secret/data/a?token={victim}"),
        format!("sys/wrapping/unwrap/{victim}"),
        format!("secret/data/a?{victim}"),
        format!("secret/data/a?{victim}=1"),
        format!("secret/data/token={victim}"),
        format!("secret/data/a/../{victim}"),
        victim.clone(),
    ] {
        let _ = root.get(&path).await;
        let _ = instance.api("").get(&path).await;
    }
    for body in [
        json!({"token": victim}),
        json!({"id": victim, "accessor": victim}),
        json!({"list": [victim], "deep": {"x": victim}}),
        json!({&victim: 1}),
        json!({format!("token={victim}"): 1}),
    ] {
        let _ = post(&root, "auth/token/lookup", body.clone()).await;
        let _ = post(&root, "auth/token/lookup-self", body).await;
    }
    let audit = std::fs::read_to_string(instance.audit_path()).unwrap();
    for (what, secret) in [
        ("the root token", instance.root.as_str()),
        ("a token", &victim),
        ("a value", "tlk_canary_value"),
        ("the unseal key", &instance.key),
    ] {
        let shown = audit.lines().find(|line| line.contains(secret));
        assert_eq!(shown, None, "{what} stands in the audit");
        assert!(!instance.log().contains(secret), "{what} stands in the log");
    }
}

#[tokio::test]
async fn a_deleted_audit_file_is_noticed() {
    let instance = with_mounts().await;
    let root = instance.as_root();
    std::fs::remove_file(instance.audit_path()).unwrap();
    // Either a new file takes the records, or nothing is served until there is one; never silence.
    wait_for("the loss to be noticed", async || {
        let (status, _) = root.put("plain/after", json!({"value": 1})).await;
        let recorded = std::fs::read_to_string(instance.audit_path()).is_ok_and(|audit| audit.contains("plain/after"));
        (recorded || status == 503).then_some(())
    })
    .await;
    wait_for("a line in the log", async || instance.log().to_lowercase().contains("audit").then_some(())).await;
}

/// A chain that was shortened by whole records is sound in itself, so the store remembers how far it went.
#[tokio::test]
async fn records_cut_off_while_the_server_is_stopped_are_missed() {
    const LOST: &str = "records that the store knows of are missing before this one";
    let mut instance = with_mounts().await;
    let audit = |instance: &Instance| std::fs::read_to_string(instance.audit_path()).unwrap();
    done(instance.as_root().put("plain/hidden", json!({"value": 1})).await);
    // A stop, a kill and a seal lose nothing, and nothing is said to be lost.
    assert!(instance.stop().success());
    for _ in 0..2 {
        instance.spawn().await;
        instance.unseal().await;
        done(instance.as_root().put("plain/seen", json!({"value": 1})).await);
        instance.kill();
    }
    instance.spawn().await;
    instance.unseal().await;
    done(post(&instance.as_root(), "sys/seal", json!({})).await);
    instance.unseal().await;
    assert!(!audit(&instance).contains(LOST) && !instance.log().contains("lost records"), "{}", instance.log());
    assert!(instance.stop().success());

    let whole = audit(&instance);
    let kept = whole.find("plain/hidden").map(|at| whole[..at].rfind('\n').unwrap() + 1).unwrap();
    std::fs::write(instance.audit_path(), &whole[..kept]).unwrap();
    instance.spawn().await;
    instance.unseal().await;
    assert!(instance.log().contains("the audit lost records"), "{}", instance.log());
    wait_for("a record of it", async || audit(&instance).contains(LOST).then_some(())).await;
    assert!(instance.stop().success());
    // Offline it is known from what the server wrote down.
    let verified = Command::new(BINARY).args(["audit", "verify"]).arg(instance.audit_path()).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(!verified.status.success() && said.contains("records are missing"), "{said}");
    // It is said once.
    instance.spawn().await;
    instance.unseal().await;
    assert_eq!(audit(&instance).matches(LOST).count(), 1);
}

#[tokio::test]
async fn after_a_full_disk_the_next_record_stands_alone() {
    let mut instance = Instance::prepare("");
    let folder = instance.dir.path().join("audit");
    let Some(disk) = SmallDisk::mount(&folder, "256k") else { return };
    instance.spawn().await;
    instance.initialize().await;
    mount(&instance, "plain", json!({"type": "kv"})).await;
    let root = instance.as_root();
    let ballast = folder.join("ballast");
    let _ = std::fs::write(&ballast, vec![0; 1 << 20]);
    let start = Instant::now();
    let refused = wait_for("the disk to be full", async || {
        let (status, answer) = root.put("plain/full", json!({"value": "x".repeat(300)})).await;
        (status >= 500).then_some((status, answer))
    })
    .await;
    assert_eq!(refused.0, 503, "{refused:?}");
    let (asked, (status, _)) = (Instant::now(), root.get("plain/full").await);
    assert_eq!(status, 503, "an answer without its record");
    assert!(asked.elapsed() < Duration::from_secs(10) && start.elapsed() < Duration::from_secs(30), "it hangs");
    std::fs::remove_file(&ballast).unwrap();
    wait_for("the device to recover", async || {
        (root.put("plain/again", json!({"value": 1})).await.0 == 204).then_some(())
    })
    .await;
    let audit = std::fs::read_to_string(folder.join("audit.log")).unwrap();
    for line in audit.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "a torn line stays: {line}");
    }
    assert!(audit.lines().any(|line| line.contains("plain/again")));
    assert!(instance.stop().success(), "{}", instance.log());
    let verified = Command::new(BINARY).args(["audit", "verify"]).arg(folder.join("audit.log")).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    drop(disk);
}
