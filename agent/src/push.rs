//! Hands a new version to a target: a signed webhook or a file. A broken or hostile target is normal here, so what
//! it answers is bounded, never logged, and becomes one of a few classes.

mod authority;
mod blocking;
pub mod file;
mod folders;
mod mark;
mod reader;
pub mod webhook;

pub use folders::Folders;
pub use reader::ReaderError;

use std::io::ErrorKind;

use turnlock_core::Protected;
use turnlock_core::consumer::{Fault, Place, SigningKey, Target};
use turnlock_core::rotation::Reason;

use blocking::{GivenUp, blocking};
use file::FileTarget;
use mark::Written;
use tokio::sync::Semaphore;

/// Webhooks that are asked at once, over all attempts: each holds a socket.
static EXCHANGES: Semaphore = Semaphore::const_new(256);

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
    /// The name has no address.
    #[error("target's name has no address")]
    Name,
    /// TLS proves nothing, and why.
    #[error("target's certificate is not accepted: {0}")]
    Certificate(String),
    /// An answer that is no success.
    #[error("target answered {status}")]
    Refused {
        /// The status.
        status: u16,
    },
    /// A success that acknowledges something else, or does not end.
    #[error("target gave no valid acknowledgement")]
    Malformed,
    /// The authority that is to have signed an endpoint's certificate is not known.
    #[error("target's ca_file cannot be read, or holds no certificate")]
    Authority,
    /// An address that nothing may be sent to.
    #[error("target's url {reason}")]
    Address {
        /// What it must be.
        reason: &'static str,
    },
    /// A file in none of the folders that the agent may use, or behind a symbolic link in one.
    #[error("file is in no folder that this agent was given: -target-dir, or target_dirs in the stanza agent")]
    Folder,
    /// The file is there and not ours.
    #[error("file is not turnlock's own: set adopt to take it over")]
    NotOwned,
    /// Another agent, or an earlier try that hangs, holds the lock on the file's mark.
    #[error("somebody else is at work on the file and has not come to an end: another agent, or a try that hangs")]
    InUse,
    /// The file has a later version of the secret.
    #[error("file has a later version of the secret already")]
    Newer,
    /// A folder has the file's name.
    #[error("a folder is in the place of the file")]
    Occupied,
    /// The definition cannot work.
    #[error("target's {member} is invalid")]
    Definition {
        /// Which member.
        member: &'static str,
    },
    /// The file cannot be replaced.
    #[error("file cannot be replaced: {0}")]
    File(#[source] std::io::Error),
    /// The reader of the file cannot be signalled.
    #[error(transparent)]
    Reader(#[from] ReaderError),
}

impl From<Fault> for PushError {
    fn from(fault: Fault) -> Self {
        Self::Definition { member: fault.member }
    }
}

impl PushError {
    /// What is stored with the attempt.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unreachable => Reason::Unreachable,
            Self::Name => Reason::Name,
            Self::Certificate(_) => Reason::Certificate,
            Self::Refused { status } => Reason::Answered { status: *status },
            Self::Malformed => Reason::Malformed,
            Self::Authority => Reason::Authority,
            Self::Address { .. } => Reason::Address,
            Self::Folder => Reason::Folder,
            Self::NotOwned => Reason::NotOwned,
            Self::InUse => Reason::InUse,
            Self::Newer => Reason::Newer,
            Self::Occupied => Reason::Occupied,
            Self::Definition { .. } => Reason::Definition,
            Self::Reader(error) => error.reason(),
            Self::File(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => Reason::Missing,
                ErrorKind::PermissionDenied => Reason::Forbidden,
                ErrorKind::ReadOnlyFilesystem => Reason::ReadOnly,
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Reason::Full,
                ErrorKind::TimedOut => Reason::Unreachable,
                _ => Reason::System,
            },
        }
    }
}

/// Whether `target` could be given something now, as far as that can be told without giving it anything: before a new
/// version is made, because afterwards its readers would be behind.
pub async fn reach(target: &Target, folders: &Folders) -> Result<(), PushError> {
    target.check()?;
    match &target.place {
        Place::Webhook { url, signing_key, ca_file } => {
            let _turn = EXCHANGES.acquire().await;
            hook(url, signing_key, ca_file.as_deref()).reach().await
        }
        Place::File { path, mode, pid_file, signal, adopt } => {
            let file = FileTarget::parse(path, mode, pid_file.as_deref(), signal.as_deref(), *adopt)?;
            let folders = folders.clone();
            blocking(path, webhook::TIMEOUT, move |_| file.reach(&folders)).await
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
    target.check()?;
    match &target.place {
        Place::Webhook { url, signing_key, ca_file } => {
            let _turn = EXCHANGES.acquire().await;
            hook(url, signing_key, ca_file.as_deref()).push(payload, now).await
        }
        Place::File { path, mode, pid_file, signal, adopt } => {
            let file = FileTarget::parse(path, mode, pid_file.as_deref(), signal.as_deref(), *adopt)?;
            let (value, folders) = (payload.value.duplicate(), folders.clone());
            let version = Written { secret: payload.secret.clone(), version: payload.version };
            let work = move |given_up: &GivenUp| file.replace(&value, &version, &folders, given_up);
            blocking(path, webhook::TIMEOUT, work).await?;
            Ok(Acknowledgement { version: payload.version })
        }
    }
}

fn hook<'a>(url: &'a str, signing_key: &'a SigningKey, ca_file: Option<&'a str>) -> webhook::Webhook<'a> {
    webhook::Webhook { url, signing_key: signing_key.0.as_bytes(), ca_file }
}
