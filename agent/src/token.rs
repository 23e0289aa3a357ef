//! The token of an agent: renewed when half of its life is gone, and replaced when it cannot live on.

use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use turnlock_core::Protected;

use crate::client::{Call, Client, ClientError, one_line};

/// First and longest pause while there is nobody to ask, or no other token.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// First and longest pause between two times that a token is looked up because something was denied: a policy that denies it for
/// good makes no stream of logins.
const DENIED_PAUSE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(960));

/// How long a token lives, as the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// `None` for ever.
    pub left: Option<Duration>,
    /// Whether it may be asked for more.
    pub renewable: bool,
}

/// Why a token does not live on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Lost {
    #[error("it is of a kind that cannot be renewed, and ends in {} s", .0.as_secs())]
    Fixed(Duration),
    #[error("it has reached its longest life, and ends in {} s", .0.as_secs())]
    Limit(Duration),
    #[error(
        "it has ended or was revoked, or its policies do not let it look itself up and renew itself, as `default` does"
    )]
    Refused,
}

/// A client with the token of an AppRole login, and that token's life.
pub async fn log_in(
    client: &Client,
    mount: &str,
    role_id: &str,
    secret_id: Option<&Protected>,
) -> Result<(Client, Life), ClientError> {
    #[derive(Serialize)]
    struct Login<'a> {
        role_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        secret_id: Option<&'a str>,
    }
    let login = Login { role_id, secret_id: secret_id.and_then(Protected::expose_str) };
    let call = Call::new(Method::POST, format!("auth/{mount}/login")).json(&login)?;
    let auth = client.clone().without_token().send(call).await?.auth()?;
    let life = Life { left: seconds(auth.lease_seconds), renewable: auth.renewable };
    Ok((client.clone().with_token(auth.token), life))
}

/// Keeps the token of the newest of `clients` alive, of which `life` is known or asked for. When it cannot live on, asks `another` for a
/// client with another token, and its life if that is known, until there is one; `another` gets the present client. What is wrong is
/// in the log. `denied` is told of each refusal of a request with that token: it may have been revoked, which is looked up then.
pub async fn keep<E: Display>(
    clients: watch::Sender<Client>,
    mut life: Option<Life>,
    denied: &Notify,
    mut another: impl AsyncFnMut(&Client) -> Result<Option<(Client, Option<Life>)>, E>,
) -> Infallible {
    let mut denials = Denials::new(denied);
    loop {
        let client = clients.borrow().clone();
        let lost = wait_for_the_end(&client, life.take(), &mut denials).await;
        let (mut pause, mut told) = (PAUSE.0, false);
        loop {
            match another(&client).await {
                Ok(Some((next, its_life))) => {
                    clients.send_replace(next);
                    life = its_life;
                    tracing::info!("the agent goes on with another token");
                    break;
                }
                Err(error) => {
                    tracing::error!(token = %lost, login = %error, "the agent's token does not live on, and there is no other")
                }
                Ok(None) if !told => {
                    tracing::error!(
                        token = %lost,
                        "the agent's token does not live on: give it another in the file of -token-file, which is read again, or let \
                         it log in, with -role-id and -secret-id-file"
                    );
                }
                Ok(None) => {}
            }
            told = true;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

/// Renews the token of `client` for as long as that goes.
async fn wait_for_the_end(client: &Client, mut life: Option<Life>, denials: &mut Denials<'_>) -> Lost {
    let mut pause = PAUSE.0;
    loop {
        let known = match life.take() {
            Some(life) => Ok(life),
            None => look_up(client).await,
        };
        let answer = match known {
            Ok(Life { left, renewable }) => {
                let left = tokio::select! {
                    left = half(left) => left,
                    () = denials.wait() => continue,
                };
                if !renewable {
                    return Lost::Fixed(left / 2);
                }
                match renew(client).await {
                    Ok(Life { left: Some(now), .. }) if now <= left / 2 => return Lost::Limit(now),
                    answer => answer,
                }
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(renewed) => {
                pause = PAUSE.0;
                life = Some(renewed);
            }
            Err(ClientError::Denied { .. }) => return Lost::Refused,
            // Nobody answers, or the server is sealed: what is left of the token's life is looked up when it is back.
            Err(error) => {
                let error = one_line(&error.to_string());
                tracing::warn!(error, "the agent's token could not be renewed so far");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

/// Waits for half of `life`, which may be for ever, and answers how long it was.
async fn half(life: Option<Duration>) -> Duration {
    match life {
        Some(life) => {
            tokio::time::sleep(life / 2).await;
            life
        }
        None => std::future::pending().await,
    }
}

/// What tells of refusals, listened to with pauses in between.
struct Denials<'a> {
    told: &'a Notify,
    /// When it is listened to again.
    next: Instant,
    /// How long it is not after that.
    pause: Duration,
}

impl<'a> Denials<'a> {
    fn new(told: &'a Notify) -> Self {
        Self { told, next: Instant::now(), pause: DENIED_PAUSE.0 }
    }

    async fn wait(&mut self) {
        tokio::time::sleep_until(self.next).await;
        self.told.notified().await;
        let now = Instant::now();
        if now > self.next + DENIED_PAUSE.1 {
            // All went well meanwhile.
            self.pause = DENIED_PAUSE.0;
        }
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(DENIED_PAUSE.1);
    }
}

async fn look_up(client: &Client) -> Result<Life, ClientError> {
    #[derive(Deserialize)]
    struct Found {
        ttl: u64,
        expire_time: Option<String>,
        #[serde(default)]
        renewable: bool,
    }
    let Found { ttl, expire_time, renewable } = client.read("auth/token/lookup-self").await?.data_as()?;
    Ok(Life { left: expire_time.map(|_| Duration::from_secs(ttl)), renewable })
}

async fn renew(client: &Client) -> Result<Life, ClientError> {
    let auth = client.write("auth/token/renew-self", &serde_json::json!({})).await?.auth()?;
    Ok(Life { left: seconds(auth.lease_seconds), renewable: auth.renewable })
}

/// A life on the wire, where 0 is for ever.
fn seconds(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::State;
    use http::{StatusCode, Uri};
    use serde_json::json;

    use super::*;

    /// What is left to answer, and what was asked.
    type Answers = Arc<Mutex<(Vec<Result<u64, u16>>, Vec<String>)>>;

    /// A server that answers each look-up and renewal with the next of `answers`: the seconds that are left, or a status.
    fn server(answers: &[Result<u64, u16>]) -> (Client, Answers) {
        let state: Answers = Arc::new(Mutex::new((answers.to_vec(), Vec::new())));
        let router = Router::new().fallback(async |State(state): State<Answers>, uri: Uri| {
            let (answers, asked) = &mut *state.lock().unwrap();
            asked.push(uri.path().rsplit('/').next().unwrap().to_owned());
            match answers.remove(0) {
                Ok(seconds) => {
                    let data = json!({"ttl": seconds, "expire_time": "2030-01-01T00:00:00Z", "renewable": true});
                    let auth = json!({"client_token": "", "lease_duration": seconds, "renewable": true});
                    (StatusCode::OK, json!({"data": data, "auth": auth}).to_string())
                }
                Err(status) => (StatusCode::from_u16(status).unwrap(), json!({"errors": []}).to_string()),
            }
        });
        (Client::local(router.with_state(state.clone())), state)
    }

    async fn end(answers: &[Result<u64, u16>], life: Option<Life>) -> (Lost, Vec<String>, u64) {
        let (client, state) = server(answers);
        let begun = Instant::now();
        let lost = wait_for_the_end(&client, life, &mut Denials::new(&Notify::new())).await;
        let asked = std::mem::take(&mut state.lock().unwrap().1);
        (lost, asked, begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_at_half_of_its_life_until_that_adds_nothing() {
        let (lost, asked, seconds) = end(&[Ok(3600), Ok(3600), Ok(3600), Ok(1800)], None).await;
        assert_eq!(lost, Lost::Limit(Duration::from_secs(1800)));
        assert_eq!((asked.join(" "), seconds), ("lookup-self renew-self renew-self renew-self".to_owned(), 3 * 1800));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_away_ends_no_token_and_one_that_refuses_does() {
        let answers = [Err(500), Ok(60), Err(503), Ok(28), Ok(60), Err(403)];
        let (lost, asked, _) = end(&answers, None).await;
        assert_eq!(lost, Lost::Refused);
        assert_eq!(asked.len(), answers.len());
    }

    /// Cause: a token was looked up when half of its life was gone and not before. Loss: an agent whose token was revoked did
    /// nothing for weeks, and did not log in. Fix: a claim that is denied makes it look.
    #[tokio::test(start_paused = true)]
    async fn a_token_is_looked_up_when_something_was_denied_and_not_again_at_once() {
        let begun = Instant::now();
        let denied = Notify::new();
        let (client, state) = server(&[Ok(3600), Ok(3600), Err(403)]);
        let mut denials = Denials::new(&denied);
        let always = async {
            loop {
                denied.notify_one();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let life = Life { left: None, renewable: false };
        tokio::select! {
            () = always => {}
            lost = wait_for_the_end(&client, Some(life), &mut denials) => assert_eq!(lost, Lost::Refused),
        }
        assert_eq!(state.lock().unwrap().1, ["lookup-self"; 3]);
        assert_eq!(begun.elapsed().as_secs(), 30 + 60);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_login_said_is_not_asked_for() {
        let fixed = Life { left: Some(Duration::from_secs(60)), renewable: false };
        assert_eq!(end(&[], Some(fixed)).await, (Lost::Fixed(Duration::from_secs(30)), Vec::new(), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn another_token_is_asked_for_until_there_is_one() {
        let (client, _) = server(&[Err(403), Ok(3600)]);
        let (clients, mut newest) = watch::channel(client);
        let mut answers = vec![Err("no"), Ok(None), Ok(Some(b"tlk_canary_other"))].into_iter();
        let another = async |client: &Client| match answers.next().unwrap() {
            Ok(token) => Ok(token.map(|token| (client.clone().with_token(Protected::copy_of(token)), None))),
            Err(error) => Err(error),
        };
        let denied = Notify::new();
        tokio::select! {
            never = keep(clients, None, &denied, another) => match never {},
            changed = newest.changed() => changed.unwrap(),
        }
        assert!(newest.borrow().token().unwrap().same_as(b"tlk_canary_other"));
    }
}
