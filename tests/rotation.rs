//! Rotations as an operator meets them: what is defined, what stands in the way of a target, what the history says of it.

mod definitions;
mod kill;
mod rest;
mod silence;
mod targets;
mod token;
mod versions;

use serde_json::{Value, json};

use crate::harness::{Instance, wait_for};

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
