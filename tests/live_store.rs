//! The closed loop: the scanner recognises the store's own values, reveals none on the way, and has them rotated.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use reqwest::Method;
use serde_json::{Value, json};
use turnlock_core::finding::{Filter, FilterReply};

use crate::harness::{Api, Instance, free_port, rounds, text, wait_for};

/// All that a scanner needs, and no right to read.
const SCANNER: &str = r#"
    path "sys/fingerprints/filter" { capabilities = ["read"] }
    path "sys/fingerprints/confirm" { capabilities = ["update"] }
"#;

/// A token with the policy `rules` and no other.
async fn holder_of(instance: &Instance, name: &str, rules: &str) -> Api {
    let (status, answer) = instance.as_root().put(&format!("sys/policies/acl/{name}"), json!({"policy": rules})).await;
    assert!(status < 300, "{answer}");
    let order = json!({"policies": [name], "no_default_policy": true});
    let (_, answer) = instance.as_root().put("auth/token/create", order).await;
    instance.api(&text(&answer["auth"]["client_token"]))
}

async fn put(instance: &Instance, path: &str, body: Value) {
    let (status, answer) = instance.as_root().put(path, body).await;
    assert!(status < 300, "{path}: {answer}");
}

/// Scans the folder `at` by the server at `address`.
async fn scan(instance: &Instance, address: &str, token: &str, at: &Path, more: &[&str]) -> Output {
    let mut command = instance.command(token);
    command.env("VAULT_ADDR", address).args(["scan", "--store", "--format", "turnlock-json"]).args(more);
    command.arg("dir").arg(at);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn letters(&mut self, from: &[u8], count: usize) -> String {
        (0..count).map(|_| char::from(from[(self.next() % from.len() as u64) as usize])).collect()
    }

    /// A password without any pattern: words, letters, or letters with marks.
    fn password(&mut self) -> String {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
        const MARKS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHKLMNPRSTUVWXYZ23456789!?*+-_.$%&/(=";
        match self.next() % 4 {
            0 => (0..4).map(|_| self.letters(LETTERS, 5)).collect::<Vec<_>>().join(" "),
            1 => self.letters(LETTERS, 9),
            2 => format!("{}{}", self.letters(LETTERS, 7), self.next() % 100 + 10),
            _ => format!("{}x", self.letters(MARKS, 13)),
        }
    }
}

/// What passes between the command and the server, in both directions.
struct Recorder {
    address: String,
    requests: Arc<Mutex<Vec<u8>>>,
    /// Connections that the server has closed.
    closed: Arc<AtomicUsize>,
}

impl Recorder {
    /// Ends with the process: it waits for connections that nobody makes any more.
    fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<u8>>>::default();
        let record = Arc::clone(&requests);
        let closed = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&closed);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let (back, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let record = Arc::clone(&record);
                std::thread::spawn(move || copy(client, server, Some(&record)));
                let count = Arc::clone(&count);
                std::thread::spawn(move || {
                    copy(back, to, None);
                    count.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, requests, closed }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, record: Option<&Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if let Some(record) = record {
            record.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// The first of `values` that `bytes` hold: itself, its unkeyed hash, or one of both in hex or base64.
fn revealed<'a>(bytes: &[u8], values: &'a [String]) -> Option<&'a str> {
    let mut forms: HashMap<[u8; 8], Vec<(Vec<u8>, &str)>> = HashMap::new();
    for value in values {
        let hash = ring::digest::digest(&ring::digest::SHA256, value.as_bytes());
        for plain in [value.as_bytes(), hash.as_ref()] {
            let texts = [STANDARD.encode(plain), URL_SAFE.encode(plain), hex::encode(plain), hex::encode_upper(plain)];
            let texts = texts.into_iter().map(|text| text.trim_end_matches('=').as_bytes().to_vec());
            for form in texts.chain([plain.to_vec()]) {
                forms.entry(*form.first_chunk().unwrap()).or_default().push((form, value));
            }
        }
    }
    (0..bytes.len()).find_map(|at| {
        let known = forms.get(bytes[at..].first_chunk::<8>()?)?;
        known.iter().find(|(form, _)| bytes[at..].starts_with(form)).map(|(_, value)| *value)
    })
}

/// A scan that reads for longer than the server keeps an idle connection asks over another one. It once took the connection for
/// alive, because nobody looked at it meanwhile, and the confirmation was lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_took_longer_than_the_server_waits_is_confirmed() {
    let port = free_port();
    let listener = format!(
        "listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_disable = true\n http_read_header_timeout = \"1s\"\n}}"
    );
    let instance = Instance::start_with(&listener).await;
    put(&instance, "sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    let value = Numbers(7).password();
    put(&instance, "secret/data/app", json!({"data": {"password": value}})).await;
    let scanner = holder_of(&instance, "scanner", SCANNER).await;
    let recorder = Recorder::before(port);
    let mut command = instance.command(scanner.token());
    command.env("VAULT_ADDR", &recorder.address).args(["scan", "--store", "--format", "turnlock-json", "stdin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the server to close the connection that fetched the filter", async || {
        (recorder.closed.load(Ordering::SeqCst) > 0).then_some(())
    })
    .await;
    child.stdin.take().unwrap().write_all(format!("password = \"{value}\"\n").as_bytes()).unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["findings"][0]["live_secret"]["path"], "secret/app", "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_planted_value_is_found_no_other_and_none_is_revealed() {
    let (plants, files) = (rounds(1000, 100), rounds(100_000, 2000));
    let instance = Instance::start().await;
    put(&instance, "sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    let mut numbers = Numbers(7);
    let values: Vec<String> = (0..plants).map(|_| numbers.password()).collect();
    for (number, value) in values.iter().enumerate() {
        let data = json!({"username": "service-account", "host": "db.internal.example", "password": value});
        put(&instance, &format!("secret/data/team/app-{number}"), json!({"data": data})).await;
    }
    let scanner = holder_of(&instance, "scanner", SCANNER).await;
    for (method, path) in [("GET", "secret/data/team/app-1"), ("LIST", "secret/metadata/team")] {
        let (status, _) = scanner.call(Method::from_bytes(method.as_bytes()).unwrap(), path, None).await;
        assert_eq!(status, 403, "{method} {path}");
    }

    let folder = tempfile::tempdir().unwrap();
    let mut planted = BTreeSet::new();
    for number in 0..files {
        let at = folder.path().join(format!("part{:02}", number % 97));
        std::fs::create_dir_all(&at).unwrap();
        let mut lines: Vec<String> = (0..12)
            .map(|line| format!("    call_{line}(host=\"db.internal.example\", text=\"{}\")", numbers.password()))
            .collect();
        let name = format!("file{number}.py");
        if number % (files / plants) == 0 {
            let index = number / (files / plants);
            let value = &values[index];
            lines[6] = match index % 6 {
                0 => format!("setting = \"{value}\""),
                1 => format!("phrase: {value}"),
                2 => format!("# use '{value}' there"),
                3 => format!("{{\"word\": \"{value}\", \"x\": 1}}"),
                4 => format!("call(host, `{value}`)"),
                _ => value.clone(),
            };
            planted.insert((at.join(&name), 7, format!("secret/team/app-{index}")));
        }
        std::fs::write(at.join(&name), lines.join("\n")).unwrap();
    }
    assert_eq!(planted.len(), plants);

    let recorder = Recorder::before(instance.port);
    let output = scan(&instance, &recorder.address, scanner.token(), folder.path(), &[]).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = BTreeSet::new();
    for finding in report["findings"].as_array().unwrap().iter().filter(|finding| finding["live_secret"].is_object()) {
        assert_eq!((&finding["certainty"], &finding["live_secret"]["labels"]), (&json!(1.0), &json!(["current"])));
        assert_eq!(finding["live_secret"]["field"], "password");
        for place in finding["places"].as_array().unwrap() {
            let line = place["start_line"].as_u64().unwrap();
            found.insert((text(&place["file"]).into(), line, text(&finding["live_secret"]["path"])));
        }
    }
    let missed: Vec<_> = planted.difference(&found).collect();
    let false_ones: Vec<_> = found.difference(&planted).collect();
    assert!(missed.is_empty() && false_ones.is_empty(), "missed {missed:?}, false {false_ones:?}");

    let requests = recorder.requests.lock().unwrap().clone();
    assert!(requests.windows(24).any(|part| part == b"sys/fingerprints/confirm"), "the requests were recorded");
    assert_eq!(revealed(&requests, &values), None);
    // The test itself can fail.
    let hash = hex::encode(ring::digest::digest(&ring::digest::SHA256, values[3].as_bytes()));
    assert_eq!(revealed(&[requests.as_slice(), hash.as_bytes()].concat(), &values), Some(values[3].as_str()));

    // Whoever steals the filter and its key is left with many wrong guesses for each right one.
    let (_, reply) = scanner.get("sys/fingerprints/filter").await;
    assert_eq!(revealed(reply.to_string().as_bytes(), &values), None);
    let filter = Filter::open(&serde_json::from_value::<FilterReply>(reply["data"].clone()).unwrap()).unwrap();
    assert!(values.iter().all(|value| filter.candidate(value.as_bytes()).is_some()));
    let wrong = (0..20_000).filter(|guess| filter.candidate(format!("guess-{guess}").as_bytes()).is_some()).count();
    assert!(wrong > 100, "only {wrong} wrong guesses of 20,000 pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_run_out_also_for_the_children_of_a_token_and_each_question_is_recorded() {
    let instance = Instance::start().await;
    let rules = format!("{SCANNER} path \"auth/token/create\" {{ capabilities = [\"update\"] }}");
    let guesser = holder_of(&instance, "guesser", &rules).await;
    let (_, reply) = guesser.get("sys/fingerprints/filter").await;
    let mut numbers = Numbers(11);
    let guesses: Vec<String> =
        (0..16_384).map(|_| (0..4).map(|_| format!("{:016x}", numbers.next())).collect()).collect();
    let question = json!({"key_id": reply["data"]["key_id"], "fingerprints": guesses});
    for round in 0..16 {
        let (status, _) = guesser.put("sys/fingerprints/confirm", question.clone()).await;
        assert_eq!(status, 200, "round {round}");
    }
    let (status, answer) = guesser.put("sys/fingerprints/confirm", question.clone()).await;
    assert_eq!(status, 429, "{answer}");
    let (_, answer) = guesser.put("auth/token/create", json!({"policies": ["guesser"]})).await;
    let child = instance.api(&text(&answer["auth"]["client_token"]));
    assert_eq!(child.put("sys/fingerprints/confirm", question.clone()).await.0, 429);
    let other = holder_of(&instance, "scanner", SCANNER).await;
    assert_eq!(other.put("sys/fingerprints/confirm", question).await.0, 200, "others are not held up");
    let audit = std::fs::read_to_string(instance.audit_path()).unwrap();
    let recorded = audit.lines().filter(|line| line.contains("sys/fingerprints/confirm")).count();
    assert!(recorded >= 19, "{recorded} records of 19 questions");
}

/// A server with a secret that is rotated, one that is not, and a folder with the values of both.
async fn leaked() -> (Instance, tempfile::TempDir) {
    let instance = Instance::start().await;
    put(&instance, "sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    put(&instance, "secret/data/rotated", json!({"data": {"key": "karvonmesttula"}})).await;
    put(&instance, "secret/data/fixed", json!({"data": {"key": "vestapolikurna"}})).await;
    // No agent works in this pool, so that what is started stays open.
    let definition = json!({"field": "key", "pool": "elsewhere"});
    put(&instance, "rotation/definitions/secret/rotated", definition).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "one is karvonmesttula\nother: vestapolikurna\n").unwrap();
    (instance, folder)
}

async fn attempts(instance: &Instance, name: &str) -> usize {
    let (_, answer) = instance.as_root().get(&format!("rotation/history/{name}")).await;
    answer["data"]["attempts"].as_array().map_or(0, Vec::len)
}

const ROTATOR: &str = r#"
    path "rotation/definitions/*" { capabilities = ["read"] }
    path "rotation/run/*" { capabilities = ["update"] }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn leaked_live_secrets_are_rotated_and_those_that_cannot_be_are_named() {
    let (instance, folder) = leaked().await;
    let token = holder_of(&instance, "rotator", &format!("{SCANNER}{ROTATOR}")).await;
    let run = async |more: &[&str]| {
        let output = scan(&instance, &instance.address, token.token(), folder.path(), more).await;
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&["--rotate"]).await;
    assert!(code == Some(2) && said.contains("give --yes"), "{said}");
    assert_eq!(attempts(&instance, "secret/rotated").await, 0);

    let (code, said) = run(&["--rotate", "--yes"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("secret/fixed is not rotated: no rotation is defined"), "{said}");
    assert!(said.contains("secret/rotated: an attempt was started"), "{said}");
    assert!(!said.contains("karvon"), "{said}");
    assert_eq!(attempts(&instance, "secret/rotated").await, 1);

    let (code, said) = run(&["--rotate", "--yes"]).await;
    assert!(code == Some(2) && said.contains("an attempt is open already"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_rotated_without_the_right_or_by_half_an_answer() {
    let (instance, folder) = leaked().await;
    let filter_only = "path \"sys/fingerprints/filter\" { capabilities = [\"read\"] }";
    let read_only = "path \"rotation/definitions/*\" { capabilities = [\"read\"] }";
    for (name, rules, expected) in [
        ("half", format!("{filter_only}{ROTATOR}"), "the store could not confirm everything"),
        ("reader", format!("{SCANNER}{read_only}"), "secret/rotated could not be rotated"),
        ("scanner", SCANNER.to_owned(), "may not read its rotation"),
    ] {
        let token = holder_of(&instance, name, &rules).await;
        let output = scan(&instance, &instance.address, token.token(), folder.path(), &["--rotate", "--yes"]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected), "{name}: {said}");
        assert_eq!(attempts(&instance, "secret/rotated").await, 0, "{name}");
    }
}
