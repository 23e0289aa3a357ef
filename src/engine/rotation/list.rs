//! Listing rotations: their names, and how each of them stands.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use turnlock_core::Path;
use turnlock_core::policy::Question;
use turnlock_core::rotation::{Attempt, State};

use super::{Stored, definition_path, load, open_path};
use crate::engine::Call;
use crate::error::Error;
use crate::request::Operation;
use crate::response::{Response, rfc3339};

/// The answer to a listing.
#[derive(Serialize)]
struct Listed<'a> {
    keys: &'a [String],
    key_info: BTreeMap<&'a str, Standing>,
}

/// How a rotation stands.
#[derive(Serialize)]
struct Standing {
    /// `running`; `hindered` when it is tried again and again; `failed` when it waits for a person, or with nothing changed for
    /// the next run; `due` when no agent has taken it; `paused`; `idle`.
    state: &'static str,
    /// When an attempt succeeded last.
    last_success: Option<String>,
    /// When the schedule asks for the next run.
    next_run: Option<String>,
    /// When the open attempt goes on.
    next_try: Option<String>,
    /// Tries in a row that came to nothing.
    tries: u32,
    /// What the last of them found in its way.
    reasons: Vec<String>,
}

/// Names directly below a folder; for a scan all below it that the caller may see.
pub(super) async fn list(call: &Call) -> Result<Response, Error> {
    let folder = match call.parameter("name") {
        "" => String::new(),
        folder => format!("{folder}/"),
    };
    let recursive = call.request.operation == Operation::Scan;
    let mut names = Vec::new();
    let mut open = vec![String::new()];
    while let Some(below) = open.pop() {
        for entry in call.mount.view.list(&format!("definition/{folder}{below}")).await? {
            let name = format!("{below}{entry}");
            match recursive {
                // A deny below the folder holds here too.
                true if !may_see(call, &format!("{folder}{name}"))? => {}
                true if entry.ends_with('/') => open.push(name),
                _ => names.push(name),
            }
        }
    }
    if names.is_empty() {
        return Err(Error::NotFound);
    }
    names.sort();
    let now = call.parts.clock.now();
    let mut key_info = BTreeMap::new();
    for name in &names {
        let path = format!("{folder}{name}");
        // A name tells less than its history, and may be for others to see.
        if name.ends_with('/') || !may(call, "history", &path, &[Operation::Read])? {
            continue;
        }
        let Some((stored, _)) = load::<Stored>(&call.mount.view, &definition_path(&path)).await? else { continue };
        let open = load::<Attempt>(&call.mount.view, &open_path(&path)).await?;
        key_info.insert(name.as_str(), Standing::of(&stored, open.as_ref().map(|(attempt, _)| attempt), now));
    }
    Response::data(&Listed { keys: &names, key_info })
}

impl Standing {
    fn of(stored: &Stored, open: Option<&Attempt>, now: DateTime<Utc>) -> Self {
        let (next_run, next_try) = (stored.next_run(now), open.and_then(|attempt| attempt.due_at(now)));
        let is_due = |time: Option<DateTime<Utc>>| time.is_some_and(|time| time <= now);
        let state = match open {
            Some(attempt) if attempt.state == State::Failed => "failed",
            Some(attempt) if attempt.tries > 0 => "hindered",
            Some(_) if is_due(next_try) => "due",
            Some(_) => "running",
            None if stored.rotation.paused => "paused",
            None if is_due(next_run) => "due",
            None => "idle",
        };
        let mut reasons: Vec<_> = open
            .iter()
            .flat_map(|attempt| attempt.in_the_way().map(|found| format!("{}: {}", found.target, found.reason)))
            .collect();
        if let Some(failure) = open.and_then(|attempt| attempt.failure).filter(|_| reasons.is_empty()) {
            reasons.push(failure.as_str().to_owned());
        }
        Self {
            state,
            last_success: stored.succeeded.map(rfc3339),
            next_run: next_run.map(rfc3339),
            next_try: next_try.map(rfc3339),
            tries: open.map_or(0, |attempt| attempt.tries),
            reasons,
        }
    }
}

/// Whether the caller may list or scan the folder `name`, or read or list the rotation of that name.
fn may_see(call: &Call, name: &str) -> Result<bool, Error> {
    let other = if name.ends_with('/') { Operation::Scan } else { Operation::Read };
    may(call, "definitions", name, &[Operation::List, other])
}

/// Whether the caller may do one of `operations` on what the mount has of `kind` at `name`.
fn may(call: &Call, kind: &str, name: &str, operations: &[Operation]) -> Result<bool, Error> {
    let Ok(path) = Path::parse(&format!("{}/{kind}/{name}", call.mount.entry.path)) else { return Ok(false) };
    let acl = &call.caller()?.acl;
    Ok(operations.iter().any(|operation| {
        let question = Question { path: &path, operation: (*operation).into(), parameters: &[], wrap_ttl: None };
        acl.evaluate(&question).allowed
    }))
}
