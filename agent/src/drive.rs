//! Drives one attempt: does the step that the row names, reports it, and goes on while the claim holds.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use serde::Serialize;
use turnlock_core::Protected;
use turnlock_core::consumer::Target;
use turnlock_core::rotation::{Attempt, CLAIM, Failure, Reason, Step};
use zeroize::Zeroizing;

use crate::client::{Client, ClientError};
use crate::due::Work;
use crate::push::{self, Folders, Payload, PushError};
use crate::rotator::{Generate, Rotator as _};

/// How long a push may hold the next one up, and all of them together.
const TURN: Duration = Duration::from_secs(2);
const TURNS: Duration = Duration::from_secs(15);

/// A report as the server takes it.
#[derive(Serialize)]
struct Report<'a> {
    attempt: &'a str,
    epoch: u64,
    step: Step,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Zeroizing<String>>,
    acknowledged: Vec<String>,
    obstacles: Vec<Obstacle>,
}

/// A report that there is nothing to report yet.
#[derive(Serialize)]
struct Working<'a> {
    attempt: &'a str,
    epoch: u64,
    step: Step,
    outcome: &'static str,
}

/// A target that was in the way of the step.
#[derive(Serialize)]
struct Obstacle {
    target: String,
    reason: Reason,
}

/// What a step came to.
#[derive(Default)]
struct Done {
    value: Option<Zeroizing<String>>,
    acknowledged: Vec<String>,
    obstacles: Vec<Obstacle>,
    failure: Option<Failure>,
    waiting: bool,
}

/// Does step after step until the attempt ends, waits, fails, or somebody else has taken it over.
pub(crate) async fn drive(client: &Client, mut work: Work, folders: &Folders) -> Result<(), ClientError> {
    let mut reached = false;
    loop {
        let begun = Instant::now();
        let done = holding(client, &work.attempt, step(&work, folders, &mut reached)).await?;
        let outcome = match (&done.failure, done.waiting) {
            (Some(_), _) => "failed",
            (None, true) => "waiting",
            (None, false) => "done",
        };
        let report = Report {
            attempt: &work.attempt.id,
            epoch: work.attempt.epoch,
            step: work.attempt.step,
            outcome,
            failure: done.failure,
            duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            value: done.value,
            acknowledged: done.acknowledged,
            obstacles: done.obstacles,
        };
        let (rotation, id, step) = (&work.attempt.rotation, &work.attempt.id, work.attempt.step.as_str());
        match done.failure {
            Some(failure) => {
                tracing::warn!(rotation, attempt.id = id, step, failure = ?failure, "a rotation's step failed");
            }
            None => tracing::info!(rotation, attempt.id = id, step, outcome, "a rotation's step was done"),
        }
        let reply = client.write(&format!("rotation/report/{}", work.attempt.rotation), &report).await?;
        // Without a rotation in the answer the claim is over: the attempt ended, waits, or failed.
        match reply.data_as::<Work>() {
            Ok(next) => work = next,
            Err(_) => return Ok(()),
        }
    }
}

/// Does `work` on `attempt` and says three times in the life of a claim that it is still at it. Ends early when it has lost the
/// attempt: what it would do from there on, somebody else does as well.
async fn holding<T>(client: &Client, attempt: &Attempt, work: impl Future<Output = T>) -> Result<T, ClientError> {
    let (path, every) = (format!("rotation/report/{}", attempt.rotation), CLAIM.to_std().unwrap_or_default() / 3);
    let still = Working { attempt: &attempt.id, epoch: attempt.epoch, step: attempt.step, outcome: "working" };
    let mut work = std::pin::pin!(work);
    loop {
        if let Ok(done) = tokio::time::timeout(every, &mut work).await {
            return Ok(done);
        }
        let mut said = std::pin::pin!(client.write(&path, &still));
        tokio::select! {
            done = &mut work => {
                // The two must not overtake each other.
                let _ = said.await;
                return Ok(done);
            }
            answer = &mut said => {
                let Err(error) = answer else { continue };
                // A server that cannot be reached may be in time for the next word.
                if matches!(error, ClientError::Api { status: StatusCode::BAD_REQUEST, .. } | ClientError::NotFound { .. }) {
                    return Err(error);
                }
            }
        }
    }
}

/// Does one step. `reached`: whether all targets were within reach a moment ago.
async fn step(work: &Work, folders: &Folders, reached: &mut bool) -> Done {
    // Up to here nobody is behind: what cannot be handed out is not made, and not made the one that is in force.
    if matches!(work.attempt.step, Step::Create | Step::Promote) && !*reached {
        let done = reach(work, folders).await;
        if done.failure.is_some() {
            return done;
        }
        *reached = true;
    }
    match work.attempt.step {
        Step::Create => match create(work).await {
            Ok(value) => Done { value: Some(value), ..Done::default() },
            Err(failure) => Done { failure: Some(failure), ..Done::default() },
        },
        Step::Push => hand_out(work, folders).await,
        Step::Settle => {
            let left = work.rotation.targets.iter().any(|target| !work.attempt.acknowledged.contains(&target.name));
            // A target that lost its answer on the way is asked again; pushing twice does no harm.
            if left { Done { waiting: true, ..hand_out(work, folders).await } } else { Done::default() }
        }
        Step::Set | Step::Test | Step::Promote | Step::Retire | Step::Prove => Done::default(),
    }
}

impl Done {
    /// Takes down that `target` is in the way of `attempt`.
    fn hindered(&mut self, attempt: &Attempt, target: &Target, error: &PushError) {
        tracing::warn!(
            rotation = attempt.rotation, attempt.id = attempt.id, target.name = target.name, error = %error,
            "a target is in the way of a rotation"
        );
        let reason = error.reason();
        self.obstacles.push(Obstacle { target: target.name.clone(), reason });
        // As long as one of them may pass, trying again can help.
        if self.failure.is_none_or(|failure| failure == Failure::Misconfigured) {
            self.failure = Some(reason.failure());
        }
    }
}

/// Looks whether every target could be given a new version, all at once.
async fn reach(work: &Work, folders: &Folders) -> Done {
    let mut done = Done::default();
    let targets = &work.rotation.targets;
    let found = join_all(targets.iter().map(|target| push::reach(target, folders))).await;
    for (target, found) in targets.iter().zip(found) {
        if let Err(error) = found {
            done.hindered(&work.attempt, target, &error);
        }
    }
    done
}

/// A new value, as text: that is what a field of a secret holds.
async fn create(work: &Work) -> Result<Zeroizing<String>, Failure> {
    let value = Generate::of(&work.rotation.rotator)?.create().await?;
    value.expose_str().map(|text| Zeroizing::new(text.to_owned())).ok_or(Failure::Local)
}

/// Pushes to every target that has not acknowledged, in the order of the definition as long as that holds nobody up for long.
async fn hand_out(work: &Work, folders: &Folders) -> Done {
    let mut done = Done::default();
    let (Some(value), Some(version)) = (&work.value, work.attempt.version) else {
        return Done { failure: Some(Failure::Misconfigured), ..done };
    };
    let payload = Payload {
        secret: work.attempt.rotation.clone(),
        field: work.rotation.field.clone(),
        value: Protected::copy_of(value.as_bytes()),
        version,
        attempt: work.attempt.id.clone(),
    };
    let payload = &payload;
    let left = work.rotation.targets.iter().filter(|target| !work.attempt.acknowledged.contains(&target.name));
    let pushes = left.map(|target| async move { (target, push::push(target, payload, folders, now()).await) });
    for (target, pushed) in in_turn(pushes, TURN, TURNS).await {
        match pushed {
            Ok(_) => done.acknowledged.push(target.name.clone()),
            Err(error) => done.hindered(&work.attempt, target, &error),
        }
    }
    done
}

/// Does one work after the other. One that takes longer than `turn` goes on beside the next, and when `turns` are over all that
/// is left goes at once.
async fn in_turn<W: Future>(works: impl Iterator<Item = W>, turn: Duration, turns: Duration) -> Vec<W::Output> {
    let (mut running, mut done) = (FuturesUnordered::new(), Vec::new());
    let end = tokio::time::Instant::now() + turns;
    for (number, work) in works.enumerate() {
        running.push(async move { (number, work.await) });
        let until = end.min(tokio::time::Instant::now() + turn);
        while let Ok(Some((finished, came))) = tokio::time::timeout_at(until, running.next()).await {
            done.push(came);
            if finished == number {
                break;
            }
        }
    }
    while let Some((_, came)) = running.next().await {
        done.push(came);
    }
    done
}

/// Seconds since 1970; the signature of a push carries them.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;
    use std::time::Duration;

    use axum::Router;
    use turnlock_core::rotation::{Attempt, Rotator};

    use super::{StatusCode, holding, in_turn};
    use crate::client::{Client, ClientError};

    /// What a server heard that gives `answer` to every report, while a step took `seconds`; and how that ended.
    async fn heard(answer: StatusCode, seconds: u64) -> (Vec<String>, Result<&'static str, ClientError>) {
        let said = std::sync::Arc::new(Mutex::new(Vec::new()));
        let ear = said.clone();
        let router = Router::new().fallback(async move |body: String| {
            ear.lock().unwrap().push(body);
            (answer, "{}")
        });
        let rotator = Rotator::Generate { length: 32, prefix: String::new() };
        let attempt = Attempt::begin("a1".into(), "secret/app".into(), &rotator, "schedule".into(), chrono::Utc::now());
        let step = async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            "done"
        };
        let ended = holding(&Client::local(router), &attempt, step).await;
        let said = std::mem::take(&mut *said.lock().unwrap());
        (said, ended)
    }

    /// Cause: a try of many slow targets took 35 seconds, a claim held for 30. Loss: a second agent took it over, and pushed too.
    #[tokio::test(start_paused = true)]
    async fn a_claim_is_renewed_for_as_long_as_a_step_takes() {
        let (said, ended) = heard(StatusCode::NO_CONTENT, 35).await;
        let word = r#"{"attempt":"a1","epoch":0,"step":"create","outcome":"working"}"#;
        assert_eq!((said, ended.unwrap()), (vec![word.to_owned(); 3], "done"));
        let (said, ended) = heard(StatusCode::NO_CONTENT, 9).await;
        assert_eq!((said.len(), ended.unwrap()), (0, "done"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_lost_the_attempt_stops_and_who_only_hears_nothing_goes_on() {
        let (said, ended) = heard(StatusCode::BAD_REQUEST, 35).await;
        assert!(said.len() == 1 && ended.is_err());
        let (said, ended) = heard(StatusCode::SERVICE_UNAVAILABLE, 35).await;
        assert_eq!((said.len(), ended.unwrap()), (3, "done"));
    }

    #[tokio::test]
    async fn each_waits_for_the_one_before() {
        let said = Mutex::new(Vec::new());
        let works = [1, 2].into_iter().map(async |number| {
            said.lock().unwrap().push((number, "begins"));
            tokio::task::yield_now().await;
            said.lock().unwrap().push((number, "ends"));
        });
        let long = Duration::from_secs(60);
        in_turn(works, long, long).await;
        assert_eq!(*said.lock().unwrap(), [(1, "begins"), (1, "ends"), (2, "begins"), (2, "ends")]);
    }

    #[tokio::test]
    async fn one_that_does_not_end_holds_nobody_up() {
        let released = tokio::sync::Notify::new();
        for (turn, turns) in [(5, 60_000), (60_000, 5)] {
            let works = [1, 2, 3].into_iter().map(async |number| {
                match number {
                    3 => released.notify_one(),
                    1 => released.notified().await,
                    _ => {}
                }
                number
            });
            let (turn, turns) = (Duration::from_millis(turn), Duration::from_millis(turns));
            let done = in_turn(works, turn, turns).await;
            assert!(done.len() == 3 && done.first() != Some(&1), "{done:?}");
        }
    }
}
