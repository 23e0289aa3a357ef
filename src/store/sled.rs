//! The settled part of the index: `sled` keeps it, so that memory does not grow with the store.
//!
//! sled syncs nothing by itself, so the index is only trusted after a clean close, which syncs it and leaves a marker.
//! Otherwise it is thrown away and made anew from the log, which is the truth.

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use sled::{Db, Mode};

/// Memory that sled may use for its pages.
const CACHE_BYTES: u64 = 16 << 20;

/// Tree and key of what [`Settled::close`] notes.
const CLOSED: &[u8] = b"closed";

/// Where a value lies in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) revision: u64,
}

impl Location {
    fn encode(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..].copy_from_slice(&self.revision.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 20] = bytes.try_into().ok()?;
        let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let length = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        Some(Self { offset: number(0)?, length, revision: number(12)? })
    }
}

/// Which key's value lies where, as of some commit for each of them.
pub(super) struct Settled {
    db: Db,
    path: PathBuf,
}

impl Settled {
    /// Opens the index in `path`, or makes an empty one.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let config =
            sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None).mode(Mode::LowSpace);
        Ok(Self { db: config.open().map_err(io_error)?, path: path.to_owned() })
    }

    /// Whether [`Settled::close`] noted this marker last.
    pub(super) fn agrees_with(&self, marker: &[u8]) -> bool {
        let noted = self.db.open_tree(CLOSED).and_then(|tree| tree.get(CLOSED));
        matches!(noted, Ok(Some(noted)) if noted == marker)
    }

    pub(super) fn get(&self, key: &[u8]) -> io::Result<Option<Location>> {
        self.db.get(key).map_err(io_error)?.map(|bytes| decoded(&bytes)).transpose()
    }

    /// Answers where the value lay before.
    pub(super) fn put(&self, key: &[u8], location: Location) -> io::Result<Option<Location>> {
        let old = self.db.insert(key, &location.encode()).map_err(io_error)?;
        old.map(|bytes| decoded(&bytes)).transpose()
    }

    /// Answers where the value lay.
    pub(super) fn delete(&self, key: &[u8]) -> io::Result<Option<Location>> {
        self.db.remove(key).map_err(io_error)?.map(|bytes| decoded(&bytes)).transpose()
    }

    /// Entries with `prefix` after `after`, in key order.
    pub(super) fn scan<'a>(
        &self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
    ) -> impl Iterator<Item = io::Result<(Vec<u8>, Location)>> + use<'a> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.to_vec()),
            _ => Bound::Included(prefix.to_vec()),
        };
        self.db
            .range((start, Bound::Unbounded))
            .map(|found| {
                let (key, value) = found.map_err(io_error)?;
                Ok((key.to_vec(), decoded(&value)?))
            })
            .take_while(move |found| !matches!(found, Ok((key, _)) if !key.starts_with(prefix)))
    }

    /// Waits until everything is written, though not synced. sled writes in threads of its own, and tells errors of those
    /// only to who asks.
    pub(super) fn write_out(&self) -> io::Result<()> {
        self.db.flush().map(drop).map_err(io_error)
    }

    /// Notes which end of the log it belongs to, writes everything out and syncs every file, so that the index may be
    /// trusted by who finds the same `marker`.
    pub(super) fn close(&self, marker: &[u8]) -> io::Result<()> {
        self.db.open_tree(CLOSED).and_then(|tree| tree.insert(CLOSED, marker)).map_err(io_error)?;
        self.write_out()?;
        sync_tree(&self.path)
    }
}

/// An entry that is there but cannot be read is not one that is missing.
fn decoded(bytes: &[u8]) -> io::Result<Location> {
    Location::decode(bytes).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// sled's errors are the operating system's or say that its files are damaged.
fn io_error(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => sync_tree(&entry.path())?,
            _ => File::open(entry.path())?.sync_all()?,
        }
    }
    File::open(folder)?.sync_all()
}
