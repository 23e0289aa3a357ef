//! Asking for work: what is due is handed to one agent at a time, and begun when the schedule says so.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use turnlock_core::rotation::{Attempt, Refused, Rotation, State, Step};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::report::member;
use super::stuck::is_overdue;
use super::{HISTORY, Stored, definition_path, encode, ended_path, load, open_path};
use crate::barrier::{BarrierError, Changes, Record, View};
use crate::engine::Call;
use crate::engine::kv2::{Secrets, Which};
use crate::error::Error;
use crate::mount::Mount;
use crate::response::{Json, Response};
use crate::token::AGENT_PATH;

/// Name under which the agent in the server itself claims.
const EMBEDDED: &str = "embedded";

/// How far ahead of a request others may have looked at a schedule meanwhile. What lies further ahead was written under a clock
/// that went wrong.
const AHEAD: TimeDelta = TimeDelta::minutes(1);

/// Fields of a claim.
const CLAIM_FIELDS: [&str; 3] = ["agent", "pool", "held"];

/// What an agent needs for one step.
#[derive(Serialize)]
struct Work<'a> {
    attempt: &'a Attempt,
    rotation: &'a Rotation,
    /// The value to hand out, from the push on: the one that was promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Zeroizing<String>>,
}

/// The answer when nothing is due.
#[derive(Serialize)]
struct Idle {
    /// For how long nothing will be, unless something changes; `None` for ever.
    wait_ms: Option<i64>,
}

/// Hands the attempt that has been due for longest to the agent; starts those that the schedule asks for. When there is none, the answer
/// tells when to ask again. It is given at once: one that waited for work would be given on the word of a token and of
/// policies that may not hold any more by then.
pub(super) async fn claim(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    fields.only(&CLAIM_FIELDS)?;
    let own = call.caller()?.entry.path == AGENT_PATH;
    let agent = match fields.required_string("agent")? {
        _ if own => EMBEDDED.to_owned(),
        name if name == EMBEDDED => return Err(Error::invalid("this is the name of the agent in the server itself")),
        name => name,
    };
    let pool = fields.string("pool")?.unwrap_or_default();
    // Ids of the attempts that it is at work on.
    let held = fields.list("held")?.unwrap_or_default();
    let now = call.parts.clock.now();
    let mut next = None;
    let mut stuck = false;
    let mut candidates = Vec::new();
    for name in names(&call.mount.view, "definition/").await? {
        let Some((stored, definition)) = load::<Stored>(&call.mount.view, &definition_path(&name)).await? else {
            continue;
        };
        let mut open = load::<Attempt>(&call.mount.view, &open_path(&name)).await?;
        stuck |= open.as_ref().is_some_and(|(attempt, _)| attempt.is_stuck());
        if stored.considered > now + AHEAD {
            // Believed, it would hold the schedule back until it is as late again.
            set_back(call, &name, &stored, &definition, now).await?;
            next = Some(now);
            continue;
        }
        if !stored.rotation.pool.is_empty() && stored.rotation.pool != pool {
            stuck |= is_overdue(&stored, open.as_ref(), now);
            continue;
        }
        if own {
            // There is one agent in a server: a claim of which it does not know is of a server that was killed.
            open = open.map(|(attempt, record)| match held.contains(&attempt.id) {
                true => (attempt, record),
                false => (attempt.let_go_by(EMBEDDED), record),
            });
        }
        match due(&stored, open.as_ref(), now) {
            Some(due) if due <= now => candidates.push((due, Candidate { name, stored, definition, open })),
            due => next = next.into_iter().chain(due).min(),
        }
    }
    call.server.stuck_rotations.store(stuck, Ordering::Relaxed);
    // Whoever waits longest comes first, so that those that fail again and again never stand before the others.
    candidates.sort_by_key(|(due, _)| *due);
    for (_, candidate) in candidates {
        let rotation = candidate.stored.rotation.clone();
        match candidate.claim(call, &agent, now).await? {
            Some(attempt) => return work(call, &attempt, &rotation).await,
            // Somebody else was first; what is left is to be seen anew.
            None => next = Some(now),
        }
    }
    let wait_ms = next.map(|next: DateTime<Utc>| (next - now).num_milliseconds().max(0) + 1);
    Response::data(&Idle { wait_ms })
}

/// A rotation that there is work for.
struct Candidate {
    name: String,
    stored: Stored,
    /// The record that `stored` is in.
    definition: Record,
    /// The attempt that is open.
    open: Option<(Attempt, Record)>,
}

impl Candidate {
    /// The attempt that `agent` now has, gone on with or begun. `None` when somebody else was first.
    async fn claim(self, call: &Call, agent: &str, now: DateTime<Utc>) -> Result<Option<Attempt>, Error> {
        let Self { name, stored, definition, open } = self;
        let (attempt, record) = match open {
            Some((attempt, record)) if attempt.is_due(now) => (attempt, record),
            open if may_begin(open.as_ref()) && stored.is_due(now) => {
                let from = From { stored: &stored, definition: &definition, open };
                return begin(call, &name, from, "schedule", Some(agent), now).await;
            }
            _ => return Ok(None),
        };
        let attempt = attempt.claimed(agent, now).map_err(refused)?;
        let mut changes = Changes::new();
        store(call, &name, &attempt, Some(&record), &mut changes)?;
        if attempt.version.is_none() && stored.is_due(now) {
            // What it makes is as new as that of a run that falls due meanwhile, which it therefore stands for.
            consider(call, &name, &stored, &definition, now, &mut changes)?;
        }
        won(call.parts.barrier.commit(changes).await, attempt)
    }
}

/// Takes down that the schedule was looked at up to `now`.
fn consider(
    call: &Call,
    name: &str,
    stored: &Stored,
    definition: &Record,
    now: DateTime<Utc>,
    changes: &mut Changes,
) -> Result<(), Error> {
    replace(call, name, &Stored { considered: now, ..stored.clone() }, definition, changes)
}

/// Takes down, by itself, that nobody has looked at the schedule further than `now`.
async fn set_back(
    call: &Call,
    name: &str,
    stored: &Stored,
    definition: &Record,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut changes = Changes::new();
    consider(call, name, stored, definition, now, &mut changes)?;
    match call.parts.barrier.commit(changes).await {
        // Somebody else did it, or defined it anew.
        Ok(_) | Err(BarrierError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Puts `stored` in the place of the `definition` that it was made from.
pub(super) fn replace(
    call: &Call,
    name: &str,
    stored: &Stored,
    definition: &Record,
    changes: &mut Changes,
) -> Result<(), Error> {
    changes.require(&call.mount.view, &definition_path(name), definition.revision);
    changes.put(&call.mount.view, &definition_path(name), &encode(stored)?);
    Ok(())
}

/// When there will be work for this rotation, as far as is known now.
pub(super) fn due(stored: &Stored, open: Option<&(Attempt, Record)>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let run = stored.next_run(now);
    match open.map(|(attempt, _)| attempt) {
        Some(attempt) if !may_begin(open) => {
            // By the time of the next run, whoever has the attempt may have ended it.
            let due = attempt.due_at(now)?;
            Some(run.filter(|run| *run > now).map_or(due, |run| run.min(due)))
        }
        _ => run,
    }
}

/// What a new attempt begins from.
pub(super) struct From<'a> {
    pub(super) stored: &'a Stored,
    /// The record that `stored` is in.
    pub(super) definition: &'a Record,
    /// The attempt that is open, for which [`may_begin`] holds.
    pub(super) open: Option<(Attempt, Record)>,
}

/// Whether a new attempt may begin beside the open one: not while that may still have an effect.
pub(super) fn may_begin(open: Option<&(Attempt, Record)>) -> bool {
    open.is_none_or(|(attempt, _)| attempt.failed_without_effect())
}

/// A new attempt, claimed by `agent` if one is given. `None` when somebody else began one first.
pub(super) async fn begin(
    call: &Call,
    name: &str,
    from: From<'_>,
    cause: &str,
    agent: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<Attempt>, Error> {
    let id = Uuid::new_v4().to_string();
    let From { stored, definition, open } = from;
    let attempt = Attempt::begin(id, name.to_owned(), &stored.rotation.rotator, cause.to_owned(), now);
    let attempt = match agent {
        Some(agent) => attempt.claimed(agent, now).map_err(refused)?,
        None => attempt,
    };
    let mut changes = Changes::new();
    consider(call, name, stored, definition, now, &mut changes)?;
    forget_the_oldest(call, name, &mut changes).await?;
    match open {
        Some((ended, record)) => {
            changes.require(&call.mount.view, &open_path(name), record.revision);
            changes.put(&call.mount.view, &open_path(name), &encode(&attempt)?);
            changes.create(&call.mount.view, &ended_path(name, &ended), &encode(&ended)?);
        }
        None => changes.create(&call.mount.view, &open_path(name), &encode(&attempt)?),
    }
    won(call.parts.barrier.commit(changes).await, attempt)
}

/// Takes out of the history what is beyond [`HISTORY`]: one schedule must not fill the store. That there was a run is in the audit.
async fn forget_the_oldest(call: &Call, name: &str, changes: &mut Changes) -> Result<(), Error> {
    let folder = format!("ended/{name}/");
    let ended = call.mount.view.list(&folder).await?;
    // Names below are of other rotations.
    let rows: Vec<_> = ended.iter().filter(|entry| !entry.ends_with('/')).collect();
    for oldest in rows.iter().take(rows.len().saturating_sub(HISTORY - 1)) {
        changes.delete(&call.mount.view, &format!("{folder}{oldest}"));
    }
    Ok(())
}

fn won<T>(committed: Result<T, BarrierError>, attempt: Attempt) -> Result<Option<Attempt>, Error> {
    match committed {
        Ok(_) => Ok(Some(attempt)),
        Err(BarrierError::Conflict { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Puts the row into `changes`. A row that came to its end moves to the history; a failed one stays open, because a person
/// decides about it.
pub(super) fn store(
    call: &Call,
    name: &str,
    attempt: &Attempt,
    before: Option<&Record>,
    changes: &mut Changes,
) -> Result<(), Error> {
    let view = &call.mount.view;
    if let Some(before) = before {
        changes.require(view, &open_path(name), before.revision);
    }
    match attempt.state {
        State::Running | State::Failed => changes.put(view, &open_path(name), &encode(attempt)?),
        State::Succeeded | State::Aborted => {
            changes.delete(view, &open_path(name));
            changes.create(view, &ended_path(name, attempt), &encode(attempt)?);
        }
    }
    Ok(())
}

/// Commits a report, a verb or a definition. Losing a race means that the row has moved on, which is the caller's to learn.
pub(super) async fn commit(call: &Call, changes: Changes) -> Result<(), Error> {
    match call.parts.barrier.commit(changes).await {
        Ok(_) => Ok(()),
        Err(BarrierError::Conflict { .. }) => Err(Error::Busy(Duration::from_secs(1))),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn refused(refused: Refused) -> Error {
    Error::invalid(refused.to_string())
}

/// The answer to a claim: what the step needs, the value included from the push on.
pub(super) async fn work(call: &Call, attempt: &Attempt, rotation: &Rotation) -> Result<Response, Error> {
    let value = match attempt.step {
        Step::Push | Step::Settle => value_of(call, attempt, rotation).await?,
        _ => None,
    };
    Ok(Response::json(Json::of(&Work { attempt, rotation, value })?))
}

/// The value that the attempt made. `None` when it is gone, with its version, its secret or its mount: the agent reports that it has
/// nothing to hand out, and other claims do not fail for it.
async fn value_of(call: &Call, attempt: &Attempt, rotation: &Rotation) -> Result<Option<Zeroizing<String>>, Error> {
    let number = attempt.version.and_then(|version| u32::try_from(version).ok());
    let (Some(number), Ok(mount)) = (number, secret_mount(call, rotation)) else { return Ok(None) };
    let secrets = Secrets::new(&call.parts.barrier, &mount.view, call.parts.clock.now());
    match secrets.read(&rotation.path, Which::Number(number)).await {
        Ok(found) => Ok(member(found.data().unwrap_or_default(), &rotation.field)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn secret_mount(call: &Call, rotation: &Rotation) -> Result<Arc<Mount>, Error> {
    let table = call.parts.mounts.table();
    let mount = table.at(&rotation.mount).cloned();
    mount.ok_or_else(|| Error::invalid("the mount of the rotation's secret is gone"))
}

/// Names of all records below `folder`.
pub(super) async fn names(view: &View, folder: &str) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    let mut open = vec![String::new()];
    while let Some(below) = open.pop() {
        for entry in view.list(&format!("{folder}{below}")).await? {
            match entry.ends_with('/') {
                true => open.push(format!("{below}{entry}")),
                false => names.push(format!("{below}{entry}")),
            }
        }
    }
    names.sort();
    Ok(names)
}
