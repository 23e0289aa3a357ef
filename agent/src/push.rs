//! Hands a new version to a target: a signed webhook or a file. A broken or hostile target is normal here, so what
//! it answers is bounded, never logged, and becomes one of a few classes.

pub mod file;
mod folders;
pub mod webhook;

pub use folders::Folders;

use turnlock_core::Protected;
use turnlock_core::consumer::{Place, Target};
use turnlock_core::rotation::Failure;

/// What is pushed.
#[derive(Debug)]
pub struct Payload {
    /// Mount and path.
    pub secret: String,
    /// The field that changed.
    pub field: String,
    /// Its new value.
    pub value: Protected,
    /// The version that carries it.
    pub version: u64,
    /// The attempt that made it; the same for every repetition, so that a consumer can tell one.
    pub attempt: String,
}

/// A target has the new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The version that it has.
    pub version: u64,
}

/// Why a target does not have it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// No answer, or not in time.
    #[error("target cannot be reached")]
    Unreachable,
    /// An answer that is no success.
    #[error("target answered {status}")]
    Refused {
        /// The status.
        status: u16,
    },
    /// A success that acknowledges something else, or does not end.
    #[error("target gave no valid acknowledgement")]
    Malformed,
    /// An address that nothing may be sent to.
    #[error("target's address is not allowed: {reason}")]
    Address {
        /// Why.
        reason: &'static str,
    },
    /// A file in none of the folders that the agent may use, or behind a symbolic link in one.
    #[error("file is in no folder that this agent was given: -target-dir, or target_dirs in the stanza agent")]
    Folder,
    /// The file is there and not ours.
    #[error("file is not turnlock's own: set adopt to take it over")]
    NotOwned,
    /// The definition cannot work.
    #[error("target's {member} is invalid")]
    Definition {
        /// Which member.
        member: &'static str,
    },
    /// The file cannot be replaced.
    #[error("file cannot be replaced")]
    File(#[source] std::io::Error),
    /// The file was replaced, but its reader was not signalled.
    #[error("reader of the file cannot be signalled")]
    Signal,
}

impl PushError {
    /// The class that is stored with the attempt.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Unreachable => Failure::Unreachable,
            Self::Refused { .. } => Failure::Refused,
            Self::Malformed => Failure::Malformed,
            Self::File(_) | Self::Signal => Failure::Local,
            Self::Address { .. } | Self::Folder | Self::NotOwned | Self::Definition { .. } => Failure::Misconfigured,
        }
    }
}

/// Hands `payload` to `target`. Repeating it does no harm. `folders`: where files may be written. `now`: seconds since
/// 1970, for the signature.
pub async fn push(
    target: &Target,
    payload: &Payload,
    folders: &Folders,
    now: i64,
) -> Result<Acknowledgement, PushError> {
    match &target.place {
        Place::Webhook { url, signing_key, ca_file } => {
            let hook = webhook::Webhook { url, signing_key: signing_key.0.as_bytes(), ca_file: ca_file.as_deref() };
            hook.push(payload, now).await
        }
        Place::File { path, mode, pid_file, signal, adopt } => {
            let file = file::FileTarget::parse(path, mode, pid_file.as_deref(), signal.as_deref(), *adopt)?;
            let (value, version, folders) = (payload.value.duplicate(), payload.version, folders.clone());
            let written = tokio::task::spawn_blocking(move || file.replace(&value, &folders)).await;
            written.map_err(|_| PushError::File(std::io::Error::other("writer ended early")))??;
            Ok(Acknowledgement { version })
        }
    }
}
