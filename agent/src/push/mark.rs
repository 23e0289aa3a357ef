//! The mark beside a file of turnlock's own, `.NAME.turnlock`: it tells the file from others, says which version it was given last,
//! and is locked by whoever replaces it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{PushError, blocking};

/// Most bytes of a mark that are read; the longest path of a secret has fewer.
const LIMIT: u64 = 64 * 1024;

/// What was written into a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    /// Mount and path: the versions of one secret say nothing of those of another.
    pub(super) secret: String,
    pub(super) version: u64,
}

/// A mark that is locked, until this is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Mark(File);

/// Where the mark of `file` is.
pub(super) fn path(file: &Path) -> PathBuf {
    let mut mark = OsString::from(".");
    mark.push(file.file_name().unwrap_or_default());
    mark.push(".turnlock");
    file.with_file_name(mark)
}

/// Whether the mark at `path`, if there is one, could be locked and written.
pub(super) fn reach(path: &Path) -> Result<(), PushError> {
    match open(OpenOptions::new().read(true).write(true), path) {
        Err(PushError::File(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map(drop),
    }
}

fn open(options: &mut OpenOptions, path: &Path) -> Result<File, PushError> {
    let file = blocking::open(options, OFlags::NOFOLLOW, path).map_err(PushError::File)?;
    if file.metadata().map_err(PushError::File)?.is_file() { Ok(file) } else { Err(PushError::NotOwned) }
}

impl Mark {
    /// Locks the mark at `path`, which is made if there is none. Does not wait for whoever has it: he may hang for ever.
    pub(super) fn lock(path: &Path) -> Result<Self, PushError> {
        let mut options = OpenOptions::new();
        let file = open(options.read(true).write(true).create(true).truncate(false).mode(0o600), path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(Errno::WOULDBLOCK) => Err(PushError::InUse),
            Err(error) => Err(PushError::File(error.into())),
        }
    }

    /// Refuses `next` if a later version of the same secret was written. A mark that names no version, as those of old, refuses none.
    pub(super) fn admit(&self, next: &Written) -> Result<(), PushError> {
        let mut text = Vec::new();
        (&self.0).take(LIMIT).read_to_end(&mut text).map_err(PushError::File)?;
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match serde_json::from_slice::<Written>(line) {
            Ok(last) if last.secret == next.secret && last.version > next.version => Err(PushError::Newer),
            _ => Ok(()),
        }
    }

    /// Says that `next` is written. On disk when this returns.
    pub(super) fn write(&self, next: &Written) -> io::Result<()> {
        let mut line = serde_json::to_vec(next)?;
        line.push(b'\n');
        // In place, because the lock is on this file. What is longer is cut off last: only the first line counts.
        self.0.write_all_at(&line, 0)?;
        self.0.set_len(line.len() as u64)?;
        self.0.sync_all()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::PushError;
    use super::{Mark, Written};

    #[test]
    fn a_mark_refuses_what_is_older_than_what_was_written_last_of_the_same_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = super::path(&folder.path().join("key"));
        let written = |secret: &str, version| Written { secret: secret.to_owned(), version };
        let admits = |next: &Written| match Mark::lock(&path).unwrap().admit(next) {
            Ok(()) => true,
            Err(PushError::Newer) => false,
            Err(error) => panic!("{error}"),
        };
        for of_old in ["", "{\"secret\":\"secret/app\"", "7\n"] {
            std::fs::write(&path, of_old).unwrap();
            assert!(admits(&written("secret/app", 1)), "{of_old}");
        }
        for last in [written("secret/with/a/longer/name", 4), written("secret/app", 9), written("secret/app", 10)] {
            let mark = Mark::lock(&path).unwrap();
            mark.admit(&last).unwrap();
            mark.write(&last).unwrap();
        }
        assert!(admits(&written("secret/app", 10)) && admits(&written("secret/app", 11)));
        assert!(!admits(&written("secret/app", 9)) && admits(&written("secret/other", 1)));
    }

    #[test]
    fn a_mark_that_is_locked_is_not_waited_for_and_one_that_is_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("mark"), folder.path().join("link"));
        let held = Mark::lock(&path).unwrap();
        assert!(matches!(Mark::lock(&path), Err(PushError::InUse)));
        drop(held);
        Mark::lock(&path).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(Mark::lock(&link), Err(PushError::File(_))));
        assert!(super::reach(&path).is_ok() && super::reach(&link).is_err());
        assert!(super::reach(&folder.path().join("none")).is_ok());
    }
}
