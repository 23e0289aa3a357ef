//! Definitions: what is refused, what stays, and what takes which rights.

use serde_json::{Value, json};

use super::{SECRET, define, serving, turnlock};
use crate::harness::text;

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_can_work_on_no_machine_is_refused_by_its_member() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    let hook = |url| json!({"name": "a", "type": "webhook", "url": url, "signing_key": "tlk_signing_key_made_up"});
    for (target, said) in [
        (json!({"name": "a", "type": "file", "path": "/run/../etc/tlk_canary_path"}), "targets[0].path: must be"),
        (json!({"name": "a", "type": "file", "tlk_canary": 1}), "targets[0]: must have no members but those of a file"),
        (json!({"name": "a", "type": "file", "path": "run/tlk_canary_path"}), "targets[0].path: must be"),
        (json!({"name": "a", "type": "file", "path": "/run/tlk_canary_path\n"}), "targets[0].path: must be"),
        (json!({"name": "a\u{1b}", "type": "file", "path": "/run/key"}), "targets[0].name: must be"),
        (json!({"name": "a", "type": "file", "path": "/run/key", "signal": "HUP"}), "targets[0].signal: needs"),
        (hook("https://tlk_canary_user:word@app.test/"), "targets[0].url: must hold no user"),
        (hook("https://app.test:70000/tlk_canary_path"), "targets[0].url: must have a port"),
        (hook("https:///?tlk_canary_query"), "targets[0].url: must"),
        (hook("http://app.test/tlk_canary_path"), "targets[0].url: must start with https:// unless"),
        (hook("https://169.254.169.254/tlk_canary_path"), "targets[0].url: must not lead to a link-local"),
    ] {
        let definition = json!({"field": "key", "targets": [target]});
        let (status, answer) = instance.as_root().put(&format!("rotation/definitions/{SECRET}"), definition).await;
        assert_eq!(status, 400, "{answer}");
        let error = text(&answer["errors"][0]);
        assert!(error.starts_with(said) && !error.contains("canary"), "{error}");
    }
}

/// Cause: `rotate set` sent every field. Loss: a second call with another length dropped the targets without a word.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_named_stays_and_is_told_and_what_goes_is_named() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    let set = |words: &[&str]| turnlock(&instance, &[&["rotate", "set", SECRET], words].concat());
    let target = r#"{"name": "app", "type": "file", "path": "/nowhere/key"}"#;
    let (said, _, code) =
        set(&["-field=key", "-prefix=app_", "-schedule=0 3 * * 1", "-zone=Europe/Berlin", "-targets", target]);
    assert!(
        said.contains("is defined") && said.contains("runs next at 2") && said.contains("pushed to: app"),
        "{said}"
    );
    assert_eq!(code, 0);
    let (said, ..) = set(&["-length=40"]);
    assert!(said.contains("is changed") && said.contains("kept as it was: schedule, zone, targets"), "{said}");
    turnlock(&instance, &["rotate", "pause", SECRET]);
    let (said, ..) = set(&["-grace=2h"]);
    assert!(
        said.contains("held back") && said.contains("kept as it was: rotator, schedule, zone, targets, paused"),
        "{said}"
    );
    let read = async || instance.as_root().get(&format!("rotation/definitions/{SECRET}")).await.1["data"].clone();
    let now = read().await;
    assert_eq!(now["rotator"], json!({"type": "generate", "length": 40, "prefix": "app_"}));
    assert_eq!((&now["grace_seconds"], &now["field"]), (&json!(7200), &json!("key")));
    assert_eq!(now["targets"].as_array().map(Vec::len), Some(1));
    let (said, ..) = set(&["-no-targets", "-no-schedule"]);
    assert!(said.contains("nobody is pushed to") && !said.contains("targets"), "{said}");
    let now = read().await;
    assert_eq!((&now["targets"], &now["schedule"]), (&json!([]), &Value::Null));
}

/// Who may not name a file may not decide either what goes into one that somebody else has named.
#[tokio::test(flavor = "multi_thread")]
async fn changing_a_rotation_takes_the_rights_to_all_that_stays() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    define(&instance, json!([{"name": "app", "type": "file", "path": "/nowhere/key"}])).await;
    let root = instance.as_root();
    let rules = r#"path "secret/data/app/*" { capabilities = ["read", "update"] }
                   path "rotation/definitions/*" { capabilities = ["create", "update"] }"#;
    root.put("sys/policies/acl/holder", json!({"policy": rules})).await;
    let (_, made) = root.put("auth/token/create", json!({"policies": ["holder"]})).await;
    let holder = instance.api(&text(&made["auth"]["client_token"]));
    let put = async |body: Value| holder.put(&format!("rotation/definitions/{SECRET}"), body).await.0;
    assert_eq!(put(json!({"rotator": {"type": "generate", "prefix": "* * * * * root "}})).await, 403);
    let words = ["rotate", "set", SECRET, "-targets", r#"{"name": "app", "type": "file", "path": "/nowhere/key"}"#];
    let refused = instance.command(holder.token()).args(words).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("`sudo` there besides, because targets[0] lies on the agent's machine"), "{said}");
    assert_eq!(put(json!({"targets": []})).await, 200);
    assert_eq!(put(json!({"rotator": {"type": "generate", "prefix": "app_"}})).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slip_in_a_name_is_told_and_a_new_field_is_announced() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    let (_, said, code) = turnlock(&instance, &["rotate", "set", "secret/app/kye", "-field=key"]);
    assert!(said.contains("there is no secret at this path") && code == 2, "{said}");
    let (done, said, code) = turnlock(&instance, &["rotate", "set", SECRET, "-field=kye"]);
    assert!(said.contains("no such field yet") && done.contains("is defined") && code == 0, "{said}{done}");
    for verb in ["pause", "unpause", "run", "history", "abort", "resume", "get"] {
        let (_, said, code) = turnlock(&instance, &["rotate", verb, "secret/app/other"]);
        assert!(said.contains("no rotation is defined for secret/app/other") && code == 2, "{verb}: {said}");
        assert!(said.contains("turnlock rotate set"), "{verb}: {said}");
    }
    let (_, said, code) = turnlock(&instance, &["rotate", "history", SECRET]);
    assert!(said.contains("nothing was run yet") && code == 0, "{said}");
    turnlock(&instance, &["rotate", "pause", SECRET]);
    let (_, said, _) = turnlock(&instance, &["rotate", "resume", SECRET]);
    assert!(said.contains("unpause"), "{said}");
}
