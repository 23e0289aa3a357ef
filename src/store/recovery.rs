//! Finds the end of the log after a start: by the marker of a clean close, else by replaying every frame.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::StoreError;
use super::committer::Tail;
use super::disk::Disk;
use super::frame::{self, FRAME_HEAD, HEADER, Next};
use super::generation::{create, log_path, open_index, remove_generation, remove_index};
use super::log::State;
use super::marker::Marker;
use super::sled::Location;

/// Bytes read at once when a log is replayed.
const REPLAY_CHUNK: usize = 16 << 20;

/// Opens the newest log: by its marker after a clean close, else by replaying it.
pub(super) fn recover(folder: &Path, disk: &Disk) -> Result<(State, Tail), StoreError> {
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
