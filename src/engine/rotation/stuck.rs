//! Whether a rotation needs somebody to look at it: for `sys/health` and for the log, also when no agent asks for work at all.

use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use turnlock_core::rotation::Attempt;

use super::claim::{due, names};
use super::{Stored, definition_path, load, open_path};
use crate::barrier::{Record, View};
use crate::engine::EngineKind;
use crate::error::Error;
use crate::server::Server;

/// How long a rotation may wait for an agent of its pool until people are told.
const OVERDUE: TimeDelta = TimeDelta::minutes(10);

/// What people are told. Anybody may ask for the health, so this says neither how many nor which. It changes no status: the server
/// does its part, and nobody is helped when it gets no requests any more.
pub const STUCK: &str = "a rotation needs somebody to look at it: `turnlock rotate list` shows which and why";

/// Looks at all rotations, and takes down for `sys/health` whether one needs somebody. `Ok(false)` also while the server is sealed.
pub async fn look(server: &Server) -> Result<bool, Error> {
    let Ok(parts) = server.parts() else { return Ok(false) };
    let table = parts.mounts.table().clone();
    let mut stuck = false;
    for mount in table.iter().filter(|mount| mount.entry.kind == EngineKind::Rotation) {
        stuck |= is_one_stuck(&mount.view, parts.clock.now()).await?;
    }
    server.stuck_rotations.store(stuck, Ordering::Relaxed);
    Ok(stuck)
}

async fn is_one_stuck(view: &View, now: DateTime<Utc>) -> Result<bool, Error> {
    for name in names(view, "definition/").await? {
        let Some((stored, _)) = load::<Stored>(view, &definition_path(&name)).await? else { continue };
        let open = load::<Attempt>(view, &open_path(&name)).await?;
        if open.as_ref().is_some_and(|(attempt, _)| attempt.is_stuck()) || is_overdue(&stored, open.as_ref(), now) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether those who may take it do not: there is no such agent, or it is refused.
pub(super) fn is_overdue(stored: &Stored, open: Option<&(Attempt, Record)>, now: DateTime<Utc>) -> bool {
    due(stored, open, now).is_some_and(|due| due + OVERDUE <= now)
}
