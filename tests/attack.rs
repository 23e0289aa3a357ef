//! One module for each class of published vulnerability in servers of this kind that touches what exists here. Each test
//! is named for what must hold.

mod approle_object_confusion;
mod audit_blind_spots;
mod audit_file_as_write_primitive;
mod crafted_requests;
mod defaults_too_wide;
mod denial_of_service;
mod eavesdropping;
mod forwarded_headers;
mod framing;
mod hidden_token_issuance;
mod kept_values;
mod lockout_bypass;
mod mount_oracle;
mod narrow_grants;
mod non_expiring_tokens;
mod other_peoples_tokens;
mod path_normalisation;
mod policy_names;
mod policy_templates;
mod secrets_in_error_texts;
mod spellings_and_aliases;
mod targets_as_write_primitive;
mod unauthenticated_administration;
mod user_enumeration;
mod wildcards_and_deny;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Api, Instance, text, top};

/// Every class has its file: one that is renamed or dropped is missed here.
#[test]
fn every_class_of_attack_has_its_file() {
    let classes = [
        "approle_object_confusion",
        "audit_blind_spots",
        "audit_file_as_write_primitive",
        "crafted_requests",
        "defaults_too_wide",
        "denial_of_service",
        "eavesdropping",
        "forwarded_headers",
        "framing",
        "hidden_token_issuance",
        "kept_values",
        "lockout_bypass",
        "mount_oracle",
        "narrow_grants",
        "non_expiring_tokens",
        "other_peoples_tokens",
        "path_normalisation",
        "policy_names",
        "policy_templates",
        "secrets_in_error_texts",
        "spellings_and_aliases",
        "targets_as_write_primitive",
        "unauthenticated_administration",
        "user_enumeration",
        "wildcards_and_deny",
    ];
    let root = std::fs::read_to_string(top().join("tests/attack.rs")).unwrap();
    for class in classes {
        let file = top().join(format!("tests/attack/{class}.rs"));
        let tests = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{class}: {error}"));
        assert!(tests.contains("#[tokio::test") || tests.contains("#[test]"), "{class} tests nothing");
        assert!(root.contains(&format!("mod {class};")), "{class} is not part of the program");
    }
}

/// What the page on security names is there: every file, and every test.
#[test]
fn every_test_that_the_page_on_security_names_exists() {
    let page = std::fs::read_to_string(top().join("SECURITY.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let named: Vec<_> = rows
        .filter_map(|row| row.trim_end_matches('|').rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(named.len() > 70, "{} names", named.len());
    let folders = ["tests", "src", "agent/src", "core/src", "cli/src", "scan/src", "scan/tests"];
    let sources: String = folders
        .into_iter()
        .flat_map(|folder| crafted_requests::walk(&top().join(folder)))
        .filter(|file| file.extension().is_some_and(|kind| kind == "rs"))
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    for name in named {
        match name.contains('/') {
            true => assert!(top().join(name).exists(), "{name} does not exist"),
            false => assert!(sources.contains(&format!("fn {name}(")), "no test {name}"),
        }
    }
}

/// A server with version 2 of key and value at `secret/` and version 1 at `plain/`.
async fn with_mounts() -> Instance {
    let instance = Instance::start().await;
    mount(&instance, "secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    mount(&instance, "plain", json!({"type": "kv", "options": {"version": "1"}})).await;
    instance
}

async fn mount(instance: &Instance, path: &str, body: Value) {
    done(instance.as_root().put(&format!("sys/mounts/{path}"), body).await);
}

async fn enable_auth(instance: &Instance, path: &str, kind: &str) {
    done(instance.as_root().put(&format!("sys/auth/{path}"), json!({"type": kind})).await);
}

async fn write_policy(instance: &Instance, name: &str, rules: &str) {
    done(instance.as_root().put(&format!("sys/policies/acl/{name}"), json!({"policy": rules})).await);
}

/// A new token with `fields` of `auth/token/create`.
async fn token_with(instance: &Instance, fields: Value) -> Value {
    let (status, answer) = instance.as_root().put("auth/token/create", fields).await;
    assert_eq!(status, 200, "{answer}");
    answer["auth"].clone()
}

/// A client whose token has the policy `rules`, stored as `name`, and no other.
async fn holder_of(instance: &Instance, name: &str, rules: &str) -> Api {
    write_policy(instance, name, rules).await;
    instance
        .api(&text(&token_with(instance, json!({"policies": [name], "no_default_policy": true})).await["client_token"]))
}

/// The write was done.
#[track_caller]
fn done((status, answer): (u16, Value)) {
    assert!(matches!(status, 200 | 204), "{status} {answer}");
}

/// The text of the policy-free refusal.
#[track_caller]
fn denied((status, answer): (u16, Value)) {
    assert_eq!(status, 403, "{answer}");
    assert!(answer["errors"].to_string().contains("permission denied"), "{answer}");
}

/// POST, as most clients write.
async fn post(api: &Api, path: &str, body: Value) -> (u16, Value) {
    api.call(Method::POST, path, Some(body)).await
}
