//! Finds the end of the log after a start: by the marker of a clean close, else by replaying every frame.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use super::committer::Tail;
use super::disk::Disk;
use super::frame::{self, FRAME_HEAD, Frames, HEADER, bytes_of};
use super::generation::{create, index_path, log_path, open_index, remove_generation, remove_index};
use super::index::{Index, Recent};
use super::log::State;
use super::marker;
use super::sled::Location;
use super::{Key, StoreError};

/// Opens the newest log.
pub(super) fn recover(folder: &Path, disk: &Disk) -> Result<(State, Tail), StoreError> {
    // A killed process may have renamed or removed what is not on disk yet. Commits of this one must not depend on a name
    // that a power cut could still take.
    disk.sync_folder(folder).map_err(StoreError::io("sync", folder))?;
    let mut generations = Generations::list(folder)?;
    let marker = marker::take(folder, disk, generations.logs.last().copied())?;
    let Some(generation) = generations.logs.pop() else {
        // The log of a generation is begun before its index, so an index alone is what somebody left of a store.
        if let Some(lost) = generations.indexes.iter().find(|index| !generations.unfinished.contains(index)) {
            return Err(missing(&log_path(folder, *lost)));
        }
        return create(folder, disk, 1, |_, log| Ok(log.finished(0)));
    };
    // Older generations and unfinished ones are left-overs of a compaction that was cut short.
    for old in generations.all().filter(|old| *old != generation) {
        if let Err(error) = remove_generation(folder, disk, old) {
            tracing::warn!(error = %error, "left-overs of the store take space");
        }
    }
    let log_path = log_path(folder, generation);
    let log = OpenOptions::new().read(true).write(true).open(&log_path).map_err(StoreError::io("open", &log_path))?;
    let length = log.metadata().map_err(StoreError::io("read", &log_path))?.len();
    if let Some(marker) = marker.filter(|marker| marker.generation == generation && marker.tail.length == length) {
        match open_index(folder, generation) {
            Ok(index) if index.agrees_with(&marker.encode()) => {
                return Ok((State { log, log_path, index, generation }, marker.tail));
            }
            Ok(_) => tracing::warn!("the index is not the one that was closed; it is made anew from the log"),
            Err(error) => tracing::warn!(error = %error, "the index is made anew from the log"),
        }
    }
    remove_index(folder, generation)?;
    let (entries, tail) = replay(&log, &log_path, generation, length)?;
    if tail.length < length {
        tracing::warn!(path = %log_path.display(), bytes = length - tail.length, "a torn write at the end of the log was cut off");
        disk.cut(&log, &log_path, tail.length).map_err(StoreError::io("cut", &log_path))?;
    }
    // What a killed process wrote may only be in the page cache. Nobody may read what a power cut could still take.
    disk.sync(&log, &log_path).map_err(StoreError::io("sync", &log_path))?;
    // In memory until somebody settles it: a start needs no room on the disk.
    let index = Index::in_memory(&index_path(folder, generation), entries);
    Ok((State { log, log_path, index, generation }, tail))
}

/// The generations of which something lies in the folder, each list in order.
#[derive(Default)]
struct Generations {
    logs: Vec<u64>,
    unfinished: Vec<u64>,
    indexes: Vec<u64>,
}

impl Generations {
    fn list(folder: &Path) -> Result<Self, StoreError> {
        let mut found = Self::default();
        for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
            let name = entry.map_err(StoreError::io("list", folder))?.file_name();
            let Some((kind, rest)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
            let (list, number) = match (kind, rest.strip_suffix(".new")) {
                ("log", None) => (&mut found.logs, rest),
                ("log", Some(number)) => (&mut found.unfinished, number),
                ("index", None) => (&mut found.indexes, rest),
                _ => continue,
            };
            list.extend(number.parse::<u64>().ok());
        }
        found.logs.sort_unstable();
        Ok(found)
    }

    fn all(&self) -> impl Iterator<Item = u64> {
        self.logs.iter().chain(&self.unfinished).chain(&self.indexes).copied()
    }
}

/// A log that was there is gone.
pub(super) fn missing(path: &Path) -> StoreError {
    StoreError::Corrupt { path: path.to_owned(), offset: 0, reason: "the log is missing" }
}

/// Reads the whole log. The end may be torn; anything else that is broken is damage.
pub(super) fn replay(log: &File, path: &Path, generation: u64, length: u64) -> Result<(Recent, Tail), StoreError> {
    let corrupt = |offset: u64, reason| StoreError::Corrupt { path: path.to_owned(), offset, reason };
    let mut frames = Frames::open(log, length).map_err(StoreError::io("read", path))?;
    let header = frames.header().map_err(|_| corrupt(0, "the header is cut off"))?;
    let chain = frame::open_header(&header, generation).ok_or_else(|| corrupt(0, "the header is not one of ours"))?;
    let mut tail = Tail { length: HEADER as u64, chain, revision: 0, dead: 0 };
    let mut entries = Recent::new();
    while let Some(frame) = frames.next(&tail.chain).map_err(StoreError::io("read", path))? {
        for write in frame::writes(frame.body) {
            let new = write.value.map(|(value_at, length)| Location {
                offset: tail.length + (FRAME_HEAD + value_at) as u64,
                length,
                revision: write.revision,
            });
            let (key, size) = (Key::from(write.key), write.key.len());
            let old = match new {
                Some(_) => entries.insert(key, new).flatten(),
                None => {
                    tail.dead += bytes_of(size, 0);
                    entries.remove(&key).flatten()
                }
            };
            tail.dead += old.map_or(0, |old| bytes_of(size, old.length));
        }
        tail.dead += FRAME_HEAD as u64;
        tail.length += (FRAME_HEAD + frame.body.len()) as u64;
        tail.revision = tail.revision.max(frame.last_revision);
        tail.chain = frame.chain;
    }
    if tail.length < length && frame::another_follows(log, tail.length, length).map_err(StoreError::io("read", path))? {
        return Err(corrupt(tail.length, "a commit does not follow from the one before"));
    }
    Ok((entries, tail))
}
