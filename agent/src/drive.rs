//! Drives one attempt: does the step that the row names, reports it, and goes on while the claim holds.

use std::time::Instant;

use futures_util::future::join_all;
use serde::Serialize;
use turnlock_core::Protected;
use turnlock_core::consumer::Target;
use turnlock_core::rotation::{Failure, Reason, Step};
use zeroize::Zeroizing;

use crate::client::{Client, ClientError};
use crate::due::Work;
use crate::push::{self, Folders, Payload, PushError};
use crate::rotator::{Generate, Rotator as _};

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
        let done = step(&work, folders, &mut reached).await;
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
        tracing::info!(
            rotation = %work.attempt.rotation, attempt.id = %work.attempt.id, step = work.attempt.step.as_str(), outcome,
            "a rotation's step was done"
        );
        let reply = client.write(&format!("rotation/report/{}", work.attempt.rotation), &report).await?;
        // Without a rotation in the answer the claim is over: the attempt ended, waits, or failed.
        match reply.data_as::<Work>() {
            Ok(next) => work = next,
            Err(_) => return Ok(()),
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
    /// Takes down that `target` is in the way.
    fn hindered(&mut self, target: &Target, error: &PushError) {
        tracing::warn!(target.name = %target.name, error = %error, "a target is in the way of a rotation");
        let reason = error.reason();
        self.obstacles.push(Obstacle { target: target.name.clone(), reason });
        // As long as one of them may pass, trying again can help.
        if self.failure.is_none_or(|failure| failure == Failure::Misconfigured) {
            self.failure = Some(reason.failure());
        }
    }
}

/// Looks whether every target could be given a new version, all at once: the slowest must not outlast the claim.
async fn reach(work: &Work, folders: &Folders) -> Done {
    let mut done = Done::default();
    let targets = &work.rotation.targets;
    let found = join_all(targets.iter().map(|target| push::reach(target, folders))).await;
    for (target, found) in targets.iter().zip(found) {
        if let Err(error) = found {
            done.hindered(target, &error);
        }
    }
    done
}

/// A new value, as text: that is what a field of a secret holds.
async fn create(work: &Work) -> Result<Zeroizing<String>, Failure> {
    let value = Generate::of(&work.rotation.rotator)?.create().await?;
    value.expose_str().map(|text| Zeroizing::new(text.to_owned())).ok_or(Failure::Local)
}

/// Pushes to every target that has not acknowledged, in the order of the definition.
async fn hand_out(work: &Work, folders: &Folders) -> Done {
    let mut done = Done::default();
    let (Some(value), Some(version)) = (&work.value, work.attempt.version) else {
        return Done { failure: Some(Failure::Malformed), ..done };
    };
    let payload = Payload {
        secret: work.attempt.rotation.clone(),
        field: work.rotation.field.clone(),
        value: Protected::copy_of(value.as_bytes()),
        version,
        attempt: work.attempt.id.clone(),
    };
    for target in work.rotation.targets.iter().filter(|target| !work.attempt.acknowledged.contains(&target.name)) {
        match push::push(target, &payload, folders, now()).await {
            Ok(_) => done.acknowledged.push(target.name.clone()),
            Err(error) => done.hindered(target, &error),
        }
    }
    done
}

/// Seconds since 1970; the signature of a push carries them.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
