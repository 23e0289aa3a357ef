//! No request brings the server down or makes it call a client's mistake its own.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{done, enable_auth, post, with_mounts};
use crate::harness::{Instance, text, top};
use crate::raw;

/// Where the engine of each file of routes is mounted here.
const MOUNTS: [(&str, &str); 9] = [
    ("auth/approle", "auth/approle"),
    ("auth/token", "auth/token"),
    ("auth/userpass", "auth/userpass"),
    ("cubbyhole", "cubbyhole"),
    ("fingerprints", "sys"),
    ("kv1", "plain"),
    ("kv2", "secret"),
    ("rotation", "rotation"),
    ("sys", "sys"),
];

/// What stands in no table of routes.
const BESIDES: [&str; 8] = [
    "sys/health",
    "sys/init",
    "sys/leader",
    "sys/seal-status",
    "sys/unseal",
    "sys/internal/ui/resultant-acl",
    "sys/NAME",
    "NAME/NAME",
];

/// The paths of every route, read from the sources so that none is forgotten; `NAME` for what is left to the caller.
pub(super) fn paths() -> Vec<String> {
    let mut paths: Vec<_> = BESIDES.map(str::to_owned).into();
    let folder = top().join("src/engine");
    for file in walk(&folder) {
        let source = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        for pattern in patterns(&source) {
            let (_, mount) = MOUNTS.iter().find(|(start, _)| name.starts_with(start)).expect("the mount of the engine");
            let variables: Vec<_> =
                pattern.split('/').map(|part| if part.contains('{') { "NAME" } else { part }).collect();
            paths.push(format!("{mount}/{}", variables.join("/")));
            // What may be empty.
            if let Some((fixed, _)) = pattern.rsplit_once("/{").filter(|(_, last)| last.ends_with("*}")) {
                paths.push(format!("{mount}/{}", fixed.replace(['{', '}'], "")));
            }
        }
    }
    // They would end the test itself.
    paths.retain(|path| !matches!(path.as_str(), "sys/seal" | "auth/token/revoke-self"));
    paths.sort();
    paths.dedup();
    paths
}

/// The patterns in the tables of routes of one file.
fn patterns(source: &str) -> impl Iterator<Item = &str> {
    let tables = source.split("ROUTES: &[Route] = &[").skip(1).map(|table| table.split("\n];").next().unwrap());
    tables.flat_map(|table| {
        let starts = table.match_indices("route(").chain(table.match_indices("pattern:"));
        starts.map(|(at, _)| table[at..].split('"').nth(1).unwrap()).collect::<Vec<_>>()
    })
}

/// All files below a folder.
pub(super) fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { files.extend(walk(&entry)) } else { files.push(entry) }
    }
    files
}

const BODIES: &[&str] = &[
    "",
    "{}",
    "null",
    "[]",
    "\"x\"",
    "{\"",
    "\u{0}",
    "{\"data\":1}",
    "{\"data\":{\"a\":{\"b\":[1,null]}}}",
    r#"{"policy":1,"policies":{"a":1},"ttl":"x","token":[],"accessor":{},"lease_id":0,"type":[],"password":{},"role_id":[]}"#,
    r#"{"policy":"path","policies":"a,b,,","ttl":-1,"token":"x","accessor":"x","lease_id":"x","type":"kv","password":"","role_id":""}"#,
    r#"{"versions":["x",-1,1e9],"paths":[1],"path":"..","from":"x","to":"/","key":"zz","nonce":"x","num_uses":1e99,"period":"1y"}"#,
    r#"{"versions":[0,99999999999],"paths":"secret/../x","path":"\u0000","bytes":99999999999,"format":"x","input":"!","algorithm":"x"}"#,
    r#"{"metadata":"x","custom_metadata":{"a":1},"max_versions":-5,"cas_required":"maybe","delete_version_after":"x","options":{"cas":"x"},"data":{"a":1}}"#,
];

const NAMES: &[&str] = &["x", "%ff", "a%2fb", "..", "%00", "a b", "-1", "%F0%9F%94%91", "*", "+", "{{x}}"];

#[tokio::test]
async fn every_route_survives_malformed_requests_and_blames_no_one_else() {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    enable_auth(&instance, "userpass", "userpass").await;
    let (mut count, mut recorded) = (0, records(&instance).len());
    let paths = paths();
    assert!(paths.len() > 130, "{} paths", paths.len());
    for (number, path) in paths.iter().enumerate() {
        for (index, body) in BODIES.iter().enumerate() {
            let name = NAMES[(number + index) % NAMES.len()];
            let target = format!("/v1/{}", path.replace("NAME", name));
            for method in ["GET", "POST", "PATCH", "LIST", "SCAN", "DELETE", "HEAD", "OPTIONS"] {
                // Read-only methods need only one body.
                if index > 0 && !matches!(method, "POST" | "PATCH") {
                    continue;
                }
                // What would end the test itself: deleting the mounts in use.
                let answer = raw::call(&instance, method, &target, &instance.root, body).await;
                let fine = answer.status < 500 || path.starts_with("sys/health");
                assert!(fine && answer.status >= 200, "{method} {target} {body}: {answer:?}\n{}", instance.log());
                // What is not HTTP is refused before it is a request; each answer to a request says that it is not to be kept.
                let request = answer.head.contains("cache-control");
                assert!(request || name.contains([' ', '{']), "{method} {target}: {answer:?}");
                recorded += usize::from(request && !PROBES.contains(&path.as_str()));
                count += 1;
            }
        }
    }
    assert!(count > 2000);
    assert_eq!(records(&instance).len(), recorded, "a request left no record");
    let (status, answer) = instance.api("").get("sys/health").await;
    assert_eq!((status, &answer["sealed"]), (200, &json!(false)));
    assert!(!instance.log().contains("panicked"), "{}", instance.log());
}

/// Probes are asked for all the time and change nothing: they have records only where they are malformed.
const PROBES: [&str; 3] = ["sys/health", "sys/leader", "sys/seal-status"];

/// The ids of the requests in the audit, but for probes and for those of the agent within the server.
fn records(instance: &Instance) -> HashSet<String> {
    let folder = instance.audit_path();
    let audit: String =
        walk(folder.parent().unwrap()).iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let records = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .filter(|record| record["kind"] == "answer" && record["peer"] != "local")
        .filter(|record| !record["path"].as_str().is_some_and(|path| PROBES.contains(&path)))
        .map(|record| text(&record["id"]))
        .collect()
}

#[tokio::test]
async fn client_mistakes_are_never_5xx() {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    enable_auth(&instance, "userpass", "userpass").await;
    let root = instance.as_root();
    done(post(&root, "auth/userpass/users/anna", json!({"password": "tlk_canary_right"})).await);
    for (method, target, body) in [
        ("POST", "auth/approle/login", "{}"),
        ("POST", "auth/approle/login", r#"{"secret_id":"x"}"#),
        ("POST", "auth/approle/login", r#"{"role_id":"x"}"#),
        ("POST", "auth/userpass/login/anna", "{}"),
        ("POST", "auth/userpass/login/anna", r#"{"password":""}"#),
        ("POST", "auth/userpass/login/anna", r#"{"password":null}"#),
        ("POST", "auth/userpass/users/bert", "{}"),
        ("GET", "secret/data/%ff%fe", ""),
        ("PUT", "secret/data/%c3%28", r#"{"data":{"a":1}}"#),
        ("PUT", "sys/policies/acl/a%2fb", r#"{"policy":""}"#),
        ("PUT", "sys/policies/acl/a/b", r#"{"policy":""}"#),
        ("GET", "sys/policy/a/b", ""),
        ("POST", "sys/wrapping/unwrap", r#"{"token":"x"}"#),
        ("POST", "sys/wrapping/lookup", "{}"),
        ("POST", "auth/token/renew", r#"{"token":"x"}"#),
        ("POST", "sys/leases/renew", r#"{"lease_id":"x"}"#),
        ("POST", "sys/unseal", r#"{"key":"x"}"#),
        ("POST", "sys/init", r#"{"secret_shares":0}"#),
    ] {
        let answer = raw::call(&instance, method, &format!("/v1/{target}"), &instance.root, body).await;
        assert!((200..500).contains(&answer.status), "{method} {target} {body}: {answer:?}");
    }
    // Renewal at the maximum.
    let auth =
        super::token_with(&instance, json!({"policies": ["default"], "ttl": "1h", "explicit_max_ttl": "1h"})).await;
    let client = instance.api(&text(&auth["client_token"]));
    for _ in 0..3 {
        let (status, answer) = post(&client, "auth/token/renew-self", json!({"increment": "9h"})).await;
        assert!(status < 500, "{answer}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_http_end_the_connection_and_nothing_else() {
    let instance = with_mounts().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x00\x00\x00\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v1/sys/health HTTP/9.9\r\n\r\n",
        b"GET /v1/sys/health\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\xff\xff\xff\xff\xff\xff\xff",
        b"\xff\xfe\xfd\xfc",
        b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        // Half a TLS hello waits for more until its client goes away.
        let answer = tokio::time::timeout(std::time::Duration::from_millis(300), raw::send(&instance, bytes)).await;
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status < 500), "{bytes:?}");
    }
    assert_eq!(instance.api("").get("sys/health").await.0, 200);
    assert!(!instance.log().contains("panicked"), "{}", instance.log());
}
