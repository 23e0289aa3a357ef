//! Guesses are counted under the name by which the user is found, and a lock says nothing of who exists.

use serde_json::{Value, json};

use super::{done, enable_auth, post, with_mounts};
use crate::harness::Instance;

const PASSWORD: &str = "tlk_canary_right_password";

async fn with_user(name: &str) -> Instance {
    let instance = with_mounts().await;
    enable_auth(&instance, "userpass", "userpass").await;
    done(post(&instance.as_root(), &format!("auth/userpass/users/{name}"), json!({"password": PASSWORD})).await);
    instance
}

async fn login(instance: &Instance, name: &str, password: &str) -> (u16, Value) {
    post(&instance.api(""), &format!("auth/userpass/login/{name}"), json!({"password": password})).await
}

#[tokio::test]
async fn spellings_of_one_name_share_one_count() {
    for spelling in ["ANNA", "Anna", "anna%20", "%20anna", "anna%09", "anna/", "%61nna", "anna%c2%a0", "%ef%bd%81nna"] {
        let instance = with_user("anna").await;
        let reaches = login(&instance, spelling, PASSWORD).await.0 == 200;
        for _ in 0..6 {
            let (status, answer) = login(&instance, spelling, "tlk_canary_wrong").await;
            assert!((400..500).contains(&status), "{spelling}: {answer}");
        }
        let (status, answer) = login(&instance, "anna", PASSWORD).await;
        if reaches {
            assert_ne!(status, 200, "guesses as {spelling} reach anna and are not counted for her: {answer}");
        } else {
            assert_eq!(status, 200, "guesses as {spelling} reach nobody and lock anna out: {answer}");
        }
    }
}

#[tokio::test]
async fn spellings_in_turn_give_no_more_guesses() {
    let instance = with_user("anna").await;
    for spelling in ["anna", "ANNA", "Anna", "aNNa", "ANna", "annA"] {
        assert_ne!(login(&instance, spelling, "tlk_canary_wrong").await.0, 200);
    }
    assert_ne!(login(&instance, "anna", PASSWORD).await.0, 200, "six guesses under six spellings lock nobody");
}

#[tokio::test]
async fn lockout_does_not_tell_who_exists() {
    let instance = with_user("anna").await;
    for attempt in 0..8 {
        let known = login(&instance, "anna", "tlk_canary_wrong").await;
        let unknown = login(&instance, "nobody", "tlk_canary_wrong").await;
        assert_eq!(known, unknown, "attempt {attempt} tells them apart");
    }
    let locked = login(&instance, "anna", PASSWORD).await;
    assert_eq!(locked, login(&instance, "nobody", PASSWORD).await);
    assert_ne!(locked.0, 200);
}

#[tokio::test]
async fn from_outside_its_networks_the_right_password_counts_like_a_wrong_one() {
    let instance = with_user("anna").await;
    let bound = json!({"token_bound_cidrs": ["192.0.2.0/24"]});
    done(post(&instance.as_root(), "auth/userpass/users/anna", bound).await);
    let mut answers = Vec::new();
    for password in ["tlk_canary_wrong", "tlk_canary_wrong", "tlk_canary_wrong", "tlk_canary_wrong", PASSWORD] {
        answers.push(login(&instance, "anna", password).await);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the right password looks different: {answers:?}");
    // Five failures lock: had the fifth counted as a success, a sixth would still be tried.
    assert_ne!(login(&instance, "anna", "tlk_canary_wrong").await, answers[0], "the right password starts anew");
}
