//! The process that reads a file of a target and is signalled when that was replaced: whom its `pid_file` names.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};
use turnlock_core::rotation::Reason;

use super::folders::Folder;
use super::{Folders, PushError, blocking};

/// Why the reader of a file cannot be signalled.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// The agent was not given the folder.
    #[error("pid_file is in no folder that this agent was given: -target-dir, or target_dirs in the stanza agent")]
    Folder,
    /// There is no such file.
    #[error("pid_file does not exist")]
    Missing,
    /// The file is there, and closed or a link.
    #[error("pid_file cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// Something else stands in it.
    #[error("pid_file holds no process id, which is a number above 1")]
    NoId,
    /// Somebody else names the reader.
    #[error("pid_file belongs to another user")]
    Owner,
    /// Nobody has the id.
    #[error("no process has the id in pid_file")]
    Ended,
    /// The system does not let this agent.
    #[error("the process that pid_file names cannot be signalled: {0}")]
    Signal(#[source] io::Error),
}

impl ReaderError {
    /// What is stored with the attempt.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Folder => Reason::PidFolder,
            Self::Missing => Reason::PidMissing,
            Self::Unreadable(_) => Reason::PidUnreadable,
            Self::NoId => Reason::PidContent,
            Self::Owner => Reason::PidOwner,
            Self::Ended => Reason::Ended,
            Self::Signal(_) => Reason::Signal,
        }
    }
}

/// Who is signalled, and how.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pid_file: PathBuf,
    signal: Signal,
}

/// The same with the folder of its `pid_file` held open.
pub(super) struct Held<'a> {
    reader: &'a Reader,
    folder: Folder,
}

impl Reader {
    /// The reader that these members stand for, which were checked.
    pub(super) fn parse(pid_file: &str, signal: Option<&str>) -> Result<Self, PushError> {
        Ok(Self { pid_file: PathBuf::from(pid_file), signal: signal_of(signal.unwrap_or("HUP"))? })
    }

    /// Opens the folder, before anything is written.
    pub(super) fn hold(&self, folders: &Folders) -> Result<Held<'_>, PushError> {
        let folder = folders.open(&self.pid_file).map_err(|error| match error {
            PushError::Folder => ReaderError::Folder.into(),
            PushError::File(error) => of_file(error).into(),
            other => other,
        })?;
        Ok(Held { reader: self, folder })
    }
}

impl Held<'_> {
    /// Whether [`Held::signal`] would succeed now.
    pub(super) fn try_signal(&self) -> Result<(), PushError> {
        Ok(test_kill_process(self.process()?).map_err(of_signal)?)
    }

    /// Sends the signal.
    pub(super) fn signal(&self) -> Result<(), PushError> {
        Ok(kill_process(self.process()?, self.reader.signal).map_err(of_signal)?)
    }

    /// The process that the file names, if the agent may signal it on that file's word.
    fn process(&self) -> Result<Pid, PushError> {
        let name = self.reader.pid_file.file_name().ok_or(PushError::Definition { member: "pid_file" })?;
        let path = self.folder.path().join(name);
        let file = blocking::open(OpenOptions::new().read(true), OFlags::NOFOLLOW, &path).map_err(of_file)?;
        let owner = file.metadata().map_err(ReaderError::Unreadable)?.uid();
        let mut text = Vec::new();
        file.take(64).read_to_end(&mut text).map_err(ReaderError::Unreadable)?;
        let text = std::str::from_utf8(&text).map_err(|_| ReaderError::NoId)?;
        // Greater than 1: zero and negative numbers mean groups, one is the system's first process.
        let pid = text.trim().parse::<i32>().ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
        let pid = pid.ok_or(ReaderError::NoId)?;
        if owner == 0 || owner == geteuid().as_raw() {
            return Ok(pid);
        }
        // Whoever else wrote it could have the agent signal any process that the agent may, not only his own.
        let process = std::fs::metadata(format!("/proc/{}", pid.as_raw_nonzero())).map_err(|_| ReaderError::Ended)?;
        if process.uid() == owner { Ok(pid) } else { Err(ReaderError::Owner.into()) }
    }
}

fn of_file(error: io::Error) -> ReaderError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReaderError::Missing,
        _ => ReaderError::Unreadable(error),
    }
}

fn of_signal(error: Errno) -> ReaderError {
    match error {
        Errno::SRCH => ReaderError::Ended,
        other => ReaderError::Signal(other.into()),
    }
}

fn signal_of(name: &str) -> Result<Signal, PushError> {
    match name.strip_prefix("SIG").unwrap_or(name) {
        "HUP" => Ok(Signal::HUP),
        "USR1" => Ok(Signal::USR1),
        "USR2" => Ok(Signal::USR2),
        "INT" => Ok(Signal::INT),
        "TERM" => Ok(Signal::TERM),
        _ => Err(PushError::Definition { member: "signal" }),
    }
}
