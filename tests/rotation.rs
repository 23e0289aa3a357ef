//! Rotations as an operator meets them: what is defined, what stands in the way of a target, what the history says of it.

use serde_json::{Value, json};

use crate::harness::{Instance, text, wait_for};

const SECRET: &str = "secret/app/key";

/// A server whose agent may write below `folder`, with a secret at [`SECRET`].
async fn serving(folder: &std::path::Path) -> Instance {
    let instance = Instance::start_with(&format!("agent {{ target_dirs = [\"{}\"] }}", folder.display())).await;
    let root = instance.as_root();
    root.put("sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    root.put("secret/data/app/key", json!({"data": {"key": "tlk_canary_first"}})).await;
    instance
}

/// Runs `turnlock` as root; answers standard output, standard error and the exit code.
fn turnlock(instance: &Instance, words: &[&str]) -> (String, String, i32) {
    let output = instance.command(&instance.root).args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

async fn define(instance: &Instance, targets: Value) {
    let definition = json!({"field": "key", "targets": targets});
    let (status, answer) = instance.as_root().put(&format!("rotation/definitions/{SECRET}"), definition).await;
    assert!(status < 300, "{answer}");
}

async fn run(instance: &Instance) {
    let (status, answer) = instance.as_root().put(&format!("rotation/run/{SECRET}"), json!({})).await;
    assert!(status < 300, "{answer}");
}

/// The newest attempt, once `condition` holds for it.
async fn attempt(instance: &Instance, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, async || {
        let (_, answer) = instance.as_root().get(&format!("rotation/history/{SECRET}")).await;
        let newest = answer["data"]["attempts"].as_array()?.first()?.clone();
        condition(&newest).then_some(newest)
    })
    .await
}

/// The number of the newest version, whether readers get it or not.
async fn versions(instance: &Instance) -> usize {
    let (_, answer) = instance.as_root().get("secret/metadata/app/key").await;
    answer["data"]["versions"].as_object().unwrap().len()
}

/// Cause: targets were looked at only after the new version was in force. Loss: consumers of a target that could not be
/// written stood there with the old value. Fix: what cannot be handed out is not made.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_out_of_reach_stops_an_attempt_before_anything_changes_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let instance = serving(folder.path()).await;
    let (good, late) = (folder.path().join("good"), folder.path().join("late/key"));
    define(
        &instance,
        json!([
            {"name": "good", "type": "file", "path": good},
            {"name": "late", "type": "file", "path": late},
            {"name": "hook", "type": "webhook", "url": "http://127.0.0.1:1/", "signing_key": "tlk_canary_signing"},
        ]),
    )
    .await;
    run(&instance).await;
    let row = attempt(&instance, "a second try", |row| row["tries"].as_u64() >= Some(2)).await;
    assert_eq!((&row["state"], &row["step"], &row["version"]), (&json!("running"), &json!("create"), &Value::Null));
    let found = row["obstacles"].as_array().unwrap();
    let named: Vec<_> = found.iter().map(|one| (text(&one["target"]), text(&one["reason"]))).collect();
    assert_eq!(named[0], ("late".to_owned(), "its folder does not exist".to_owned()));
    assert_eq!(named[1], ("hook".to_owned(), "no connection, or no answer in time".to_owned()));
    assert!(named.len() == 2 && found[0]["times"].as_u64() >= Some(2), "{row}");
    assert_eq!(versions(&instance).await, 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was written");

    let (table, notes, code) = turnlock(&instance, &["rotate", "history", SECRET]);
    let line =
        table.lines().find(|line| line.contains("its folder does not exist")).unwrap_or_else(|| panic!("{table}"));
    assert!(line.contains("late") && line.contains("create") && line.starts_with("20"), "{table}");
    assert!(notes.contains("tried again at") && code == 0, "{notes}");

    // What was in the way goes away, and the attempt goes on by itself.
    std::fs::create_dir(folder.path().join("late")).unwrap();
    define(
        &instance,
        json!([{"name": "good", "type": "file", "path": good}, {"name": "late", "type": "file", "path": late}]),
    )
    .await;
    attempt(&instance, "success", |row| row["state"] == "succeeded").await;
    let value = std::fs::read_to_string(&late).unwrap();
    assert_eq!(std::fs::read_to_string(&good).unwrap(), value);
    let (table, ..) = turnlock(&instance, &["rotate", "history", SECRET]);
    assert!(table.contains("succeeded") && !table.contains(&value), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_failed_without_effect_makes_way_for_the_next_run() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let instance = serving(folder.path()).await;
    define(&instance, json!([{"name": "app", "type": "file", "path": elsewhere.path().join("key")}])).await;
    run(&instance).await;
    let row = attempt(&instance, "failure", |row| row["state"] == "failed").await;
    assert_eq!((&row["failure"], versions(&instance).await), (&json!("misconfigured"), 1), "{row}");
    let (table, notes, _) = turnlock(&instance, &["rotate", "history", SECRET]);
    assert!(table.contains("-target-dir") && notes.contains("nothing was changed"), "{table}{notes}");
    // The schedule does not stand still for it.
    let path = folder.path().join("key");
    let target = json!([{"name": "app", "type": "file", "path": path}]);
    let definition = json!({"field": "key", "targets": target, "schedule": "* * * * * *"});
    let (status, answer) = instance.as_root().put(&format!("rotation/definitions/{SECRET}"), definition).await;
    assert!(status < 300, "{answer}");
    let row = attempt(&instance, "the next run", |row| row["state"] == "succeeded").await;
    assert_eq!(row["cause"], "schedule");
    let (_, history) = instance.as_root().get(&format!("rotation/history/{SECRET}")).await;
    let states: Vec<_> =
        history["data"]["attempts"].as_array().unwrap().iter().map(|row| text(&row["state"])).collect();
    assert!(states.last().is_some_and(|state| state == "failed") && states.len() >= 2, "{states:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_can_work_on_no_machine_is_refused_by_its_member() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    for (target, said) in [
        (json!({"name": "a", "type": "file", "path": "/run/../etc/tlk_canary_path"}), "target 1: path must be"),
        (json!({"name": "a", "type": "file", "path": "run/tlk_canary_path"}), "target 1: path must be"),
        (json!({"name": "a", "type": "file", "path": "/run/tlk_canary_path\n"}), "target 1: path must be"),
        (json!({"name": "a\u{1b}", "type": "file", "path": "/run/key"}), "target 1: name must be"),
        (json!({"name": "a", "type": "file", "path": "/run/key", "signal": "HUP"}), "target 1: signal needs"),
    ] {
        let definition = json!({"field": "key", "targets": [target]});
        let (status, answer) = instance.as_root().put(&format!("rotation/definitions/{SECRET}"), definition).await;
        assert_eq!(status, 400, "{answer}");
        let error = text(&answer["errors"][0]);
        assert!(error.starts_with(said) && !error.contains("canary"), "{error}");
    }
}
