//! The store: an ordered map of opaque bytes with one total order of commits. An answered commit is on disk.
//!
//! Nothing above the trait knows which backend it is. Keys and values are ciphertext or keyed hashes already: only
//! the barrier calls a store. There is no `watch` yet, because nothing above needs one.

mod committer;
#[cfg(test)]
mod contract;
mod disk;
mod frame;
mod generation;
mod index;
mod log;
mod marker;
mod memory;
#[cfg(test)]
mod powercut;
mod recovery;
mod sled;

use std::path::PathBuf;

use futures_util::future::BoxFuture;

pub use log::LogStore;
pub use memory::MemoryStore;

/// Largest value in bytes. Engines refuse larger secrets long before.
pub const MAX_VALUE_BYTES: usize = 4 << 20;

/// A log is rewritten when it is larger than this and more than half of it is dead, unless the configuration says other.
pub const COMPACT_BYTES: u64 = 64 << 20;

/// Largest batch in bytes: what a restore may put back at once.
pub const MAX_BATCH_BYTES: usize = 2 << 30;

/// A key: opaque bytes, at most 255 of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub Box<[u8]>);

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

/// Position of a commit in the one order of all commits; starts at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A value and the commit that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub bytes: Vec<u8>,
    /// The commit that wrote it.
    pub revision: Revision,
}

/// Writes that happen together, if all preconditions hold.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Checked against the state that all earlier commits left.
    pub preconditions: Vec<Precondition>,
    /// Applied in order; a later write to the same key wins.
    pub writes: Vec<Write>,
}

/// What must hold for a batch.
#[derive(Debug, Clone)]
pub enum Precondition {
    /// No entry has this key.
    Absent(Key),
    /// The entry of this key was written by this commit.
    At(Key, Revision),
}

/// One write.
#[derive(Debug, Clone)]
pub enum Write {
    /// Stores or replaces.
    Put(Key, Vec<u8>),
    /// Removes; a missing key is no error.
    Delete(Key),
}

/// Which entries [`Store::scan`] answers.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Start of the keys.
    pub prefix: Vec<u8>,
    /// Only keys strictly after this one.
    pub after: Option<Key>,
    /// Most entries in the answer, at least 1.
    pub limit: usize,
}

/// Entries in key order; `more` says whether others follow.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The entries.
    pub entries: Vec<(Key, Entry)>,
    /// Whether the limit cut the answer off.
    pub more: bool,
}

/// A consistent copy of the store: every entry as one commit left it.
pub type Export = Box<dyn Iterator<Item = Result<(Key, Entry), StoreError>> + Send>;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A precondition did not hold; nothing was written.
    #[error("precondition {index} of the commit does not hold")]
    Conflict {
        /// Position in [`Batch::preconditions`].
        index: usize,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// Another process has the store open.
    #[error("another process has the store at {} open", .0.display())]
    Locked(PathBuf),
    /// What is on disk is not what was written.
    #[error("{} is damaged at byte {offset}: {reason}; restore a snapshot", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The disk is full; nothing was written.
    #[error("no space is left for the store")]
    Full,
    /// A key over 255 bytes or a value over [`MAX_VALUE_BYTES`].
    #[error("a key or value is too large for the store")]
    TooLarge,
    /// The operating system refused; nothing was written.
    #[error("the store cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

impl StoreError {
    /// Wraps what the operating system answered.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge => {
                Self::Full
            }
            _ => Self::Io { action, path, source },
        }
    }
}

/// Where the barrier keeps its records.
pub trait Store: Send + Sync + 'static {
    /// The newest entry of `key`.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// Entries under a prefix in key order. Not a snapshot: each entry is true at some moment of the call; who needs
    /// more adds [`Precondition::At`] to the commit that follows.
    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// All or nothing, and durable when answered. [`StoreError::Conflict`] names the first precondition that failed.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// A consistent copy while commits go on.
    fn export(&self) -> BoxFuture<'_, Result<Export, StoreError>>;

    /// Ends the store in order; later calls answer [`StoreError::Closed`].
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The name in `seal-status`: `sled`, `inmem`.
    fn kind(&self) -> &'static str;
}

/// Refuses what no backend could keep.
pub(crate) fn check_sizes(batch: &Batch) -> Result<(), StoreError> {
    let fits = batch.writes.iter().all(|write| match write {
        Write::Put(key, value) => key.0.len() <= 255 && value.len() <= MAX_VALUE_BYTES,
        Write::Delete(key) => key.0.len() <= 255,
    });
    // A frame's length has 32 bits, and a batch is never divided between frames.
    let size = |write: &Write| match write {
        Write::Put(key, value) => key.0.len() + value.len() + 14,
        Write::Delete(key) => key.0.len() + 14,
    };
    let fits = fits && batch.writes.iter().map(size).sum::<usize>() <= MAX_BATCH_BYTES;
    if fits { Ok(()) } else { Err(StoreError::TooLarge) }
}
