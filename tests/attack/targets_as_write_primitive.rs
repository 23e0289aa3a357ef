//! A rotation writes files and calls services with the agent's rights, so that not everybody with a secret may say which.

use serde_json::{Value, json};

use super::{denied, done, holder_of, post, with_mounts};
use crate::harness::{Api, Instance, text, wait_for};

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
    let hook = |url| json!({"name": "a", "type": "webhook", "url": url, "signing_key": "tlk_canary_signing"});
    for target in [
        file.clone(),
        // What answers there is nobody's business either: the reasons of a history would tell which ports are open.
        hook("https://127.0.0.1:8200/"),
        hook("https://127.1:22/"),
        hook("https://[::1]:22/"),
        hook("https://localhost:22/"),
        hook("https://any.localhost:22/"),
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
}

/// `sudo` on a definition is not the right to write whatever the server's user may write.
#[tokio::test]
async fn who_may_name_a_file_names_one_in_the_folders_of_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let given = folder.path().join("given");
    std::fs::create_dir(&given).unwrap();
    let victim = folder.path().join("victim");
    std::fs::write(&victim, "theirs").unwrap();
    std::os::unix::fs::symlink(folder.path(), given.join("away")).unwrap();
    let instance = Instance::start_with(&format!("agent {{ target_dirs = [\"{}\"] }}", given.display())).await;
    super::mount(&instance, "secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    let holder = team(&instance, "trusted", r#", "sudo""#).await;
    let rotate = async |path: &std::path::Path| {
        let target = json!({"name": "a", "type": "file", "path": path, "adopt": true});
        done(post(&holder, "rotation/definitions/secret/team/trusted", definition(target)).await);
        done(post(&holder, "rotation/run/secret/team/trusted", json!({})).await);
        wait_for("the end of the attempt", async || {
            let (_, answer) = instance.as_root().get("rotation/history/secret/team/trusted").await;
            let attempt = answer["data"]["attempts"].as_array()?.first()?.clone();
            (attempt["state"] != "running").then(|| (text(&attempt["state"]), attempt["failure"].clone()))
        })
        .await
    };
    for outside in [victim.clone(), given.join("away/victim"), instance.audit_path()] {
        assert_eq!(rotate(&outside).await, ("failed".to_owned(), json!("misconfigured")), "{}", outside.display());
        done(post(&instance.as_root(), "rotation/abort/secret/team/trusted", json!({})).await);
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "theirs");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "something was written beside it");
    let inside = given.join("key");
    assert_eq!(rotate(&inside).await.0, "succeeded");
    assert!(std::fs::read_to_string(inside).unwrap().starts_with("* * * * * root"));
}
