//! Every change of a file that must survive a power cut goes through here, so that a test can record the changes, throw
//! away what was not synced, and refuse one.
//!
//! In production it is nothing but the calls themselves: `pwrite`, `fdatasync`, `ftruncate`, `rename`, `unlink`, and
//! `fsync` of the folder, whose entries are files of their own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};

/// The files of one store.
#[derive(Clone, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) trace: Option<std::sync::Arc<parking_lot::Mutex<Trace>>>,
}

/// What a test records, and what it refuses.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Trace {
    pub(super) steps: Vec<Step>,
    /// The next write stores this many bytes and then fails with "no space left".
    pub(super) full_after: Option<usize>,
    /// Only of files whose name ends so.
    pub(super) full_name: &'static str,
}

#[cfg(test)]
impl Trace {
    /// How much of a write to `path` is stored before the disk is full.
    fn full_for(&mut self, path: &Path) -> Option<usize> {
        path.to_string_lossy().ends_with(self.full_name).then(|| self.full_after.take()).flatten()
    }
}

/// One change. Made in tests only.
#[derive(Debug, Clone)]
#[cfg_attr(not(test), allow(dead_code))]
pub(super) enum Step {
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Cut(PathBuf, u64),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncFolder,
    /// A test saw a commit answered.
    Acknowledged,
    /// A test closed the store in order.
    Closed,
}

impl Disk {
    /// An empty file for reading and writing.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        self.note(|| Step::Create(path.to_owned()));
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
    }

    pub(super) fn write_at(&self, file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        if let Some(full) = self.trace.as_ref().and_then(|trace| trace.lock().full_for(path)) {
            let kept = bytes.get(..full).unwrap_or(bytes);
            self.note(|| Step::Write(path.to_owned(), offset, kept.to_vec()));
            file.write_all_at(kept, offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.note(|| Step::Write(path.to_owned(), offset, bytes.to_vec()));
        file.write_all_at(bytes, offset)
    }

    pub(super) fn cut(&self, file: &File, path: &Path, length: u64) -> io::Result<()> {
        self.note(|| Step::Cut(path.to_owned(), length));
        file.set_len(length)
    }

    /// Content and length are on disk afterwards; the name is only after [`Disk::sync_folder`].
    pub(super) fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        file.sync_data()?;
        self.note(|| Step::Sync(path.to_owned()));
        Ok(())
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(|| Step::Rename(from.to_owned(), to.to_owned()));
        fs::rename(from, to)
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)?;
        self.note(|| Step::Remove(path.to_owned()));
        Ok(())
    }

    pub(super) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()?;
        self.note(|| Step::SyncFolder);
        Ok(())
    }

    /// Makes `folder` and its parents, durably: a store whose own folder is lost has lost everything. Nobody but the
    /// owner may look into what is made here.
    pub(super) fn create_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.create_folder(parent)?;
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        File::open(parent)?.sync_all()
    }

    #[cfg(test)]
    fn note(&self, step: impl FnOnce() -> Step) {
        if let Some(trace) = &self.trace {
            trace.lock().steps.push(step());
        }
    }

    #[cfg(not(test))]
    #[inline]
    fn note(&self, _: impl FnOnce() -> Step) {}
}
