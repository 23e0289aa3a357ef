//! `sys/generate-root`: another root token, for whoever holds enough shares of the unseal key.
//!
//! As a rule a token with `sudo` may ask for it. Whoever has lost all of these lets the configuration open it to everybody
//! for that moment (`enable_unauthenticated_access`). Then only who began an attempt knows its nonce, and without that nobody
//! gives it up or submits to it. The token comes XORed with a one-time password that only who began was told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use turnlock_core::Protected;
use turnlock_core::token::{TEXT_CHARS, base62_of};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::barrier::BarrierError;
use crate::barrier::seal::{Progress, SealConfig, SealKind, Submitted};
use crate::engine::{Access, Route};
use crate::error::Error;
use crate::request::{Operation, Request};
use crate::response::Response;
use crate::server::{Server, Unsealing};

pub(super) const ROUTES: &[Route] = &[
    Route {
        operations: &[Operation::Read, Operation::Update, Operation::Delete],
        pattern: "generate-root/attempt",
        access: Access::Sudo,
        exists: None,
        handler: |call| Box::pin(attempt(&call.server, &call.request, Asker::Sudo)),
        doc: "Begins to make a root token, tells how far it is, or gives it up.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "generate-root/update",
        access: Access::Sudo,
        exists: None,
        handler: |call| Box::pin(update(&call.server, &call.request)),
        doc: "Takes one share of the unseal key; the last one brings the token.",
    },
];

/// After so long an attempt makes room for another: who began it may be gone, or may only want to be in the way.
const LIFE: TimeDelta = TimeDelta::minutes(30);

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Somebody whose token has `sudo` here.
    Sudo,
    /// Somebody without a token.
    Anybody,
}

/// A root token in the making. Belongs to one process; a restart and a seal forget it.
pub struct RootAttempt {
    nonce: String,
    password: Protected,
    progress: Progress,
    begun: DateTime<Utc>,
}

impl RootAttempt {
    fn is(&self, nonce: &str) -> bool {
        self.nonce.as_bytes().ct_eq(nonce.as_bytes()).into()
    }
}

#[derive(Default, Serialize)]
struct Status<'a> {
    nonce: &'a str,
    started: bool,
    progress: usize,
    required: u8,
    complete: bool,
    encoded_token: &'a str,
    encoded_root_token: &'a str,
    pgp_fingerprint: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    otp: &'a str,
    otp_length: usize,
}

/// `generate-root/attempt`.
pub(super) async fn attempt(server: &Server, request: &Request, asker: Asker) -> Result<Response, Error> {
    let config = config(server).await?;
    let mut unsealing = server.unsealing.lock().await;
    let current = unsealing.root_attempt.as_ref();
    match request.operation {
        Operation::Delete => {
            let named = request.fields.string("nonce")?.or_else(|| request.query.value("nonce").map(str::to_owned));
            let named = named.unwrap_or_default();
            if asker == Asker::Anybody && current.is_some_and(|current| !current.is(&named)) {
                return Err(Error::invalid(
                    "without a token an attempt is given up by its nonce only, which who began it was told",
                ));
            }
            unsealing.root_attempt = None;
            Ok(Response::done())
        }
        Operation::Update => {
            let now = server.clock.now();
            if current.is_some_and(|current| now - current.begun < LIFE) {
                return Err(Error::invalid("root generation already in progress"));
            }
            let begun = RootAttempt {
                nonce: Uuid::new_v4().to_string(),
                password: password(request)?,
                progress: Progress::default(),
                begun: now,
            };
            let begun = unsealing.root_attempt.insert(begun);
            // The only time that the password is told.
            let otp = begun.password.expose_str().unwrap_or_default();
            status(&Status { nonce: &begun.nonce, started: true, otp, ..of(&config) })
        }
        _ => {
            let nonce = match asker {
                Asker::Sudo => current.map_or("", |current| current.nonce.as_str()),
                Asker::Anybody => "",
            };
            let progress = current.map_or(0, |current| current.progress.count());
            status(&Status { nonce, started: current.is_some(), progress, ..of(&config) })
        }
    }
}

/// `generate-root/update`.
pub(super) async fn update(server: &Server, request: &Request) -> Result<Response, Error> {
    let config = config(server).await?;
    let share = super::share::share_of(&request.fields)?;
    let nonce = request.fields.required_string("nonce")?;
    let mut unsealing = server.unsealing.lock().await;
    // Whoever does not know the nonce takes nothing of the pace of those who do.
    match &unsealing.root_attempt {
        None => return Err(Error::invalid("no root generation in progress")),
        Some(current) if !current.is(&nonce) => {
            return Err(Error::invalid("nonce is not that of the root generation in progress"));
        }
        Some(_) => unsealing.root_pace.admit(server.clock.now())?,
    }
    let Unsealing { root_attempt, .. } = &mut *unsealing;
    let current = root_attempt.as_mut().ok_or_else(|| Error::internal("the attempt is gone"))?;
    let wrong = || Error::invalid("the shares do not open this store; submit them again from the first");
    let key = match current.progress.submit(share, config.threshold, nonce).map_err(|_| wrong())? {
        Submitted::Pending => {
            let progress = current.progress.count();
            return status(&Status { nonce: &current.nonce, started: true, progress, ..of(&config) });
        }
        Submitted::Complete(key) => key,
    };
    match server.barrier.check_unseal_key(key.expose()).await {
        Ok(()) => {}
        Err(BarrierError::WrongKey) => return Err(wrong()),
        Err(error) => return Err(error.into()),
    }
    let parts = server.parts()?;
    let token = parts.tokens.issue_root(&parts, None).await?;
    tracing::warn!("a root token was made from shares of the unseal key: revoke it when it is no longer needed");
    let done = root_attempt.take().ok_or_else(|| Error::internal("the attempt is gone"))?;
    let bytes = token.expose().iter().zip(done.password.expose()).map(|(one, other)| one ^ other);
    let encoded = Zeroizing::new(STANDARD_NO_PAD.encode(Zeroizing::new(bytes.collect::<Vec<u8>>())));
    status(&Status {
        nonce: &done.nonce,
        started: true,
        progress: usize::from(config.threshold),
        complete: true,
        encoded_token: &encoded,
        encoded_root_token: &encoded,
        ..of(&config)
    })
}

async fn config(server: &Server) -> Result<SealConfig, Error> {
    server.parts()?;
    let config = server.barrier.seal_config().await?.ok_or(Error::Sealed)?;
    if config.kind == SealKind::Static {
        return Err(Error::invalid(
            "this server unseals itself with a static key; there are no shares to prove the right",
        ));
    }
    Ok(config)
}

/// The one-time password that is asked for, or a new one.
fn password(request: &Request) -> Result<Protected, Error> {
    if request.fields.string("pgp_key")?.is_some_and(|key| !key.is_empty()) {
        return Err(Error::invalid("pgp_key is not supported"));
    }
    match request.fields.protected("otp")?.filter(|given| !given.expose().is_empty()) {
        // What is shorter would leave the end of the token in the clear.
        Some(given) if given.expose().len() != TEXT_CHARS => {
            Err(Error::invalid(format!("otp must be {TEXT_CHARS} characters")))
        }
        Some(given) => Ok(given),
        None => {
            let mut random = Zeroizing::new([0; 4 * TEXT_CHARS]);
            let drawn = SystemRandom::new().fill(&mut *random).ok();
            let text = drawn.and_then(|()| base62_of(&*random, TEXT_CHARS));
            let text = text.ok_or(Error::Unavailable("the system gives no random bytes"))?;
            Ok(Protected::copy_of(text.as_bytes()))
        }
    }
}

/// What every answer says.
fn of(config: &SealConfig) -> Status<'static> {
    Status { required: config.threshold, otp_length: TEXT_CHARS, ..Status::default() }
}

fn status(status: &Status<'_>) -> Result<Response, Error> {
    Response::plain(200, status)
}
