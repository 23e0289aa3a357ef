//! `sys/seal-status`, `sys/unseal` and `sys/seal`.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::VERSION;
use crate::barrier::BarrierError;
use crate::barrier::seal::{SealKind, Submitted};
use crate::engine::{Access, Call, Route};
use crate::error::Error;
use crate::request::{Operation, Request};
use crate::response::Response;
use crate::server::Server;

pub(super) const ROUTES: &[Route] = &[Route {
    operations: &[Operation::Update],
    pattern: "seal",
    access: Access::Sudo,
    exists: None,
    handler: |call| Box::pin(seal(call)),
    doc: "Forgets the keys; every request is refused until enough shares are submitted again.",
}];

#[derive(Serialize)]
struct Status<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    initialized: bool,
    sealed: bool,
    t: u8,
    n: u8,
    progress: usize,
    nonce: String,
    version: &'static str,
    build_date: &'static str,
    commit_date: &'static str,
    migration: bool,
    cluster_name: &'a str,
    cluster_id: String,
    recovery_seal: bool,
    storage_type: &'static str,
}

pub(super) async fn status(server: &Arc<Server>) -> Result<Response, Error> {
    let config = server.barrier.seal_config().await?;
    let (progress, nonce) = {
        let unsealing = server.unsealing.lock().await;
        (unsealing.progress.count(), unsealing.progress.nonce().to_owned())
    };
    let status = Status {
        kind: config.as_ref().map_or(server.settings.seal.kind(), |config| config.kind).as_str(),
        initialized: config.is_some(),
        sealed: server.parts().is_err(),
        t: config.as_ref().map_or(0, |config| config.threshold),
        n: config.as_ref().map_or(0, |config| config.shares),
        progress,
        nonce,
        version: VERSION,
        build_date: "",
        commit_date: "",
        migration: false,
        cluster_name: &server.settings.cluster_name,
        cluster_id: config.map(|config| server.cluster_id(&config)).unwrap_or_default(),
        recovery_seal: false,
        storage_type: server.barrier.storage_kind(),
    };
    Response::plain(200, &status)
}

pub(super) async fn unseal(server: &Arc<Server>, request: &Request) -> Result<Response, Error> {
    if request.fields.flag("migrate")?.unwrap_or(false) {
        return Err(Error::invalid("migration between seals is not supported"));
    }
    let config = server.barrier.seal_config().await?;
    let config = config.ok_or_else(|| Error::invalid("Vault is not initialized"))?;
    if request.fields.flag("reset")?.unwrap_or(false) {
        server.unsealing.lock().await.progress.reset();
        return status(server).await;
    }
    let share = super::share::share_of(&request.fields)?;
    {
        let mut unsealing = server.unsealing.lock().await;
        unsealing.pace.admit(server.clock.now())?;
        if server.parts().is_ok() {
            drop(unsealing);
            return status(server).await;
        }
        if config.kind == SealKind::Static {
            return Err(Error::invalid("this server unseals itself with a static key; shares are not taken"));
        }
        let submitted = unsealing.progress.submit(share, config.threshold, Uuid::new_v4().to_string());
        let wrong = "the shares do not open this store; submit them again from the first";
        match submitted {
            Ok(Submitted::Pending) => {}
            Ok(Submitted::Complete(key)) => match server.barrier.unseal(key.expose()).await {
                Ok(()) => {
                    server.open_parts().await?;
                    tracing::info!("the server is unsealed by shares of its key");
                }
                Err(BarrierError::WrongKey) => return Err(Error::invalid(wrong)),
                Err(error) => return Err(error.into()),
            },
            Err(_) => return Err(Error::invalid(wrong)),
        }
    }
    status(server).await
}

async fn seal(call: &Call) -> Result<Response, Error> {
    let mut unsealing = call.server.unsealing.lock().await;
    (unsealing.rekeying, unsealing.root_attempt) = (None, None);
    call.server.audit.keep_end(&call.server.barrier).await;
    call.server.seal();
    tracing::warn!("the server is sealed, as it was asked to");
    Ok(Response::done())
}
