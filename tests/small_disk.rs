//! A small file system of its own, so that a test can fill it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system in a folder. Dropping it takes it away again.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// In `folder`, with room for `size` as `mount` reads it. `None`, which is said, without the right to mount one.
    pub(crate) fn mount(folder: &Path, size: &str) -> Option<Self> {
        let size = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        println!("no right to mount a small file system: a full disk cannot be made here");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
