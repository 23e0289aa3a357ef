//! `sys/remount`: moves a mount. Its data stays where it is, so a move is one commit and over when it is answered.

use serde_json::json;
use uuid::Uuid;

use super::mount::{mount_path, overlaps};
use crate::engine::{Access, Call, Route};
use crate::error::Error;
use crate::request::Operation;
use crate::response::Response;

pub(super) const ROUTES: &[Route] = &[
    Route {
        operations: &[Operation::Update],
        pattern: "remount",
        access: Access::Sudo,
        exists: None,
        handler: |call| Box::pin(remount(call)),
        doc: "Moves a mount from one path to another.",
    },
    Route {
        operations: &[Operation::Read],
        pattern: "remount/status/{id}",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(status(call)),
        doc: "Whether a move is over; it always is.",
    },
];

async fn remount(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let from = mount_path(&fields.required_string("from")?)?;
    let to = mount_path(&fields.required_string("to")?)?;
    if from.starts_with("auth/") != to.starts_with("auth/") {
        return Err(Error::invalid("a mount cannot move between secret and auth engines"));
    }
    // Judged besides `sudo` here: who may not touch a mount may not move it either.
    let caller = call.caller()?;
    for path in [&from, &to] {
        let sys = if path.starts_with("auth/") { format!("sys/{path}") } else { format!("sys/mounts/{path}") };
        let sys = turnlock_core::Path::parse(&sys).map_err(|reason| Error::invalid(reason.to_string()))?;
        let capabilities = caller.acl.capabilities(&sys, None);
        if !capabilities.iter().any(|name| matches!(*name, "root" | "update" | "create" | "delete")) {
            return Err(Error::Denied);
        }
    }
    call.parts
        .mounts
        .change(|entries| {
            let mut entry = entries.remove(&from).ok_or_else(|| Error::invalid("no mount at \"from\""))?;
            if !entry.kind.is_replaceable() {
                return Err(Error::invalid("this mount cannot be moved"));
            }
            if overlaps(entries, &to) {
                return Err(Error::invalid("\"to\" is already in use, or lies above or below a mount"));
            }
            entry.path.clone_from(&to);
            entries.insert(to.clone(), entry);
            Ok(())
        })
        .await?;
    let moved = Response::data_at_top(&json!({ "migration_id": Uuid::new_v4().to_string() }))?;
    Ok(moved.with_warning("the mount was moved already when this was answered; there is nothing to wait for"))
}

async fn status(call: &Call) -> Result<Response, Error> {
    let id = Uuid::parse_str(call.parameter("id")).map_err(|_| Error::invalid("not a migration id"))?;
    Response::data(&json!({ "migration_id": id.to_string(), "migration_info": { "status": "success" } }))
}
