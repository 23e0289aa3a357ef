//! The way to the disk, which takes long: one thread syncs the file for all who wait, and tells each once it is there.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::writer::FAILED;

/// When so many were told at once, it pays to let others join before the next sync, for so long: a sync costs more processor
/// time than a record.
const MANY: usize = 8;
const GATHER: Duration = Duration::from_micros(300);

/// The handle to the thread.
pub(super) struct Syncer {
    state: Mutex<State>,
    wake: Condvar,
    /// A sync failed. What is on disk is unknown from there on, so nothing is answered until a restart.
    failed: AtomicBool,
}

struct State {
    file: Arc<File>,
    /// Tickets: batches written to that file, those on disk, and up to where someone wants that.
    written: u64,
    synced: u64,
    wanted: u64,
    waiting: Vec<(u64, oneshot::Sender<()>)>,
    closed: bool,
}

impl Syncer {
    pub(super) fn start(file: Arc<File>) -> io::Result<Arc<Self>> {
        let state = State { file, written: 0, synced: 0, wanted: 0, waiting: Vec::new(), closed: false };
        let syncer = Arc::new(Self { state: Mutex::new(state), wake: Condvar::new(), failed: AtomicBool::new(false) });
        let running = syncer.clone();
        std::thread::Builder::new().name("audit-sync".into()).spawn(move || running.run())?;
        Ok(syncer)
    }

    /// Whether a sync failed.
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Notes that a sync failed; the system tells that to one of those who sync a file.
    pub(super) fn fail(&self) {
        let mut state = self.state.lock();
        if !self.failed.swap(true, Ordering::Relaxed) {
            tracing::error!("{FAILED}");
        }
        state.waiting.clear();
    }

    /// Notes that all batches up to `ticket` are in the file.
    pub(super) fn written(&self, ticket: u64) {
        let mut state = self.state.lock();
        state.written = ticket;
        let wake = state.wanted > state.synced;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    /// A new file; the old one was synced before it was left.
    pub(super) fn publish(&self, file: Arc<File>) {
        self.state.lock().file = file;
    }

    /// Asks for everything up to `ticket` to be brought to the disk.
    pub(super) fn want(&self, ticket: u64) {
        let mut state = self.state.lock();
        let wake = ticket > state.wanted;
        state.wanted = state.wanted.max(ticket);
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    /// What ends once everything up to `ticket` is on disk, and fails when it is not known to be; `None` if it is there.
    pub(super) fn wait(&self, ticket: u64) -> Option<oneshot::Receiver<()>> {
        let mut state = self.state.lock();
        if state.synced >= ticket {
            return None;
        }
        let (there, waits) = oneshot::channel();
        // After a failure nobody would ever be told; a sender that is dropped tells.
        if !self.failed() && !state.closed {
            state.waiting.push((ticket, there));
        }
        Some(waits)
    }

    /// Whether everything is on disk that somebody wanted there.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.wanted <= state.synced
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_one();
    }

    fn run(&self) {
        loop {
            let mut state = self.state.lock();
            while !state.closed && (state.wanted <= state.synced || state.written <= state.synced) {
                self.wake.wait(&mut state);
            }
            if state.closed {
                break;
            }
            let (file, written) = (state.file.clone(), state.written);
            drop(state);
            match file.sync_data() {
                // Pipes and terminals have nothing to sync.
                Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the audit file cannot be synced");
                    self.fail();
                    break;
                }
                _ if self.failed() => break,
                _ => {
                    if self.tell(written) >= MANY {
                        std::thread::sleep(GATHER);
                    }
                }
            }
        }
        self.state.lock().waiting.clear();
    }

    /// Tells those who wait for no more than `ticket`; how many they were.
    fn tell(&self, ticket: u64) -> usize {
        let mut state = self.state.lock();
        state.synced = ticket;
        let told: Vec<_> = state.waiting.extract_if(.., |(wanted, _)| *wanted <= ticket).collect();
        drop(state);
        let count = told.len();
        for (_, waiter) in told {
            // Who is gone gave up at his deadline.
            let _ = waiter.send(());
        }
        count
    }
}
