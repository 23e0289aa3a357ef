//! The two threads of an audit device: one chains and writes records in batches, one brings them to the disk.
//!
//! Threads, because a disk that hangs must not hold up the runtime.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};
use turnlock_core::audit::Kind;

use ring::signature::KeyPair as _;

use super::Keys;
use super::file::{AuditFile, OpenError};
use crate::clock::SharedClock;
use crate::response::rfc3339;

pub(super) const FULL: &str = "no space is left for the audit; nothing was answered that is not recorded";
pub(super) const FAILED: &str = "the audit device failed; nothing is answered that is not recorded";
pub(super) const HANGS: &str = "the audit device does not answer in time; nothing is answered that is not recorded";
const LOST: &str =
    "the audit file was taken away and no new one can be begun; nothing is answered that is not recorded";
const BACKLOG: &str = "too many audit records are waiting; try again later";

/// Most bytes of records that may wait.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// Records after which a checkpoint is signed.
const CHECKPOINT_RECORDS: u64 = 1000;
/// Time after which a checkpoint is signed, if there are records since the last.
const CHECKPOINT_AGE: chrono::TimeDelta = chrono::TimeDelta::seconds(10);
/// How often the file is checked when nothing is written.
const IDLE: Duration = Duration::from_secs(1);
/// How soon the file is looked at again, and a rotation that failed is tried again.
const RETRY: chrono::TimeDelta = chrono::TimeDelta::seconds(1);

/// Something for the writer to do.
pub(super) enum Item {
    Record {
        kind: Kind,
        members: Vec<u8>,
        done: oneshot::Sender<Result<u64, Refusal>>,
    },
    Keys(Option<Arc<Keys>>),
    Reopen,
    /// Another file underneath, for tests of failing disks.
    #[cfg(test)]
    Swap(File),
    Close(oneshot::Sender<()>),
}

/// Why a record was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Backlog,
    Failed,
    Full,
    Hangs,
    Lost,
}

impl Refusal {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Backlog => BACKLOG,
            Self::Failed => FAILED,
            Self::Full => FULL,
            Self::Hangs => HANGS,
            Self::Lost => LOST,
        }
    }
}

/// How far the file is on disk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Synced {
    pub(super) ticket: u64,
    /// A sync failed. What is on disk is unknown from there on, so nothing is answered until a restart.
    pub(super) failed: bool,
}

#[derive(Default)]
struct Queue {
    items: Vec<Item>,
    bytes: usize,
    closed: bool,
}

#[derive(Default)]
struct SyncWish {
    file: Option<Arc<File>>,
    /// Batches written to that file, and up to where someone waits for the disk.
    written: u64,
    wanted: u64,
    closed: bool,
}

/// The lock of each part is held for moves and comparisons only, never during IO.
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    wish: Mutex<SyncWish>,
    sync_wake: Condvar,
    synced: watch::Sender<Synced>,
    hangs: AtomicBool,
    trouble: Mutex<Option<Refusal>>,
}

impl Shared {
    /// The writing thread is idle, so it does not hang; whether the other does shows in what waits for the disk. Without
    /// this a device that hung once would be refused for ever: nothing is handed to it that could prove it well.
    fn breathe(&self) {
        let wish = self.wish.lock();
        if wish.wanted <= self.synced.borrow().ticket {
            self.hangs.store(false, Ordering::Relaxed);
        }
    }
}

/// The handle to both threads.
pub(super) struct Writer(Arc<Shared>);

impl Writer {
    pub(super) fn start(file: AuditFile, clock: SharedClock) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            wish: Mutex::new(SyncWish { file: Some(file.handle()), ..SyncWish::default() }),
            sync_wake: Condvar::new(),
            synced: watch::Sender::new(Synced::default()),
            hangs: AtomicBool::new(false),
            trouble: Mutex::new(None),
        });
        let failed = |source| OpenError::Io { path: "threads".into(), source };
        let syncing = shared.clone();
        std::thread::Builder::new().name("audit-sync".into()).spawn(move || sync(&syncing)).map_err(failed)?;
        let now = clock.now();
        let mut state = State {
            file,
            clock,
            keys: None,
            shared: shared.clone(),
            ticket: 0,
            unsigned: 0,
            signed: now,
            checked: now,
            lost: false,
            rotate_from: now,
        };
        std::thread::Builder::new().name("audit-write".into()).spawn(move || state.run()).map_err(failed)?;
        Ok(Self(shared))
    }

    /// Queues a record, unless the device is known not to take it.
    pub(super) fn submit(&self, item: Item) -> Result<(), Refusal> {
        if self.0.synced.borrow().failed {
            return Err(Refusal::Failed);
        }
        // Once it is known that the thread hangs, the others need not wait for their own deadline.
        if self.0.hangs.load(Ordering::Relaxed) {
            return Err(Refusal::Hangs);
        }
        let size = if let Item::Record { members, .. } = &item { members.len() } else { 0 };
        let mut queue = self.0.queue.lock();
        if queue.closed {
            return Err(Refusal::Failed);
        }
        if queue.bytes + size > MAX_WAITING_BYTES {
            return Err(Refusal::Backlog);
        }
        queue.bytes += size;
        queue.items.push(item);
        drop(queue);
        self.0.wake.notify_one();
        Ok(())
    }

    /// Queues what is no record.
    pub(super) fn push(&self, item: Item) {
        self.0.queue.lock().items.push(item);
        self.0.wake.notify_one();
    }

    /// Asks for everything up to `ticket` to be brought to the disk.
    pub(super) fn want_sync(&self, ticket: u64) {
        let mut wish = self.0.wish.lock();
        wish.wanted = wish.wanted.max(ticket);
        drop(wish);
        self.0.sync_wake.notify_one();
    }

    pub(super) fn synced(&self) -> watch::Receiver<Synced> {
        self.0.synced.subscribe()
    }

    /// A waiter's deadline passed.
    pub(super) fn hangs(&self) {
        if !self.0.hangs.swap(true, Ordering::Relaxed) {
            tracing::error!("{HANGS}");
        }
    }

    pub(super) fn trouble(&self) -> Option<&'static str> {
        if self.0.synced.borrow().failed {
            return Some(FAILED);
        }
        if self.0.hangs.load(Ordering::Relaxed) {
            return Some(HANGS);
        }
        self.0.trouble.lock().map(Refusal::text)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.queue.lock().closed = true;
        self.0.wake.notify_one();
    }
}

/// What the writing thread owns.
struct State {
    file: AuditFile,
    clock: SharedClock,
    keys: Option<Arc<Keys>>,
    shared: Arc<Shared>,
    ticket: u64,
    unsigned: u64,
    signed: DateTime<Utc>,
    checked: DateTime<Utc>,
    /// The path does not lead to the file that is open, and no new one could be begun: what is written now would be gone
    /// with it.
    lost: bool,
    /// After a rotation that failed, when to try again.
    rotate_from: DateTime<Utc>,
}

impl State {
    fn run(&mut self) {
        let shared = self.shared.clone();
        let mut lines = Vec::new();
        let mut closing = None;
        while closing.is_none() {
            let (items, closed) = {
                let mut queue = shared.queue.lock();
                if queue.items.is_empty() && !queue.closed {
                    shared.wake.wait_for(&mut queue, IDLE);
                }
                queue.bytes = 0;
                (std::mem::take(&mut queue.items), queue.closed)
            };
            if items.is_empty() {
                if closed {
                    break;
                }
                shared.breathe();
            }
            self.upkeep();
            closing = self.batch(items, &mut lines);
            // A large batch must not keep its memory for ever.
            lines.clear();
            lines.shrink_to(1 << 20);
        }
        shared.queue.lock().closed = true;
        self.sign();
        if let Err(error) = self.file.handle().sync_data() {
            tracing::error!(error = &error as &dyn std::error::Error, "the audit file could not be synced at its end");
        }
        self.file.unlock();
        shared.wish.lock().closed = true;
        shared.sync_wake.notify_one();
        if let Some(done) = closing {
            let _ = done.send(());
        }
    }

    /// Checks the file once a second, and each time while it is lost; rotates and signs when it is time.
    fn upkeep(&mut self) {
        let now = self.clock.now();
        if self.lost || (now - self.checked).abs() >= RETRY {
            self.checked = now;
            match self.file.check(&self.clock) {
                Ok(begun) => {
                    if begun {
                        self.publish_file();
                    }
                    if std::mem::take(&mut self.lost) {
                        *self.shared.trouble.lock() = None;
                    }
                }
                Err(error) => {
                    *self.shared.trouble.lock() = Some(Refusal::Lost);
                    if !std::mem::replace(&mut self.lost, true) {
                        tracing::error!(error = &error as &dyn std::error::Error, "{LOST}");
                    }
                }
            }
        }
        if self.lost {
            return;
        }
        if now >= self.rotate_from {
            match self.file.rotate_if_due(&self.clock) {
                Ok(true) => self.publish_file(),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "no new audit file can be begun yet");
                    self.rotate_from = now + RETRY;
                }
            }
        }
        if self.unsigned >= CHECKPOINT_RECORDS || (self.unsigned > 0 && (now - self.signed).abs() >= CHECKPOINT_AGE) {
            self.sign();
        }
    }

    /// Writes the records of `items` by one call and answers each waiter.
    fn batch(&mut self, items: Vec<Item>, lines: &mut Vec<u8>) -> Option<oneshot::Sender<()>> {
        let mut chain = self.file.chain;
        let mut waiting = Vec::with_capacity(items.len());
        let mut rest = Vec::new();
        for item in items {
            match item {
                Item::Record { kind, members, done } => {
                    chain.append(kind, &members, lines);
                    waiting.push(done);
                }
                other => rest.push(other),
            }
        }
        if !waiting.is_empty() {
            let answer = match if self.lost { None } else { Some(self.file.write(lines, chain)) } {
                None => Err(Refusal::Lost),
                Some(Ok(())) => {
                    self.ticket += 1;
                    self.unsigned += waiting.len() as u64;
                    self.shared.hangs.store(false, Ordering::Relaxed);
                    *self.shared.trouble.lock() = None;
                    self.shared.wish.lock().written = self.ticket;
                    Ok(self.ticket)
                }
                Some(Err(error)) => Err(self.stumble(&error)),
            };
            for done in waiting {
                // A waiter that is gone gave up at its deadline.
                let _ = done.send(answer);
            }
        }
        let mut closing = None;
        for item in rest {
            match item {
                Item::Keys(keys) => self.change_keys(keys),
                Item::Reopen => self.checked = DateTime::UNIX_EPOCH,
                #[cfg(test)]
                Item::Swap(file) => self.file.swap(file),
                Item::Close(done) => closing = Some(done),
                Item::Record { .. } => {}
            }
        }
        closing
    }

    fn stumble(&mut self, error: &io::Error) -> Refusal {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let refusal = if full { Refusal::Full } else { Refusal::Failed };
        let before = self.shared.trouble.lock().replace(refusal);
        if before != Some(refusal) {
            tracing::error!(error = error as &dyn std::error::Error, "{}", refusal.text());
        }
        refusal
    }

    fn change_keys(&mut self, keys: Option<Arc<Keys>>) {
        if keys.is_none() {
            self.sign();
        }
        let event = match &keys {
            Some(keys) => {
                format!("\"event\":\"unsealed\",\"public_key\":\"{}\"", hex::encode(keys.signer.public_key().as_ref()))
            }
            None => "\"event\":\"sealed\"".to_owned(),
        };
        if let Err(error) = self.file.notice(&self.clock, &event) {
            self.stumble(&error);
        }
        self.keys = keys;
    }

    fn sign(&mut self) {
        let Some(keys) = self.keys.as_ref().filter(|_| self.unsigned > 0) else { return };
        let signature = hex::encode(keys.signer.sign(&self.file.chain.checkpoint_message()));
        let time = rfc3339(self.clock.now());
        let members = format!("{{\"time\":\"{time}\",\"signature\":\"{signature}\"}}");
        match self.file.append(Kind::Checkpoint, members.as_bytes()) {
            Ok(()) => (self.unsigned, self.signed) = (0, self.clock.now()),
            Err(error) => drop(self.stumble(&error)),
        }
    }

    /// Hands the new file to the other thread; the old one was synced before it was left.
    fn publish_file(&self) {
        let mut wish = self.shared.wish.lock();
        wish.file = Some(self.file.handle());
        self.shared.sync_wake.notify_one();
    }
}

fn sync(shared: &Shared) {
    let mut done = 0;
    loop {
        let (file, written) = {
            let mut wish = shared.wish.lock();
            while !wish.closed && (wish.wanted <= done || wish.written <= done) {
                shared.sync_wake.wait(&mut wish);
            }
            if wish.closed {
                break;
            }
            (wish.file.clone(), wish.written)
        };
        let Some(file) = file else { break };
        match file.sync_data() {
            // Pipes and terminals have nothing to sync.
            Err(error) if !matches!(error.kind(), io::ErrorKind::InvalidInput) => {
                tracing::error!(error = &error as &dyn std::error::Error, "{FAILED}");
                shared.synced.send_modify(|state| state.failed = true);
                break;
            }
            _ => {
                done = written;
                shared.synced.send_modify(|state| state.ticket = written);
            }
        }
    }
}
