//! A file that always holds a whole value: written beside, synced, renamed over. A mark beside it tells turnlock's own
//! files from others, which are never overwritten unless told so.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use turnlock_core::Protected;

use super::PushError;
use super::folders::{Folder, Folders};

/// Permission bits that may be given.
const MODES: u32 = 0o777;

/// A file to replace.
#[derive(Debug)]
pub(super) struct FileTarget {
    path: PathBuf,
    mode: u32,
    signal: Option<(PathBuf, Signal)>,
    adopt: bool,
}

impl FileTarget {
    pub(super) fn parse(
        path: &str,
        mode: &str,
        pid_file: Option<&str>,
        signal: Option<&str>,
        adopt: bool,
    ) -> Result<Self, PushError> {
        let invalid = |member| PushError::Definition { member };
        let path = PathBuf::from(path);
        if !path.is_absolute() || dotted(&path) || path.file_name().is_none() {
            return Err(invalid("path"));
        }
        let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| mode & !MODES == 0).ok_or(invalid("mode"))?;
        let signal = match (pid_file, signal) {
            (None, None) => None,
            (Some(pid_file), _) if dotted(Path::new(pid_file)) => return Err(invalid("pid_file")),
            (Some(pid_file), name) => Some((PathBuf::from(pid_file), signal_of(name.unwrap_or("HUP"))?)),
            (None, Some(_)) => return Err(invalid("pid_file")),
        };
        Ok(Self { path, mode, signal, adopt })
    }

    /// Puts `value` in the file and signals its reader. On disk when this returns.
    pub(super) fn replace(&self, value: &Protected, folders: &Folders) -> Result<(), PushError> {
        let name = self.path.file_name().ok_or(PushError::Definition { member: "path" })?;
        let held = folders.open(&self.path)?;
        let readers = match &self.signal {
            Some((pid_file, signal)) => Some((folders.open(pid_file)?, pid_file, *signal)),
            None => None,
        };
        let folder = held.path();
        let (path, mark) = (folder.join(name), folder.join(mark(name)));
        let present = std::fs::symlink_metadata(&path).is_ok();
        if present && !self.adopt && !mark.exists() {
            return Err(PushError::NotOwned);
        }
        let written = || -> io::Result<()> {
            // The mark first: a crash in between must not leave a file that is ours and not known to be.
            if !mark.exists() {
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&mark)?.sync_all()?;
            }
            // Random name, created anew with mode 0600; gone again if anything below fails.
            let mut beside = tempfile::Builder::new().prefix(".turnlock-").tempfile_in(&folder)?;
            beside.write_all(value.expose())?;
            beside.as_file().set_permissions(Permissions::from_mode(self.mode))?;
            beside.as_file().sync_all()?;
            beside.persist(&path).map_err(|error| error.error)?;
            File::open(&folder)?.sync_all()
        };
        written().map_err(PushError::File)?;
        match readers {
            Some((folder, pid_file, signal)) => notify(&folder, pid_file, signal),
            None => Ok(()),
        }
    }
}

/// An empty file beside the target: `.NAME.turnlock`.
fn mark(name: &OsStr) -> OsString {
    let mut mark = OsString::from(".");
    mark.push(name);
    mark.push(".turnlock");
    mark
}

fn dotted(path: &Path) -> bool {
    path.components().any(|part| matches!(part, std::path::Component::ParentDir))
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

fn notify(folder: &Folder, pid_file: &Path, signal: Signal) -> Result<(), PushError> {
    let path = folder.path().join(pid_file.file_name().ok_or(PushError::Definition { member: "pid_file" })?);
    // Not through a link, and never waiting for a pipe's other end.
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|_| PushError::Signal)?;
    let owner = file.metadata().map_err(|_| PushError::Signal)?.uid();
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).map_err(|_| PushError::Signal)?;
    // Greater than 1: zero and negative numbers mean groups, one is the system's first process.
    let pid = text.trim().parse::<i32>().ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
    let pid = pid.ok_or(PushError::Signal)?;
    // Whoever else wrote it could have the agent signal any process that the agent may, not only his own.
    let of_process = || std::fs::metadata(format!("/proc/{}", pid.as_raw_nonzero())).ok().map(|process| process.uid());
    if owner != 0 && owner != geteuid().as_raw() && of_process() != Some(owner) {
        return Err(PushError::Signal);
    }
    kill_process(pid, signal).map_err(|_| PushError::Signal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::print_stdout)]
    use std::os::unix::fs::PermissionsExt as _;

    use turnlock_core::Protected;

    use super::super::{Folders, PushError};
    use super::FileTarget;

    fn within(folder: &tempfile::TempDir) -> Folders {
        Folders::new([folder.path().to_owned()])
    }

    fn target(path: &std::path::Path, adopt: bool) -> FileTarget {
        FileTarget::parse(path.to_str().unwrap(), "0640", None, None, adopt).unwrap()
    }

    #[test]
    fn the_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for value in ["tlk_canary_one", "tlk_canary_two"] {
            target(&path, false).replace(&Protected::copy_of(value.as_bytes()), &within(&folder)).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), value);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone_unless_adopted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "theirs").unwrap();
        let value = Protected::copy_of(b"tlk_canary_file");
        assert!(matches!(target(&path, false).replace(&value, &within(&folder)), Err(PushError::NotOwned)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs");
        target(&path, true).replace(&value, &within(&folder)).unwrap();
        target(&path, false).replace(&value, &within(&folder)).unwrap();
    }

    #[test]
    fn the_reader_is_signalled() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid_file = folder.path().join("pid");
        std::fs::write(&pid_file, format!("{}\n", reader.id())).unwrap();
        let path = folder.path().join("key");
        let target =
            FileTarget::parse(path.to_str().unwrap(), "600", pid_file.to_str(), Some("SIGTERM"), false).unwrap();
        target.replace(&Protected::copy_of(b"tlk_canary_signal"), &within(&folder)).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&reader.wait().unwrap()), Some(15));
        std::fs::write(&pid_file, "-1").unwrap();
        assert!(matches!(target.replace(&Protected::copy_of(b"x"), &within(&folder)), Err(PushError::Signal)));
    }

    #[test]
    fn a_pid_file_of_another_user_signals_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        std::fs::write(&pid_file, "2000000000").unwrap();
        // Only root can give a file away.
        if std::os::unix::fs::chown(&pid_file, Some(65_534), None).is_err() {
            println!("no right to give a file to another user: nothing can be tried here");
            return;
        }
        let mut reader = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        std::fs::write(&pid_file, reader.id().to_string()).unwrap();
        let path = folder.path().join("key");
        let target = FileTarget::parse(path.to_str().unwrap(), "600", pid_file.to_str(), Some("TERM"), false).unwrap();
        let refused = target.replace(&Protected::copy_of(b"tlk_canary_pid"), &within(&folder));
        let running = reader.try_wait().unwrap().is_none();
        reader.kill().unwrap();
        reader.wait().unwrap();
        assert!(matches!(refused, Err(PushError::Signal)));
        assert!(running);
    }

    #[test]
    fn definitions_that_cannot_work_are_refused() {
        let parse = |path, mode, pid_file, signal| FileTarget::parse(path, mode, pid_file, signal, false);
        assert!(parse("relative", "0600", None, None).is_err());
        assert!(parse("/run/../etc/key", "0600", None, None).is_err());
        assert!(parse("/run/key", "4755", None, None).is_err());
        assert!(parse("/run/key", "rw", None, None).is_err());
        assert!(parse("/run/key", "0600", None, Some("HUP")).is_err());
        assert!(parse("/run/key", "0600", Some("/run/pid"), Some("KILL")).is_err());
        assert!(parse("/run/key", "0600", Some("/run/../tmp/pid"), None).is_err());
    }

    #[test]
    fn nothing_outside_the_folders_of_the_agent_is_written_or_signalled() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let value = Protected::copy_of(b"tlk_canary_outside");
        let path = outside.path().join("key");
        assert!(matches!(target(&path, true).replace(&value, &within(&inside)), Err(PushError::Folder)));
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        // The reader's process id lies elsewhere: nothing is written either.
        let path = inside.path().join("key");
        let pid_file = outside.path().join("pid");
        std::fs::write(&pid_file, "2").unwrap();
        let target = FileTarget::parse(path.to_str().unwrap(), "600", pid_file.to_str(), None, false).unwrap();
        assert!(matches!(target.replace(&value, &within(&inside)), Err(PushError::Folder)));
        assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_the_place_of_the_file_is_replaced_and_not_followed() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (path, victim) = (inside.path().join("key"), outside.path().join("victim"));
        std::fs::write(&victim, "theirs").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        target(&path, true).replace(&Protected::copy_of(b"tlk_canary_link"), &within(&inside)).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "theirs");
        assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
    }
}
