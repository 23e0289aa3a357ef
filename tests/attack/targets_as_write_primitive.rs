//! A rotation writes files and calls services with the agent's rights, so that not everybody with a secret may say which.

use serde_json::{Value, json};

use super::{denied, done, holder_of, post, with_mounts};
use crate::harness::{Api, Instance, wait_for};

/// Everything about one secret and its rotation, and `more` of the definition.
fn rules(more: &str) -> String {
    format!(
        r#"path "secret/data/team/*" {{ capabilities = ["create", "read", "update"] }}
           path "rotation/definitions/secret/team/*" {{ capabilities = ["create", "update"{more}] }}
           path "rotation/run/secret/team/*" {{ capabilities = ["update"] }}"#
    )
}

async fn team(instance: &Instance, name: &str, more: &str) -> Api {
    let holder = holder_of(instance, name, &rules(more)).await;
    done(post(&holder, &format!("secret/data/team/{name}"), json!({"data": {"key": "tlk_canary_team"}})).await);
    holder
}

fn definition(target: Value) -> Value {
    let rotator = json!({"type": "generate", "length": 16, "prefix": "* * * * * root sh /tmp/x #"});
    json!({"field": "key", "rotator": rotator, "targets": [target]})
}

#[tokio::test]
async fn who_holds_a_secret_names_nothing_on_the_machine_of_the_agent() {
    let instance = with_mounts().await;
    let holder = team(&instance, "plain", "").await;
    let victim = instance.dir.path().join("victim");
    std::fs::write(&victim, "theirs").unwrap();
    let file = json!({"name": "a", "type": "file", "path": victim, "adopt": true});
    for target in [
        file.clone(),
        json!({"name": "a", "type": "file", "path": instance.audit_path(), "adopt": true}),
        json!({"name": "a", "type": "file", "path": "/nowhere", "pid_file": "/run/x.pid", "signal": "TERM"}),
        json!({"name": "a", "type": "webhook", "url": "http://127.0.0.1:9/", "signing_key": "tlk_canary_signing"}),
        json!({"name": "a", "type": "webhook", "url": "https://app.test/", "signing_key": "tlk_canary_signing", "ca_file": "/etc/shadow"}),
    ] {
        denied(post(&holder, "rotation/definitions/secret/team/plain", definition(target)).await);
    }
    assert_eq!(post(&holder, "rotation/run/secret/team/plain", json!({})).await.0, 404, "nothing was defined");
    // A service elsewhere proves who it is by its certificate.
    let elsewhere =
        json!({"name": "a", "type": "webhook", "url": "https://app.test/", "signing_key": "tlk_canary_signing"});
    done(post(&holder, "rotation/definitions/secret/team/plain", definition(elsewhere)).await);
    // And a definition that is there already is not changed into one that does.
    denied(post(&holder, "rotation/definitions/secret/team/plain", definition(file.clone())).await);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "theirs");

    let trusted = team(&instance, "trusted", r#", "sudo""#).await;
    done(post(&trusted, "rotation/definitions/secret/team/trusted", definition(file)).await);
    done(post(&trusted, "rotation/run/secret/team/trusted", json!({})).await);
    wait_for("the file", async || std::fs::read_to_string(&victim).ok().filter(|text| text != "theirs")).await;
}
