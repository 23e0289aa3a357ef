//! The way of a record into the file and to the disk: who finds the device free writes what waits, his own record and those
//! of others, by one call; a thread writes what was left over, and looks after the file.
//!
//! A request writes itself because waking a thread and being woken by it costs several times what a write to the page cache
//! does. A disk that hangs holds up the one request that is writing, and with it one worker of the runtime, which
//! therefore has two at least; whoever comes after waits for his deadline without holding anything up. Pipes and devices
//! hang as easily as their reader, so they are left to the thread.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;
use turnlock_core::audit::{Chain, Kind};

use super::Keys;
use super::device::Device;
use super::file::{AuditFile, OpenError};
use super::sync::Syncer;
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

/// The locks but that of the device are held for moves and comparisons only.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Held during IO. Requests only ever try it.
    device: Mutex<Device>,
    syncer: Arc<Syncer>,
    hangs: AtomicBool,
    trouble: Mutex<Option<Refusal>>,
}

/// The handle to the thread.
pub(super) struct Writer(Arc<Shared>);

impl Writer {
    pub(super) fn start(file: AuditFile, clock: SharedClock) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: "threads".into(), source };
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            syncer: Syncer::start(file.handle()).map_err(failed)?,
            device: Mutex::new(Device::new(file, clock)),
            hangs: AtomicBool::new(false),
            trouble: Mutex::new(None),
        });
        let writing = shared.clone();
        std::thread::Builder::new().name("audit-write".into()).spawn(move || writing.run()).map_err(failed)?;
        Ok(Self(shared))
    }

    /// Queues a record; refuses it while the device is known not to take it.
    pub(super) fn submit(&self, record: Record) -> Result<(), Refusal> {
        let shared = &self.0;
        if shared.syncer.failed() {
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
        Ok(())
    }

    /// Writes what waits, unless the device is busy.
    pub(super) fn take_turn(&self) {
        if !self.0.queue.lock().records.is_empty() {
            self.0.take_turn();
        }
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

    /// Another file underneath, taken for a `regular` one or not; for tests of failing disks.
    #[cfg(test)]
    pub(super) fn swap(&self, file: File, regular: bool) {
        self.0.device.lock().swap(file, regular);
    }

    pub(super) fn syncer(&self) -> &Syncer {
        &self.0.syncer
    }

    /// A waiter's deadline passed.
    pub(super) fn hangs(&self) {
        if !self.0.hangs.swap(true, Ordering::Relaxed) {
            tracing::error!("{HANGS}");
        }
    }

    pub(super) fn trouble(&self) -> Option<&'static str> {
        if self.0.syncer.failed() {
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
        self.syncer.close();
        if let (Some(done), Some(end)) = (closing, end) {
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
        if self.syncer.is_idle() {
            self.hangs.store(false, Ordering::Relaxed);
        }
    }

    /// Notes that a sync failed elsewhere than in the syncing thread.
    pub(super) fn unsynced(&self) {
        self.syncer.fail();
    }

    /// Whether a sync failed.
    pub(super) fn failed(&self) -> bool {
        self.syncer.failed()
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
        self.syncer.written(ticket);
    }

    /// Notes that a ticket stands for all that is in the file.
    pub(super) fn covered(&self, ticket: u64) {
        self.syncer.written(ticket);
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
        self.syncer.publish(file);
    }
}
