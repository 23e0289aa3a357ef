//! The one writer of the embedded store: groups commits into frames, syncs, answers, and rewrites the log when most of it
//! is dead.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::oneshot;

use super::disk::Disk;
use super::frame::{Builder, Chain, FRAME_HEAD, GROUP_BYTES};
use super::generation::{create, remove_generation, remove_index};
use super::log::State;
use super::marker::Marker;
use super::recovery::replay;
use super::sled::Location;
use super::{Batch, Export, Key, Precondition, Revision, StoreError, Write};

/// How long nobody commits before the index is settled, and how many of its changes are then between two looks at who waits.
const REST: Duration = Duration::from_millis(5);
const SETTLED_AT_REST: usize = 256;
/// How long nobody commits before it is asked whether sled wrote what was settled.
const LONG_REST: Duration = Duration::from_secs(1);
/// When a group was so large, it pays to let others join before the next one, for so long: a sync costs more processor time
/// than a commit.
const MANY: usize = 8;
const GATHER: Duration = Duration::from_micros(300);
/// How long an index that could not be written stays in memory before it is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// Changes of the index that may wait in memory, some 100 bytes each, before each commit settles some besides its own.
const MOST_UNSETTLED: usize = 1 << 16;
/// Entries of the index that a compaction holds at one time.
const PART: usize = 4096;

pub(super) enum Message {
    Commit(Batch, oneshot::Sender<Result<Revision, StoreError>>),
    Export(oneshot::Sender<Result<Export, StoreError>>),
}

/// The end of the log, known to the committer alone.
#[derive(Clone, Copy)]
pub(super) struct Tail {
    pub(super) length: u64,
    pub(super) chain: Chain,
    pub(super) revision: u64,
    /// Bytes that a compaction would save: heads of frames, deletions, and writes that a newer one made useless.
    pub(super) dead: u64,
}

/// The one writer.
pub(super) struct Committer {
    pub(super) state: Arc<ArcSwapOption<State>>,
    pub(super) folder: PathBuf,
    pub(super) disk: Disk,
    pub(super) tail: Tail,
    pub(super) compact_from: u64,
    /// Whether the last commit could not be written.
    pub(super) refusing: bool,
    /// When the index may be settled again after it could not be written.
    pub(super) settle_from: Option<Instant>,
    /// Whether sled may still fail to write what was settled.
    pub(super) unwritten: bool,
    /// Locked as long as this lives.
    pub(super) _lock: File,
}

type Waiting = (oneshot::Sender<Result<Revision, StoreError>>, Result<Revision, StoreError>);

impl Committer {
    pub(super) fn run(mut self, messages: &mpsc::Receiver<Message>) {
        while let Some(first) = self.next(messages) {
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
        self.close();
    }

    /// The next message; `None` once nobody can send one. Settles the index while none comes.
    fn next(&mut self, messages: &mpsc::Receiver<Message>) -> Option<Message> {
        loop {
            let Some(state) = self.state.load_full() else { return messages.recv().ok() };
            // While commits find no room, the index must not take what there is.
            let (rest, most) = if state.index.unsettled() > 0 && !self.refusing {
                let pause = self.settle_from.map_or(REST, |from| from.saturating_duration_since(Instant::now()));
                (pause.max(REST), SETTLED_AT_REST)
            } else if self.unwritten {
                (LONG_REST, 0)
            } else {
                return messages.recv().ok();
            };
            match messages.recv_timeout(rest) {
                Ok(message) => return Some(message),
                Err(mpsc::RecvTimeoutError::Timeout) => self.settle(&state, most),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
            }
        }
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
                self.refusing = false;
                self.update(&state, changed);
                let count = waiting.len();
                for (answer, verdict) in waiting {
                    let _ = answer.send(verdict);
                }
                if count >= MANY {
                    std::thread::sleep(GATHER);
                }
            }
            Err(error) => {
                let full = matches!(error, StoreError::Full);
                // Once, not for each commit: a full disk often holds the log of the process too.
                if !std::mem::replace(&mut self.refusing, true) {
                    tracing::error!(error = %error, "commits cannot be written; each is refused until one can");
                }
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

    /// Brings the index up to the log.
    fn update(&mut self, state: &State, changed: HashMap<Key, Option<Location>>) {
        let share = 2 * changed.len();
        self.tail.dead += FRAME_HEAD as u64;
        for (key, location) in changed {
            self.tail.dead += state.index.change(key, location);
        }
        let pauses = self.settle_from.is_some_and(|from| from > Instant::now());
        if state.index.unsettled() > MOST_UNSETTLED && !pauses {
            self.settle(state, share);
        }
    }

    /// Settles a part of the index, or with `most` 0 asks whether the parts before are written. When they cannot be, all
    /// of the index is made anew from the log, in memory.
    fn settle(&mut self, state: &State, most: usize) {
        match state.index.settle(most) {
            Ok(useless) => {
                self.tail.dead += useless;
                self.unwritten = most > 0;
                self.settle_from = None;
            }
            Err(error) => {
                // Once, not for each attempt.
                if self.settle_from.is_none() {
                    tracing::error!(error = %error, "the index cannot be written and stays in memory; nothing is lost");
                }
                self.settle_from = Some(Instant::now() + RETRY);
                self.unwritten = false;
                match replay(&state.log, &state.log_path, state.generation, self.tail.length) {
                    Ok((entries, tail)) if tail.chain == self.tail.chain => {
                        self.tail.dead = tail.dead;
                        state.index.give_up(entries);
                        if let Err(error) = remove_index(&self.folder, state.generation) {
                            tracing::warn!(error = %error, "what there is of the index takes space");
                        }
                    }
                    Ok(_) => fatal("read", &state.log_path, &io::ErrorKind::InvalidData.into()),
                    Err(error) => fatal("read", &state.log_path, &io::Error::other(error)),
                }
            }
        }
    }

    /// A copy of the store as of now: the log so far, read again without what was overwritten.
    fn export(&self) -> Result<Export, StoreError> {
        let state = self.state.load_full().ok_or(StoreError::Closed)?;
        let (live, _) = state.part(&[], None, usize::MAX)?;
        Ok(Box::new(live.into_iter().map(move |(key, location)| Ok((key, state.read(location)?)))))
    }

    /// Writes a new generation with live entries only. Commits wait meanwhile; reads go on.
    fn compact(&mut self) -> Result<(), StoreError> {
        let Some(old) = self.state.load_full() else { return Ok(()) };
        let generation = old.generation + 1;
        let (state, tail) = create(&self.folder, &self.disk, generation, |index, log| {
            let mut frame = Builder::new();
            let mut located = Vec::new();
            let (mut after, mut more) = (None, true);
            while more {
                let entries;
                (entries, more) = old.part(&[], after.as_ref(), PART)?;
                after = entries.last().map(|(key, _)| key.clone());
                for (key, location) in entries {
                    let entry = old.read(location)?;
                    let placed = frame.put(&key, &entry.bytes, location.revision);
                    let offset = log.length + placed.value_at as u64;
                    located.push((key, Location { offset, ..location }));
                    if frame.len() >= GROUP_BYTES {
                        log.flush(std::mem::replace(&mut frame, Builder::new()), &mut located, index)?;
                    }
                }
            }
            log.flush(frame, &mut located, index)?;
            // The last frame may be taken for a torn one. So that this never befalls a live entry, the last is empty.
            log.flush(Builder::new().at_revision(self.tail.revision), &mut located, index)?;
            Ok(log.finished(self.tail.revision))
        })?;
        self.tail = tail;
        self.state.store(Some(Arc::new(state)));
        // The new log is in force. What is left of the old one costs space, and the next start removes it.
        if let Err(error) = remove_generation(&self.folder, &self.disk, old.generation) {
            tracing::warn!(error = %error, "the log before the compaction could not be removed");
        }
        Ok(())
    }

    /// Ends the store. Every commit is on disk already, so that a marker which cannot be left costs time and no more.
    fn close(mut self) {
        let Some(state) = self.state.swap(None) else { return };
        if let Err(error) = self.leave_marker(&state) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the index could not be written: nothing is lost, but the next start reads the whole log again"
            );
        }
    }

    /// Syncs the index and leaves the marker that lets the next start trust it.
    fn leave_marker(&mut self, state: &State) -> Result<(), StoreError> {
        let written = state.index.settle(usize::MAX);
        self.tail.dead += written.map_err(StoreError::io("write the index of", &state.log_path))?;
        let marker = Marker { generation: state.generation, tail: self.tail }.encode();
        state.index.close(&marker).map_err(StoreError::io("sync the index of", &state.log_path))?;
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
            None => state.index.get(key).map_err(StoreError::io("read the index of", &state.log_path))?,
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
pub(super) fn fatal(action: &str, path: &Path, error: &io::Error) -> ! {
    tracing::error!(path = %path.display(), error = %error, "the store cannot {action} its files; the process ends");
    std::process::abort()
}
