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

use std::collections::{BTreeMap, HashMap};
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
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::oneshot;

use super::disk::Disk;
use super::frame::{self, Builder, Chain, FRAME_HEAD, HEADER, Next};
use super::sled::{Index, Location};
use super::{Batch, Entry, Export, Key, Page, Precondition, Revision, Scan, Store, StoreError, Write, check_sizes};

/// Most bytes in one frame before the rest waits for the next; also bounds what one group holds in memory.
const GROUP_BYTES: usize = 8 << 20;

/// A log is rewritten when it is larger than this and more than half of it is dead.
const COMPACT_FROM: u64 = 64 << 20;

/// Bytes read at once when a log is replayed.
const REPLAY_CHUNK: usize = 16 << 20;

/// The embedded store in one folder.
pub struct LogStore {
    state: Arc<ArcSwapOption<State>>,
    commits: Mutex<Option<mpsc::Sender<Message>>>,
    committer: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
    path: PathBuf,
}

/// What readers need. Replaced whole by compaction.
struct State {
    log: File,
    log_path: PathBuf,
    index: Index,
    generation: u64,
}

enum Message {
    Commit(Batch, oneshot::Sender<Result<Revision, StoreError>>),
    Export(oneshot::Sender<Result<Export, StoreError>>),
}

impl LogStore {
    /// Opens the store in the folder `path`, which is made when it is missing.
    ///
    /// Errors: [`StoreError::Locked`] while another process has it; [`StoreError::Corrupt`] when a log is damaged
    /// anywhere but at a torn end.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, COMPACT_FROM, Disk::default())
    }

    pub(super) fn open_with(path: &Path, compact_from: u64, disk: Disk) -> Result<Self, StoreError> {
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
        let (state, tail) = recover(path, &disk)?;
        let state = Arc::new(ArcSwapOption::from_pointee(state));
        let (sender, receiver) = mpsc::channel();
        let committer =
            Committer { state: state.clone(), folder: path.to_owned(), disk, tail, compact_from, _lock: lock };
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
        ready(self.state().and_then(|state| state.get(&key.0))).boxed()
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
                Ok(Ok(result)) => result,
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
    fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        match self.index.get(key).map_err(StoreError::io("read the index of", &self.log_path))? {
            Some(location) => self.read(location).map(Some),
            None => Ok(None),
        }
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        let mut page = Page::default();
        for found in self.index.scan(&scan.prefix, scan.after.as_ref().map(|after| &*after.0)) {
            let (key, location) = found.map_err(StoreError::io("read the index of", &self.log_path))?;
            if page.entries.len() == scan.limit {
                page.more = true;
                break;
            }
            page.entries.push((Key(key.into_boxed_slice()), self.read(location)?));
        }
        Ok(page)
    }

    fn read(&self, location: Location) -> Result<Entry, StoreError> {
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

/// The end of the log, known to the committer alone.
#[derive(Clone, Copy)]
struct Tail {
    length: u64,
    chain: Chain,
    revision: u64,
    /// Bytes that a compaction would save: heads of frames, deletions, and writes that a newer one made useless.
    dead: u64,
}

/// The one writer.
struct Committer {
    state: Arc<ArcSwapOption<State>>,
    folder: PathBuf,
    disk: Disk,
    tail: Tail,
    compact_from: u64,
    _lock: File,
}

type Waiting = (oneshot::Sender<Result<Revision, StoreError>>, Result<Revision, StoreError>);

impl Committer {
    fn run(mut self, messages: &mpsc::Receiver<Message>) -> Result<(), StoreError> {
        while let Ok(first) = messages.recv() {
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Commit(batch, answer) => next = self.group(batch, answer, messages),
                    Message::Export(answer) => drop(answer.send(self.export())),
                }
            }
            if self.tail.length > self.compact_from && self.tail.dead * 2 > self.tail.length {
                // A failed compaction costs space, not data: the old log stays in force.
                if let Err(error) = self.compact() {
                    tracing::error!(error = %error, "the store could not be compacted");
                    // Not at every commit from now on: what is missing is most likely space.
                    self.compact_from = self.tail.length.saturating_mul(2);
                }
            }
        }
        self.close()
    }

    /// Commits `batch` and everything that waits behind it as one frame. Answers the first message that is no commit.
    fn group(
        &mut self,
        batch: Batch,
        answer: oneshot::Sender<Result<Revision, StoreError>>,
        messages: &mpsc::Receiver<Message>,
    ) -> Option<Message> {
        let Some(state) = self.state.load_full() else {
            let _ = answer.send(Err(StoreError::Closed));
            return None;
        };
        let mut frame = Builder::new();
        // What this group has changed so far: later batches are judged against it. `None` is a deletion.
        let mut changed: HashMap<Key, Option<Location>> = HashMap::new();
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut revision = self.tail.revision;
        let mut other = None;
        let mut next = Some((batch, answer));
        while let Some((batch, answer)) = next.take() {
            let verdict = holds(&state, &changed, &batch.preconditions).map(|()| {
                // A batch that only asks takes no place in the order.
                revision += u64::from(!batch.writes.is_empty());
                for write in batch.writes {
                    match write {
                        Write::Put(key, value) => {
                            let placed = frame.put(&key, &value, revision);
                            let offset = self.tail.length + placed.value_at as u64;
                            changed.insert(key, Some(Location { offset, length: placed.value_length, revision }));
                        }
                        Write::Delete(key) => {
                            frame.delete(&key, revision);
                            changed.insert(key, None);
                        }
                    }
                }
                Revision(revision)
            });
            waiting.push((answer, verdict));
            if frame.len() < GROUP_BYTES {
                match messages.try_recv() {
                    Ok(Message::Commit(batch, answer)) => next = Some((batch, answer)),
                    Ok(message) => other = Some(message),
                    Err(_) => {}
                }
            }
        }
        let written = if frame.is_empty() { Ok(()) } else { self.append(&state, frame) };
        match written {
            Ok(()) => {
                self.tail.revision = revision;
                self.update(&state, changed);
                for (answer, verdict) in waiting {
                    let _ = answer.send(verdict);
                }
            }
            Err(error) => {
                let full = matches!(error, StoreError::Full);
                tracing::error!(error = %error, "a commit could not be written");
                for (answer, verdict) in waiting {
                    let _ = answer.send(match verdict {
                        Ok(_) if full => Err(StoreError::Full),
                        Ok(_) => Err(StoreError::Io {
                            action: "write",
                            path: state.log_path.clone(),
                            source: io::Error::other("see the log for the cause"),
                        }),
                        refused => refused,
                    });
                }
            }
        }
        other
    }

    /// Writes and syncs one frame. When the write fails, the log is cut back to what it was; a sync that fails or a cut
    /// that fails ends the process.
    fn append(&mut self, state: &State, frame: Builder) -> Result<(), StoreError> {
        let (bytes, chain) = frame.finish(&self.tail.chain);
        if let Err(error) = self.disk.write_at(&state.log, &state.log_path, &bytes, self.tail.length) {
            if let Err(error) = self.disk.cut(&state.log, &state.log_path, self.tail.length) {
                fatal("cut a torn write off", &state.log_path, &error);
            }
            return Err(StoreError::io("write", &state.log_path)(error));
        }
        if let Err(error) = self.disk.sync(&state.log, &state.log_path) {
            fatal("sync", &state.log_path, &error);
        }
        self.tail.length += bytes.len() as u64;
        self.tail.chain = chain;
        Ok(())
    }

    /// Brings the index up to the log. An index that cannot be written would answer old values, so that is fatal too;
    /// the next start makes it anew.
    fn update(&mut self, state: &State, changed: HashMap<Key, Option<Location>>) {
        self.tail.dead += FRAME_HEAD as u64;
        for (key, location) in changed {
            let old = state.index.get(&key.0);
            let done = match (&location, &old) {
                (_, Err(_)) => Ok(()),
                (Some(location), _) => state.index.put(&key.0, *location),
                (None, _) => state.index.delete(&key.0),
            };
            match (old, done) {
                (Ok(old), Ok(())) => self.tail.dead += frame::made_useless(&key.0, old, location),
                (Err(error), _) | (_, Err(error)) => fatal("update the index of", &state.log_path, &error),
            }
        }
    }

    /// A copy of the store as of now: the log so far, read again without what was overwritten.
    fn export(&self) -> Result<Export, StoreError> {
        let state = self.state.load_full().ok_or(StoreError::Closed)?;
        let mut live = BTreeMap::new();
        for found in state.index.scan(&[], None) {
            let (key, location) = found.map_err(StoreError::io("read the index of", &state.log_path))?;
            live.insert(key, location);
        }
        Ok(Box::new(
            live.into_iter().map(move |(key, location)| Ok((Key(key.into_boxed_slice()), state.read(location)?))),
        ))
    }

    /// Writes a new generation with live entries only. Commits wait meanwhile; reads go on.
    fn compact(&mut self) -> Result<(), StoreError> {
        let Some(old) = self.state.load_full() else { return Ok(()) };
        let generation = old.generation + 1;
        let (state, tail) = create(&self.folder, &self.disk, generation, |index, log| {
            let mut tail = log;
            let mut frame = Builder::new();
            let mut located = Vec::new();
            let entries = old.index.scan(&[], None);
            for found in entries {
                let (key, location) = found.map_err(StoreError::io("read the index of", &old.log_path))?;
                let key = Key(key.into_boxed_slice());
                let entry = old.read(location)?;
                let placed = frame.put(&key, &entry.bytes, location.revision);
                let offset = tail.length + placed.value_at as u64;
                located.push((key, Location { offset, ..location }));
                if frame.len() >= GROUP_BYTES {
                    tail.flush(std::mem::replace(&mut frame, Builder::new()), &mut located, index)?;
                }
            }
            tail.flush(frame.at_revision(self.tail.revision), &mut located, index)?;
            Ok(tail.finished(self.tail.revision))
        })?;
        self.tail = tail;
        self.state.store(Some(Arc::new(state)));
        remove_generation(&self.folder, &self.disk, old.generation);
        Ok(())
    }

    /// Syncs the index and leaves the marker that lets the next start trust it.
    fn close(self) -> Result<(), StoreError> {
        let Some(state) = self.state.swap(None) else { return Ok(()) };
        state.index.sync().map_err(StoreError::io("sync the index of", &state.log_path))?;
        let marker = Marker { generation: state.generation, tail: self.tail }.encode();
        let path = self.folder.join("clean");
        let write = || {
            let file = self.disk.create(&path)?;
            self.disk.write_at(&file, &path, &marker, 0)?;
            self.disk.sync(&file, &path)?;
            self.disk.sync_folder(&self.folder)
        };
        write().map_err(StoreError::io("write", &path))
    }
}

fn holds(
    state: &State,
    changed: &HashMap<Key, Option<Location>>,
    preconditions: &[Precondition],
) -> Result<(), StoreError> {
    for (index, precondition) in preconditions.iter().enumerate() {
        let (Precondition::Absent(key) | Precondition::At(key, _)) = precondition;
        let current = match changed.get(key) {
            Some(location) => *location,
            None => state.index.get(&key.0).map_err(StoreError::io("read the index of", &state.log_path))?,
        };
        let met = match precondition {
            Precondition::Absent(_) => current.is_none(),
            Precondition::At(_, revision) => current.is_some_and(|location| location.revision == revision.0),
        };
        if !met {
            return Err(StoreError::Conflict { index });
        }
    }
    Ok(())
}

/// Ends the process: what is on disk is unknown, so nothing may be acknowledged any more.
fn fatal(action: &str, path: &Path, error: &io::Error) -> ! {
    tracing::error!(path = %path.display(), error = %error, "the store cannot {action} its files; the process ends");
    std::process::abort()
}

/// A log that is being written from the start.
struct NewLog<'a> {
    disk: &'a Disk,
    file: File,
    path: PathBuf,
    length: u64,
    chain: Chain,
}

impl NewLog<'_> {
    fn flush(&mut self, frame: Builder, located: &mut Vec<(Key, Location)>, index: &Index) -> Result<(), StoreError> {
        let (bytes, chain) = frame.finish(&self.chain);
        self.disk.write_at(&self.file, &self.path, &bytes, self.length).map_err(StoreError::io("write", &self.path))?;
        self.length += bytes.len() as u64;
        self.chain = chain;
        for (key, location) in located.drain(..) {
            index.put(&key.0, location).map_err(StoreError::io("write the index of", &self.path))?;
        }
        Ok(())
    }

    fn finished(self, revision: u64) -> Tail {
        Tail { length: self.length, chain: self.chain, revision, dead: 0 }
    }
}

/// Makes the log of `generation` with what `fill` writes, synced before it has its name.
fn create(
    folder: &Path,
    disk: &Disk,
    generation: u64,
    fill: impl FnOnce(&Index, NewLog<'_>) -> Result<Tail, StoreError>,
) -> Result<(State, Tail), StoreError> {
    remove_generation(folder, disk, generation);
    let (fresh, log_path) = (folder.join(format!("log.{generation}.new")), log_path(folder, generation));
    let file = disk.create(&fresh).map_err(StoreError::io("create", &fresh))?;
    let mut seed = [0; 16];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| StoreError::io("get randomness for", &fresh)(io::Error::other("no entropy")))?;
    let header = frame::header(generation, seed);
    disk.write_at(&file, &fresh, &header, 0).map_err(StoreError::io("write", &fresh))?;
    let chain = frame::open_header(&header, generation).unwrap_or_default();
    let index = open_index(folder, generation)?;
    let log = file.try_clone().map_err(StoreError::io("open", &fresh))?;
    let tail = fill(&index, NewLog { disk, file: log, path: fresh.clone(), length: HEADER as u64, chain })?;
    disk.sync(&file, &fresh).map_err(StoreError::io("sync", &fresh))?;
    disk.rename(&fresh, &log_path).map_err(StoreError::io("rename", &fresh))?;
    // From here on the next start may find either log. Going on with the old one would lose what is acknowledged next.
    if let Err(error) = disk.sync_folder(folder) {
        fatal("sync the folder of", &log_path, &error);
    }
    Ok((State { log: file, log_path, index, generation }, tail))
}

/// Opens the newest log: by its marker after a clean close, else by replaying it.
fn recover(folder: &Path, disk: &Disk) -> Result<(State, Tail), StoreError> {
    let mut generations = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let name = entry.map_err(StoreError::io("list", folder))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("log.")).and_then(|rest| rest.parse::<u64>().ok());
        generations.extend(number);
    }
    generations.sort_unstable();
    let marker_path = folder.join("clean");
    let marker = fs::read(&marker_path).ok().and_then(|bytes| Marker::decode(&bytes));
    if let Some(marker) = &marker {
        let path = log_path(folder, marker.generation);
        let lost = |offset, reason| StoreError::Corrupt { path: path.clone(), offset, reason };
        // A marker is left by a clean close, so everything that it speaks of was on disk.
        match generations.last() {
            Some(newest) if *newest > marker.generation => {}
            Some(newest) if *newest == marker.generation => {
                let length = fs::metadata(&path).map_err(StoreError::io("read", &path))?.len();
                if length < marker.tail.length {
                    return Err(lost(length, "the log is shorter than it was when the store was closed"));
                }
            }
            _ => return Err(lost(0, "the log is missing")),
        }
    }
    if marker_path.exists() {
        // Gone for good before anything changes, so that it never vouches for an index that moved on.
        disk.remove(&marker_path).map_err(StoreError::io("remove", &marker_path))?;
        disk.sync_folder(folder).map_err(StoreError::io("sync", folder))?;
    }
    let Some(generation) = generations.pop() else {
        return create(folder, disk, 1, |_, log| Ok(log.finished(0)));
    };
    // Older generations and unfinished ones are left-overs of a compaction that was cut short.
    generations.iter().for_each(|old| remove_generation(folder, disk, *old));
    let log_path = log_path(folder, generation);
    let log = OpenOptions::new().read(true).write(true).open(&log_path).map_err(StoreError::io("open", &log_path))?;
    let length = log.metadata().map_err(StoreError::io("read", &log_path))?.len();
    if let Some(marker) = marker.filter(|marker| marker.generation == generation && marker.tail.length == length) {
        match open_index(folder, generation) {
            Ok(index) => return Ok((State { log, log_path, index, generation }, marker.tail)),
            Err(error) => tracing::warn!(error = %error, "the index is made anew from the log"),
        }
    }
    remove_index(folder, generation);
    let (entries, tail) = replay(&log, &log_path, generation, length)?;
    if tail.length < length {
        tracing::warn!(path = %log_path.display(), bytes = length - tail.length, "a torn write at the end of the log was cut off");
        disk.cut(&log, &log_path, tail.length).map_err(StoreError::io("cut", &log_path))?;
    }
    // What a killed process wrote may only be in the page cache. Nobody may read what a power cut could still take.
    disk.sync(&log, &log_path).map_err(StoreError::io("sync", &log_path))?;
    let index = open_index(folder, generation)?;
    for (key, location) in entries {
        index.put(&key, location).map_err(StoreError::io("write the index of", &log_path))?;
    }
    Ok((State { log, log_path, index, generation }, tail))
}

/// What a clean close leaves: the index matches this end of this log.
struct Marker {
    generation: u64,
    tail: Tail,
}

impl Marker {
    const BYTES: usize = 64;

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        for number in [self.generation, self.tail.length, self.tail.revision, self.tail.dead] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.tail.chain);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let chain = bytes.get(32..Self::BYTES)?.try_into().ok().filter(|_| bytes.len() == Self::BYTES)?;
        let tail = Tail { length: number(8)?, revision: number(16)?, dead: number(24)?, chain };
        Some(Self { generation: number(0)?, tail })
    }
}

/// Reads the whole log. The end may be torn; anything else that is broken is damage.
fn replay(
    log: &File,
    path: &Path,
    generation: u64,
    length: u64,
) -> Result<(BTreeMap<Vec<u8>, Location>, Tail), StoreError> {
    let corrupt = |offset: u64, reason| StoreError::Corrupt { path: path.to_owned(), offset, reason };
    let mut entries: BTreeMap<Vec<u8>, Location> = BTreeMap::new();
    let mut header = [0; HEADER];
    log.read_exact_at(&mut header, 0).map_err(|_| corrupt(0, "the header is cut off"))?;
    let chain = frame::open_header(&header, generation).ok_or_else(|| corrupt(0, "the header is not one of ours"))?;
    let mut tail = Tail { length: HEADER as u64, chain, revision: 0, dead: 0 };
    let mut buffer = Vec::new();
    let mut wanted = REPLAY_CHUNK;
    loop {
        let left = usize::try_from(length - tail.length).unwrap_or(usize::MAX);
        buffer.resize(left.min(wanted), 0);
        log.read_exact_at(&mut buffer, tail.length).map_err(StoreError::io("read", path))?;
        let whole = buffer.len() == left;
        let mut at = 0;
        loop {
            let rest = buffer.get(at..).unwrap_or_default();
            match frame::next(rest, &tail.chain) {
                Next::Frame { body, length, last_revision, chain } => {
                    tail.dead += FRAME_HEAD as u64;
                    for write in frame::writes(body) {
                        let new = write.value.map(|(value_at, length)| Location {
                            offset: tail.length + (FRAME_HEAD + value_at) as u64,
                            length,
                            revision: write.revision,
                        });
                        let old = match new {
                            Some(location) => entries.insert(write.key.to_vec(), location),
                            None => entries.remove(write.key),
                        };
                        tail.dead += frame::made_useless(write.key, old, new);
                    }
                    at += length;
                    tail.length += length as u64;
                    tail.revision = tail.revision.max(last_revision);
                    tail.chain = chain;
                    wanted = REPLAY_CHUNK;
                }
                Next::End if whole => return Ok((entries, tail)),
                Next::Broken if whole => {
                    if frame::another_frame_follows(rest) {
                        return Err(corrupt(tail.length, "a commit does not follow from the one before"));
                    }
                    return Ok((entries, tail));
                }
                // The frame may only be cut off by the chunk.
                Next::End | Next::Broken => break,
            }
        }
        if at == 0 {
            wanted = wanted.saturating_mul(2);
        }
    }
}

fn open_index(folder: &Path, generation: u64) -> Result<Index, StoreError> {
    let path = folder.join(format!("index.{generation}"));
    Index::open(&path).map_err(StoreError::io("open the index", path))
}

fn log_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("log.{generation}"))
}

/// Left-overs cost space only, so that failing to remove them is no error.
fn remove_generation(folder: &Path, disk: &Disk, generation: u64) {
    let _ = disk.remove(&log_path(folder, generation));
    let _ = disk.remove(&folder.join(format!("log.{generation}.new")));
    remove_index(folder, generation);
}

fn remove_index(folder: &Path, generation: u64) {
    let _ = fs::remove_dir_all(folder.join(format!("index.{generation}")));
}
