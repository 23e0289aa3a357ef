//! Definitions: written by who may also change the secret, read without their signing keys.

use serde_json::{Value, json};
use turnlock_core::Path;
use turnlock_core::consumer::{Place, Target};
use turnlock_core::policy::Question;
use turnlock_core::rotation::Rotation;

use super::claim::{commit, secret_mount};
use super::draft::Draft;
use super::report::{Member, kind_of_member};
use super::{Stored, definition_path, encode, load, name, open_path, wake};
use crate::barrier::{BarrierError, Changes};
use crate::engine::Call;
use crate::engine::kv2::labels::CURRENT;
use crate::engine::kv2::secrets::Found;
use crate::engine::kv2::{Secrets, Which};
use crate::error::Error;
use crate::request::Operation;
use crate::response::Response;

pub(super) async fn exists(call: &Call) -> Result<bool, Error> {
    Ok(call.mount.view.get(&definition_path(name(call)?)).await?.is_some())
}

pub(super) async fn write(call: &Call) -> Result<Response, Error> {
    let name = name(call)?;
    let path = definition_path(name);
    let known = load::<Stored>(&call.mount.view, &path).await?;
    let before = known.as_ref().map(|(stored, _)| stored);
    let draft = Draft::parse(call, name, before.map(|stored| &stored.rotation))?;
    let rotation = &draft.rotation;
    // Of the whole, not of what the request names: a new prefix goes into the old file.
    may_change_the_secret(call, rotation)?;
    may_reach_the_agents_machine(call, rotation)?;
    let is_other_field = before.is_none_or(|stored| stored.rotation.field != rotation.field);
    let warning = if is_other_field { look_at_the_field(call, rotation).await? } else { None };
    let stored = draft.stored(before, call.parts.clock.now());
    let mut changes = Changes::new();
    match &known {
        Some((_, record)) => {
            changes.require(&call.mount.view, &path, record.revision);
            changes.put(&call.mount.view, &path, &encode(&stored)?);
        }
        None => changes.create(&call.mount.view, &path, &encode(&stored)?),
    }
    commit(call, changes).await?;
    wake(call);
    let names: Vec<&str> = rotation.targets.iter().map(|target| target.name.as_str()).collect();
    let answer = Response::data(&json!({
        "created": known.is_none(),
        "kept": draft.kept,
        "targets": names,
        "paused": rotation.paused,
        "next_run": stored.next_run(call.parts.clock.now()).map(crate::response::rfc3339),
    }))?;
    let warnings = warning.map(str::to_owned).into_iter().chain(out_of_reach(call, rotation));
    Ok(warnings.fold(answer, Response::with_warning))
}

pub(super) async fn read(call: &Call) -> Result<Response, Error> {
    let path = definition_path(name(call)?);
    let (stored, _) = load::<Stored>(&call.mount.view, &path).await?.ok_or(Error::NotFound)?;
    let mut shown = serde_json::to_value(&stored.rotation).map_err(Error::internal)?;
    if let Some(targets) = shown.get_mut("targets").and_then(Value::as_array_mut) {
        for target in targets.iter_mut().filter_map(Value::as_object_mut) {
            target.remove("signing_key");
        }
    }
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("next_run".into(), json!(stored.next_run(call.parts.clock.now()).map(crate::response::rfc3339)));
    }
    Response::data(&shown)
}

pub(super) async fn delete(call: &Call) -> Result<Response, Error> {
    let name = name(call)?;
    let mut changes = Changes::new();
    call.mount.view.delete_with_folders(&definition_path(name), &mut changes).await?;
    call.mount.view.delete_with_folders(&open_path(name), &mut changes).await?;
    match call.parts.barrier.commit(changes).await {
        Ok(_) => {
            wake(call);
            Ok(Response::done())
        }
        Err(BarrierError::Conflict { .. }) => Err(Error::Unavailable("another change came first, try again")),
        Err(error) => Err(error.into()),
    }
}

/// Files that the agent inside the server may not write: nobody else comes for a rotation without a pool, unless an agent
/// without one runs elsewhere.
fn out_of_reach(call: &Call, rotation: &Rotation) -> Vec<String> {
    let Some(folders) = call.server.settings.agent_folders.as_ref().filter(|_| rotation.pool.is_empty()) else {
        return Vec::new();
    };
    let outside = |file: &str| {
        let parent = std::path::Path::new(file).parent();
        !parent.is_some_and(|parent| folders.iter().any(|folder| parent.starts_with(folder)))
    };
    let files = rotation.targets.iter().enumerate().flat_map(|(index, target)| {
        let (path, pid_file) = match &target.place {
            Place::File { path, pid_file, .. } => (Some(path), pid_file.as_ref()),
            Place::Webhook { .. } => (None, None),
        };
        [("path", path), ("pid_file", pid_file)].map(|(member, file)| (index, member, file))
    });
    let lost = files.filter(|(_, _, file)| file.is_some_and(|file| outside(file)));
    lost.map(|(index, member, _)| {
        format!(
            "targets[{index}].{member} lies in no folder of target_dirs, so that this server's own agent will not touch it: \
             add its folder to target_dirs in the stanza agent and start again, or name the pool of another agent"
        )
    })
    .collect()
}

/// Refuses a secret that is not there, which is more often a slip than a wish; says it when the field is new, or is none that a
/// rotation has made.
async fn look_at_the_field(call: &Call, rotation: &Rotation) -> Result<Option<&'static str>, Error> {
    let mount = secret_mount(call, rotation)?;
    let secrets = Secrets::new(&call.parts.barrier, &mount.view, call.parts.clock.now());
    let found = match secrets.read(&rotation.path, Which::Label(CURRENT)).await {
        Ok(found) => Some(found),
        Err(Error::NotFound) => None,
        Err(error) => return Err(error),
    };
    let Some(data) = found.as_ref().and_then(Found::data) else {
        return Err(Error::invalid(
            "there is no secret at this path, or its current version is deleted: write it first, with any value",
        ));
    };
    Ok(match kind_of_member(data, &rotation.field) {
        Member::Text => None,
        Member::Other => Some("the field holds no text now: the first run replaces it by one"),
        Member::Missing => Some("the secret has no such field yet: the first run adds it"),
    })
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

/// What lies on the agent's own machine takes `sudo` on the definition to name.
fn may_reach_the_agents_machine(call: &Call, rotation: &Rotation) -> Result<(), Error> {
    let local = rotation.targets.iter().any(Target::is_on_agents_machine);
    let question = Question {
        path: &call.request.path,
        operation: call.request.operation.into(),
        parameters: &call.request.fields.iter().collect::<Vec<_>>(),
        wrap_ttl: call.request.wrap_ttl,
    };
    if !local || call.caller()?.acl.evaluate(&question).sudo { Ok(()) } else { Err(Error::Denied) }
}
