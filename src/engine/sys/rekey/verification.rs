//! The proof that the new shares reached their holders: they are submitted once while the old ones are still in force. Until
//! then a restart, a seal or giving up leaves everything as it was.

use serde_json::json;
use turnlock_core::Protected;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Rekeying;
use crate::barrier::seal::{Progress, SealConfig, Submitted};
use crate::engine::Call;
use crate::error::Error;
use crate::request::Operation;
use crate::response::Response;
use crate::server::Unsealing;

/// New shares that were handed out and are not in force yet.
pub(super) struct Verification {
    nonce: String,
    progress: Progress,
    config: SealConfig,
    old_key: Protected,
    new_key: Zeroizing<[u8; 32]>,
}

impl Verification {
    pub(super) fn of(config: SealConfig, old_key: Protected, new_key: Zeroizing<[u8; 32]>) -> Self {
        Self { nonce: Uuid::new_v4().to_string(), progress: Progress::default(), config, old_key, new_key }
    }

    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Forgets what was submitted, and whoever still submits it: the nonce is another one.
    fn begin_anew(&mut self) {
        self.nonce = Uuid::new_v4().to_string();
        self.progress.reset();
    }

    fn status(&self) -> Result<Response, Error> {
        let status = json!({
            "nonce": self.nonce,
            "started": true,
            "t": self.config.threshold,
            "n": self.config.shares,
            "progress": self.progress.count(),
        });
        Response::plain(200, &status)
    }
}

/// `rekey/verify`.
pub(super) async fn verify(call: &Call) -> Result<Response, Error> {
    let mut unsealing = call.server.unsealing.lock().await;
    let Unsealing { rekeying, rekey_pace, .. } = &mut *unsealing;
    let Some(verification) = rekeying.as_mut().and_then(Rekeying::verification) else {
        return Err(Error::invalid("no verification of new shares is in progress"));
    };
    match call.request.operation {
        Operation::Read => return verification.status(),
        Operation::Delete => {
            verification.begin_anew();
            return verification.status();
        }
        _ => {}
    }
    let fields = &call.request.fields;
    let share = super::super::share::share_of(fields)?;
    let nonce = fields.required_string("nonce")?;
    if verification.nonce != nonce {
        return Err(Error::invalid("nonce is not that of the verification in progress"));
    }
    rekey_pace.admit(call.server.clock.now())?;
    let wrong = || Error::invalid("these are not the new shares; submit them again from the first");
    let threshold = verification.config.threshold;
    let key = match verification.progress.submit(share, threshold, nonce.clone()).map_err(|_| wrong())? {
        Submitted::Pending => return verification.status(),
        Submitted::Complete(key) => key,
    };
    if !key.same_as(&*verification.new_key) {
        return Err(wrong());
    }
    let Verification { config, old_key, new_key, .. } = verification;
    call.parts.barrier.rekey(config, old_key.expose(), new_key).await?;
    unsealing.rekeying = None;
    Response::plain(200, &json!({"nonce": nonce, "complete": true}))
}
