//! The files of one generation of the commit log: made whole or not at all, named only when they are on disk.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::committer::{Tail, fatal};
use super::disk::Disk;
use super::frame::{self, Builder, Chain, HEADER};
use super::log::State;
use super::sled::{Index, Location};
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
            index.put(&key.0, location).map_err(StoreError::io("write the index of", &self.path))?;
        }
        Ok(())
    }

    pub(super) fn finished(self, revision: u64) -> Tail {
        Tail { length: self.length, chain: self.chain, revision, dead: 0 }
    }
}

/// Makes the log of `generation` with what `fill` writes, synced before it has its name.
pub(super) fn create(
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

pub(super) fn open_index(folder: &Path, generation: u64) -> Result<Index, StoreError> {
    let path = folder.join(format!("index.{generation}"));
    Index::open(&path).map_err(StoreError::io("open the index", path))
}

pub(super) fn log_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("log.{generation}"))
}

/// Left-overs cost space only, so that failing to remove them is no error.
pub(super) fn remove_generation(folder: &Path, disk: &Disk, generation: u64) {
    let _ = disk.remove(&log_path(folder, generation));
    let _ = disk.remove(&folder.join(format!("log.{generation}.new")));
    remove_index(folder, generation);
}

pub(super) fn remove_index(folder: &Path, generation: u64) {
    let _ = fs::remove_dir_all(folder.join(format!("index.{generation}")));
}
