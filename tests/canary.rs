//! Planted secrets and their names, through every route that takes one, are found nowhere that is written.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Instance, text};

const PLANTED: usize = 50;

/// A secret and the name under which it is kept; neither occurs anywhere else.
struct Planted {
    name: String,
    value: String,
}

/// Stores each secret in one of the ways in which a server is given one.
async fn plant(instance: &Instance, number: usize, tokens: &mut Vec<String>) -> Planted {
    let name = format!("tlk_canary_name_{number:02}_qzxj");
    let value = format!("tlk_canary_value_{number:02}_vkwp");
    let root = instance.as_root();
    let post = async |path: String, body: Value| {
        let (status, answer) = root.call(Method::POST, &path, Some(body)).await;
        assert!(matches!(status, 200 | 204), "{path}: {status} {answer}");
        answer
    };
    match number % 10 {
        0 => drop(post(format!("secret/data/{name}/leaf"), json!({"data": {"key": value}})).await),
        1 => drop(post(format!("secret/data/folder/{name}"), json!({"data": {&name: value}})).await),
        2 => drop(post(format!("plain/{name}"), json!({&name: {"deep": [value]}})).await),
        3 => drop(post(format!("cubbyhole/{name}"), json!({"key": value})).await),
        4 => drop(post(format!("secret/metadata/{name}"), json!({"custom_metadata": {"note": value}})).await),
        5 => drop(post(format!("auth/userpass/users/{name}"), json!({"password": value})).await),
        6 => {
            post(format!("auth/approle/role/{name}"), json!({"token_policies": ["default"]})).await;
            post(format!("auth/approle/role/{name}/custom-secret-id"), json!({"secret_id": value})).await;
            let role_id = root.get(&format!("auth/approle/role/{name}/role-id")).await.1["data"]["role_id"].clone();
            let body = json!({"role_id": role_id, "secret_id": value});
            let answer = post("auth/approle/login".to_owned(), body).await;
            tokens.push(text(&answer["auth"]["client_token"]));
        }
        7 => {
            let body = json!({"policies": ["default"], "display_name": name, "meta": {"note": value}});
            tokens.push(text(&post("auth/token/create".to_owned(), body).await["auth"]["client_token"]));
        }
        8 => {
            let rule = format!(
                "path \"plain/{name}\" {{ capabilities = [\"create\"] allowed_parameters = {{ \"kind\" = [\"{value}\"] }} }}"
            );
            drop(post(format!("sys/policies/acl/{name}"), json!({"policy": rule})).await);
        }
        _ => {
            for round in 0..3 {
                post(format!("secret/data/{name}"), json!({"data": {"key": format!("{value}-{round}")}})).await;
            }
            assert_eq!(root.get(&format!("secret/data/{name}")).await.0, 200);
            assert!(matches!(root.delete(&format!("secret/data/{name}")).await.0, 200 | 204));
        }
    }
    Planted { name, value }
}

/// Mistakes with secrets in them; gives back what was answered.
async fn mistakes(instance: &Instance, planted: &Planted) -> String {
    let root = instance.as_root();
    let mut answers = String::new();
    let Planted { name, value } = planted;
    for (method, path, body) in [
        (Method::POST, format!("secret/data/{name}"), json!({"data": value})),
        (Method::POST, format!("secret/data/{name}"), json!({"data": {"a": value}, "options": {"cas": value}})),
        (Method::POST, format!("nowhere/{name}"), json!({"key": value})),
        (Method::POST, format!("auth/userpass/login/{name}"), json!({"password": format!("{value}x")})),
        (Method::POST, "auth/approle/login".to_owned(), json!({"role_id": name, "secret_id": value})),
        (Method::POST, "auth/token/lookup".to_owned(), json!({"token": value})),
        (Method::POST, "sys/wrapping/unwrap".to_owned(), json!({"token": value})),
        (Method::GET, format!("secret/data/{name}%2f%2f{value}"), Value::Null),
    ] {
        let body = (!body.is_null()).then_some(body);
        let (status, answer) = root.call(method, &path, body).await;
        assert!(status < 500, "{path}: {answer}");
        if status >= 400 {
            answers.push_str(&answer.to_string());
        }
    }
    answers
}

/// A text as it is and as it is commonly written.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut all = vec![text.as_bytes().to_vec(), hex::encode(text).into_bytes(), hex::encode_upper(text).into_bytes()];
    for encoder in [&STANDARD, &URL_SAFE] {
        // Within a longer text the same bytes have three forms; the characters at the ends depend on the neighbours.
        for shift in 0..3 {
            let encoded = encoder.encode([&vec![b'a'; shift], text.as_bytes()].concat());
            let end = encoded.trim_end_matches('=').len().saturating_sub(2);
            all.push(encoded.as_bytes()[4..end].to_vec());
        }
    }
    all
}

fn search(what: &str, bytes: &[u8], needles: &[(String, Vec<u8>)]) {
    for (name, needle) in needles {
        let found = memchr::memmem::find(bytes, needle);
        assert!(found.is_none(), "{name} stands in {what}");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() { all.extend(files(&entry.path())) } else { all.push(entry.path()) }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_planted_secrets_and_their_names_are_found_nowhere() {
    let mut instance = Instance::start().await;
    let root = instance.as_root();
    for (path, body) in [
        ("sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})),
        ("sys/mounts/plain", json!({"type": "kv"})),
        ("sys/auth/userpass", json!({"type": "userpass"})),
        ("sys/auth/approle", json!({"type": "approle"})),
    ] {
        assert!(matches!(root.put(path, body).await.0, 200 | 204));
    }
    let (mut planted, mut tokens) = (Vec::new(), vec![instance.root.clone(), instance.key.clone()]);
    for number in 0..PLANTED {
        planted.push(plant(&instance, number, &mut tokens).await);
    }
    let mut errors = String::new();
    for secret in &planted {
        errors.push_str(&mistakes(&instance, secret).await);
    }
    let needles = |texts: &mut dyn Iterator<Item = &String>| -> Vec<(String, Vec<u8>)> {
        texts.flat_map(|text| forms(text).into_iter().map(move |form| (text.clone(), form))).collect()
    };
    let values = needles(&mut planted.iter().map(|secret| &secret.value).chain(&tokens));
    let names = needles(&mut planted.iter().map(|secret| &secret.name));

    let snapshot = snapshot(&instance).await;
    no_core_dump(&instance);
    assert!(instance.stop().success(), "{}", instance.log());
    for needles in [&values, &names] {
        for file in files(&instance.dir.path().join("data")) {
            search("the store", &std::fs::read(&file).unwrap(), needles);
        }
        search("the snapshot", &snapshot, needles);
        search("an error's body", errors.as_bytes(), needles);
        search("the log", instance.log().as_bytes(), needles);
    }
    // The audit says what was asked for by its path; values it never shows.
    for file in files(&instance.dir.path().join("audit")) {
        search("the audit", &std::fs::read(&file).unwrap(), &values);
    }
    println!("canary: {PLANTED} secrets and their names, {} forms: 0 hits", values.len() + names.len());
}

/// The bytes of an online snapshot.
async fn snapshot(instance: &Instance) -> Vec<u8> {
    let file = instance.dir.path().join("snapshot");
    let output = instance.command(&instance.root).args(["operator", "snapshot", "save"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(file).unwrap()
}

/// No crash writes a core, and nobody but who may trace every process of the machine gets a dump.
fn no_core_dump(instance: &Instance) {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", instance.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(line.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{line}");
    let core = instance.dir.path().join("core");
    // Even root's own privilege to trace is put down first: what is left is the server's own user.
    let output = Command::new("setpriv")
        .args(["--inh-caps=-sys_ptrace", "--bounding-set=-sys_ptrace", "gcore", "-o"])
        .arg(&core)
        .arg(instance.pid().to_string())
        .output()
        .expect("util-linux and gdb are installed by ./test.sh");
    let file = format!("{}.{}", core.display(), instance.pid());
    assert!(!output.status.success() && !Path::new(&file).exists(), "the server's own user can dump its memory");
    println!("core dump: refused");
}
