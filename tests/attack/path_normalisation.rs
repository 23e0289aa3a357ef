//! The path that was judged is the path that is executed, however it was spelled.

use serde_json::{Value, json};

use super::{denied, done, holder_of, with_mounts};
use crate::harness::{Api, Instance, rounds};
use crate::raw;

/// Everything below the mounts, but nothing of the vault.
const RULES: &str = r#"
    path "secret/*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "scan"] }
    path "plain/*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "scan"] }
    path "secret/+/vault/*" { capabilities = ["deny"] }
    path "secret/+/vault" { capabilities = ["deny"] }
    path "plain/vault/*" { capabilities = ["deny"] }
    path "plain/no" { capabilities = ["deny"] }
    path "sys/capabilities-self" { capabilities = ["update"] }
"#;

const HIDDEN: &str = "tlk_canary_behind_the_deny";

async fn guarded() -> (Instance, Api) {
    let instance = with_mounts().await;
    let root = instance.as_root();
    for path in ["secret/data/vault/key", "secret/data/open/key"] {
        done(root.put(path, json!({"data": {"value": if path.contains("vault") { HIDDEN } else { "open" }}})).await);
    }
    for path in ["plain/vault/key", "plain/no"] {
        done(root.put(path, json!({"value": HIDDEN})).await);
    }
    let holder = holder_of(&instance, "around-the-vault", RULES).await;
    (instance, holder)
}

/// What lies behind the deny is as it was, and nothing was put beside it.
async fn untouched(instance: &Instance, what: &str) {
    let root = instance.as_root();
    let (_, answer) = root.get("secret/metadata/vault/key").await;
    assert_eq!(answer["data"]["current_version"], json!(1), "{what}: {answer}");
    let (_, answer) = root.get("secret/data/vault/key").await;
    assert_eq!(answer["data"]["data"]["value"], json!(HIDDEN), "{what}");
    for path in ["plain/vault/key", "plain/no"] {
        let (_, answer) = root.get(path).await;
        assert_eq!(answer["data"]["value"], json!(HIDDEN), "{what}");
    }
    let (_, answer) = root.list("secret/metadata/vault").await;
    assert_eq!(answer["data"]["keys"], json!(["key"]), "{what}");
}

/// Sends `target` with every verb; none of it may pass.
async fn try_all(instance: &Instance, token: &str, target: &str) {
    let body = r#"{"data":{"value":"overwritten"},"value":"overwritten","versions":[1]}"#;
    for (method, body) in
        [("GET", ""), ("LIST", ""), ("SCAN", ""), ("PUT", body), ("POST", body), ("PATCH", body), ("DELETE", "")]
    {
        let answer = raw::call(instance, method, target, token, body).await;
        assert!(answer.refused(), "{method} {target}: {answer:?}");
        assert!(!answer.body.contains(HIDDEN), "{method} {target} shows what is denied");
    }
}

#[tokio::test]
async fn an_encoded_slash_is_judged_and_executed_as_one_path() {
    let (instance, holder) = guarded().await;
    for target in ["secret/data/%2fvault/key", "secret/data/vault%2fkey", "secret/data%2Fvault%2Fkey", "plain/%2fno"] {
        try_all(&instance, holder.token(), &format!("/v1/{target}")).await;
    }
    untouched(&instance, "encoded slashes").await;
    // And where nothing is denied, the encoded path is the plain one.
    for target in ["/v1/secret/data/open%2Fkey", "/v1/secret%2fdata%2fopen%2fkey"] {
        let answer = raw::call(&instance, "GET", target, holder.token(), "").await;
        assert_eq!((answer.status, &answer.json()["data"]["data"]["value"]), (200, &json!("open")), "{target}");
    }
}

#[tokio::test]
async fn a_trailing_slash_does_not_pass_an_exact_deny() {
    let (instance, holder) = guarded().await;
    for target in ["/v1/plain/no", "/v1/plain/no/", "/v1/plain/no%2f", "/v1/plain/no//", "/v1/plain//no"] {
        try_all(&instance, holder.token(), target).await;
    }
    untouched(&instance, "trailing slashes").await;
}

#[tokio::test]
async fn relative_and_empty_segments_are_refused_in_every_encoding() {
    let (instance, holder) = guarded().await;
    for segment in ["..", ".", "%2e%2e", "%2E.", ".%2e", "%2e", ""] {
        for target in [
            format!("/v1/secret/data/open/{segment}/vault/key"),
            format!("/v1/secret/data/{segment}/vault/key"),
            format!("/v1/secret/{segment}/data/vault/key"),
            format!("/v1/secret/data/open%2f{segment}%2fkey"),
        ] {
            let answer = raw::call(&instance, "GET", &target, &instance.root, "").await;
            assert_eq!(answer.status, 400, "{target}: {answer:?}");
            try_all(&instance, holder.token(), &target).await;
        }
    }
    untouched(&instance, "relative segments").await;
}

#[tokio::test]
async fn control_and_invisible_characters_are_refused() {
    let (instance, _) = guarded().await;
    for code in [
        "%00",
        "%0a",
        "%0d%0a",
        "%7f",
        "%1b",
        "%c2%85",
        "%e2%80%8b",
        "%e2%80%ae",
        "%ef%bb%bf",
        "%ff",
        "%c0%af",
        "%ed%a0%80",
    ] {
        let target = format!("/v1/secret/data/open{code}key");
        for (method, body) in [("GET", ""), ("PUT", r#"{"data":{"a":1}}"#)] {
            let answer = raw::call(&instance, method, &target, &instance.root, body).await;
            assert_eq!(answer.status, 400, "{method} {target}: {answer:?}");
        }
    }
}

/// Every spelling of a denied path is refused and changes nothing; every spelling of an allowed one that is understood
/// at all reaches that one and no other.
#[tokio::test]
async fn the_path_that_was_judged_is_the_path_that_was_run_for_every_encoding() {
    let (instance, holder) = guarded().await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds(4000, 250) {
        let target = format!("/v1/{}", random.spelling("secret/data/vault/key"));
        let (method, body) = match random.below(4) {
            0 => ("PUT", r#"{"data":{"value":"overwritten"}}"#),
            1 => ("DELETE", ""),
            2 => ("LIST", ""),
            _ => ("GET", ""),
        };
        let answer = raw::call(&instance, method, &target, holder.token(), body).await;
        assert!(answer.refused(), "{method} {target}: {answer:?}");
        assert!(!answer.body.contains(HIDDEN), "{method} {target}");
        let target = format!("/v1/{}", random.spelling("secret/data/open/key"));
        let answer = raw::call(&instance, "GET", &target, holder.token(), "").await;
        match answer.status {
            200 => assert_eq!(answer.json()["data"]["data"]["value"], json!("open"), "{target}"),
            400 => {}
            status => panic!("{target}: {status} {answer:?}"),
        }
    }
    untouched(&instance, "generated spellings").await;
}

#[tokio::test]
async fn a_spelling_has_the_capabilities_of_its_path_or_none() {
    let (_instance, holder) = guarded().await;
    for path in
        ["secret/data/vault/key", "secret/data/vault/key/", "plain/no", "plain/no/", "/plain/no", "plain/vault/key"]
    {
        let (status, answer) = holder.put("sys/capabilities-self", json!({"paths": [path]})).await;
        if status == 200 {
            assert_eq!(answer["data"]["capabilities"], json!(["deny"]), "{path}: {answer}");
        } else {
            assert_eq!(status, 400, "{path}: {answer}");
        }
    }
    for path in ["secret/data/open/../vault/key", "secret//data/vault/key", "plain/./no"] {
        let (status, answer) = holder.put("sys/capabilities-self", json!({"paths": [path]})).await;
        let granted =
            answer["data"]["capabilities"].as_array().is_some_and(|list| list.iter().any(|one| one != "deny"));
        assert!(status < 500 && !granted, "{path}: {status} {answer}");
    }
    denied(holder.get("secret/data/vault/key").await);
}

#[tokio::test]
async fn a_target_outside_the_api_is_not_found_and_never_redirected() {
    let (instance, holder) = guarded().await;
    for target in
        ["//v1/secret/data/vault/key", "/V1/secret/data/vault/key", "/v1", "/", "*", "/v1/../v1/plain/no", "/ui/"]
    {
        let answer = raw::call(&instance, "GET", target, holder.token(), "").await;
        assert!(answer.refused(), "{target}: {answer:?}");
        assert!(!answer.head.to_ascii_lowercase().contains("\r\nlocation:"), "{target}: {answer:?}");
    }
    // The absolute form names the same path and is judged alike.
    let target = format!("{}/v1/secret/data/vault/key", instance.address);
    try_all(&instance, holder.token(), &target).await;
    untouched(&instance, "targets outside").await;
}

/// Whoever asks for another namespace must never get what lies in the root one.
#[tokio::test]
async fn a_request_for_another_namespace_is_refused_and_changes_nothing() {
    let (instance, _) = guarded().await;
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    for (method, path) in
        [("GET", "secret/data/vault/key"), ("POST", "plain/no"), ("LIST", "plain"), ("GET", "sys/health")]
    {
        for namespace in ["team", "root/team", "/team/", "Root", "root/../team", "%72oot"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let request = client
                .request(method.clone(), format!("{}/v1/{path}", instance.address))
                .header("X-Vault-Token", &instance.root)
                .header("X-Vault-Namespace", namespace)
                .body(if method == "POST" { r#"{"a":"tlk_canary_namespace"}"# } else { "" });
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            assert_eq!(status, 400, "{method} {path} {namespace}: {text}");
            assert!(text.contains("namespaces are not supported"), "{text}");
        }
    }
    untouched(&instance, "another namespace").await;
}

/// A small generator (xorshift) with a fixed seed: a failure names the target that made it.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// One of the many ways to write `path`; some of them mean another path or none.
    fn spelling(&mut self, path: &str) -> String {
        let mut text = String::new();
        for (place, character) in path.char_indices() {
            // The mount's first segment stays readable often enough to reach an engine.
            let plain = place < 7 && self.below(3) > 0;
            let code = u32::from(character);
            match (character, self.below(12)) {
                _ if plain => text.push(character),
                ('/', 0) => text.push_str("%2f"),
                ('/', 1) => text.push_str("%2F"),
                ('/', 2) => text.push_str("//"),
                ('/', 3) => text.push_str("/./"),
                ('/', 4) => text.push_str("/x/../"),
                ('/', 5) => text.push_str("/%2e/"),
                ('/', 6) => text.push_str("%2f/"),
                ('/', _) => text.push('/'),
                (_, 0..=2) => text.push_str(&format!("%{code:02x}")),
                (_, 3) => text.push_str(&format!("%{code:02X}")),
                (_, _) => text.push(character),
            }
        }
        if self.below(6) == 0 {
            text.push_str(["/", "%2f", "//", "/.", "%00"][self.below(5) as usize]);
        }
        text
    }
}

#[test]
fn the_generator_writes_paths_that_reach_and_paths_that_miss() {
    let mut random = Random(7);
    let spellings: Vec<_> = (0..200).map(|_| random.spelling("secret/data/open/key")).collect();
    let decoded = |text: &String| text.replace("%2f", "/").replace("%2F", "/");
    assert!(spellings.iter().any(|text| text.contains('%') && !decoded(text).contains("//")));
    assert!(spellings.iter().any(|text| text.contains("/../")));
    assert_ne!(Value::from(spellings[0].clone()), Value::from(spellings[1].clone()));
}
