//! The device while somebody writes to it: chains records, answers who waits for them, signs checkpoints, looks after the
//! file.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use ring::signature::KeyPair as _;
use turnlock_core::audit::{Chain, Kind};

use super::Keys;
use super::file::AuditFile;
use super::writer::{LOST, Record, Refusal, Shared};
use crate::clock::SharedClock;
use crate::response::rfc3339;

/// Records after which a checkpoint is signed.
const CHECKPOINT_RECORDS: u64 = 1000;
/// Time after which a checkpoint is signed, if there are records since the last.
const CHECKPOINT_AGE: TimeDelta = TimeDelta::seconds(10);
/// How soon the file is looked at again, and a rotation that failed is tried again.
const RETRY: TimeDelta = TimeDelta::seconds(1);
/// Bytes of lines for which memory is kept from batch to batch.
const KEPT_BYTES: usize = 64 << 10;

pub(super) struct Device {
    file: AuditFile,
    clock: SharedClock,
    keys: Option<Arc<Keys>>,
    ticket: u64,
    unsigned: u64,
    signed: DateTime<Utc>,
    checked: DateTime<Utc>,
    /// The path does not lead to the file that is open, and no new one could be begun: what is written now would be gone
    /// with it.
    lost: bool,
    /// After a rotation that failed, when to try again.
    rotate_from: DateTime<Utc>,
    lines: Vec<u8>,
}

impl Device {
    pub(super) fn new(file: AuditFile, clock: SharedClock) -> Self {
        let now = clock.now();
        Self {
            file,
            clock,
            keys: None,
            ticket: 0,
            unsigned: 0,
            signed: now,
            checked: now,
            lost: false,
            rotate_from: now,
            lines: Vec::new(),
        }
    }

    /// Whether it is a file: then a write ends soon, as it goes to memory.
    pub(super) fn is_file(&self) -> bool {
        self.file.regular
    }

    /// Whether it is time for [`Device::upkeep`].
    pub(super) fn is_due(&self) -> bool {
        self.lost || self.unsigned >= CHECKPOINT_RECORDS || self.file.is_large()
    }

    /// Writes `records` by one call and answers each waiter.
    pub(super) fn write(&mut self, shared: &Shared, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let answer = if self.lost { Err(Refusal::Lost) } else { self.write_lines(shared, &records) };
        self.lines.clear();
        // A large batch must not keep its memory for ever.
        self.lines.shrink_to(KEPT_BYTES);
        for record in records {
            // A waiter that is gone gave up at its deadline.
            let _ = record.done.send(answer);
        }
    }

    fn write_lines(&mut self, shared: &Shared, records: &[Record]) -> Result<u64, Refusal> {
        let mut chain = self.file.chain;
        for record in records {
            chain.append(record.kind, &record.members, &mut self.lines);
        }
        self.file.write(&self.lines, chain).map_err(|error| shared.stumble(&error))?;
        self.ticket += 1;
        self.unsigned += records.len() as u64;
        shared.written(self.ticket);
        Ok(self.ticket)
    }

    /// Checks the file once a second, and each time while it is lost; rotates and signs when it is time.
    pub(super) fn upkeep(&mut self, shared: &Shared) {
        let now = self.clock.now();
        if self.lost || (now - self.checked).abs() >= RETRY {
            self.checked = now;
            self.check(shared);
        }
        if self.lost {
            return;
        }
        if now >= self.rotate_from {
            let rotated = self.file.rotate_if_due(&self.clock);
            self.report_unsynced(shared);
            match rotated {
                Ok(true) => shared.publish(self.file.handle()),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "no new audit file can be begun yet");
                    self.rotate_from = now + RETRY;
                }
            }
        }
        if self.unsigned >= CHECKPOINT_RECORDS || (now - self.signed).abs() >= CHECKPOINT_AGE {
            self.sign(shared);
        }
    }

    fn check(&mut self, shared: &Shared) {
        let checked = self.file.check(&self.clock);
        self.report_unsynced(shared);
        match checked {
            Ok(begun) => {
                if begun {
                    shared.publish(self.file.handle());
                }
                if std::mem::take(&mut self.lost) {
                    shared.found();
                }
            }
            Err(error) => {
                shared.lost();
                if !std::mem::replace(&mut self.lost, true) {
                    tracing::error!(error = &error as &dyn std::error::Error, "{LOST}");
                }
            }
        }
    }

    /// A failed sync ends the audit, whoever made it.
    fn report_unsynced(&self, shared: &Shared) {
        if self.file.unsynced {
            shared.unsynced();
        }
    }

    /// Lets the next [`Device::upkeep`] look at the file.
    pub(super) fn check_soon(&mut self) {
        self.checked = DateTime::UNIX_EPOCH;
    }

    pub(super) fn change_keys(&mut self, shared: &Shared, keys: Option<Arc<Keys>>) {
        if keys.is_none() {
            self.sign(shared);
        }
        let event = match &keys {
            Some(keys) => {
                format!("\"event\":\"unsealed\",\"public_key\":\"{}\"", hex::encode(keys.signer.public_key().as_ref()))
            }
            None => "\"event\":\"sealed\"".to_owned(),
        };
        self.notice(shared, &event);
        self.keys = keys;
    }

    /// Writes what happened to the audit itself. `members`: JSON members without braces.
    pub(super) fn notice(&mut self, shared: &Shared, members: &str) {
        if let Err(error) = self.file.notice(&self.clock, members) {
            shared.stumble(&error);
        }
    }

    /// The end of the chain, and the ticket that brings all of it to the disk.
    pub(super) fn end(&mut self, shared: &Shared) -> (u64, Chain) {
        self.ticket += 1;
        shared.covered(self.ticket);
        (self.ticket, self.file.chain)
    }

    /// Signs, syncs and lets another process have the file. Answers the end of the chain, if all of it is on disk.
    pub(super) fn close(&mut self, shared: &Shared) -> Option<Chain> {
        self.sign(shared);
        if let Err(error) = self.file.sync() {
            tracing::error!(error = &error as &dyn std::error::Error, "the audit file could not be synced at its end");
        }
        self.file.unlock();
        (!self.file.unsynced && !shared.failed()).then_some(self.file.chain)
    }

    fn sign(&mut self, shared: &Shared) {
        let Some(keys) = self.keys.as_ref().filter(|_| self.unsigned > 0) else { return };
        let signature = hex::encode(keys.signer.sign(&self.file.chain.checkpoint_message()));
        let time = rfc3339(self.clock.now());
        let members = format!("{{\"time\":\"{time}\",\"signature\":\"{signature}\"}}");
        match self.file.append(Kind::Checkpoint, members.as_bytes()) {
            Ok(()) => (self.unsigned, self.signed) = (0, self.clock.now()),
            Err(error) => {
                let _ = shared.stumble(&error);
            }
        }
    }

    /// Another file underneath, for tests of failing disks.
    #[cfg(test)]
    pub(super) fn swap(&mut self, file: std::fs::File, regular: bool) {
        self.file.swap(file, regular);
    }
}
