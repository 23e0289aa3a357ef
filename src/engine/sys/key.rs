//! `sys/key-status`, `sys/rotate` and `sys/rekey`: terms of the keyring, and new shares.

use serde::Serialize;
use serde_json::json;

use crate::engine::{Access, Call, Route};
use crate::error::Error;
use crate::request::Operation;
use crate::response::{Response, rfc3339};

pub(super) const ROUTES: &[Route] = &[
    Route {
        operations: &[Operation::Read],
        pattern: "key-status",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(status(call)),
        doc: "The term of the keyring that is in force.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "rotate",
        access: Access::Sudo,
        exists: None,
        handler: |call| Box::pin(rotate(call)),
        doc: "Puts a new term in force; what was written before stays readable.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "rotate/keyring",
        access: Access::Sudo,
        exists: None,
        handler: |call| Box::pin(rotate(call)),
        doc: "The same as rotate.",
    },
    Route {
        operations: &[Operation::Read],
        pattern: "rekey/init",
        access: Access::Sudo,
        exists: None,
        handler: |_| Box::pin(rekey_status()),
        doc: "Whether new shares are being made.",
    },
];

async fn status(call: &Call) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Status {
        term: u32,
        install_time: String,
        encryptions: u64,
    }
    let status = call.parts.barrier.key_status()?;
    Response::data_at_top(&Status {
        term: status.term.0,
        install_time: rfc3339(status.installed),
        encryptions: status.encryptions,
    })
}

async fn rotate(call: &Call) -> Result<Response, Error> {
    call.parts.barrier.rotate().await?;
    Ok(Response::done())
}

async fn rekey_status() -> Result<Response, Error> {
    Response::plain(200, &json!({ "started": false, "nonce": "", "t": 0, "n": 0, "progress": 0, "required": 0 }))
}
