//! Agents rest between runs, and miss none.

use serde_json::{Value, json};

use super::{SECRET, attempt, run, serving, turnlock};
use crate::harness::{Instance, text, wait_for};

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

/// Cause: the rows of ended attempts stayed for ever, and each look at the history read them all. Loss: room and time without
/// bound on a schedule of minutes. Fix: the oldest go.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_has_a_bound() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    let root = instance.as_root();
    root.put("secret/data/app/key/deeper", json!({"data": {"key": "tlk_canary_deeper"}})).await;
    for secret in [SECRET.to_owned(), format!("{SECRET}/deeper")] {
        root.put(&format!("rotation/definitions/{secret}"), json!({"field": "key", "pool": "by-hand"})).await;
    }
    let history = async |secret: &str| {
        let (_, answer) = root.get(&format!("rotation/history/{secret}")).await;
        answer["data"]["attempts"].as_array().unwrap().clone()
    };
    let abort = async |secret: &str| {
        root.put(&format!("rotation/run/{secret}"), json!({})).await;
        root.put(&format!("rotation/abort/{secret}"), json!({})).await;
    };
    abort(&format!("{SECRET}/deeper")).await;
    for _ in 0..53 {
        abort(SECRET).await;
    }
    let rows = history(SECRET).await;
    assert_eq!(rows.len(), 50);
    abort(SECRET).await;
    let later = history(SECRET).await;
    assert_eq!((later.len(), &later[1..]), (50, &rows[..49]), "the newest are kept");
    assert_eq!(history(&format!("{SECRET}/deeper")).await.len(), 1, "another rotation's history is its own");
}
