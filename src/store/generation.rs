//! The files of one generation of the commit log: made whole or not at all, named only when they are on disk.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::committer::{Tail, fatal};
use super::disk::Disk;
use super::frame::{self, Builder, Chain, HEADER};
use super::index::Index;
use super::log::State;
use super::sled::Location;
use super::{Key, StoreError};

/// A log that is being written from the start.
pub(super) struct NewLog<'a> {
    disk: &'a Disk,
    file: File,
    path: PathBuf,
    pub(super) length: u64,
    chain: Chain,
}

impl NewLog<'_> {
    pub(super) fn flush(
        &mut self,
        frame: Builder,
        located: &mut Vec<(Key, Location)>,
        index: &Index,
    ) -> Result<(), StoreError> {
        let (bytes, chain) = frame.finish(&self.chain);
        self.disk.write_at(&self.file, &self.path, &bytes, self.length).map_err(StoreError::io("write", &self.path))?;
        self.length += bytes.len() as u64;
        self.chain = chain;
        for (key, location) in located.drain(..) {
            index.change(key, Some(location));
        }
        index.settle(usize::MAX).map_err(StoreError::io("write the index of", &self.path))?;
        Ok(())
    }

    pub(super) fn finished(&self, revision: u64) -> Tail {
        Tail { length: self.length, chain: self.chain, revision, dead: 0 }
    }
}

/// Makes the log of `generation` with what `fill` writes, synced before it has its name. A failure leaves nothing behind:
/// what is most likely missing is space.
pub(super) fn create(
    folder: &Path,
    disk: &Disk,
    generation: u64,
    fill: impl FnOnce(&Index, &mut NewLog<'_>) -> Result<Tail, StoreError>,
) -> Result<(State, Tail), StoreError> {
    remove_generation(folder, disk, generation)?;
    write(folder, disk, generation, fill).inspect_err(|_| {
        if let Err(error) = remove_generation(folder, disk, generation) {
            tracing::warn!(error = %error, "an unfinished log could not be removed");
        }
    })
}

fn write(
    folder: &Path,
    disk: &Disk,
    generation: u64,
    fill: impl FnOnce(&Index, &mut NewLog<'_>) -> Result<Tail, StoreError>,
) -> Result<(State, Tail), StoreError> {
    let (fresh, log_path) = (unfinished_path(folder, generation), log_path(folder, generation));
    let file = disk.create(&fresh).map_err(StoreError::io("create", &fresh))?;
    // An index without a log tells the next start that a log was lost, so none may reach the disk before its log.
    disk.sync_folder(folder).map_err(StoreError::io("sync", folder))?;
    let mut seed = [0; 16];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| StoreError::io("get randomness for", &fresh)(io::Error::other("no entropy")))?;
    let header = frame::header(generation, seed);
    disk.write_at(&file, &fresh, &header, 0).map_err(StoreError::io("write", &fresh))?;
    let chain = frame::open_header(&header, generation).unwrap_or_default();
    let index = open_index(folder, generation)?;
    let mut log = NewLog { disk, file, path: fresh, length: HEADER as u64, chain };
    let tail = fill(&index, &mut log)?;
    let NewLog { file, path: fresh, .. } = log;
    disk.sync(&file, &fresh).map_err(StoreError::io("sync", &fresh))?;
    disk.rename(&fresh, &log_path).map_err(StoreError::io("rename", &fresh))?;
    // From here on the next start may find either log. Going on with the old one would lose what is acknowledged next.
    if let Err(error) = disk.sync_folder(folder) {
        fatal("sync the folder of", &log_path, &error);
    }
    Ok((State { log: file, log_path, index, generation }, tail))
}

pub(super) fn open_index(folder: &Path, generation: u64) -> Result<Index, StoreError> {
    let path = index_path(folder, generation);
    Index::open(&path).map_err(StoreError::io("open the index", path))
}

pub(super) fn log_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("log.{generation}"))
}

fn unfinished_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("log.{generation}.new"))
}

pub(super) fn index_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("index.{generation}"))
}

/// Removes what there is of a generation. An index that stayed would give a later one of this number stale entries.
pub(super) fn remove_generation(folder: &Path, disk: &Disk, generation: u64) -> Result<(), StoreError> {
    for path in [log_path(folder, generation), unfinished_path(folder, generation)] {
        gone(disk.remove(&path)).map_err(StoreError::io("remove", path))?;
    }
    remove_index(folder, generation)
}

pub(super) fn remove_index(folder: &Path, generation: u64) -> Result<(), StoreError> {
    let path = index_path(folder, generation);
    gone(fs::remove_dir_all(&path)).map_err(StoreError::io("remove", path))
}

/// What was not there is gone too.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
