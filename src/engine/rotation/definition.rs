//! Definitions: written by who may also change the secret, read without their signing keys.

use serde_json::{Value, json};
use turnlock_core::Path;
use turnlock_core::consumer::{Place, Target};
use turnlock_core::policy::Question;
use turnlock_core::rotation::{Rotation, Rotator, Timing};
use turnlock_core::schedule::Schedule;

use super::{Stored, definition_path, encode, load, name, open_path};
use crate::barrier::{BarrierError, Changes};
use crate::engine::{Call, EngineKind};
use crate::error::Error;
use crate::request::Operation;
use crate::response::Response;

/// Fields of a definition.
const FIELDS: [&str; 8] = ["field", "rotator", "schedule", "zone", "targets", "grace", "pool", "paused"];

/// Most targets of one rotation.
const MAX_TARGETS: usize = 64;

pub(super) async fn exists(call: &Call) -> Result<bool, Error> {
    Ok(call.mount.view.get(&definition_path(name(call)?)).await?.is_some())
}

pub(super) async fn write(call: &Call) -> Result<Response, Error> {
    let name = name(call)?;
    let rotation = parse(call, name)?;
    may_change_the_secret(call, &rotation)?;
    may_reach_the_agents_machine(call, &rotation)?;
    let path = definition_path(name);
    let known = load::<Stored>(&call.mount.view, &path).await?;
    let now = call.parts.clock.now();
    let mut changes = Changes::new();
    let stored = Stored { rotation, considered: known.as_ref().map_or(now, |(stored, _)| stored.considered) };
    match &known {
        Some((_, record)) => {
            changes.require(&call.mount.view, &path, record.revision);
            changes.put(&call.mount.view, &path, &encode(&stored)?);
        }
        None => changes.create(&call.mount.view, &path, &encode(&stored)?),
    }
    call.parts.barrier.commit(changes).await?;
    Ok(Response::done())
}

pub(super) async fn read(call: &Call) -> Result<Response, Error> {
    let path = definition_path(name(call)?);
    let (stored, _) = load::<Stored>(&call.mount.view, &path).await?.ok_or(Error::NotFound)?;
    let next = stored
        .rotation
        .schedule
        .as_ref()
        .filter(|_| !stored.rotation.paused)
        .and_then(|timing| Schedule::parse(&timing.cron, &timing.zone).ok()?.next_after(stored.considered));
    let mut shown = serde_json::to_value(&stored.rotation).map_err(Error::internal)?;
    if let Some(targets) = shown.get_mut("targets").and_then(Value::as_array_mut) {
        for target in targets.iter_mut().filter_map(Value::as_object_mut) {
            target.remove("signing_key");
        }
    }
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("next_run".into(), json!(next.map(crate::response::rfc3339)));
    }
    Response::data(&shown)
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
    names.sort();
    Response::keys(&names)
}

/// Whether the caller may list or scan the folder `name`, or read or list the rotation of that name.
fn may_see(call: &Call, name: &str) -> Result<bool, Error> {
    let Ok(path) = Path::parse(&format!("{}/definitions/{name}", call.mount.entry.path)) else { return Ok(false) };
    let other = if path.is_folder() { Operation::Scan } else { Operation::Read };
    let acl = &call.caller()?.acl;
    Ok([Operation::List, other].into_iter().any(|operation| {
        let question = Question { path: &path, operation: operation.into(), parameters: &[], wrap_ttl: None };
        acl.evaluate(&question).allowed
    }))
}

pub(super) async fn delete(call: &Call) -> Result<Response, Error> {
    let name = name(call)?;
    let mut changes = Changes::new();
    call.mount.view.delete_with_folders(&definition_path(name), &mut changes).await?;
    call.mount.view.delete_with_folders(&open_path(name), &mut changes).await?;
    match call.parts.barrier.commit(changes).await {
        Ok(_) => Ok(Response::done()),
        Err(BarrierError::Conflict { .. }) => Err(Error::Unavailable("another change came first, try again")),
        Err(error) => Err(error.into()),
    }
}

/// Reads the body strictly: a field that nobody knows is a mistake that would show only at the next run.
fn parse(call: &Call, name: &str) -> Result<Rotation, Error> {
    let fields = &call.request.fields;
    fields.only(&FIELDS)?;
    let path = Path::parse(name).map_err(|reason| Error::invalid(reason.to_string()))?;
    let table = call.parts.mounts.table();
    let (mount, start) = table
        .resolve(&path)
        .filter(|(mount, _)| mount.entry.kind == EngineKind::Kv2)
        .ok_or_else(|| Error::invalid("the path must lie below a mount of kv version 2"))?;
    let secret = path.as_str().get(start..).filter(|secret| !secret.is_empty());
    let rotator = fields.typed("rotator")?.unwrap_or(Rotator::Generate { length: 32, prefix: String::new() });
    let Rotator::Generate { length, prefix } = &rotator;
    if !(16..=512).contains(length) || prefix.len() > 64 || prefix.chars().any(char::is_control) {
        return Err(Error::invalid("rotator: length must be 16 to 512, prefix at most 64 printable characters"));
    }
    let schedule = match (fields.string("schedule")?.filter(|cron| !cron.is_empty()), fields.string("zone")?) {
        (Some(cron), zone) => {
            let timing = Timing { cron, zone: zone.unwrap_or_else(|| "UTC".to_owned()) };
            Schedule::parse(&timing.cron, &timing.zone)
                .map_err(|reason| Error::invalid(format!("schedule: {reason}")))?;
            Some(timing)
        }
        (None, Some(_)) => return Err(Error::invalid("zone needs a schedule")),
        (None, None) => None,
    };
    let targets: Vec<Target> = fields.typed("targets")?.unwrap_or_default();
    check_targets(&targets)?;
    Ok(Rotation {
        mount: mount.entry.path.clone(),
        path: secret.ok_or_else(|| Error::invalid("name a secret below the mount"))?.to_owned(),
        field: fields.required_string("field")?,
        rotator,
        schedule,
        targets,
        grace_seconds: fields.duration("grace")?.map_or(3600, |grace| grace.as_secs()),
        pool: fields.string("pool")?.unwrap_or_default(),
        paused: fields.flag("paused")?.unwrap_or(false),
    })
}

fn check_targets(targets: &[Target]) -> Result<(), Error> {
    if targets.len() > MAX_TARGETS {
        return Err(Error::invalid(format!("a rotation has at most {MAX_TARGETS} targets")));
    }
    for (index, target) in targets.iter().enumerate() {
        let twice = targets.iter().take(index).any(|other| other.name == target.name);
        if twice {
            return Err(Error::invalid(format!("target {}: another one has the same name", index + 1)));
        }
        target.check().map_err(|fault| Error::invalid(format!("target {}: {fault}", index + 1)))?;
    }
    Ok(())
}

/// A rotation changes a secret and hands it to targets, so that only who may do both by hand may define one.
fn may_change_the_secret(call: &Call, rotation: &Rotation) -> Result<(), Error> {
    let path = Path::parse(&format!("{}/data/{}", rotation.mount, rotation.path));
    let path = path.map_err(|reason| Error::invalid(reason.to_string()))?;
    let allowed = [Operation::Read, Operation::Update].into_iter().all(|operation| {
        let question = Question { path: &path, operation: operation.into(), parameters: &[], wrap_ttl: None };
        call.caller().is_ok_and(|caller| caller.acl.evaluate(&question).allowed)
    });
    if allowed { Ok(()) } else { Err(Error::Denied) }
}

/// What lies on the agent's own machine is written and called with the agent's rights, which who holds a secret does not
/// have: files, signals, and services that trust their loopback interface. Naming them takes `sudo` on the definition.
fn may_reach_the_agents_machine(call: &Call, rotation: &Rotation) -> Result<(), Error> {
    let local = rotation.targets.iter().any(|target| match &target.place {
        Place::File { .. } => true,
        Place::Webhook { url, ca_file, .. } => !url.starts_with("https://") || ca_file.is_some(),
    });
    let question = Question {
        path: &call.request.path,
        operation: call.request.operation.into(),
        parameters: &call.request.fields.iter().collect::<Vec<_>>(),
        wrap_ttl: call.request.wrap_ttl,
    };
    if !local || call.caller()?.acl.evaluate(&question).sudo { Ok(()) } else { Err(Error::Denied) }
}
