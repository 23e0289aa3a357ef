//! Where the audit goes is said by the configuration file alone.

use serde_json::json;

use super::with_mounts;

#[tokio::test]
async fn the_api_names_no_audit_file() {
    let instance = with_mounts().await;
    let root = instance.as_root();
    let target = instance.dir.path().join("written-by-the-audit");
    for options in [
        json!({"file_path": target}),
        json!({"path": target, "prefix": "#!/bin/sh\n"}),
        json!({"file_path": target, "mode": "0777"}),
        json!({"address": "127.0.0.1:9", "socket_type": "tcp"}),
    ] {
        for kind in ["file", "socket", "syslog"] {
            let (status, answer) = root.put("sys/audit/evil", json!({"type": kind, "options": options})).await;
            assert!((400..500).contains(&status), "{kind} {options}: {status} {answer}");
        }
    }
    assert!(!target.exists());
    let (_, answer) = root.get("sys/audit").await;
    assert!(!answer.to_string().contains("evil"), "{answer}");
    // Nor can the device be taken away.
    for name in ["file", "evil"] {
        let (status, answer) = root.delete(&format!("sys/audit/{name}")).await;
        assert!((400..500).contains(&status), "{status} {answer}");
    }
    let before = std::fs::metadata(instance.audit_path()).unwrap().len();
    assert_eq!(root.get("sys/mounts").await.0, 200);
    assert!(std::fs::metadata(instance.audit_path()).unwrap().len() > before, "the audit was taken away");
}
