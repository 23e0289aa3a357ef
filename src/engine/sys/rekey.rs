//! `sys/rekey`: new shares in the place of the old ones. Whoever asks needs a token; the old shares prove the right. The
//! new ones may have to prove that their holders have them, in [`verification`], before the old ones are worth nothing.

mod verification;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::barrier::BarrierError;
use crate::barrier::seal::{Progress, SealConfig, SealKind, Submitted, new_shares};
use crate::engine::{Access, Call, Route};
use crate::error::Error;
use crate::request::Operation;
use crate::response::Response;
use crate::server::Unsealing;
use verification::Verification;

pub(super) const ROUTES: &[Route] = &[
    Route {
        operations: &[Operation::Read, Operation::Update, Operation::Delete],
        pattern: "rekey/init",
        access: Access::Sudo,
        exists: None,
        handler: |call| Box::pin(init(call)),
        doc: "Begins to make new shares, tells how far it is, or gives it up.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "rekey/update",
        access: Access::Sudo,
        exists: None,
        handler: |call| Box::pin(update(call)),
        doc: "Takes one of the old shares; the last one brings the new shares.",
    },
    Route {
        operations: &[Operation::Read, Operation::Update, Operation::Delete],
        pattern: "rekey/verify",
        access: Access::Sudo,
        exists: None,
        handler: |call| Box::pin(verification::verify(call)),
        doc: "Takes one of the new shares, tells how far it is, or begins anew; the last one puts them in force.",
    },
];

/// New shares in the making. Belongs to one process; a restart begins anew.
pub struct Rekeying {
    nonce: String,
    shares: u8,
    threshold: u8,
    progress: Progress,
    /// Whether the new shares must be submitted before they are in force.
    verify: bool,
    verification: Option<Verification>,
}

impl Rekeying {
    fn verification(&mut self) -> Option<&mut Verification> {
        self.verification.as_mut()
    }
}

#[derive(Serialize)]
struct Done {
    nonce: String,
    complete: bool,
    keys: Vec<Zeroizing<String>>,
    keys_base64: Vec<Zeroizing<String>>,
    pgp_fingerprints: Option<Vec<String>>,
    backup: bool,
    verification_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_nonce: Option<String>,
}

async fn init(call: &Call) -> Result<Response, Error> {
    let config = config(call).await?;
    let mut unsealing = call.server.unsealing.lock().await;
    match call.request.operation {
        Operation::Delete => {
            unsealing.rekeying = None;
            return Ok(Response::done());
        }
        Operation::Update => {
            if unsealing.rekeying.is_some() {
                return Err(Error::invalid("rekey already in progress"));
            }
            unsealing.rekeying = Some(begin(call)?);
        }
        _ => {}
    }
    status(unsealing.rekeying.as_ref(), &config)
}

fn begin(call: &Call) -> Result<Rekeying, Error> {
    let fields = &call.request.fields;
    for (name, refused) in [
        ("pgp_keys", fields.list("pgp_keys")?.is_some_and(|keys| !keys.is_empty())),
        ("backup", fields.flag("backup")?.unwrap_or(false)),
    ] {
        if refused {
            return Err(Error::invalid(format!("{name} is not supported")));
        }
    }
    let shares = super::init::number(&call.request, "secret_shares")?;
    let threshold = super::init::number(&call.request, "secret_threshold")?;
    // Made and dropped: numbers that make no sense are refused now and not behind the last share.
    new_shares(shares, threshold).map_err(|reason| Error::invalid(reason.to_string()))?;
    let verify = fields.flag("require_verification")?.unwrap_or(false);
    let nonce = Uuid::new_v4().to_string();
    Ok(Rekeying { nonce, shares, threshold, progress: Progress::default(), verify, verification: None })
}

async fn update(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let config = config(call).await?;
    let share = super::share::share_of(fields)?;
    let nonce = fields.required_string("nonce")?;
    let mut unsealing = call.server.unsealing.lock().await;
    let Unsealing { rekeying, rekey_pace, .. } = &mut *unsealing;
    let rekeying = rekeying.as_mut().ok_or_else(|| Error::invalid("no rekey in progress"))?;
    if rekeying.nonce != nonce {
        return Err(Error::invalid("nonce is not that of the rekey in progress"));
    }
    if rekeying.verification.is_some() {
        return Err(Error::invalid("the new shares are made already; submit them to rekey/verify"));
    }
    rekey_pace.admit(call.server.clock.now())?;
    let wrong = || Error::invalid("the shares do not open this store; submit them again from the first");
    let key = match rekeying.progress.submit(share, config.threshold, nonce).map_err(|_| wrong())? {
        Submitted::Pending => return status(Some(rekeying), &config),
        Submitted::Complete(key) => key,
    };
    let (shares, threshold) = (rekeying.shares, rekeying.threshold);
    let (new_key, parts) = new_shares(shares, threshold).map_err(|reason| Error::invalid(reason.to_string()))?;
    let next = SealConfig { shares, threshold, ..config };
    let (nonce, verify) = (rekeying.nonce.clone(), rekeying.verify);
    let accepted = match verify {
        true => call.parts.barrier.check_unseal_key(key.expose()).await,
        false => call.parts.barrier.rekey(&next, key.expose(), &new_key).await,
    };
    match accepted {
        Ok(()) => {}
        Err(BarrierError::WrongKey) => return Err(wrong()),
        Err(error) => return Err(error.into()),
    }
    let mut verification_nonce = None;
    if verify {
        let verification = Verification::of(next, key, new_key);
        verification_nonce = Some(verification.nonce().to_owned());
        rekeying.verification = Some(verification);
    } else {
        unsealing.rekeying = None;
    }
    let done = Done {
        nonce,
        complete: true,
        keys: parts.iter().map(|share| Zeroizing::new(hex::encode(share.expose()))).collect(),
        keys_base64: parts.iter().map(|share| Zeroizing::new(STANDARD.encode(share.expose()))).collect(),
        pgp_fingerprints: None,
        backup: false,
        verification_required: verify,
        verification_nonce,
    };
    Response::plain(200, &done)
}

async fn config(call: &Call) -> Result<SealConfig, Error> {
    let config = call.parts.barrier.seal_config().await?.ok_or(Error::Sealed)?;
    if config.kind == SealKind::Static {
        return Err(Error::invalid("this server unseals itself with a static key; there are no shares to renew"));
    }
    Ok(config)
}

fn status(rekeying: Option<&Rekeying>, config: &SealConfig) -> Result<Response, Error> {
    let mut status = json!({
        "nonce": rekeying.map_or("", |rekeying| rekeying.nonce.as_str()),
        "started": rekeying.is_some(),
        "t": rekeying.map_or(0, |rekeying| rekeying.threshold),
        "n": rekeying.map_or(0, |rekeying| rekeying.shares),
        "progress": rekeying.map_or(0, |rekeying| rekeying.progress.count()),
        "required": config.threshold,
        "pgp_fingerprints": null,
        "backup": false,
        "verification_required": rekeying.is_some_and(|rekeying| rekeying.verify),
    });
    let verification = rekeying.and_then(|rekeying| rekeying.verification.as_ref());
    if let (Some(verification), Some(status)) = (verification, status.as_object_mut()) {
        status.insert("verification_nonce".to_owned(), json!(verification.nonce()));
    }
    Response::plain(200, &status)
}
