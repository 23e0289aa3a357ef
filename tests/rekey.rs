//! New shares in the place of the old ones, over the API and with the command.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{Api, Instance, text};

/// Begins to make two new shares, of which both are needed, and submits the old one.
async fn rekey(instance: &Instance, verify: bool) -> Value {
    let root = instance.as_root();
    let body = json!({"secret_shares": 2, "secret_threshold": 2, "require_verification": verify});
    let (status, begun) = root.put("sys/rekey/init", body).await;
    assert_eq!((status, &begun["verification_required"]), (200, &json!(verify)), "{begun}");
    assert!(begun.get("verification_nonce").is_none(), "{begun}");
    let (status, made) = root.put("sys/rekey/update", json!({"key": instance.key, "nonce": begun["nonce"]})).await;
    assert_eq!(
        (status, &made["complete"], &made["verification_required"]),
        (200, &json!(true), &json!(verify)),
        "{made}"
    );
    assert_eq!(made["keys"].as_array().unwrap().len(), 2);
    made
}

/// Whether these shares unseal the server, which is sealed before.
async fn unseals(instance: &Instance, shares: &[&Value]) -> bool {
    let root = instance.as_root();
    assert_eq!(root.put("sys/seal", json!({})).await.0, 204);
    let mut last = (0, Value::Null);
    for share in shares {
        last = instance.api("").put("sys/unseal", json!({ "key": share })).await;
    }
    let open = last.0 == 200 && last.1["sealed"] == json!(false);
    if !open {
        instance.api("").put("sys/unseal", json!({"reset": true})).await;
    }
    open
}

async fn submit(root: &Api, share: &Value, nonce: &Value) -> (u16, Value) {
    root.put("sys/rekey/verify", json!({"key": share, "nonce": nonce})).await
}

#[tokio::test]
async fn without_verification_the_new_shares_are_in_force_at_once() {
    let instance = Instance::start().await;
    let made = rekey(&instance, false).await;
    assert!(made.get("verification_nonce").is_none(), "{made}");
    assert_eq!(instance.as_root().get("sys/rekey/verify").await.0, 400);
    assert!(!unseals(&instance, &[&json!(instance.key)]).await);
    let keys = instance_unsealed_by(&instance, &made).await;
    assert!(unseals(&instance, &[&keys[1], &keys[0]]).await);
}

async fn instance_unsealed_by(instance: &Instance, made: &Value) -> Vec<Value> {
    let keys = made["keys"].as_array().unwrap().clone();
    for key in &keys {
        instance.api("").put("sys/unseal", json!({ "key": key })).await;
    }
    keys
}

/// Whoever lost the new shares on the way still has the old ones.
#[tokio::test]
async fn with_verification_the_old_shares_hold_until_the_new_ones_were_submitted() {
    let instance = Instance::start().await;
    let root = instance.as_root();
    // A seal gives it up, and nothing is changed.
    let lost = rekey(&instance, true).await;
    assert!(unseals(&instance, &[&json!(instance.key)]).await);
    assert_eq!(submit(&root, &lost["keys"][0], &lost["verification_nonce"]).await.0, 400);

    let made = rekey(&instance, true).await;
    let (keys, nonce) = (&made["keys"], &made["verification_nonce"]);
    let (_, status) = root.get("sys/rekey/init").await;
    assert_eq!((&status["started"], &status["verification_nonce"]), (&json!(true), nonce), "{status}");
    assert_eq!(root.put("sys/rekey/update", json!({"key": instance.key, "nonce": made["nonce"]})).await.0, 400);

    let verification =
        |nonce: &Value, progress: u64| json!({"nonce": nonce, "started": true, "t": 2, "n": 2, "progress": progress});
    assert_eq!(root.get("sys/rekey/verify").await, (200, verification(nonce, 0)));
    assert_eq!(submit(&root, &keys[0], &json!("another")).await.0, 400);
    assert_eq!(submit(&root, &keys[0], nonce).await, (200, verification(nonce, 1)));
    assert_eq!(submit(&root, &keys[0], nonce).await, (200, verification(nonce, 1)), "one share counts once");
    // Shares of something else make another key, and all is submitted again.
    let (status, answer) = submit(&root, &lost["keys"][1], nonce).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(root.get("sys/rekey/verify").await, (200, verification(nonce, 0)));
    // Begun anew, the old nonce is worth nothing.
    submit(&root, &keys[0], nonce).await;
    let (status, anew) = root.delete("sys/rekey/verify").await;
    assert_eq!((status, &anew["progress"]), (200, &json!(0)));
    assert_ne!(&anew["nonce"], nonce);
    assert_eq!(submit(&root, &keys[0], nonce).await.0, 400);
    submit(&root, &keys[0], &anew["nonce"]).await;
    assert_eq!(submit(&root, &keys[1], &anew["nonce"]).await, (200, json!({"nonce": anew["nonce"], "complete": true})));
    assert_eq!(root.get("sys/rekey/init").await.1["started"], json!(false));

    assert!(!unseals(&instance, &[&json!(instance.key)]).await, "the old share still opens");
    let keys = instance_unsealed_by(&instance, &made).await;
    assert!(unseals(&instance, &[&keys[0], &keys[1]]).await);
}

#[tokio::test]
async fn the_command_asks_for_the_new_shares_before_the_old_ones_end() {
    let instance = Instance::start().await;
    let rekey = |arguments: &[&str], share: &str| -> Output {
        let mut command = instance.command(&instance.root);
        command.args(["operator", "rekey"]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(share.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let json = |output: &Output| -> Value {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let begun = rekey(&["-init", "-verify", "-key-shares=2", "-key-threshold=2", "-format=json"], "");
    assert_eq!(json(&begun)["verification_required"], json!(true));
    let made = json(&rekey(&["-format=json", "-"], &instance.key));
    let keys = [text(&made["keys_base64"][0]), text(&made["keys_base64"][1])];
    assert_eq!(json(&rekey(&["-verify", "-format=json", "-"], &keys[0]))["progress"], json!(1));
    assert_eq!(json(&rekey(&["-verify", "-status", "-format=json"], ""))["progress"], json!(1));
    // To give up the submissions is not to give up the rekeying.
    let forgotten = String::from_utf8(rekey(&["-verify", "-cancel"], "").stdout).unwrap();
    assert!(forgotten.contains("The rekeying itself goes on"), "{forgotten}");
    assert_eq!(json(&rekey(&["-verify", "-status", "-format=json"], ""))["progress"], json!(0));
    assert_eq!(json(&rekey(&["-verify", "-format=json", "-"], &keys[0]))["progress"], json!(1));
    assert_eq!(json(&rekey(&["-verify", "-format=json", "-"], &keys[1]))["complete"], json!(true));
    assert!(unseals(&instance, &[&json!(keys[0]), &json!(keys[1])]).await);
}
