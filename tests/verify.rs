//! `turnlock scan --verify` against a server that plays the provider.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::BINARY;

/// A token that ends in `digit`, put together here so that a scan of these sources does not find it.
fn token(digit: char) -> String {
    let parts = ["dop", "_v1_", "4be1d09a7c35f286", "90d7b3e4a16f58c2", "ec05a93d7812b64f", "3a6d08f1c5e972b"];
    format!("{}{digit}", parts.concat())
}

/// Plays the provider: what it was asked, one text for each request. Ends with the process.
fn provider() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let record = Arc::clone(&asked);
    let here = address.clone();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
            let request: String = lines.take_while(|line| !line.is_empty()).map(|line| line + "\n").collect();
            record.lock().unwrap().push(request.clone());
            let answer = if request.contains(&token('1')) {
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned()
            } else if request.contains(&token('2')) {
                "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}".to_owned()
            } else if request.contains(&token('5')) {
                "HTTP/1.1 429 Too Many Requests\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n".to_owned()
            } else if request.contains(&token('3')) {
                format!("HTTP/1.1 302 Found\r\nlocation: {here}/elsewhere\r\ncontent-length: 0\r\n\r\n")
            } else {
                // An answer without an end, as far as anybody listens.
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n";
                let _ = client.write_all(head.as_bytes());
                while client.write_all(&[b'x'; 4096]).is_ok() {}
                String::new()
            };
            let _ = client.write_all(answer.as_bytes());
        }
    });
    (address, asked)
}

fn scan(at: &Path, arguments: &[&str]) -> Output {
    scan_in(&[], at, arguments)
}

fn scan_in(environment: &[(&str, &str)], at: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.env_clear().env("HOME", at).envs(environment.iter().copied()).current_dir(at);
    command.arg("scan").args(arguments).args(["dir", "."]).output().unwrap()
}

fn folder() -> tempfile::TempDir {
    folder_of("1234")
}

/// A folder with two files for each token.
fn folder_of(digits: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for digit in digits.chars() {
        let text = format!("DIGITALOCEAN_TOKEN={}\n", token(digit));
        std::fs::write(folder.path().join(format!("{digit}.env")), &text).unwrap();
        std::fs::write(folder.path().join(format!("{digit}-again.env")), &text).unwrap();
    }
    folder
}

#[test]
fn a_provider_is_asked_once_for_each_credential_and_its_answer_is_reported() {
    let (address, asked) = provider();
    let folder = folder();
    let endpoint = format!("api.digitalocean.com={address}");
    let output = scan(folder.path(), &["--verify", "--verify-endpoint", &endpoint, "--format", "turnlock-json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdicts: Vec<_> = report["findings"].as_array().unwrap().iter().map(|found| &found["verdict"]).collect();
    let words: Vec<_> = verdicts.iter().map(|verdict| verdict["status"].as_str().unwrap()).collect();
    assert_eq!(words, ["live", "dead", "unknown", "live"]);
    assert_eq!(verdicts[2]["reason"], "the provider answered with status 302");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(asked.iter().all(|request| request.starts_with("GET /v2/account HTTP/1.1\n")), "{asked:?}");
    assert!(!said.contains(&token('1')) && !String::from_utf8_lossy(&output.stdout).contains(&token('1')));
}

#[test]
fn nobody_is_asked_unless_it_is_said_and_the_preview_shows_no_credential() {
    let (address, asked) = provider();
    let folder = folder();
    let endpoint = format!("api.digitalocean.com={address}");
    let plain = scan(folder.path(), &["--verify-endpoint", &endpoint, "--format", "json"]);
    assert!(!String::from_utf8_lossy(&plain.stdout).contains("verified:"));
    let preview = scan(folder.path(), &["--verify-dry-run", "--verify-endpoint", &endpoint]);
    let said = String::from_utf8(preview.stderr).unwrap();
    let line = format!("GET {address}/v2/account (authorization: Bearer REDACTED)");
    assert_eq!(said.matches(&line).count(), 4, "{said}");
    assert!(
        said.lines().any(|line| line.starts_with("digitalocean-token 1-again.env:1 and 1 more place: GET ")),
        "{said}"
    );
    let sum = "would ask at most 4 questions about 4 credentials, of 1 provider; not asked about: 0 credentials";
    assert!(said.lines().any(|line| line == sum), "{said}");
    let elsewhere = String::from_utf8(scan(folder.path(), &["--verify-dry-run"]).stderr).unwrap();
    assert_eq!(elsewhere.matches("GET https://api.digitalocean.com/v2/account (").count(), 4, "{elsewhere}");
    assert!(('1'..='4').all(|digit| !said.contains(&token(digit))), "{said}");
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn a_long_preview_ends_with_how_much_there_is_besides() {
    let folder = tempfile::tempdir().unwrap();
    let token = token('0');
    let tokens = (0..103).map(|number| format!("TOKEN={}{number:03x}\n", &token[..token.len() - 3]));
    std::fs::write(folder.path().join("all.env"), tokens.collect::<String>()).unwrap();
    let said = String::from_utf8(scan(folder.path(), &["--verify-dry-run"]).stderr).unwrap();
    assert_eq!(said.matches("/v2/account (").count(), 100, "{said}");
    assert!(said.contains("\nand 3 more credentials\nwould ask at most 103 questions"), "{said}");
}

#[test]
fn every_form_of_a_report_holds_what_the_provider_said() {
    let (address, _) = provider();
    let folder = folder_of("12");
    let endpoint = format!("api.digitalocean.com={address}");
    let report = |format: &str| {
        let output = scan(folder.path(), &["--verify", "--verify-endpoint", &endpoint, "--format", format]);
        String::from_utf8(output.stdout).unwrap()
    };
    let text = report("text");
    assert!(text.contains("is live, its provider says") && text.contains("is dead, its provider says"), "{text}");
    assert!(report("html").contains("<p>Is live, its provider says</p>"));
    assert!(report("csv").contains("verified:dead"));
    let rows: Value = serde_json::from_str(&report("json")).unwrap();
    let tags: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["Tags"].to_string()).collect();
    assert_eq!(tags.iter().filter(|tags| tags.contains("verified:live")).count(), 2, "{tags:?}");
    assert_eq!(tags.iter().filter(|tags| tags.contains("verified:dead")).count(), 2, "{tags:?}");
    let sarif: Value = serde_json::from_str(&report("sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["properties"]["verdict"]["status"], "live");
}

#[test]
fn a_provider_that_asks_for_a_pause_is_asked_no_more() {
    let (address, asked) = provider();
    let folder = folder_of("512");
    // In the order of the names of their files.
    std::fs::rename(folder.path().join("5.env"), folder.path().join("0.env")).unwrap();
    let endpoint = format!("api.digitalocean.com={address}");
    let output = scan(folder.path(), &["--verify", "--verify-endpoint", &endpoint, "--format", "turnlock-json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for found in report["findings"].as_array().unwrap() {
        assert_eq!(found["verdict"]["reason"], "the provider asks for a pause", "{found}");
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn providers_are_reached_through_the_proxy_in_a_tunnel_and_this_machine_past_it() {
    let (proxy, through) = provider();
    let folder = folder_of("1");
    let both = [("HTTPS_PROXY", proxy.as_str()), ("HTTP_PROXY", proxy.as_str()), ("ALL_PROXY", proxy.as_str())];
    let output = scan_in(&both, folder.path(), &["--verify", "--format", "turnlock-json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    // This proxy opens no tunnel, so the credential goes nowhere.
    assert_eq!(report["findings"][0]["verdict"]["status"], "unknown", "{report}");
    let requests = std::mem::take(&mut *through.lock().unwrap());
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].starts_with("CONNECT api.digitalocean.com:443 "), "{requests:?}");
    assert!(!requests[0].contains(&token('1')), "{requests:?}");

    let (address, asked) = provider();
    let endpoint = format!("api.digitalocean.com={address}");
    let output = scan_in(&both, folder.path(), &["--verify", "--verify-endpoint", &endpoint, "--format", "text"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("is live"));
    assert_eq!((asked.lock().unwrap().len(), through.lock().unwrap().len()), (1, 0));
}

#[test]
fn endpoints_in_the_clear_and_of_hosts_that_nobody_asks_are_refused() {
    let folder = folder_of("1");
    let refused = |endpoint: &str| {
        let output = scan(folder.path(), &["--verify", "--verify-endpoint", endpoint]);
        assert_eq!(output.status.code(), Some(2), "{endpoint}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused("gitlab.com=http://gitlab.example.com").contains("over https"));
    assert!(refused("gitlab.example.com=https://127.0.0.1:1").contains("no provider is asked at gitlab.example.com"));
}
