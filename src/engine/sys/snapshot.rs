//! `sys/storage/raft/snapshot`: back-up and restore of the sealed records, at the path that operators' tools know.

use turnlock_core::Protected;

use crate::engine::{Access, Call, Route};
use crate::error::Error;
use crate::request::Operation;
use crate::response::{Content, Response};
use crate::snapshot::{self, SnapshotError};

pub(super) const ROUTES: &[Route] = &[
    Route {
        operations: &[Operation::Read],
        pattern: "storage/raft/snapshot",
        access: Access::Sudo,
        exists: None,
        handler: |call| Box::pin(save(call)),
        doc: "A consistent copy of all sealed records.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "storage/raft/snapshot",
        access: Access::Sudo,
        exists: None,
        handler: |call| Box::pin(restore(call)),
        doc: "Replaces everything by a snapshot of this server, and seals it.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "storage/raft/snapshot-force",
        access: Access::Sudo,
        exists: None,
        handler: |_| Box::pin(refuse()),
        doc: "Refused: another server's snapshot is restored into an empty folder, while no server runs on it.",
    },
];

async fn save(call: &Call) -> Result<Response, Error> {
    let bytes = snapshot::save(&call.parts.barrier).await.map_err(refusal)?;
    let content = Content::Raw("application/octet-stream", Protected::new(bytes));
    Ok(Response { content, ..Response::done().with_status(200) })
}

async fn restore(call: &Call) -> Result<Response, Error> {
    // Nobody may unseal between the import and the end of what was built over the records before it.
    let unsealing = call.server.unsealing.lock().await;
    snapshot::restore(call.request.fields.body().expose(), &call.parts.barrier).await.map_err(refusal)?;
    call.server.seal();
    tracing::warn!("everything that was stored is replaced by a snapshot, and the server is sealed");
    drop(unsealing);
    call.server.unseal_itself().await?;
    Ok(Response::done())
}

async fn refuse() -> Result<Response, Error> {
    Err(Error::invalid("the snapshot of another server is restored into an empty folder, while no server runs on it"))
}

fn refusal(error: SnapshotError) -> Error {
    match error {
        SnapshotError::Barrier(error) => error.into(),
        SnapshotError::Damaged | SnapshotError::Forged => Error::invalid(error.to_string()),
        other => Error::internal(other),
    }
}
