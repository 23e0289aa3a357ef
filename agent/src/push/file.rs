//! A file that always holds a whole value: written beside, synced, renamed over. A mark beside it tells turnlock's own
//! files from others, which are never overwritten unless told so.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use turnlock_core::Protected;
use turnlock_core::consumer::mode_bits;

use super::PushError;
use super::blocking::GivenUp;
use super::folders::{Folder, Folders};
use super::mark::{self, Mark, Written};
use super::reader::Reader;

/// Bytes that are written to try whether there is room: more than a value has.
const PROBE_BYTES: usize = 4096;

/// Random characters at the end of the name that a value is written to.
const RANDOM_CHARACTERS: usize = 6;

/// The bit of a folder in which nobody replaces the files of others.
const STICKY: u32 = 0o1000;

/// A file to replace.
#[derive(Debug)]
pub(super) struct FileTarget {
    path: PathBuf,
    mode: u32,
    reader: Option<Reader>,
    adopt: bool,
}

impl FileTarget {
    /// The target that these members stand for, which were checked.
    pub(super) fn parse(
        path: &str,
        mode: &str,
        pid_file: Option<&str>,
        signal: Option<&str>,
        adopt: bool,
    ) -> Result<Self, PushError> {
        let mode = mode_bits(mode).ok_or(PushError::Definition { member: "mode" })?;
        let reader = pid_file.map(|pid_file| Reader::parse(pid_file, signal)).transpose()?;
        Ok(Self { path: PathBuf::from(path), mode, reader, adopt })
    }

    /// Whether [`FileTarget::replace`] would succeed now. Writes to a file without a name, so that it leaves nothing behind.
    pub(super) fn reach(&self, folders: &Folders) -> Result<(), PushError> {
        let (folder, path) = self.place(folders)?;
        if let Some(reader) = &self.reader {
            reader.hold(folders)?.try_signal()?;
        }
        mark::reach(&mark::path(&path))?;
        let tried = || -> io::Result<()> {
            let above = std::fs::metadata(folder.path())?;
            let mut nameless = tempfile::tempfile_in(folder.path())?;
            nameless.set_permissions(Permissions::from_mode(self.mode))?;
            nameless.write_all(&[0; PROBE_BYTES])?;
            // In a folder like /tmp only the owner of a file or of the folder may replace it.
            let me = geteuid().as_raw();
            let mine = |file: &Metadata| me == 0 || file.uid() == me;
            match std::fs::symlink_metadata(&path) {
                Ok(present) if above.mode() & STICKY != 0 && !mine(&above) && !mine(&present) => {
                    Err(io::ErrorKind::PermissionDenied.into())
                }
                _ => Ok(()),
            }
        };
        tried().map_err(PushError::File)
    }

    /// The folder of the file, held open, and a path to the file in it. Refuses a file that is not ours.
    fn place(&self, folders: &Folders) -> Result<(Folder, PathBuf), PushError> {
        let name = self.path.file_name().ok_or(PushError::Definition { member: "path" })?;
        let folder = folders.open(&self.path)?;
        let path = folder.path().join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(present) if present.is_dir() => Err(PushError::Occupied),
            Ok(_) if !self.adopt && !mark::path(&path).exists() => Err(PushError::NotOwned),
            _ => Ok((folder, path)),
        }
    }

    /// Puts `value`, which is `version`, in the file and signals its reader, unless a later one was put there or this try is given up
    /// before. On disk when this returns.
    pub(super) fn replace(
        &self,
        value: &Protected,
        version: &Written,
        folders: &Folders,
        given_up: &GivenUp,
    ) -> Result<(), PushError> {
        let (held, path) = self.place(folders)?;
        let reader = self.reader.as_ref().map(|reader| reader.hold(folders)).transpose()?;
        let mark = Mark::lock(&mark::path(&path))?;
        mark.admit(version)?;
        let written = || -> io::Result<()> {
            let folder = held.path();
            let prefix = beside(&path);
            remove_left(&folder, &prefix)?;
            // Made anew with mode 0600, under a name that no other try has; gone again if anything below fails.
            let mut name = prefix;
            name.push("-");
            let mut builder = tempfile::Builder::new();
            let mut beside = builder.prefix(&name).rand_bytes(RANDOM_CHARACTERS).tempfile_in(&folder)?;
            beside.write_all(value.expose())?;
            beside.as_file().set_permissions(Permissions::from_mode(self.mode))?;
            beside.as_file().sync_all()?;
            // The mark first: a crash in between must leave neither a file that is ours and not known to be, nor one that an older
            // version may replace.
            mark.write(version)?;
            given_up.check()?;
            beside.persist(&path).map_err(|error| error.error)?;
            File::open(&folder)?.sync_all()
        };
        written().map_err(PushError::File)?;
        match reader {
            Some(reader) => reader.signal(),
            None => Ok(()),
        }
    }
}

/// How the names begin of the files that a value is written to before one takes the place of the target: `.NAME.turnlock-new`.
fn beside(path: &Path) -> OsString {
    let mut name = mark::path(path).file_name().unwrap_or_default().to_owned();
    name.push("-new");
    name
}

/// Removes what agents left in `folder` that were killed while they wrote. For whoever has the lock: nobody else writes there.
fn remove_left(folder: &Path, prefix: &OsStr) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let is_left = match name.as_bytes().strip_prefix(prefix.as_bytes()) {
            Some([b'-', random @ ..]) => {
                random.len() == RANDOM_CHARACTERS && random.iter().all(u8::is_ascii_alphanumeric)
            }
            rest => rest == Some(b""),
        };
        if is_left {
            std::fs::remove_file(folder.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::print_stdout)]
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use turnlock_core::Protected;
    use turnlock_core::rotation::{Failure, Reason};

    use super::super::{Folders, PushError, ReaderError, blocking::blocking};
    use super::{FileTarget, GivenUp, Mark, Written, mark};

    fn within(folder: &tempfile::TempDir) -> Folders {
        Folders::new([folder.path().to_owned()])
    }

    fn target(path: &std::path::Path, adopt: bool) -> FileTarget {
        FileTarget::parse(path.to_str().unwrap(), "0640", None, None, adopt).unwrap()
    }

    fn version(number: u64) -> Written {
        Written { secret: "secret/app".to_owned(), version: number }
    }

    fn replace(target: &FileTarget, value: &[u8], folders: &Folders) -> Result<(), PushError> {
        target.replace(&Protected::copy_of(value), &version(1), folders, &GivenUp::default())
    }

    #[test]
    fn the_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for value in ["tlk_canary_one", "tlk_canary_two"] {
            replace(&target(&path, false), value.as_bytes(), &within(&folder)).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), value);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    /// Cause: the value was written beside under a random name. Loss: an agent that was killed left it there, in the clear and
    /// for ever. Fix: the name begins in a way that nothing else does, and what has such a one goes.
    #[test]
    fn what_a_killed_agent_left_is_taken_away_and_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, beside) = (folder.path().join("key"), |name: &str| folder.path().join(name));
        let left = [beside(".key.turnlock-new"), beside(".key.turnlock-new-aB3dE6")];
        let others =
            [beside(".key.turnlock-new.turnlock"), beside(".key.turnlock-new-none"), beside(".key2.turnlock-new")];
        for file in left.iter().chain(&others) {
            std::fs::write(file, "tlk_canary_left").unwrap();
        }
        let held = std::fs::File::open(&left[0]).unwrap();
        replace(&target(&path, false), b"tlk_canary_new", &within(&folder)).unwrap();
        assert!(!left.iter().any(|file| file.exists()) && others.iter().all(|file| file.exists()));
        assert_eq!(
            std::io::read_to_string(held).unwrap(),
            "tlk_canary_left",
            "whoever had it open reads the new value"
        );
    }

    /// Cause: a try that hung went on when it had been given up, whatever was in the file by then. Loss: an old value came over a
    /// new one that had been acknowledged. Fix: it looks whether it was given up, and the mark keeps the version.
    #[tokio::test]
    async fn a_try_that_was_given_up_or_comes_late_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, folders) = (folder.path().join("key"), within(&folder));
        replace(&target(&path, false), b"tlk_canary_one", &folders).unwrap();
        let (let_go, hangs) = std::sync::mpsc::channel::<()>();
        let (late, name) = (target(&path, false), path.to_str().unwrap());
        let its_folders = folders.clone();
        let hung = blocking(name, Duration::from_millis(1), move |given_up| {
            let _ = hangs.recv();
            late.replace(&Protected::copy_of(b"tlk_canary_late"), &version(2), &its_folders, given_up)
        });
        assert_eq!(hung.await.map_err(|error| error.reason()), Err(Reason::Unreachable));
        drop(let_go);
        blocking(name, Duration::from_secs(60), |_| Ok(())).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "tlk_canary_one");

        let put = |number, value: &[u8]| {
            let value = Protected::copy_of(value);
            target(&path, false).replace(&value, &version(number), &folders, &GivenUp::default())
        };
        put(3, b"tlk_canary_three").unwrap();
        assert!(matches!(put(2, b"tlk_canary_late"), Err(PushError::Newer)));
        let held = Mark::lock(&mark::path(&path)).unwrap();
        assert!(matches!(put(4, b"tlk_canary_four"), Err(PushError::InUse)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "tlk_canary_three");
        drop(held);
        put(4, b"tlk_canary_four").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone_unless_adopted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "theirs").unwrap();
        let value = b"tlk_canary_file";
        assert!(matches!(replace(&target(&path, false), value, &within(&folder)), Err(PushError::NotOwned)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs");
        replace(&target(&path, true), value, &within(&folder)).unwrap();
        replace(&target(&path, false), value, &within(&folder)).unwrap();
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
        replace(&target, b"tlk_canary_signal", &within(&folder)).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&reader.wait().unwrap()), Some(15));
        std::fs::write(&pid_file, "-1").unwrap();
        assert!(matches!(replace(&target, b"x", &within(&folder)), Err(PushError::Reader(ReaderError::NoId))));
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
        let refused = replace(&target, b"tlk_canary_pid", &within(&folder));
        let running = reader.try_wait().unwrap().is_none();
        reader.kill().unwrap();
        reader.wait().unwrap();
        assert!(matches!(refused, Err(PushError::Reader(ReaderError::Owner))));
        assert!(running);
    }

    #[test]
    fn what_would_be_in_the_way_is_found_without_leaving_anything() {
        let folder = tempfile::tempdir().unwrap();
        let reach = |path: &str, adopt| target(&folder.path().join(path), adopt).reach(&within(&folder));
        reach("key", false).unwrap();
        assert!(matches!(reach("none/key", false).map_err(|error| error.reason()), Err(Reason::Missing)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(folder.path().join("theirs"), "").unwrap();
        assert!(matches!(reach("theirs", false), Err(PushError::NotOwned)));
        reach("theirs", true).unwrap();
        std::fs::create_dir(folder.path().join("taken")).unwrap();
        assert!(matches!(reach("taken", true), Err(PushError::Occupied)));
        // A file system that even root cannot write.
        let target = target(std::path::Path::new("/proc/key"), false);
        let refused = target.reach(&Folders::new(["/proc".into()])).unwrap_err();
        assert_eq!(refused.reason().failure(), Failure::Local, "{refused}");
    }

    #[test]
    fn a_reader_that_cannot_be_signalled_is_found_before_the_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (path, pid_file) = (folder.path().join("key"), folder.path().join("pid"));
        let target = FileTarget::parse(path.to_str().unwrap(), "600", pid_file.to_str(), None, false).unwrap();
        let found = || target.reach(&within(&folder)).map_err(|error| error.reason());
        assert_eq!(found(), Err(Reason::PidMissing));
        for text in ["", "1", "-7", "soon", "\u{fffd}"] {
            std::fs::write(&pid_file, text).unwrap();
            assert_eq!(found(), Err(Reason::PidContent), "{text}");
        }
        std::fs::rename(&pid_file, folder.path().join("other")).unwrap();
        std::os::unix::fs::symlink("other", &pid_file).unwrap();
        assert_eq!(found(), Err(Reason::PidUnreadable));
        std::fs::remove_file(&pid_file).unwrap();
        let mut reader = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        std::fs::write(&pid_file, reader.id().to_string()).unwrap();
        let reached = found();
        let running = reader.try_wait().unwrap().is_none();
        reader.kill().unwrap();
        reader.wait().unwrap();
        reached.unwrap();
        assert!(running, "trying it sent a signal");
        assert_eq!(found(), Err(Reason::Ended));
    }

    #[test]
    fn nothing_outside_the_folders_of_the_agent_is_written_or_signalled() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let value = b"tlk_canary_outside";
        let path = outside.path().join("key");
        assert!(matches!(replace(&target(&path, true), value, &within(&inside)), Err(PushError::Folder)));
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        // The reader's process id lies elsewhere: nothing is written either.
        let path = inside.path().join("key");
        let pid_file = outside.path().join("pid");
        std::fs::write(&pid_file, "2").unwrap();
        let target = FileTarget::parse(path.to_str().unwrap(), "600", pid_file.to_str(), None, false).unwrap();
        let refused = replace(&target, value, &within(&inside)).map_err(|error| error.reason());
        assert_eq!(refused, Err(Reason::PidFolder));
        assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_the_place_of_the_file_is_replaced_and_not_followed() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (path, victim) = (inside.path().join("key"), outside.path().join("victim"));
        std::fs::write(&victim, "theirs").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        replace(&target(&path, true), b"tlk_canary_link", &within(&inside)).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "theirs");
        assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
    }
}
