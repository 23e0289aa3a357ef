//! What people do with a rotation: run it, look at its history, abort or resume an attempt.

use serde_json::json;
use turnlock_core::rotation::Attempt;

use super::claim::{From, begin, commit, may_begin, refused, store};
use super::{HISTORY, Stored, definition_path, encode, load, name, open_path, wake};
use crate::barrier::Changes;
use crate::engine::Call;
use crate::error::Error;
use crate::response::Response;

pub(super) async fn run(call: &Call) -> Result<Response, Error> {
    let name = name(call)?;
    let (stored, definition) =
        load::<Stored>(&call.mount.view, &definition_path(name)).await?.ok_or(Error::NotFound)?;
    let cause = call.caller()?.entry.display_name.clone();
    let now = call.parts.clock.now();
    let open = load::<Attempt>(&call.mount.view, &open_path(name)).await?;
    let begun = match may_begin(open.as_ref()) {
        true => begin(call, name, From { stored: &stored, definition: &definition, open }, &cause, None, now).await?,
        false => None,
    };
    match begun {
        Some(attempt) => {
            wake(call);
            Response::data(&json!({ "attempt": attempt.id }))
        }
        None => Err(Error::invalid("an attempt is open already: see its history, then abort or resume it")),
    }
}

pub(super) async fn history(call: &Call) -> Result<Response, Error> {
    let name = name(call)?;
    let mut attempts: Vec<Attempt> = Vec::new();
    attempts.extend(load::<Attempt>(&call.mount.view, &open_path(name)).await?.map(|(attempt, _)| attempt));
    let ended = call.mount.view.list_values(&format!("ended/{name}/")).await?;
    for (_, record) in ended.iter().rev().filter(|(entry, _)| !entry.ends_with('/')).take(HISTORY) {
        attempts.push(serde_json::from_slice(record.value.expose()).map_err(Error::internal)?);
    }
    // A rotation that has not run yet has an empty history; where there never was one, nothing is found.
    if attempts.is_empty() && call.mount.view.get(&definition_path(name)).await?.is_none() {
        return Err(Error::NotFound);
    }
    Response::data(&json!({ "attempts": attempts }))
}

pub(super) async fn pause(call: &Call) -> Result<Response, Error> {
    call.request.fields.only(&["paused"])?;
    let paused = call.request.fields.flag("paused")?.ok_or_else(|| Error::missing("paused"))?;
    let path = definition_path(name(call)?);
    let (mut stored, record) = load::<Stored>(&call.mount.view, &path).await?.ok_or(Error::NotFound)?;
    if stored.rotation.paused && !paused {
        // What fell due while it was held back is not made up for.
        stored.considered = call.parts.clock.now();
    }
    stored.rotation.paused = paused;
    let mut changes = Changes::new();
    changes.require(&call.mount.view, &path, record.revision);
    changes.put(&call.mount.view, &path, &encode(&stored)?);
    commit(call, changes).await?;
    wake(call);
    Ok(Response::done())
}

pub(super) async fn abort(call: &Call) -> Result<Response, Error> {
    change(call, |attempt, now| attempt.aborted(now)).await
}

pub(super) async fn resume(call: &Call) -> Result<Response, Error> {
    change(call, |attempt, now| attempt.resumed(now)).await
}

async fn change(
    call: &Call,
    verb: impl Fn(Attempt, chrono::DateTime<chrono::Utc>) -> Result<Attempt, turnlock_core::rotation::Refused>,
) -> Result<Response, Error> {
    let name = name(call)?;
    let open = load::<Attempt>(&call.mount.view, &open_path(name)).await?;
    let Some((attempt, record)) = open else {
        let (stored, _) = load::<Stored>(&call.mount.view, &definition_path(name)).await?.ok_or(Error::NotFound)?;
        return Err(Error::invalid(match stored.rotation.paused {
            true => "no attempt is open; runs by schedule are held back, and unpause lets them go on",
            false => "no attempt is open",
        }));
    };
    let attempt = verb(attempt, call.parts.clock.now()).map_err(refused)?;
    let mut changes = Changes::new();
    store(call, name, &attempt, Some(&record), &mut changes)?;
    commit(call, changes).await?;
    wake(call);
    Response::data(&json!({ "attempt": attempt }))
}
