//! The file of an audit device: continues a chain, notices when it is taken away, goes on in a new file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;
use turnlock_core::audit::{Chain, Kind};

use super::AuditConfig;
use super::tail::Tail;
use crate::clock::SharedClock;
use crate::response::rfc3339;

/// Why an audit device could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("the audit file {} cannot be opened", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Another process writes it.
    #[error("another process writes the audit file {}", .0.display())]
    Locked(PathBuf),
    /// Its end is not the end of a chain.
    #[error("the audit file {} does not end with an audit record; move it away", .0.display())]
    NotAChain(PathBuf),
}

/// The open file and the end of its chain.
pub(super) struct AuditFile {
    path: PathBuf,
    rotate_bytes: u64,
    rotate_age: Duration,
    /// Shared with the thread that syncs.
    file: Arc<File>,
    /// Not a pipe or another device.
    pub(super) regular: bool,
    length: u64,
    first_seq: u64,
    begun: DateTime<Utc>,
    pub(super) chain: Chain,
    /// Whether a failed write may have left part of a line that must be cut off before the next one.
    torn: bool,
    /// A sync failed. The system tells that once, and what is on disk is unknown from there on.
    pub(super) unsynced: bool,
}

#[derive(Deserialize)]
struct FirstLine {
    seq: u64,
    time: DateTime<Utc>,
}

/// All files of the device at `path`, oldest first, as the proof reads them.
pub fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let position =
            entry.file_name().to_str().and_then(|text| text.strip_prefix(name)?.strip_prefix('.')?.parse::<u64>().ok());
        found.extend(position.map(|position| (position, entry.path())));
    }
    found.sort();
    let current = path.exists().then(|| path.to_owned());
    Ok(found.into_iter().map(|(_, path)| path).chain(current).collect())
}

impl AuditFile {
    /// Opens or makes the file and finds the end of its chain.
    pub(super) fn open(config: &AuditConfig, clock: &SharedClock) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: config.path.clone(), source };
        let file = open(&config.path).map_err(failed)?;
        let regular = file.metadata().map_err(failed)?.is_file();
        if regular && flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(OpenError::Locked(config.path.clone()));
        }
        let mut opened = Self {
            path: config.path.clone(),
            rotate_bytes: config.rotate_bytes,
            rotate_age: config.rotate_age,
            file: Arc::new(file),
            regular,
            length: 0,
            first_seq: 1,
            begun: clock.now(),
            chain: Chain::default(),
            torn: false,
            unsynced: false,
        };
        if regular {
            opened.resume(clock)?;
        } else {
            opened.header(clock).map_err(failed)?;
        }
        Ok(opened)
    }

    fn resume(&mut self, clock: &SharedClock) -> Result<(), OpenError> {
        let path = self.path.clone();
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let length = self.file.metadata().map_err(failed)?.len();
        let tail = Tail::read(&self.file, length).map_err(failed)?;
        let Some(chain) = tail.chain else {
            // A first line that a crash tore has nothing before it that could be lost.
            if length > 0 && !tail.torn_header {
                return Err(OpenError::NotAChain(self.path.clone()));
            }
            self.file.set_len(0).map_err(failed)?;
            self.chain = self.previous_file();
            return self.header(clock).and_then(|()| sync_folder(&self.path)).map_err(failed);
        };
        let mut first = String::new();
        let mut reader = BufReader::new(&*self.file);
        reader.seek(SeekFrom::Start(0)).map_err(failed)?;
        reader.take(1 << 20).read_line(&mut first).map_err(failed)?;
        let first: FirstLine = serde_json::from_str(&first).map_err(|_| OpenError::NotAChain(self.path.clone()))?;
        (self.chain, self.length, self.first_seq, self.begun) = (chain, tail.whole, first.seq, first.time);
        if tail.whole < length {
            self.file.set_len(tail.whole).map_err(failed)?;
            self.notice(clock, &format!("\"event\":\"torn record cut off\",\"bytes\":{}", length - tail.whole))
                .map_err(failed)?;
        }
        if tail.foreign {
            // They stay where they are: what somebody did to the file is for the proof to show.
            tracing::error!(audit.path = %self.path.display(), "the audit file ends with lines that are no records");
            self.notice(clock, "\"event\":\"lines that are no records end the file\"").map_err(failed)?;
        }
        Ok(())
    }

    /// The end of the chain in the newest finished file, when the current one was removed.
    fn previous_file(&self) -> Chain {
        let newest = files(&self.path).ok().and_then(|files| files.into_iter().rev().find(|file| *file != self.path));
        let end = newest.and_then(|path| {
            let file = File::open(path).ok()?;
            let length = file.metadata().ok()?.len();
            Tail::read(&file, length).ok()?.chain
        });
        end.unwrap_or_default()
    }

    /// The file, for the thread that syncs.
    pub(super) fn handle(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Brings what was written to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let synced = self.file.sync_data();
        // Pipes have nothing to sync.
        self.unsynced |= self.regular && synced.is_err();
        synced
    }

    /// Lets another process have the file.
    pub(super) fn unlock(&self) {
        // The handle itself may be held by the other thread for a moment longer.
        let _ = flock(&*self.file, FlockOperation::Unlock);
    }

    /// Writes whole lines, all or nothing, and moves the chain to `chain`.
    pub(super) fn write(&mut self, lines: &[u8], chain: Chain) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.length)?;
            self.torn = false;
        }
        if let Err(error) = (&*self.file).write_all(lines) {
            // A part of a line would be glued to the next one.
            self.torn = self.regular && self.file.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += lines.len() as u64;
        self.chain = chain;
        Ok(())
    }

    /// Whether it is time for a new file by this one's size.
    pub(super) fn is_large(&self) -> bool {
        self.regular && self.length >= self.rotate_bytes
    }

    /// Begins a new file when this one is large or old enough.
    pub(super) fn rotate_if_due(&mut self, clock: &SharedClock) -> io::Result<bool> {
        let age = (clock.now() - self.begun).to_std().unwrap_or_default();
        let old = !self.rotate_age.is_zero() && age >= self.rotate_age && self.chain.seq > self.first_seq;
        if !self.regular || !(old || self.is_large()) {
            return Ok(false);
        }
        self.sync()?;
        let mut finished = self.path.clone().into_os_string();
        finished.push(format!(".{:012}", self.first_seq));
        std::fs::rename(&self.path, finished)?;
        self.begin(clock)?;
        Ok(true)
    }

    /// Begins a new file when the path leads to another one or to none, and says so on the chain. Answers whether it
    /// did.
    pub(super) fn check(&mut self, clock: &SharedClock) -> io::Result<bool> {
        if !self.regular {
            return Ok(false);
        }
        let ours = self.file.metadata()?;
        let there = std::fs::metadata(&self.path);
        let same = there.is_ok_and(|there| there.ino() == ours.ino() && there.dev() == ours.dev());
        if same && ours.len() == self.length {
            return Ok(false);
        }
        if same {
            tracing::error!(audit.path = %self.path.display(), "someone else changed the audit file's length");
            self.length = ours.len();
            self.end_line()?;
            self.notice(clock, "\"event\":\"the file's length was changed by someone else\"")?;
            return Ok(false);
        }
        self.begin(clock)?;
        tracing::error!(audit.path = %self.path.display(), "the audit file was moved or deleted; a new one was begun");
        self.notice(clock, "\"event\":\"the file before this one was moved or deleted\"")?;
        Ok(true)
    }

    /// Goes on in the file that the path leads to now. When that fails the old file stays in use and nothing of the
    /// attempt is left.
    fn begin(&mut self, clock: &SharedClock) -> io::Result<()> {
        // Who waits for the disk will ask the new file only.
        self.sync()?;
        let file = open(&self.path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let length = file.metadata()?.len();
        let mut next =
            Self { file: Arc::new(file), length, begun: clock.now(), torn: false, path: self.path.clone(), ..*self };
        let begun = next.end_line().and_then(|()| next.header(clock)).and_then(|()| sync_folder(&self.path));
        if let Err(error) = begun {
            let _ = next.file.set_len(length);
            return Err(error);
        }
        *self = next;
        Ok(())
    }

    /// Ends a line that somebody else left open, so that the next record is not glued to it.
    fn end_line(&mut self) -> io::Result<()> {
        let mut last = [b'\n'];
        if let Some(place) = self.length.checked_sub(1) {
            self.file.read_exact_at(&mut last, place)?;
        }
        if last != *b"\n" {
            (&*self.file).write_all(b"\n")?;
            self.length += 1;
        }
        Ok(())
    }

    fn header(&mut self, clock: &SharedClock) -> io::Result<()> {
        let time = rfc3339(clock.now());
        let previous = hex::encode(self.chain.hash);
        let members = format!("{{\"format\":1,\"time\":\"{time}\",\"previous\":\"{previous}\"}}");
        self.first_seq = self.chain.seq + 1;
        self.append(Kind::Header, members.as_bytes())
    }

    /// Another file underneath, for tests of failing disks.
    #[cfg(test)]
    pub(super) fn swap(&mut self, file: File, regular: bool) {
        self.regular = regular;
        self.file = Arc::new(file);
    }

    /// Writes what happened to the audit itself. `members`: JSON members without braces.
    pub(super) fn notice(&mut self, clock: &SharedClock, members: &str) -> io::Result<()> {
        let time = rfc3339(clock.now());
        self.append(Kind::Notice, format!("{{\"time\":\"{time}\",{members}}}").as_bytes())
    }

    /// Writes one record by itself.
    pub(super) fn append(&mut self, kind: Kind, members: &[u8]) -> io::Result<()> {
        let (mut chain, mut line) = (self.chain, Vec::new());
        chain.append(kind, members, &mut line);
        self.write(&line, chain)
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Never through a symbolic link: whoever owns the directory could aim it elsewhere.
    let flags = rustix::fs::OFlags::NOFOLLOW.bits();
    let flags = i32::try_from(flags).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(flags);
    match options.open(path) {
        // Pipes and devices cannot always be read.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => OpenOptions::new().append(true).open(path),
        opened => opened,
    }
}

/// The folder too: after a power cut a new file must still have its name.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
