//! The marker that a clean close leaves, so that the next start need not replay the log.
//!
//! The index holds the same bytes, so that neither a stranger's marker nor a stranger's index is believed; and a digest
//! keeps a flipped bit from giving the next frame a wrong predecessor.

use std::fs;
use std::path::Path;

use super::StoreError;
use super::committer::Tail;
use super::disk::Disk;
use super::frame::sha256;
use super::generation::log_path;
use super::recovery::missing;

/// What a clean close leaves: the index matches this end of this log.
pub(super) struct Marker {
    pub(super) generation: u64,
    pub(super) tail: Tail,
}

impl Marker {
    /// Four numbers, the chain, and the digest over both.
    const BYTES: usize = 96;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        for number in [self.generation, self.tail.length, self.tail.revision, self.tail.dead] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.tail.chain);
        bytes.extend(sha256(&[&bytes]));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let (facts, sum) = bytes.split_at_checked(64).filter(|_| bytes.len() == Self::BYTES)?;
        if sha256(&[facts]) != sum {
            return None;
        }
        let chain = facts.get(32..)?.try_into().ok()?;
        let tail = Tail { length: number(8)?, revision: number(16)?, dead: number(24)?, chain };
        Some(Self { generation: number(0)?, tail })
    }
}

/// Reads the marker and removes it, durably, before anything changes: it must never vouch for an index that moved on.
/// `newest`: the newest log that is there. Errors when the log is not all that the marker speaks of.
pub(super) fn take(folder: &Path, disk: &Disk, newest: Option<u64>) -> Result<Option<Marker>, StoreError> {
    let path = folder.join("clean");
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(StoreError::io("read", &path))?,
    };
    let marker = Marker::decode(&bytes);
    if let Some(marker) = &marker {
        let log = log_path(folder, marker.generation);
        // A marker is left by a clean close, so everything that it speaks of was on disk.
        match newest {
            Some(newest) if newest > marker.generation => {}
            Some(newest) if newest == marker.generation => {
                let length = fs::metadata(&log).map_err(StoreError::io("read", &log))?.len();
                if length < marker.tail.length {
                    let reason = "the log is shorter than it was when the store was closed";
                    return Err(StoreError::Corrupt { path: log, offset: length, reason });
                }
            }
            _ => return Err(missing(&log)),
        }
    }
    disk.remove(&path).map_err(StoreError::io("remove", &path))?;
    disk.sync_folder(folder).map_err(StoreError::io("sync", folder))?;
    Ok(marker)
}
