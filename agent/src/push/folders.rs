//! The folders into which an agent may write, and in which it may learn whom to signal. A definition names paths; which of
//! them may be reached with the agent's rights is for whoever runs the agent to say.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use super::PushError;

/// What an agent may reach of its machine's files: nothing, unless told so.
#[derive(Debug, Clone, Default)]
pub struct Folders(Vec<PathBuf>);

/// A folder that is held open: whatever its path leads to later, this is the one that was looked at.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folders {
    /// These folders and all below them.
    pub fn new(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(folders.into_iter().collect())
    }

    /// Opens the folder in which `path` lies. Below the folder that was named no symbolic link is followed, so that who may
    /// write there cannot lead elsewhere.
    pub(super) fn open(&self, path: &Path) -> Result<Folder, PushError> {
        let parent = path.parent().ok_or(PushError::Definition { member: "path" })?;
        // The deepest one that fits: a link above it is of no concern.
        let fitting = self.0.iter().filter_map(|folder| Some((folder, parent.strip_prefix(folder).ok()?)));
        let (top, below) = fitting.min_by_key(|(_, below)| below.components().count()).ok_or(PushError::Folder)?;
        let failed = |error: Errno| match error {
            Errno::LOOP | Errno::XDEV => PushError::Folder,
            other => PushError::File(other.into()),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = open(top, flags, Mode::empty()).map_err(failed)?;
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(top, below, flags, Mode::empty(), resolve).map(Folder).map_err(failed)
    }
}

impl Folder {
    /// A path to the folder itself, not to whatever has its name by now.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::PushError;
    use super::Folders;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_path_is_reached_below_the_named_folders_only() {
        let top = tempfile::tempdir().unwrap();
        let path = |name: &str| top.path().join(name);
        for folder in ["run/app/deep", "run/app2", "etc"] {
            std::fs::create_dir_all(path(folder)).unwrap();
        }
        let folders = Folders::new([path("run/app"), path("none")]);
        for reached in ["run/app/key", "run/app/deep/key"] {
            let folder = folders.open(&path(reached)).unwrap();
            let there = std::fs::canonicalize(folder.path()).unwrap();
            assert_eq!(there, path(reached).parent().unwrap().canonicalize().unwrap());
        }
        for other in ["run/app2/key", "run/key", "run/app", "etc/key"] {
            assert!(matches!(folders.open(&path(other)), Err(PushError::Folder)), "{other}");
        }
        assert!(matches!(Folders::default().open(&path("run/app/key")), Err(PushError::Folder)));
        assert!(matches!(folders.open(&path("none/key")), Err(PushError::File(_))));
    }

    #[test]
    fn a_link_below_a_named_folder_leads_nowhere() {
        let top = tempfile::tempdir().unwrap();
        let (allowed, secret) = (top.path().join("allowed"), top.path().join("secret"));
        std::fs::create_dir_all(allowed.join("plain")).unwrap();
        std::fs::create_dir(&secret).unwrap();
        symlink(&secret, allowed.join("away")).unwrap();
        symlink("plain", allowed.join("within")).unwrap();
        let folders = Folders::new([allowed.clone()]);
        for link in ["away/key", "within/key"] {
            assert!(matches!(folders.open(&allowed.join(link)), Err(PushError::Folder)), "{link}");
        }
        // The operator's own link is followed.
        let named = top.path().join("named");
        symlink(&allowed, &named).unwrap();
        let folder = Folders::new([named.clone()]).open(&named.join("plain/key")).unwrap();
        assert_eq!(std::fs::canonicalize(folder.path()).unwrap(), allowed.join("plain").canonicalize().unwrap());
    }

    #[test]
    fn a_folder_that_was_opened_is_not_exchanged() {
        let top = tempfile::tempdir().unwrap();
        let (folder, other) = (top.path().join("a/b"), top.path().join("other"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir(&other).unwrap();
        let held = Folders::new([top.path().join("a")]).open(&folder.join("key")).unwrap();
        std::fs::rename(&folder, top.path().join("a/moved")).unwrap();
        symlink(&other, &folder).unwrap();
        std::fs::write(held.path().join("key"), "tlk_canary_exchanged").unwrap();
        assert_eq!(std::fs::read_dir(&other).unwrap().count(), 0);
    }
}
