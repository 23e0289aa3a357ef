//! `sys/init`: makes the keys, the default mounts and policies, and the first root token.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::barrier::BarrierError;
use crate::barrier::seal::{SealConfig, SealKind, new_shares};
use crate::error::Error;
use crate::request::Request;
use crate::response::Response;
use crate::server::{SealSource, Server};

#[derive(Serialize)]
struct Initialized {
    keys: Vec<Zeroizing<String>>,
    keys_base64: Vec<Zeroizing<String>>,
    root_token: Zeroizing<String>,
}

pub(super) async fn read(server: &Arc<Server>) -> Result<Response, Error> {
    Response::plain(200, &json!({ "initialized": server.barrier.seal_config().await?.is_some() }))
}

pub(super) async fn write(server: &Arc<Server>, request: &Request) -> Result<Response, Error> {
    if server.barrier.seal_config().await?.is_some() {
        return Err(Error::invalid("Vault is already initialized"));
    }
    let fields = &request.fields;
    for (name, refused) in [
        ("pgp_keys", fields.list("pgp_keys")?.is_some_and(|keys| !keys.is_empty())),
        ("root_token_pgp_key", fields.string("root_token_pgp_key")?.is_some_and(|key| !key.is_empty())),
        ("recovery_pgp_keys", fields.list("recovery_pgp_keys")?.is_some_and(|keys| !keys.is_empty())),
        ("recovery_shares", fields.number("recovery_shares")?.unwrap_or(0) > 0),
        ("recovery_threshold", fields.number("recovery_threshold")?.unwrap_or(0) > 0),
    ] {
        if refused {
            return Err(Error::invalid(format!("{name} is not supported")));
        }
    }
    let (config, key, shares) = match &server.settings.seal {
        SealSource::Static(key) => (SealConfig::fresh(SealKind::Static, 1, 1)?, key.clone(), Vec::new()),
        SealSource::Shares => {
            let shares = number(request, "secret_shares")?;
            let threshold = number(request, "secret_threshold")?;
            let (key, parts) = new_shares(shares, threshold).map_err(|reason| Error::invalid(reason.to_string()))?;
            (SealConfig::fresh(SealKind::Shamir, shares, threshold)?, key, parts)
        }
    };
    // Held over the whole of it: a second init or an unseal must not come between the steps.
    let _unsealing = server.unsealing.lock().await;
    match server.barrier.initialize(&config, &key).await {
        Ok(()) => {}
        Err(BarrierError::Initialized) => return Err(Error::invalid("Vault is already initialized")),
        Err(error) => return Err(error.into()),
    }
    server.barrier.unseal(&*key).await?;
    let parts = server.open_parts().await?;
    let root = parts.tokens.issue_root(&parts, None).await?;
    if matches!(server.settings.seal, SealSource::Shares) {
        // As operators of the protocol expect: the shares must prove themselves by unsealing.
        server.seal();
    }
    let initialized = Initialized {
        keys: shares.iter().map(|share| Zeroizing::new(hex::encode(share.expose()))).collect(),
        keys_base64: shares.iter().map(|share| Zeroizing::new(STANDARD.encode(share.expose()))).collect(),
        root_token: Zeroizing::new(root.expose_str().unwrap_or_default().to_owned()),
    };
    Response::plain(200, &initialized)
}

pub(super) fn number(request: &Request, name: &'static str) -> Result<u8, Error> {
    let number = request.fields.number(name)?.ok_or_else(|| Error::missing(name))?;
    u8::try_from(number).map_err(|_| Error::invalid(format!("{name} must be at most 255")))
}
