//! Who may not see a mount cannot find out whether it is there, and no answer is kept by anything in between.

use serde_json::json;

use super::{done, holder_of, with_mounts};
use crate::raw;

#[tokio::test]
async fn a_missing_mount_answers_like_a_forbidden_one() {
    let instance = with_mounts().await;
    done(instance.as_root().put("secret/data/there", json!({"data": {"a": 1}})).await);
    let holder = holder_of(&instance, "nothing", r#"path "cubbyhole/*" { capabilities = ["read"] }"#).await;
    let stranger = instance.api("");
    let guesser = instance.api("tlk_s_0000000000000000000000000000000000000000000000");
    for client in [&holder, &stranger, &guesser] {
        for (method, body) in [("GET", ""), ("LIST", ""), ("PUT", r#"{"data":{"a":1}}"#), ("DELETE", ""), ("PURGE", "")]
        {
            let mut answers = Vec::new();
            for path in ["secret/data/there", "secret/data/missing", "nomount/data/there", "sys/policies/acl/there"] {
                let answer = raw::call(&instance, method, &format!("/v1/{path}"), client.token(), body).await;
                answers.push((answer.status, answer.body));
            }
            answers.dedup();
            assert_eq!(answers.len(), 1, "{method} tells them apart: {answers:?}");
            assert!((400..500).contains(&answers[0].0), "{method}: {answers:?}");
        }
        for path in ["secret", "plain", "nomount"] {
            let (status, answer) = client.get(&format!("sys/internal/ui/mounts/{path}")).await;
            assert_eq!(status, 403, "{path}: {answer}");
        }
    }
    let (status, answer) = stranger.get("sys/internal/ui/mounts").await;
    assert!(status == 403 || !answer.to_string().contains("plain"), "{answer}");
}

#[tokio::test]
async fn no_answer_is_kept_in_a_cache() {
    let instance = with_mounts().await;
    done(instance.as_root().put("secret/data/there", json!({"data": {"a": 1}})).await);
    for (method, path, token) in [
        ("GET", "secret/data/there", instance.root.as_str()),
        ("GET", "secret/data/missing", &instance.root),
        ("GET", "secret/data/there", ""),
        ("GET", "sys/health", ""),
        ("GET", "sys/seal-status", ""),
        ("GET", "auth/token/lookup-self", &instance.root),
        ("GET", "secret/data/../x", &instance.root),
        ("DELETE", "secret/data/there", &instance.root),
    ] {
        let answer = raw::call(&instance, method, &format!("/v1/{path}"), token, "").await;
        let head = answer.head.to_ascii_lowercase();
        assert!(head.contains("\r\ncache-control: no-store"), "{method} {path}: {answer:?}");
        assert!(!head.contains("\r\nset-cookie:") && !head.contains("\r\nlocation:"), "{method} {path}: {answer:?}");
    }
}
