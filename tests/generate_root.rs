//! Another root token by the shares of the unseal key: for who has `sudo`, and for everybody only where the configuration says so.

use std::io::Write as _;
use std::process::{Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};

use crate::harness::{Api, Instance, text};

const OPEN: &str = "enable_unauthenticated_access = [\"generate-root\"]";
const ATTEMPT: &str = "sys/generate-root/attempt";
const UPDATE: &str = "sys/generate-root/update";

/// A server with three shares, two of which open it.
async fn with_shares(extra: &str) -> (Instance, Vec<String>) {
    let mut instance = Instance::prepare(extra);
    instance.spawn().await;
    let (status, made) = instance.api("").put("sys/init", json!({"secret_shares": 3, "secret_threshold": 2})).await;
    assert_eq!(status, 200, "{made}");
    let shares: Vec<String> = made["keys"].as_array().unwrap().iter().map(text).collect();
    instance.root = text(&made["root_token"]);
    for share in &shares[..2] {
        instance.api("").put("sys/unseal", json!({ "key": share })).await;
    }
    (instance, shares)
}

async fn begin(api: &Api) -> (String, String) {
    let (status, begun) = api.put(ATTEMPT, json!({})).await;
    assert_eq!((status, &begun["started"], &begun["required"]), (200, &json!(true), &json!(2)), "{begun}");
    let otp = text(&begun["otp"]);
    assert_eq!(begun["otp_length"], json!(otp.len()));
    (text(&begun["nonce"]), otp)
}

/// Submits the shares; what the last one brings.
async fn submit(api: &Api, nonce: &str, shares: &[String]) -> (u16, Value) {
    let mut last = (0, Value::Null);
    for share in shares {
        last = api.put(UPDATE, json!({"key": share, "nonce": nonce})).await;
    }
    last
}

/// Whether what came out is a root token.
async fn is_root(instance: &Instance, encoded: &str, otp: &str) -> bool {
    let bytes = STANDARD_NO_PAD.decode(encoded).unwrap();
    let token: Vec<u8> = bytes.iter().zip(otp.as_bytes()).map(|(one, other)| one ^ other).collect();
    let (status, facts) = instance.api(std::str::from_utf8(&token).unwrap()).get("auth/token/lookup-self").await;
    status == 200 && facts["data"]["policies"] == json!(["root"])
}

/// The way out of a lost token needs no token; a hint that says "log in" leads nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_the_last_token_is_told_the_way_to_another() {
    let (instance, _) = with_shares("").await;
    for token in ["", "tlk_canary_revoked"] {
        for words in [["operator", "generate-root", "-init"], ["operator", "generate-root", "-status"]] {
            let output = instance.command(token).args(words).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(text.contains(OPEN) && text.contains("restarts") && !text.contains("log in"), "{text}");
            assert_eq!(output.status.code(), Some(2), "{text}");
        }
    }
}

#[tokio::test]
async fn who_has_sudo_and_the_shares_makes_a_root_token() {
    let (instance, shares) = with_shares("").await;
    let root = instance.as_root();
    let (nonce, otp) = begin(&root).await;
    assert_eq!(root.put(ATTEMPT, json!({})).await.0, 400, "one at a time");
    let (_, status) = root.get(ATTEMPT).await;
    assert_eq!((&status["nonce"], &status["progress"]), (&json!(nonce), &json!(0)));
    assert!(status.get("otp").is_none(), "the password is told once: {status}");
    // The same share counts once; shares of nothing are refused, and all begin anew.
    let (_, pending) = submit(&root, &nonce, &[shares[0].clone(), shares[0].clone()]).await;
    assert_eq!((&pending["progress"], &pending["complete"]), (&json!(1), &json!(false)), "{pending}");
    let mut wrong = shares[1].clone();
    wrong.replace_range(0..2, if wrong.starts_with("00") { "01" } else { "00" });
    assert_eq!(submit(&root, &nonce, &[wrong]).await.0, 400);
    assert_eq!(root.get(ATTEMPT).await.1["progress"], json!(0));
    assert_eq!(submit(&root, "another", &shares[..1]).await.0, 400, "the nonce belongs to the attempt");
    let (status, done) = submit(&root, &nonce, &shares[1..]).await;
    assert_eq!((status, &done["complete"]), (200, &json!(true)), "{done}");
    assert!(is_root(&instance, &text(&done["encoded_token"]), &otp).await);
    assert_eq!(root.get(ATTEMPT).await.1["started"], json!(false));
    let audit = std::fs::read_to_string(instance.audit_path()).unwrap();
    assert!(audit.contains(UPDATE) && !audit.contains(&otp) && !audit.contains(&text(&done["encoded_token"])));
}

#[tokio::test]
async fn without_a_token_nothing_is_made_unless_the_configuration_says_so() {
    let (instance, shares) = with_shares("").await;
    let (_, narrow) = instance.as_root().put("auth/token/create", json!({"policies": ["default"]})).await;
    let (nonce, _) = begin(&instance.as_root()).await;
    for token in ["", narrow["auth"]["client_token"].as_str().unwrap()] {
        let api = instance.api(token);
        assert_eq!(api.get(ATTEMPT).await.0, 403);
        assert_eq!(api.put(ATTEMPT, json!({})).await.0, 403);
        assert_eq!(api.delete(&format!("{ATTEMPT}?nonce={nonce}")).await.0, 403);
        assert_eq!(submit(&api, &nonce, &shares[..2]).await.0, 403);
    }
    assert_eq!(instance.as_root().get(ATTEMPT).await.1["progress"], json!(0));
}

/// Whoever came by could give up, or join, an attempt that was open to everybody: the state told them the nonce.
#[tokio::test]
async fn open_to_everybody_it_is_still_nobody_elses_to_give_up() {
    let (instance, shares) = with_shares(OPEN).await;
    let anybody = instance.api("");
    let (nonce, otp) = begin(&anybody).await;
    let (_, status) = anybody.get(ATTEMPT).await;
    assert_eq!((&status["started"], &status["nonce"]), (&json!(true), &json!("")), "{status}");
    for path in [ATTEMPT.to_owned(), format!("{ATTEMPT}?nonce="), format!("{ATTEMPT}?nonce=guessed")] {
        assert_eq!(anybody.delete(&path).await.0, 400, "{path}");
    }
    assert_eq!(submit(&anybody, "", &shares[..1]).await.0, 400);
    let (status, done) = submit(&anybody, &nonce, &shares[..2]).await;
    assert_eq!((status, &done["complete"]), (200, &json!(true)), "{done}");
    assert!(is_root(&instance, &text(&done["encoded_token"]), &otp).await);
    // By the nonce, or with sudo, it is given up.
    let (nonce, _) = begin(&anybody).await;
    assert_eq!(anybody.delete(&format!("{ATTEMPT}?nonce={nonce}")).await.0, 204);
    begin(&anybody).await;
    assert_eq!(instance.as_root().delete(ATTEMPT).await.0, 204);
    assert_eq!(anybody.get(ATTEMPT).await.1["started"], json!(false));
    assert!(instance.log().contains("take enable_unauthenticated_access out"), "{}", instance.log());
    // A seal forgets it, and while sealed there is none.
    begin(&anybody).await;
    assert_eq!(instance.as_root().put("sys/seal", json!({})).await.0, 204);
    assert_eq!(anybody.put(ATTEMPT, json!({})).await.0, 503);
    for share in &shares[..2] {
        anybody.put("sys/unseal", json!({ "key": share })).await;
    }
    assert_eq!(anybody.get(ATTEMPT).await.1["started"], json!(false));
}

#[tokio::test]
async fn a_password_that_does_not_cover_the_token_is_refused() {
    let (instance, shares) = with_shares("").await;
    let root = instance.as_root();
    for otp in ["short".to_owned(), "x".repeat(53)] {
        assert_eq!(root.put(ATTEMPT, json!({ "otp": otp })).await.0, 400);
    }
    assert_eq!(root.put(ATTEMPT, json!({"pgp_key": "x"})).await.0, 400);
    let own = "y".repeat(52);
    let (status, begun) = root.put(ATTEMPT, json!({ "otp": own })).await;
    assert_eq!((status, &begun["otp"]), (200, &json!(own)));
    let (_, done) = submit(&root, &text(&begun["nonce"]), &shares[..2]).await;
    assert!(is_root(&instance, &text(&done["encoded_token"]), &own).await);
}

#[tokio::test]
async fn the_command_leads_from_the_shares_to_the_token() {
    let (instance, shares) = with_shares(OPEN).await;
    let command = |arguments: &[&str], input: &str| -> Output {
        // Whoever needs this has a token left that is dead.
        let mut command = instance.command("made-up");
        command.args(["operator", "generate-root"]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // A command that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    let json = |output: &Output| -> Value {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let begun = json(&command(&["-init", "-format=json"], ""));
    let nonce = format!("-nonce={}", text(&begun["nonce"]));
    let refused = command(&["-"], &shares[0]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("hint: give the one that -init showed"), "{refused:?}");
    assert_eq!(json(&command(&[&nonce, "-format=json", "-"], &shares[0]))["progress"], json!(1));
    assert_eq!(json(&command(&["-status", "-format=json"], ""))["progress"], json!(1));
    let done = json(&command(&[&nonce, "-format=json", "-"], &shares[2]));
    let (encoded, otp) = (text(&done["encoded_token"]), text(&begun["otp"]));
    let shown = command(&["-decode=-"], &format!("{encoded}\n{otp}\n"));
    let token = String::from_utf8(shown.stdout).unwrap();
    let same = command(&[&format!("-decode={encoded}"), "-format=json"], &otp);
    assert_eq!(json(&same)["token"], json!(token.trim_end()));
    let (status, facts) = instance.api(token.trim_end()).get("auth/token/lookup-self").await;
    assert_eq!((status, &facts["data"]["policies"]), (200, &json!(["root"])));
    let (wrong, argument) =
        (command(&["-decode=-"], &format!("{encoded}\nshort\n")), command(&["-init", "-otp=abc"], ""));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("not as long as the token"), "{wrong:?}");
    assert!(String::from_utf8_lossy(&argument.stderr).contains("not taken from an argument"), "{argument:?}");
    let begun = json(&command(&["-init", "-format=json"], ""));
    assert!(!command(&["-cancel"], "").status.success(), "without token and nonce");
    assert!(command(&["-cancel", &format!("-nonce={}", text(&begun["nonce"]))], "").status.success());
    // A password that the server did not make.
    let drawn = text(&json(&command(&["-generate-otp", "-format=json"], ""))["otp"]);
    let shown = String::from_utf8(command(&["-generate-otp"], "").stdout).unwrap();
    assert_eq!((shown.trim_end().len(), drawn == shown.trim_end()), (drawn.len(), false), "{shown}");
    assert_eq!(json(&command(&["-init", "-otp=-", "-format=json"], &drawn))["otp"], json!(drawn));
    let refused = command(&["-init", "-pgp-key=key.asc"], "");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("there is no PGP here"), "{refused:?}");
}
