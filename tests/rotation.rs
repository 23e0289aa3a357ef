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

/// Records of requests and answers in the audit so far; signatures over them come by themselves.
fn records(instance: &Instance) -> usize {
    let audit = std::fs::read_to_string(instance.audit_path()).unwrap();
    audit.lines().filter(|line| !line.contains("\"checkpoint\"")).count()
}

/// Whether most attempts by schedule began in the second in which they were due, on a schedule of every other second. Not
/// all: the machine may stand still for a second, with all that else runs on it.
fn are_punctual(history: &Value) -> bool {
    let attempts = history["data"]["attempts"].as_array().unwrap();
    let seconds: Vec<u32> = attempts.iter().map(|attempt| text(&attempt["started"])[17..19].parse().unwrap()).collect();
    2 * seconds.iter().filter(|second| *second % 2 == 0).count() > seconds.len()
}

async fn scheduled(instance: &Instance, pool: &str) {
    let definition = json!({"field": "key", "schedule": "*/2 * * * * *", "pool": pool});
    let (status, answer) = instance.as_root().put(&format!("rotation/definitions/{SECRET}"), definition).await;
    assert!(status < 300, "{answer}");
}

/// The history, once three attempts by schedule have succeeded.
async fn three_runs(instance: &Instance) -> Value {
    wait_for("three runs", async || {
        let (_, answer) = instance.as_root().get(&format!("rotation/history/{SECRET}")).await;
        let attempts = answer["data"]["attempts"].as_array()?;
        let done = attempts.iter().filter(|attempt| attempt["state"] == "succeeded").count();
        (done >= 3).then_some(answer)
    })
    .await
}

/// How many records come in five seconds in which nobody asks for anything.
async fn records_at_rest(instance: &Instance) -> usize {
    let before = records(instance);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    records(instance) - before
}

/// Cause: the agent asked for work twice a second, each time with two records. Loss: an idle server filled its evidence with
/// nothing, 345,600 records a day. Fix: it sleeps until the next run, and is woken by what changes.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_writes_next_to_no_records_and_is_punctual_all_the_same() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    scheduled(&instance, "").await;
    let history = three_runs(&instance).await;
    assert!(are_punctual(&history), "{history}");
    turnlock(&instance, &["rotate", "pause", SECRET]);
    attempt(&instance, "the end", |row| row["state"] == "succeeded").await;
    // The commands above, and what they woke, are recorded a moment later.
    wait_for("rest", async || {
        let before = records(&instance);
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        (records(&instance) == before).then_some(())
    })
    .await;
    let new = records_at_rest(&instance).await;
    assert_eq!(new, 0, "records in five seconds");
    // It is not asleep for good.
    let begun = std::time::Instant::now();
    run(&instance).await;
    attempt(&instance, "a run by hand", |row| row["cause"] != "schedule" && row["state"] == "succeeded").await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "the agent was not woken");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_elsewhere_asks_when_something_is_due_and_seldom_otherwise() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    scheduled(&instance, "dmz").await;
    let agent =
        instance.command(&instance.root).args(["agent", "-pool=dmz"]).stderr(std::process::Stdio::null()).spawn();
    let _agent = crate::harness::Running(agent.unwrap());
    let history = three_runs(&instance).await;
    assert!(are_punctual(&history), "{history}");
    let claims = std::fs::read_to_string(instance.audit_path()).unwrap().matches("\"rotation/claim\"").count();
    let runs = history["data"]["attempts"].as_array().unwrap().len();
    // Of each run: one claim that finds it and one that finds nothing more, with two records each; and what the embedded
    // agent was woken for.
    assert!(claims <= 8 * (runs + 2), "{claims} records of claims for {runs} runs");
    turnlock(&instance, &["rotate", "set", SECRET, "-no-schedule"]);
    wait_for("rest", async || {
        let before = records(&instance);
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        (records(&instance) == before).then_some(())
    })
    .await;
}

/// A service that answers `status` to a POST, with words that are nobody's business, and 405 to anything else.
fn service(status: std::sync::Arc<std::sync::atomic::AtomicU16>) -> String {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/new-key", listener.local_addr().unwrap());
    // It ends with the process of the tests.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|length| length > 0) {}
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            reader.by_ref().take(length.unwrap_or(0)).read_to_end(&mut Vec::new()).unwrap();
            let status = match head.starts_with("post ") {
                true => status.load(std::sync::atomic::Ordering::SeqCst),
                false => 405,
            };
            let body = "tlk_canary_answer";
            let answer =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = reader.into_inner().write_all(answer.as_bytes());
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses_the_new_value_is_named_with_its_status_and_nothing_that_it_said() {
    use std::sync::atomic::{AtomicU16, Ordering};
    let folder = tempfile::tempdir().unwrap();
    let instance = serving(folder.path()).await;
    let status = std::sync::Arc::new(AtomicU16::new(422));
    let target = json!({
        "name": "hook", "type": "webhook", "url": service(status.clone()), "signing_key": "tlk_canary_signing",
    });
    let file = json!({"name": "file", "type": "file", "path": folder.path().join("key")});
    define(&instance, json!([target, file])).await;
    run(&instance).await;
    let row = attempt(&instance, "a second try", |row| row["tries"].as_u64() >= Some(2)).await;
    assert_eq!(
        (&row["step"], &row["failure"], &row["acknowledged"]),
        (&json!("push"), &json!("refused"), &json!(["file"]))
    );
    let (table, ..) = turnlock(&instance, &["rotate", "history", SECRET]);
    let line = table.lines().find(|line| line.contains("it answered with status 422")).unwrap();
    assert!(line.contains("hook") && line.contains("push"), "{table}");
    let (json, ..) = turnlock(&instance, &["rotate", "history", "-format=json", SECRET]);
    for text in [&table, &json, &instance.log()] {
        assert!(!text.contains("canary"), "{text}");
    }
    let (said, _, code) = turnlock(&instance, &["rotate", "abort", SECRET]);
    assert!(said.contains("version 2 stays in force. Acknowledged by: file") && code == 0, "{said}");
    status.store(204, Ordering::SeqCst);
    run(&instance).await;
    attempt(&instance, "success", |row| row["state"] == "succeeded").await;
}
