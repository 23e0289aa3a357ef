//! Neither the answer nor its time tells an unknown name from a wrong secret.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{done, enable_auth, post, with_mounts};
use crate::harness::{Api, rounds, text};

async fn timed(api: &Api, path: &str, body: Value) -> (Duration, (u16, Value)) {
    let start = Instant::now();
    let answer = post(api, path, body).await;
    (start.elapsed(), answer)
}

/// Whether two series, measured in turn, have medians within a factor of `bound`. What others do on this machine
/// touches both alike, and a series that skips its work differs by far more.
#[track_caller]
fn alike(what: &str, mut one: Vec<Duration>, mut two: Vec<Duration>, bound: f64) {
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    };
    let (first, second) = (median(&mut one), median(&mut two));
    let ratio = first.max(second) / first.min(second);
    assert!(ratio < bound, "{what}: medians of {first:.6} s and {second:.6} s");
}

/// How surely somebody who sees one time of each series tells which is the longer one's: 0.5 is chance, 1 is always.
fn told_apart(one: &[Duration], two: &[Duration]) -> f64 {
    let mut all: Vec<_> = one.iter().map(|time| (time, 0.0)).chain(two.iter().map(|time| (time, 1.0))).collect();
    all.sort_by_key(|(time, _)| **time);
    let (mut seen, mut above) = (0.0, 0.0);
    for (_, second) in all {
        above += second * seen;
        seen += 1.0 - second;
    }
    let chance = above / (one.len() * two.len()) as f64;
    chance.max(1.0 - chance)
}

/// Two series that were measured in turn tell no more than chance does: no further from one half than seven and a half of
/// its standard deviations, so that more tries see smaller differences and a busy machine does not matter.
#[track_caller]
fn indistinguishable(what: &str, one: &[Duration], two: &[Duration]) {
    let (first, second) = (one.len() as f64, two.len() as f64);
    let deviation = ((first + second + 1.0) / (12.0 * first * second)).sqrt();
    let told = told_apart(one, two);
    println!("{what}: told apart with {told:.3} in {} tries, chance goes to {:.3}", one.len(), 0.5 + 7.5 * deviation);
    assert!(told < 0.5 + 7.5 * deviation, "{what}: told apart with {told:.3}");
}

#[test]
fn a_difference_of_a_tenth_of_the_spread_is_seen_in_enough_tries() {
    let times =
        |shift: u64| (0..4000u64).map(|at| Duration::from_nanos(at * 7919 % 100_000 + shift)).collect::<Vec<_>>();
    assert!(told_apart(&times(0), &times(0)) < 0.51);
    let told = told_apart(&times(0), &times(10_000));
    assert!((0.58..0.62).contains(&told), "{told}");
}

#[tokio::test]
async fn an_unknown_user_costs_what_a_wrong_password_costs() {
    let instance = with_mounts().await;
    enable_auth(&instance, "userpass", "userpass").await;
    let stranger = instance.api("");
    let users = 8;
    for user in 0..users {
        let fields = json!({"password": "tlk_canary_right"});
        done(post(&instance.as_root(), &format!("auth/userpass/users/known{user}"), fields).await);
    }
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    // Below the lock's threshold for each name.
    for user in 0..users {
        for _ in 0..3 {
            let wrong = json!({"password": "tlk_canary_wrong"});
            let (time, one) = timed(&stranger, &format!("auth/userpass/login/known{user}"), wrong.clone()).await;
            known.push(time);
            let (time, two) = timed(&stranger, &format!("auth/userpass/login/other{user}"), wrong).await;
            unknown.push(time);
            assert_eq!(one, two);
        }
    }
    alike("userpass", known, unknown, 2.0);
}

#[tokio::test]
async fn an_unknown_role_id_looks_like_a_wrong_secret_id() {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    let root = instance.as_root();
    done(post(&root, "auth/approle/role/web", json!({"token_policies": ["default"]})).await);
    let role_id = text(&root.get("auth/approle/role/web/role-id").await.1["data"]["role_id"]);
    let stranger = instance.api("");
    let secret_id = "5b0b5c9e-6a53-4f0e-8d1f-0e3f5f2b7c11";
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let right = json!({"role_id": role_id, "secret_id": secret_id});
    let wrong = json!({"role_id": "8f14e45f-ceea-467f-a8d3-9a1c6b1e2d33", "secret_id": secret_id});
    for round in 0..rounds(4000, 300) {
        // In turn, and neither always first.
        let mut pairs = [(&right, &mut known), (&wrong, &mut unknown)];
        if round % 2 == 1 {
            pairs.reverse();
        }
        let mut answers = Vec::new();
        for (fields, times) in pairs {
            let (time, answer) = timed(&stranger, "auth/approle/login", fields.clone()).await;
            assert!(time >= Duration::from_millis(9), "refused after {time:?}, so the time tells how far it got");
            times.push(time);
            answers.push(answer);
        }
        let [one, two] = <[_; 2]>::try_from(answers).unwrap();
        assert_eq!(one, two);
        assert_eq!(one.0, 400);
    }
    indistinguishable("an unknown role", &known, &unknown);
}

#[tokio::test]
async fn a_revoked_token_looks_like_an_unknown_or_malformed_one() {
    let instance = with_mounts().await;
    let (_, answer) = post(&instance.as_root(), "auth/token/create", json!({"policies": ["default"]})).await;
    let revoked = text(&answer["auth"]["client_token"]);
    done(post(&instance.as_root(), "auth/token/revoke", json!({"token": revoked})).await);
    let mut unknown = revoked.clone();
    unknown.replace_range(10..11, if revoked.as_bytes()[10] == b'x' { "y" } else { "x" });
    let clients = [revoked.as_str(), &unknown, "s.malformed", "tlk_s_"].map(|token| instance.api(token));
    let mut times: [Vec<Duration>; 4] = Default::default();
    let mut answers = Vec::new();
    for round in 0..rounds(4000, 300) {
        for place in 0..clients.len() {
            let number = (round + place) % clients.len();
            let start = Instant::now();
            answers.push(clients[number].get("auth/token/lookup-self").await);
            times[number].push(start.elapsed());
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{:?}", answers.iter().take(3).collect::<Vec<_>>());
    assert_eq!(answers[0].0, 403);
    let [revoked, others @ ..] = times;
    for (what, other) in ["an unknown token", "a malformed token", "a bare prefix"].into_iter().zip(others) {
        indistinguishable(what, &revoked, &other);
    }
}
