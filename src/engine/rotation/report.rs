//! Reporting a step: what it came to, and with it the secret's versions and labels, in one commit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use serde_json::value::RawValue;
use turnlock_core::Protected;
use turnlock_core::rotation::{Attempt, Failure, Outcome, Reason, Rotation, State, Step, TRIES_UNTOLD};
use zeroize::Zeroizing;

use super::claim::{commit, refused, replace, secret_mount, store, work};
use super::{Stored, definition_path, load, name, open_path, wake};
use crate::barrier::{Changes, Record};
use crate::engine::Call;
use crate::engine::kv2::config::Config;
use crate::engine::kv2::record::Version;
use crate::engine::kv2::{Secrets, Which};
use crate::error::Error;
use crate::response::Response;

/// Fields of a report.
const REPORT_FIELDS: [&str; 9] =
    ["attempt", "epoch", "step", "outcome", "failure", "duration_ms", "value", "acknowledged", "obstacles"];

/// A target that was in the way of a step, as an agent reports it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reported {
    target: String,
    reason: Reason,
}

/// Takes the outcome of a step. The row, the secret's versions and its labels change in one commit.
pub(super) async fn report(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    fields.only(&REPORT_FIELDS)?;
    let name = name(call)?;
    let id = fields.required_string("attempt")?;
    let epoch = fields.number("epoch")?.ok_or_else(|| Error::missing("epoch"))?;
    let step: Step = fields.typed("step")?.ok_or_else(|| Error::missing("step"))?;
    let duration_ms = fields.number("duration_ms")?.unwrap_or(0);
    let failure: Option<Failure> = fields.typed("failure")?;
    let outcome = match (fields.required_string("outcome")?.as_str(), failure) {
        ("done", None) => Some(Outcome::Done),
        ("waiting", None) => Some(Outcome::Waiting),
        ("failed", Some(failure)) => Some(Outcome::Failed(failure)),
        ("working", None) => None,
        _ => return Err(Error::invalid("outcome must be done, waiting, working, or failed together with a failure")),
    };
    let open = load::<Attempt>(&call.mount.view, &open_path(name)).await?;
    let (attempt, record) = open.filter(|(attempt, _)| attempt.id == id).ok_or(Error::NotFound)?;
    attempt.accepts(epoch, step).map_err(refused)?;
    let (stored, definition) =
        load::<Stored>(&call.mount.view, &definition_path(name)).await?.ok_or(Error::NotFound)?;

    let now = call.parts.clock.now();
    let Some(outcome) = outcome else {
        keep(call, name, attempt.renewed(now), &record, Changes::new()).await?;
        return Ok(Response::done());
    };
    let mut found: Vec<_> = fields
        .typed::<Vec<Reported>>("obstacles")?
        .unwrap_or_default()
        .into_iter()
        .filter(|found| stored.rotation.targets.iter().any(|known| known.name == found.target))
        .map(|found| (found.target, found.reason))
        .collect();
    if found.is_empty() && matches!((&outcome, step), (Outcome::Failed(_), Step::Push | Step::Settle)) {
        // No target was in the way, so it was that there is nothing to hand out.
        found.push((name.to_owned(), Reason::Secret));
    }
    let mut attempt = attempt.hindered_by(&found, now);
    for target in fields.list("acknowledged")?.unwrap_or_default() {
        if stored.rotation.targets.iter().any(|known| known.name == target) && !attempt.acknowledged.contains(&target) {
            attempt.acknowledged.push(target);
        }
    }
    // What a step came to, and with it in the same commit the row.
    let advance = |row: Attempt, changes: &mut Changes| {
        let row = row.next(&outcome, duration_ms, now);
        store(call, name, &row, Some(&record), changes)?;
        Ok(row)
    };
    let attempt = match (&outcome, step) {
        (Outcome::Done, Step::Create | Step::Promote) => {
            let done = match step {
                Step::Create => {
                    let value = fields.protected("value")?.ok_or_else(|| Error::missing("value"))?;
                    create(call, &stored.rotation, &attempt, &value, advance).await
                }
                _ => promote(call, name, &stored.rotation, &attempt, &record, advance).await,
            };
            match done {
                // It would be refused the same at each try.
                Err(error @ (Error::Invalid(_) | Error::NotFound)) => {
                    let reason = if matches!(error, Error::NotFound) { Reason::Gone } else { Reason::Secret };
                    let row = attempt.hindered_by(&[(name.to_owned(), reason)], now);
                    let row = row.next(&Outcome::Failed(reason.failure()), duration_ms, now);
                    keep(call, name, row, &record, Changes::new()).await?
                }
                done => done?,
            }
        }
        (Outcome::Done, Step::Settle) if !all_have(&attempt, &stored.rotation) => {
            return Err(Error::invalid("not every target has acknowledged the new version"));
        }
        _ => {
            let row = attempt.next(&outcome, duration_ms, now);
            let mut changes = Changes::new();
            if row.state == State::Succeeded {
                let stored = Stored { succeeded: Some(now), ..stored.clone() };
                replace(call, name, &stored, &definition, &mut changes)?;
            }
            keep(call, name, row, &record, changes).await?
        }
    };
    if attempt.claim.is_none() {
        wake(call);
    }
    tell_people(&attempt);
    if attempt.state == State::Running && attempt.claim.is_some() {
        work(call, &attempt, &stored.rotation).await
    } else {
        Response::data(&serde_json::json!({ "attempt": attempt }))
    }
}

/// Puts the value under `pending`.
async fn create(
    call: &Call,
    rotation: &Rotation,
    attempt: &Attempt,
    value: &Protected,
    advance: impl Fn(Attempt, &mut Changes) -> Result<Attempt, Error>,
) -> Result<Attempt, Error> {
    stage(call, rotation, value, |version, changes| {
        advance(Attempt { version: Some(version.number.into()), ..attempt.clone() }, changes)
    })
    .await
}

/// Makes the version the current one. When somebody has written another since it was made, what he wrote would be lost: then
/// it is made anew over that, and the step is done again.
async fn promote(
    call: &Call,
    name: &str,
    rotation: &Rotation,
    attempt: &Attempt,
    record: &Record,
    advance: impl Fn(Attempt, &mut Changes) -> Result<Attempt, Error>,
) -> Result<Attempt, Error> {
    let number = attempt.version.and_then(|version| u32::try_from(version).ok());
    let number = number.ok_or_else(|| Error::internal("an attempt without a version at promote"))?;
    let mount = secret_mount(call, rotation)?;
    let now = call.parts.clock.now();
    let secrets = Secrets::new(&call.parts.barrier, &mount.view, now);
    let overtaken = AtomicBool::new(false);
    let promoted = secrets.promote(&rotation.path, number, |replaced, changes| {
        if replaced > number {
            overtaken.store(true, Ordering::Relaxed);
            return Err(Error::invalid("another version was written since"));
        }
        advance(Attempt { replaced: (replaced > 0).then_some(replaced.into()), ..attempt.clone() }, changes)
    });
    match promoted.await {
        Err(_) if overtaken.load(Ordering::Relaxed) => {}
        promoted => return promoted,
    }
    let made = match secrets.read(&rotation.path, Which::Number(number)).await {
        Ok(made) => made.data().and_then(|data| member(data, &rotation.field)),
        Err(Error::NotFound) => None,
        Err(error) => return Err(error),
    };
    let value = made.ok_or_else(|| Error::invalid("the version that was made is gone"))?;
    let value = Protected::copy_of(value.as_bytes());
    stage(call, rotation, &value, |version, changes| {
        let row = attempt.clone().remade(version.number.into(), now);
        store(call, name, &row, Some(record), changes)?;
        Ok(row)
    })
    .await
}

/// Stores a version with `value` in its field under `pending`; what `also` puts into the changes happens with it.
async fn stage(
    call: &Call,
    rotation: &Rotation,
    value: &Protected,
    also: impl FnMut(&Version, &mut Changes) -> Result<Attempt, Error>,
) -> Result<Attempt, Error> {
    let patch = patch(&rotation.field, value)?;
    let mount = secret_mount(call, rotation)?;
    let config = Config::read(&mount.view).await?;
    let secrets = Secrets::new(&call.parts.barrier, &mount.view, call.parts.clock.now());
    secrets.stage(&rotation.path, &patch, &config, also).await
}

/// Says in the log, once, that an attempt needs somebody: whoever works on it may do so on another machine.
fn tell_people(attempt: &Attempt) {
    let (rotation, step) = (&attempt.rotation, attempt.step.as_str());
    let reasons: Vec<_> = attempt.in_the_way().map(|found| format!("{}: {}", found.target, found.reason)).collect();
    let reasons = reasons.join("; ");
    match attempt.state {
        State::Failed => {
            tracing::error!(rotation, attempt.id, step, reasons, "a rotation failed in a way that no other try mends");
        }
        State::Running if attempt.failure.is_some() && attempt.tries == TRIES_UNTOLD => {
            tracing::error!(
                rotation,
                attempt.id,
                step,
                reasons,
                "a rotation comes to nothing again and again; it goes on trying"
            );
        }
        _ => {}
    }
}

/// Stores the row, together with `changes`.
async fn keep(call: &Call, name: &str, row: Attempt, before: &Record, mut changes: Changes) -> Result<Attempt, Error> {
    store(call, name, &row, Some(before), &mut changes)?;
    commit(call, changes).await?;
    Ok(row)
}

/// Whether every target has acknowledged, also one that came into the definition since.
fn all_have(attempt: &Attempt, rotation: &Rotation) -> bool {
    rotation.targets.iter().all(|target| attempt.acknowledged.contains(&target.name))
}

/// A merge patch that sets one member.
fn patch(field: &str, value: &Protected) -> Result<Zeroizing<String>, Error> {
    let value = value.expose_str().ok_or_else(|| Error::invalid("the value must be text"))?;
    let mut patch = Zeroizing::new(String::with_capacity(2 * (field.len() + value.len()) + 16));
    patch.push('{');
    patch.push_str(&serde_json::to_string(field).map_err(Error::internal)?);
    patch.push(':');
    patch.push_str(&Zeroizing::new(serde_json::to_string(value).map_err(Error::internal)?));
    patch.push('}');
    Ok(patch)
}

/// What a member of a secret's data is.
pub(super) enum Member {
    Text,
    Other,
    Missing,
}

pub(super) fn kind_of_member(data: &[u8], field: &str) -> Member {
    let members = serde_json::from_slice::<BTreeMap<String, &RawValue>>(data);
    match members.as_ref().ok().and_then(|members| members.get(field)) {
        Some(value) if value.get().starts_with('"') => Member::Text,
        Some(_) => Member::Other,
        None => Member::Missing,
    }
}

/// One text member of a secret's data.
pub(super) fn member(data: &[u8], field: &str) -> Option<Zeroizing<String>> {
    let data: BTreeMap<String, &RawValue> = serde_json::from_slice(data).ok()?;
    serde_json::from_str(data.get(field)?.get()).ok().map(Zeroizing::new)
}
