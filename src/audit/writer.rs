//! The way of a record into the file and to the disk: who finds the device free writes what waits, his own record and those
//! of others, by one call; two threads do the rest.
//!
//! One thread writes what was left over, and looks after the file; one brings records to the disk, as that takes long. A
//! request writes itself because waking a thread and being woken by it costs several times what a write to the page cache
//! does. A disk that hangs holds up the one request that is writing, and with it one worker of the runtime, which
//! therefore has two at least; whoever comes after waits for his deadline without holding anything up. Pipes and devices
//! hang as easily as their reader, so they are left to the thread.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{oneshot, watch};
use turnlock_core::audit::{Chain, Kind};

use super::Keys;
use super::device::Device;
use super::file::{AuditFile, OpenError};
use crate::clock::SharedClock;

pub(super) const FULL: &str = "no space is left for the audit; nothing was answered that is not recorded";
pub(super) const FAILED: &str = "the audit device failed; nothing is answered that is not recorded";
pub(super) const HANGS: &str = "the audit device does not answer in time; nothing is answered that is not recorded";
pub(super) const LOST: &str =
    "the audit file was taken away and no new one can be begun; nothing is answered that is not recorded";
const BACKLOG: &str = "too many audit records are waiting; try again later";

/// Most bytes of records that may wait.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// How often a busy device is tried.
const SPINS: usize = 100;
/// How often a request writes for others before it leaves the rest to the thread.
const ROUNDS: usize = 8;
/// How often the file is checked when nothing is written.
const IDLE: Duration = Duration::from_secs(1);

/// A record on its way, and where to say what became of it.
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) members: Vec<u8>,
    pub(super) done: oneshot::Sender<Result<u64, Refusal>>,
}

/// Something else for the thread to do.
pub(super) enum Order {
    Keys(Option<Arc<Keys>>),
    Reopen,
    /// Asks for the end of the chain and for the ticket that brings all of it to the disk.
    End(oneshot::Sender<(u64, Chain)>),
    Notice(String),
    Close(oneshot::Sender<Chain>),
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
    records: Vec<Record>,
    orders: Vec<Order>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    fn take_records(&mut self) -> Vec<Record> {
        self.bytes = 0;
        std::mem::take(&mut self.records)
    }
}

#[derive(Default)]
struct SyncWish {
    file: Option<Arc<File>>,
    /// Batches written to that file, and up to where someone waits for the disk.
    written: u64,
    wanted: u64,
    closed: bool,
}

/// The locks but that of the device are held for moves and comparisons only.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Held during IO. Requests only ever try it.
    device: Mutex<Device>,
    wish: Mutex<SyncWish>,
    sync_wake: Condvar,
    synced: watch::Sender<Synced>,
    hangs: AtomicBool,
    trouble: Mutex<Option<Refusal>>,
}

/// The handle to both threads.
pub(super) struct Writer(Arc<Shared>);

impl Writer {
    pub(super) fn start(file: AuditFile, clock: SharedClock) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            wish: Mutex::new(SyncWish { file: Some(file.handle()), ..SyncWish::default() }),
            device: Mutex::new(Device::new(file, clock)),
            sync_wake: Condvar::new(),
            synced: watch::Sender::new(Synced::default()),
            hangs: AtomicBool::new(false),
            trouble: Mutex::new(None),
        });
        let failed = |source| OpenError::Io { path: "threads".into(), source };
        let syncing = shared.clone();
        std::thread::Builder::new().name("audit-sync".into()).spawn(move || sync(&syncing)).map_err(failed)?;
        let writing = shared.clone();
        std::thread::Builder::new().name("audit-write".into()).spawn(move || writing.run()).map_err(failed)?;
        Ok(Self(shared))
    }

    /// Writes a record, or queues it while the device is busy; refuses it while the device is known not to take it.
    pub(super) fn submit(&self, record: Record) -> Result<(), Refusal> {
        let shared = &self.0;
        if shared.synced.borrow().failed {
            return Err(Refusal::Failed);
        }
        // Once it is known that the device hangs, the others need not wait for their own deadline.
        if shared.hangs.load(Ordering::Relaxed) {
            return Err(Refusal::Hangs);
        }
        let mut queue = shared.queue.lock();
        if queue.closed {
            return Err(Refusal::Failed);
        }
        if queue.bytes + record.members.len() > MAX_WAITING_BYTES {
            return Err(Refusal::Backlog);
        }
        queue.bytes += record.members.len();
        queue.records.push(record);
        drop(queue);
        shared.take_turn();
        Ok(())
    }

    /// Queues what is no record.
    pub(super) fn order(&self, order: Order) {
        self.0.queue.lock().orders.push(order);
        self.0.wake.notify_one();
    }

    /// The device as if somebody's write hung, until the answer is dropped; for tests.
    #[cfg(test)]
    pub(super) fn hang(&self) -> impl Drop + '_ {
        self.0.device.lock()
    }

    /// Another file underneath, for tests of failing disks.
    #[cfg(test)]
    pub(super) fn swap(&self, file: File) {
        self.0.device.lock().swap(file);
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

impl Shared {
    /// Writes what waits if nobody else is at it. Who found the device busy has left his record to whoever had it, who
    /// therefore looks again after letting it go.
    fn take_turn(&self) {
        let (mut due, mut left) = (false, true);
        for _ in 0..ROUNDS {
            let Some(mut device) = self.seize() else {
                left = false;
                break;
            };
            if !device.is_file() {
                break;
            }
            let records = self.queue.lock().take_records();
            device.write(self, records);
            due = device.is_due();
            drop(device);
            left = !self.queue.lock().records.is_empty();
            if !left {
                break;
            }
        }
        if due || left {
            self.wake.notify_one();
        }
    }

    /// The life of the writing thread.
    fn run(&self) {
        let mut closing = None;
        let mut closed = false;
        while closing.is_none() && !closed {
            let mut queue = self.queue.lock();
            if queue.records.is_empty() && queue.orders.is_empty() && !queue.closed {
                self.wake.wait_for(&mut queue, IDLE);
            }
            closed = queue.closed;
            let orders = std::mem::take(&mut queue.orders);
            drop(queue);
            let mut device = self.device.lock();
            device.upkeep(self);
            let records = self.queue.lock().take_records();
            if records.is_empty() {
                self.breathe();
            }
            device.write(self, records);
            for order in orders {
                match order {
                    Order::Keys(keys) => device.change_keys(self, keys),
                    Order::Reopen => device.check_soon(),
                    // Who asked may have given up at his deadline.
                    Order::End(asked) => drop(asked.send(device.end(self))),
                    Order::Notice(members) => device.notice(self, &members),
                    Order::Close(done) => closing = Some(done),
                }
            }
        }
        self.queue.lock().closed = true;
        let mut device = self.device.lock();
        let records = self.queue.lock().take_records();
        device.write(self, records);
        let end = device.close(self);
        drop(device);
        self.wish.lock().closed = true;
        self.sync_wake.notify_one();
        if let Some(done) = closing {
            let _ = done.send(end);
        }
    }

    /// The device, if it is free now or within the few microseconds that a write to the page cache takes: trying again for
    /// that long costs less than to be woken later.
    fn seize(&self) -> Option<MutexGuard<'_, Device>> {
        (0..SPINS).find_map(|_| {
            std::hint::spin_loop();
            self.device.try_lock()
        })
    }

    /// The thread has the device, so that does not hang; whether the disk does shows in what waits for it. Without this a
    /// device that hung once would be refused for ever: nothing is handed to it that could prove it well.
    fn breathe(&self) {
        let wish = self.wish.lock();
        if wish.wanted <= self.synced.borrow().ticket {
            self.hangs.store(false, Ordering::Relaxed);
        }
    }

    /// Notes that the file was taken away and no new one can be begun.
    pub(super) fn lost(&self) {
        *self.trouble.lock() = Some(Refusal::Lost);
    }

    /// Notes that there is a file again.
    pub(super) fn found(&self) {
        *self.trouble.lock() = None;
    }

    /// Notes that a batch is in the file.
    pub(super) fn written(&self, ticket: u64) {
        self.hangs.store(false, Ordering::Relaxed);
        *self.trouble.lock() = None;
        self.wish.lock().written = ticket;
    }

    /// Notes that a ticket stands for all that is in the file.
    pub(super) fn covered(&self, ticket: u64) {
        self.wish.lock().written = ticket;
    }

    /// Notes that the device refused; says so once.
    pub(super) fn stumble(&self, error: &io::Error) -> Refusal {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let refusal = if full { Refusal::Full } else { Refusal::Failed };
        let before = self.trouble.lock().replace(refusal);
        if before != Some(refusal) {
            tracing::error!(error = error as &dyn std::error::Error, "{}", refusal.text());
        }
        refusal
    }

    /// Hands a new file to the syncing thread; the old one was synced before it was left.
    pub(super) fn publish(&self, file: Arc<File>) {
        self.wish.lock().file = Some(file);
        self.sync_wake.notify_one();
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
