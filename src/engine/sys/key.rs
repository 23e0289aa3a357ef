//! `sys/key-status` and `sys/rotate`: terms of the keyring.

use serde::Serialize;

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
