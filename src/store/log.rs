//! The embedded store: an append-only commit log of our own, with `sled` as the index over it.
//!
//! sled alone is not durable: its flush never calls fsync. So the log is the truth. One thread, the committer, takes
//! every batch that waits, checks the preconditions in order, writes one frame for all of them, syncs once, updates the
//! index and answers. What is answered is on disk. A sync that failed ends the process: nobody knows what the disk holds
//! then (the page cache may claim pages clean that were never written), so nothing may be acknowledged any more.
//!
//! | file | content |
//! |---|---|
//! | `lock` | locked while a process has the store open |
//! | `log.N` | the log of generation N; compaction writes `log.N+1.new`, syncs and renames it |
//! | `index.N` | sled's files for that log |
//! | `clean` | left by a clean close: generation, length and chain of the log that the index matches |

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::committer::{Committer, Message};
use super::disk::Disk;
use super::index::{Index, Part};
use super::recovery::recover;
use super::sled::Location;
use super::{Batch, COMPACT_BYTES, Entry, Export, Key, Page, Revision, Scan, Store, StoreError, check_sizes};

/// The embedded store in one folder.
pub struct LogStore {
    state: Arc<ArcSwapOption<State>>,
    commits: Mutex<Option<mpsc::Sender<Message>>>,
    committer: Mutex<Option<JoinHandle<()>>>,
    path: PathBuf,
}

/// What readers need. Replaced whole by compaction.
pub(super) struct State {
    pub(super) log: File,
    pub(super) log_path: PathBuf,
    pub(super) index: Index,
    pub(super) generation: u64,
}

impl LogStore {
    /// Opens the store in the folder `path`, which is made when it is missing.
    ///
    /// Errors: [`StoreError::Locked`] while another process has it; [`StoreError::Corrupt`] when a log is damaged
    /// anywhere but at a torn end.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_compacting(path, COMPACT_BYTES)
    }

    /// As [`LogStore::open`]; the log is rewritten when it is larger than `compact_from` and more than half of it is dead.
    pub fn open_compacting(path: &Path, compact_from: u64) -> Result<Self, StoreError> {
        Self::open_with(path, compact_from, Disk::default())
    }

    pub(super) fn open_with(path: &Path, compact_from: u64, disk: Disk) -> Result<Self, StoreError> {
        let is_new = !path.exists();
        disk.create_folder(path).map_err(StoreError::io("create", path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&lock_path)
            .map_err(StoreError::io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::Locked(path.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(StoreError::io("lock", &lock_path)(source)),
        }
        let (state, tail) = recover(path, &disk).inspect_err(|_| {
            // What was made here holds the lock and nothing else; more than that is somebody's, and stays.
            if is_new && fs::read_dir(path).is_ok_and(|entries| entries.count() == 1) {
                let _ = fs::remove_file(&lock_path).and_then(|()| fs::remove_dir(path));
            }
        })?;
        let state = Arc::new(ArcSwapOption::from_pointee(state));
        let (sender, receiver) = mpsc::channel();
        let committer = Committer {
            state: state.clone(),
            folder: path.to_owned(),
            disk,
            tail,
            compact_from,
            refusing: false,
            settle_from: None,
            unwritten: false,
            _lock: lock,
        };
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run(&receiver))
            .map_err(StoreError::io("start the committer of", path))?;
        Ok(Self {
            state,
            commits: Mutex::new(Some(sender)),
            committer: Mutex::new(Some(thread)),
            path: path.to_owned(),
        })
    }

    fn state(&self) -> Result<Arc<State>, StoreError> {
        self.state.load_full().ok_or(StoreError::Closed)
    }

    fn send<T: Send + 'static>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Message,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (sender, receiver) = oneshot::channel();
        let sent = self.commits.lock().as_ref().is_some_and(|commits| commits.send(message(sender)).is_ok());
        if !sent {
            return ready(Err(StoreError::Closed)).boxed();
        }
        receiver.map(|answer| answer.unwrap_or(Err(StoreError::Closed))).boxed()
    }
}

impl Store for LogStore {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        ready(self.state().and_then(|state| state.get(key))).boxed()
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Page, StoreError>> {
        ready(self.state().and_then(|state| state.scan(&scan))).boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, StoreError>> {
        match check_sizes(&batch) {
            Ok(()) => self.send(|answer| Message::Commit(batch, answer)),
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn export(&self) -> BoxFuture<'_, Result<Export, StoreError>> {
        self.send(Message::Export)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        // Without senders the committer drains what is queued, closes cleanly and ends.
        self.commits.lock().take();
        let thread = self.committer.lock().take();
        let path = self.path.clone();
        async move {
            let Some(thread) = thread else { return Ok(()) };
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            match joined {
                Ok(Ok(())) => Ok(()),
                _ => Err(StoreError::io("close", path)(io::Error::other("the committer panicked"))),
            }
        }
        .boxed()
    }

    fn kind(&self) -> &'static str {
        "sled"
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        self.commits.lock().take();
        if let Some(thread) = self.committer.lock().take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        match self.index.get(key).map_err(StoreError::io("read the index of", &self.log_path))? {
            Some(location) => self.read(location).map(Some),
            None => Ok(None),
        }
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        let (found, more) = self.part(&scan.prefix, scan.after.as_ref(), scan.limit)?;
        let read = |(key, location)| Ok((key, self.read(location)?));
        Ok(Page { entries: found.into_iter().map(read).collect::<Result<_, _>>()?, more })
    }

    /// At most `limit` entries of the index with `prefix` after `after`.
    pub(super) fn part(&self, prefix: &[u8], after: Option<&Key>, limit: usize) -> Result<Part, StoreError> {
        let part = self.index.part(prefix, after.map(|after| &*after.0), limit);
        part.map_err(StoreError::io("read the index of", &self.log_path))
    }

    pub(super) fn read(&self, location: Location) -> Result<Entry, StoreError> {
        let mut bytes = vec![0; location.length as usize];
        self.log.read_exact_at(&mut bytes, location.offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StoreError::Corrupt {
                path: self.log_path.clone(),
                offset: location.offset,
                reason: "the file is shorter than its index",
            },
            _ => StoreError::io("read", &self.log_path)(error),
        })?;
        Ok(Entry { bytes, revision: Revision(location.revision) })
    }
}
