//! `sys/audit` and `sys/audit-hash`: shows the device. Devices come from the configuration only, because one that the API
//! could name would be a way to write files.

use std::collections::BTreeMap;

use serde_json::json;

use crate::engine::{Access, Call, Route};
use crate::error::Error;
use crate::request::Operation;
use crate::response::Response;

pub(super) const ROUTES: &[Route] = &[
    Route {
        operations: &[Operation::Read, Operation::List],
        pattern: "audit",
        access: Access::Sudo,
        exists: None,
        handler: |call| Box::pin(list(call)),
        doc: "The audit device and the public key that its checkpoints are verified with.",
    },
    Route {
        operations: &[Operation::Update, Operation::Delete],
        pattern: "audit/{device*}",
        access: Access::Sudo,
        exists: None,
        handler: |_| Box::pin(refuse()),
        doc: "Refused: audit devices are set in the configuration file.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "audit-hash/{device*}",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(hash(call)),
        doc: "The keyed hash under which a value appears in the audit.",
    },
];

async fn list(call: &Call) -> Result<Response, Error> {
    let mut devices = BTreeMap::new();
    if let Some(config) = call.server.audit.config() {
        let options = json!({
            "file_path": config.path,
            "public_key": call.server.audit.public_key(),
        });
        let device = json!({
            "type": "file",
            "path": format!("{}/", config.name),
            "description": config.description,
            "local": false,
            "options": options,
        });
        devices.insert(format!("{}/", config.name), device);
    }
    Response::data_at_top(&devices)
}

async fn refuse() -> Result<Response, Error> {
    Err(Error::invalid("audit devices are set in the configuration file, not through the API"))
}

async fn hash(call: &Call) -> Result<Response, Error> {
    let device = call.parameter("device");
    if call.server.audit.config().is_none_or(|config| config.name != device) {
        return Err(Error::invalid("unknown audit device"));
    }
    let input = call.request.fields.protected("input")?.ok_or_else(|| Error::missing("input"))?;
    let hash = call.server.audit.hash(input.expose())?;
    Response::data(&json!({ "hash": hash.text() }))
}
