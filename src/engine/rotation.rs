//! Rotations: definitions, schedules, claims and attempts. State only: targets are reached by agents, never from here.
//!
//! An agent asks for work with `claim`, does one step, and says with `report` what came of it. The value that an agent made,
//! the labels of the secret and the row of the attempt change in one commit, so that a kill at any point leaves an
//! attempt that goes on where it stood.

mod claim;
mod definition;
mod draft;
mod list;
mod report;
pub mod stuck;
mod verbs;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use turnlock_core::rotation::{Attempt, Rotation};
use turnlock_core::schedule::Schedule;

use crate::barrier::{Record, View};
use crate::engine::{Access, Call, Route};
use crate::error::Error;
use crate::request::Operation;

/// What the engine answers.
pub const ROUTES: &[Route] = &[
    Route {
        operations: &[Operation::List, Operation::Scan],
        pattern: "definitions/{name*}",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(list::list(call)),
        doc: "Names of the rotations below a folder, and how each stands whose history the caller may read.",
    },
    Route {
        operations: &[Operation::Create, Operation::Update],
        pattern: "definitions/{name*}",
        access: Access::Token,
        exists: Some(|call| Box::pin(definition::exists(call))),
        handler: |call| Box::pin(definition::write(call)),
        doc: "Defines how and when the secret at this path is rotated; what is not named stays as it was.",
    },
    Route {
        operations: &[Operation::Read],
        pattern: "definitions/{name*}",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(definition::read(call)),
        doc: "The rotation of the secret at this path, without signing keys.",
    },
    Route {
        operations: &[Operation::Delete],
        pattern: "definitions/{name*}",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(definition::delete(call)),
        doc: "Ends the rotation; the secret and the history stay.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "run/{name*}",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(verbs::run(call)),
        doc: "Starts an attempt now.",
    },
    Route {
        operations: &[Operation::Read],
        pattern: "history/{name*}",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(verbs::history(call)),
        doc: "The open attempt and the last ones, newest first.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "abort/{name*}",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(verbs::abort(call)),
        doc: "Gives the open attempt up.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "resume/{name*}",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(verbs::resume(call)),
        doc: "Tries the failed step of the open attempt again, at once.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "pause/{name*}",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(verbs::pause(call)),
        doc: "Holds runs by schedule back, or lets them go on.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "claim",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(claim::claim(call)),
        doc: "Hands one due attempt to an agent, or tells it when to ask again.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "report/{name*}",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(report::report(call)),
        doc: "Takes the outcome of a step from the agent that holds the claim, or that it is still at it.",
    },
];

/// Ended attempts that are kept of each rotation.
const HISTORY: usize = 50;

/// What is stored of a rotation.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    rotation: Rotation,
    /// The last time up to which the schedule has been looked at; runs before it are done or given up.
    considered: DateTime<Utc>,
    /// When an attempt succeeded last.
    #[serde(default)]
    succeeded: Option<DateTime<Utc>>,
}

impl Stored {
    /// When the schedule asks for a run; in the past if that is due.
    fn next_run(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let timing = self.rotation.schedule.as_ref().filter(|_| !self.rotation.paused)?;
        // Nobody has looked further than now, except under a clock that was ahead.
        Schedule::parse(&timing.cron, &timing.zone).ok()?.next_after(self.considered.min(now))
    }

    /// Whether the schedule asks for a run by `now`. Times missed while nothing ran count as one.
    fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.next_run(now).is_some_and(|next| next <= now)
    }
}

/// Where the definition of the rotation `name` lies.
fn definition_path(name: &str) -> String {
    format!("definition/{name}")
}

/// Where the open attempt of the rotation `name` lies. There is at most one.
fn open_path(name: &str) -> String {
    format!("open/{name}")
}

/// Where an ended attempt lies; sorts by time.
fn ended_path(name: &str, attempt: &Attempt) -> String {
    format!("ended/{name}/{}-{}", attempt.started.format("%Y%m%dT%H%M%S%.6f"), attempt.id)
}

/// The rotation's name in the path of a request.
fn name(call: &Call) -> Result<&str, Error> {
    match call.parameter("name") {
        "" => Err(Error::invalid("name the secret: mount and path, as in rotation/run/secret/app/api-key")),
        name => Ok(name),
    }
}

/// Wakes the agent in this process: there may be other work than it knows of.
fn wake(call: &Call) {
    call.server.rotations.send_replace(());
}

/// Reads a record of this engine.
async fn load<T: serde::de::DeserializeOwned>(view: &View, path: &str) -> Result<Option<(T, Record)>, Error> {
    let Some(record) = view.get(path).await? else { return Ok(None) };
    let value = serde_json::from_slice(record.value.expose()).map_err(Error::internal)?;
    Ok(Some((value, record)))
}

/// The JSON of a record, in a buffer that is wiped: definitions hold signing keys.
fn encode(value: &impl Serialize) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
    serde_json::to_vec(value).map(zeroize::Zeroizing::new).map_err(Error::internal)
}

#[cfg(test)]
mod tests;
