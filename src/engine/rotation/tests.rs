//! Rotations as agents and operators meet them, asked through the door, with a clock that tests move. The test is the agent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::{Value, json};

use crate::request::Operation::{List, Read, Update};
use crate::token::tests::World;

const DAY: i64 = 86_400;

/// A world with a mount of secrets.
async fn world() -> World {
    let world = World::new().await;
    ask(&world, "sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    world
}

async fn ask(world: &World, path: &str, body: Value) -> Value {
    world.root_ask(Update, path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A secret below `secret/`, and its rotation with a target.
async fn define(world: &World, name: &str, more: Value) {
    ask(world, &format!("secret/data/{name}"), json!({"data": {"key": "tlk_canary_first"}})).await;
    let target =
        json!({"name": "hook", "type": "webhook", "url": "https://app.test/", "signing_key": "tlk_canary_signing"});
    let mut body = json!({"field": "key", "targets": [target]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ask(world, &format!("rotation/definitions/secret/{name}"), body).await;
}

async fn claim(world: &World) -> Value {
    ask(world, "rotation/claim", json!({"agent": "test"})).await["data"].clone()
}

/// Reports the step of `work`, as done unless `more` says otherwise; answers what is next.
async fn report(world: &World, work: &Value, more: Value) -> Value {
    let attempt = &work["attempt"];
    let mut body = json!({
        "attempt": attempt["id"], "epoch": attempt["epoch"], "step": attempt["step"], "outcome": "done",
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let name = attempt["rotation"].as_str().unwrap();
    ask(world, &format!("rotation/report/{name}"), body).await["data"].clone()
}

/// The step of `work` as it comes out while the target is down.
async fn fail(world: &World, work: &Value) -> Value {
    let obstacles = json!([{"target": "hook", "reason": {"kind": "unreachable"}}]);
    report(world, work, json!({"outcome": "failed", "failure": "unreachable", "obstacles": obstacles})).await
}

/// Does all that is left of an attempt.
async fn finish(world: &World, mut work: Value) {
    while work["attempt"]["state"] == "running" {
        let more = match work["attempt"]["step"].as_str().unwrap() {
            "create" => json!({"value": "tlk_canary_made"}),
            "push" => json!({"acknowledged": ["hook"]}),
            _ => json!({}),
        };
        work = report(world, &work, more).await;
    }
    assert_eq!(work["attempt"]["state"], "succeeded");
}

/// Claims until there is work, passing the time that the server says there is none for.
async fn next(world: &World) -> Value {
    loop {
        let answer = claim(world).await;
        match answer["wait_ms"].as_i64() {
            Some(wait) => world.pass(wait / 1000 + 1),
            None => return answer,
        }
    }
}

/// How the rotation of `secret/app` stands, as a listing tells.
async fn standing(world: &World) -> Value {
    let listed = world.root_ask(List, "rotation/definitions/secret", Value::Null).await.unwrap();
    assert_eq!(listed["data"]["keys"], json!(["app"]));
    listed["data"]["key_info"]["app"].clone()
}

async fn health(world: &World) -> Value {
    world.root_ask(Read, "sys/health", Value::Null).await.unwrap()["rotations"].clone()
}

/// Cause: an attempt gave up after ten tries. Loss: a monthly rotation whose target was down for nine minutes missed its month, and
/// one whose value was in force waited for a person that only a log told.
#[tokio::test]
async fn an_outage_of_any_length_ends_no_attempt_and_people_are_told_of_it() {
    for steps_before in [0, 2] {
        let world = world().await;
        define(&world, "app", json!({"schedule": "0 0 1 * *"})).await;
        world.pass(32 * DAY);
        let mut work = claim(&world).await;
        for _ in 0..steps_before {
            work = report(&world, &work, json!({"value": "tlk_canary_made"})).await;
        }
        let step = work["attempt"]["step"].clone();
        assert_eq!(step, ["create", "promote", "push"][steps_before]);
        for tries in 1..=60 {
            let row = fail(&world, &work).await;
            assert_eq!((&row["attempt"]["state"], &row["attempt"]["tries"]), (&json!("running"), &json!(tries)));
            if tries == 9 {
                claim(&world).await;
                assert_eq!(health(&world).await, Value::Null, "not for every moment that something does not answer");
            }
            work = next(&world).await;
            assert_eq!((&work["attempt"]["step"], &work["attempt"]["id"]), (&step, &row["attempt"]["id"]));
        }
        let now = standing(&world).await;
        assert_eq!(
            (&now["state"], &now["tries"], &now["last_success"]),
            (&json!("hindered"), &json!(60), &Value::Null)
        );
        assert_eq!(now["reasons"], json!(["hook: no connection, or no answer in time"]));
        assert!(now["next_try"].is_string(), "{now}");
        assert!(health(&world).await.as_str().unwrap().contains("rotate list"));
        finish(&world, work).await;
        assert!(claim(&world).await["wait_ms"].is_i64());
        let now = standing(&world).await;
        assert_eq!((&now["state"], &now["tries"], &now["reasons"]), (&json!("idle"), &json!(0), &json!([])));
        assert!(now["last_success"].is_string() && health(&world).await.is_null(), "{now}");
    }
}

#[tokio::test]
async fn what_no_other_try_mends_ends_an_attempt_and_people_are_told_of_it() {
    let world = world().await;
    define(&world, "app", json!({})).await;
    ask(&world, "rotation/run/secret/app", json!({})).await;
    let obstacles = json!([{"target": "hook", "reason": {"kind": "definition"}}]);
    let failed = json!({"outcome": "failed", "failure": "misconfigured", "obstacles": obstacles});
    report(&world, &claim(&world).await, failed).await;
    claim(&world).await;
    let now = standing(&world).await;
    assert_eq!((&now["state"], &now["next_try"]), (&json!("failed"), &Value::Null));
    assert!(health(&world).await.is_string());
    ask(&world, "rotation/abort/secret/app", json!({})).await;
    claim(&world).await;
    assert!(health(&world).await.is_null());
}

#[tokio::test]
async fn a_rotation_whose_agent_does_not_come_is_told_of() {
    let world = world().await;
    define(&world, "app", json!({"schedule": "0 3 * * *", "pool": "dmz"})).await;
    world.pass(DAY);
    while health(&world).await.is_null() {
        world.pass(60);
        claim(&world).await;
    }
    let now = standing(&world).await;
    assert_eq!((&now["state"], &now["next_try"]), (&json!("due"), &Value::Null));
    ask(&world, "rotation/claim", json!({"agent": "edge", "pool": "dmz"})).await;
    assert!(health(&world).await.is_null());
}

/// Cause: it was looked at when an agent asked for work and not else. Loss: where the only agent was gone, nobody was told.
#[tokio::test]
async fn people_are_told_of_a_missing_agent_when_no_other_asks_either() {
    let world = world().await;
    let look = async || super::stuck::look(&world.server).await.unwrap();
    for (name, more) in [("app", json!({"schedule": "0 3 * * *"})), ("zone", json!({"pool": "dmz"}))] {
        define(&world, name, more).await;
    }
    assert!(!look().await && health(&world).await.is_null());
    world.pass(2 * DAY);
    assert!(look().await && health(&world).await.is_string());
    finish(&world, claim(&world).await).await;
    assert!(!look().await && health(&world).await.is_null());
    ask(&world, "rotation/run/secret/zone", json!({})).await;
    world.pass(300);
    assert!(!look().await, "not for a moment");
    world.pass(301);
    assert!(look().await && health(&world).await.is_string());
    world.server.seal();
    assert!(!look().await);
}

#[tokio::test]
async fn an_attempt_that_has_made_nothing_yet_stands_for_the_runs_that_fall_due_meanwhile() {
    let world = world().await;
    define(&world, "app", json!({"schedule": "0 3 * * *"})).await;
    world.pass(DAY);
    fail(&world, &claim(&world).await).await;
    world.pass(3 * DAY);
    finish(&world, claim(&world).await).await;
    let rest = claim(&world).await;
    assert!(rest["wait_ms"].as_i64().unwrap() > 1000, "{rest}");
    // One whose value was made before does not.
    world.pass(DAY);
    let work = report(&world, &claim(&world).await, json!({"value": "tlk_canary_made"})).await;
    fail(&world, &work).await;
    world.pass(DAY);
    finish(&world, claim(&world).await).await;
    assert!(claim(&world).await["attempt"].is_object());
}

/// Cause: attempts were handed out by name. Loss: those that came to nothing again and again stood before the others.
#[tokio::test]
async fn what_is_due_for_longest_is_handed_out_first() {
    let world = world().await;
    for name in ["a", "b", "c"] {
        define(&world, name, json!({})).await;
    }
    for name in ["b", "c", "a"] {
        ask(&world, &format!("rotation/run/secret/{name}"), json!({})).await;
        world.pass(1);
    }
    for name in ["b", "c"] {
        let work = claim(&world).await;
        assert_eq!(work["attempt"]["rotation"], format!("secret/{name}"));
        fail(&world, &work).await;
    }
    world.pass(1);
    let work = claim(&world).await;
    assert_eq!(work["attempt"]["rotation"], "secret/a", "one that failed was before one that nobody had looked at");
}

#[tokio::test]
async fn who_says_that_it_is_still_at_work_keeps_the_claim_and_who_does_not_loses_it() {
    let world = world().await;
    define(&world, "app", json!({})).await;
    ask(&world, "rotation/run/secret/app", json!({})).await;
    let work = claim(&world).await;
    for _ in 0..5 {
        world.pass(20);
        report(&world, &work, json!({"outcome": "working"})).await;
        assert!(claim(&world).await["wait_ms"].is_i64());
    }
    world.pass(30);
    let taken = claim(&world).await;
    assert_eq!(taken["attempt"]["epoch"], 2);
    let attempt = &work["attempt"];
    let late = json!({"attempt": attempt["id"], "epoch": 1, "step": attempt["step"], "outcome": "working"});
    let refused = world.root_ask(Update, "rotation/report/secret/app", late).await.unwrap_err();
    assert!(refused.status() == 400 && refused.to_string().contains("taken over"), "{refused}");
}

/// Cause: what the schedule had been looked at up to was believed, even if it lay ahead. Loss: after a clock that was once wrong by
/// a year, no run by schedule for a year.
#[tokio::test]
async fn a_clock_that_was_once_ahead_leaves_no_run_missed() {
    let world = world().await;
    world.pass(365 * DAY);
    define(&world, "app", json!({"schedule": "0 3 * * *"})).await;
    world.pass(-365 * DAY);
    let shown = standing(&world).await;
    let read = world.root_ask(Read, "rotation/definitions/secret/app", Value::Null).await.unwrap();
    assert_eq!(read["data"]["next_run"], shown["next_run"]);
    assert!(shown["next_run"].as_str().unwrap() < "2027-01-17", "{shown}");
    for _ in 0..3 {
        assert!(claim(&world).await["wait_ms"].is_i64());
        world.pass(DAY);
        finish(&world, claim(&world).await).await;
    }
}

#[tokio::test]
async fn how_a_rotation_stands_is_told_to_who_may_read_its_history() {
    let world = world().await;
    define(&world, "app", json!({})).await;
    world.policy("names", r#"path "rotation/definitions/*" { capabilities = ["list", "read"] }"#).await;
    let lister = world.token(&world.root, json!({"policies": ["names"]})).await;
    let listed = world.as_token(&lister, List, "rotation/definitions/secret", Value::Null).await.unwrap();
    assert_eq!(listed["data"], json!({"keys": ["app"], "key_info": {}}));
}
