//! The audit: what was asked and answered, on a chain that proves itself. Who cannot be recorded is not served.
//!
//! Requests finish their records themselves ([`Entry`]); whoever finds the device free chains and writes what waits
//! ([`writer`]). Health, seal status and leader are not recorded: probes ask for them all the time and they reveal nothing.

mod device;
pub(crate) mod end;
mod entry;
mod file;
mod sync;
mod tail;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tokio::sync::oneshot;
use turnlock_core::audit::{Chain, Digest, Kind};

use crate::barrier::Barrier;
use crate::clock::SharedClock;
use crate::error::Error;
pub use entry::{Entry, Known};
pub use file::{OpenError, files};
use writer::{Order, Record, Refusal, Writer};

/// How long a request waits for its record before it is refused.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// Where audit records go. Only the configuration sets this: a device that the API could name would be a way to write
/// files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// The device's name in `sys/audit`, without slashes.
    pub name: String,
    /// The file. Finished files get the position of their first record appended to the name.
    pub path: PathBuf,
    /// Size in bytes at which a new file is begun.
    pub rotate_bytes: u64,
    /// Age at which a new file is begun; zero for never.
    pub rotate_age: Duration,
    /// For people.
    pub description: String,
}

/// The audit device and the keys of its hashes.
pub struct Audit {
    config: Option<AuditConfig>,
    writer: Option<Writer>,
    /// Whether it is a file, which can be read again, and no pipe.
    is_file: bool,
    /// Whether that file was begun here, with the first record of a chain.
    is_new: bool,
    keys: ArcSwapOption<Keys>,
    deadline: Duration,
}

/// The keys while the server is unsealed.
pub(crate) struct Keys {
    hmac: hmac::Key,
    signer: Ed25519KeyPair,
}

impl Keys {
    fn digest(&self, bytes: &[u8]) -> Digest {
        Digest(hmac::sign(&self.hmac, bytes).as_ref().try_into().unwrap_or_default())
    }
}

/// That a record was written; knows when it is on disk.
#[derive(Default)]
pub struct Written(Option<u64>);

impl Audit {
    /// Records nothing. For tests and development.
    pub fn dangerous_without_device() -> Self {
        let keys = ArcSwapOption::empty();
        Self { config: None, writer: None, is_file: false, is_new: false, keys, deadline: DEADLINE }
    }

    /// Opens the device, continues the chain that its file holds, and starts its threads.
    pub fn open(config: AuditConfig, clock: SharedClock) -> Result<Self, OpenError> {
        let was_there = std::fs::symlink_metadata(&config.path).is_ok();
        let file = file::AuditFile::open(&config, &clock)?;
        let (is_file, is_new) = (file.regular, file.regular && !was_there);
        let (writer, keys) = (Some(Writer::start(file, clock)?), ArcSwapOption::empty());
        Ok(Self { config: Some(config), writer, is_file, is_new, keys, deadline: DEADLINE })
    }

    /// Removes the file if it was made by [`Audit::open`]: for a start that fails before anything is recorded.
    pub(crate) fn take_back(self) {
        if let Some(config) = self.config.filter(|_| self.is_new) {
            let _ = std::fs::remove_file(config.path);
        }
    }

    /// Takes the keys of an open barrier; from here on records carry hashes and checkpoints are signed.
    pub fn unlock(&self, barrier: &Barrier) -> Result<(), Error> {
        let seed = barrier.derive("audit checkpoint")?;
        let signer = Ed25519KeyPair::from_seed_unchecked(&*seed)
            .map_err(|_| Error::internal("no signing key can be made of the derived seed"))?;
        let keys = Arc::new(Keys { hmac: barrier.hmac_key("audit")?, signer });
        self.keys.store(Some(keys.clone()));
        if let Some(writer) = &self.writer {
            writer.order(Order::Keys(Some(keys)));
        }
        Ok(())
    }

    /// Signs what was written and forgets the keys.
    pub fn lock(&self) {
        self.keys.store(None);
        if let Some(writer) = &self.writer {
            writer.order(Order::Keys(None));
        }
    }

    /// The device's configuration, if there is one.
    pub fn config(&self) -> Option<&AuditConfig> {
        self.config.as_ref()
    }

    /// The public half of the key that signs checkpoints, in hex.
    pub fn public_key(&self) -> Option<String> {
        self.keys.load().as_ref().map(|keys| hex::encode(keys.signer.public_key().as_ref()))
    }

    /// The keyed hash under which `bytes` appear in records.
    pub fn hash(&self, bytes: &[u8]) -> Result<Digest, Error> {
        self.keys.load().as_ref().map(|keys| keys.digest(bytes)).ok_or(Error::Sealed)
    }

    /// What hinders the device now.
    pub fn trouble(&self) -> Option<&'static str> {
        self.writer.as_ref().and_then(Writer::trouble)
    }

    /// Opens the file anew, after it was moved away.
    pub fn reopen(&self) {
        if let Some(writer) = &self.writer {
            writer.order(Order::Reopen);
        }
    }

    /// Records a write that is about to happen. When this returns the record is in the file; its way to the disk goes
    /// on beside the write.
    pub async fn intent(&self, entry: &mut Entry) -> Result<Written, Error> {
        let Some(writer) = &self.writer else { return Ok(Written::default()) };
        let ticket = self.write(writer, Kind::Request, entry.members()?).await?;
        entry.fields_are_recorded();
        writer.syncer().want(ticket);
        Ok(Written(Some(ticket)))
    }

    /// Records an answer that is about to be given; waits until the record of [`Audit::intent`] is on disk.
    pub async fn answer(&self, entry: &Entry, written: &Written) -> Result<(), Error> {
        let Some(writer) = &self.writer else { return Ok(()) };
        self.write(writer, Kind::Answer, entry.members()?).await?;
        self.on_disk(writer, written).await
    }

    async fn on_disk(&self, writer: &Writer, written: &Written) -> Result<(), Error> {
        let Some(waits) = written.0.and_then(|ticket| writer.syncer().wait(ticket)) else { return Ok(()) };
        match tokio::time::timeout(self.deadline, waits).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::Unavailable(writer::FAILED)),
            Err(_) => {
                writer.hangs();
                Err(Error::Unavailable(writer::HANGS))
            }
        }
    }

    async fn write(&self, writer: &Writer, kind: Kind, members: Vec<u8>) -> Result<u64, Error> {
        let (done, answer) = oneshot::channel();
        writer.submit(Record { kind, members, done }).map_err(Error::from)?;
        // Whoever else can go on now adds his record, and all of them are written by one call.
        tokio::task::yield_now().await;
        writer.take_turn();
        match tokio::time::timeout(self.deadline, answer).await {
            Ok(Ok(Ok(ticket))) => Ok(ticket),
            Ok(Ok(Err(refusal))) => Err(refusal.into()),
            Ok(Err(_)) => Err(Error::Unavailable(writer::FAILED)),
            Err(_) => {
                writer.hangs();
                Err(Error::Unavailable(writer::HANGS))
            }
        }
    }

    /// Signs, syncs and ends the device. Waits for its thread up to the deadline. Answers the end of the chain.
    pub async fn close(&self) -> Option<Chain> {
        let (done, closed) = oneshot::channel();
        self.writer.as_ref()?.order(Order::Close(done));
        match tokio::time::timeout(self.deadline, closed).await {
            Ok(end) => end.ok(),
            Err(_) => {
                tracing::error!("the audit device did not end in time; its last checkpoint may be missing");
                None
            }
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(refusal.text())
    }
}

#[cfg(test)]
mod tests;
