//! A part of the barrier with names of its own, and the changes that one commit makes.
//!
//! Names never reach the store. A record's storage key is three keyed hashes side by side: of the space (8 bytes), of
//! the folder (16) and of the name in it (16). So a space or a folder is one prefix scan, and nothing on disk reveals a
//! name; the true name lies in the sealed value. A level is read whole to be sorted.
//!
//! A folder is listed in its parent through a marker, an empty record whose name ends with a slash. Who creates a path puts
//! the markers of all its folders in the same commit, unconditionally. Who removes the last path of a folder removes
//! the marker only if it is still the one that was there before the folder was seen empty; a creation in between puts
//! it anew, and the removal conflicts.

use ring::hmac;
use turnlock_core::Protected;
use zeroize::Zeroizing;

use super::{Barrier, BarrierError, Record};
use crate::store::{Key, Precondition, Revision, Write};

pub(super) const SPACE_BYTES: usize = 8;
pub(super) const FOLDER_BYTES: usize = SPACE_BYTES + 16;
const KEY_BYTES: usize = FOLDER_BYTES + 16;

/// A space of the barrier. Cheap to clone.
#[derive(Clone)]
pub struct View {
    barrier: Barrier,
    space: std::sync::Arc<str>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("View").field(&self.space).finish()
    }
}

impl View {
    pub(super) fn new(barrier: Barrier, space: &str) -> Self {
        Self { barrier, space: space.into() }
    }

    /// The record at `path`.
    pub async fn get(&self, path: &str) -> Result<Option<Record>, BarrierError> {
        let open = self.barrier.open()?;
        let key = open.names.key(&self.space, path);
        self.barrier.read(&open, &key).await.map(|found| found.map(|(_, record)| record))
    }

    /// Names directly below `folder` (`""` or `a/b/`), sorted; those of folders end with a slash.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, BarrierError> {
        Ok(self.list_values(folder).await?.into_iter().map(|(name, _)| name).collect())
    }

    /// As [`View::list`], with the records; that of a folder is empty.
    pub async fn list_values(&self, folder: &str) -> Result<Vec<(String, Record)>, BarrierError> {
        let open = self.barrier.open()?;
        let prefix = open.names.folder(&self.space, folder);
        let mut found = self.barrier.read_all(&open, &prefix, usize::MAX).await?;
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }

    /// Every path below `folder`, sorted, without the folders themselves; at most `limit`.
    pub async fn list_all(&self, folder: &str, limit: usize) -> Result<Vec<String>, BarrierError> {
        let mut found = Vec::new();
        // Depth first, and of each level the smallest name first, gives the paths in order.
        let mut open = vec![folder.to_owned()];
        while let Some(path) = open.pop() {
            if !path.is_empty() && !path.ends_with('/') {
                found.push(path);
                if found.len() == limit {
                    break;
                }
                continue;
            }
            let names = self.list(&path).await?;
            open.extend(names.into_iter().rev().map(|name| format!("{path}{name}")));
        }
        Ok(found)
    }

    /// Puts the removal of `path` into `changes`, and of every folder that it leaves empty, up to the root. When a
    /// path is created in one of them meanwhile, the commit conflicts: try again.
    pub async fn delete_with_folders(&self, path: &str, changes: &mut Changes) -> Result<(), BarrierError> {
        changes.delete(self, path);
        let mut gone = path.to_owned();
        while let Some((folder, name)) = split(&gone).filter(|(folder, _)| !folder.is_empty()) {
            let (marker, name) = (folder.to_owned(), name.to_owned());
            // Read before the folder is looked at: see the module's text.
            let Some(record) = self.get(&marker).await? else { break };
            let open = self.barrier.open()?;
            let prefix = open.names.folder(&self.space, &marker);
            let left = self.barrier.read_all(&open, &prefix, 2).await?;
            if left.iter().any(|(other, _)| *other != name) {
                break;
            }
            changes.require(self, &marker, record.revision);
            changes.delete(self, &marker);
            gone = marker;
        }
        Ok(())
    }

    /// Removes up to `limit` records of the space, for the clean-up behind an unmount. Answers how many were left to
    /// remove when it began, at most `limit`.
    pub async fn purge(&self, limit: usize) -> Result<usize, BarrierError> {
        let open = self.barrier.open()?;
        self.barrier.purge(&open.names.space(&self.space), limit).await
    }
}

/// `a/b/c` is name `c` in folder `a/b/`; a trailing slash belongs to the name.
fn split(path: &str) -> Option<(&str, &str)> {
    let body = path.strip_suffix('/').unwrap_or(path);
    let at = body.rfind('/').map_or(0, |slash| slash + 1);
    path.split_at_checked(at)
}

/// What one commit does. Values stay guarded until they are sealed.
#[derive(Default)]
pub struct Changes {
    preconditions: Vec<Check>,
    writes: Vec<Change>,
}

enum Check {
    Absent(View, String),
    At(View, String, Revision),
}

enum Change {
    Put(View, String, Protected),
    Delete(View, String),
}

impl Changes {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores or replaces; for paths without folders, or whose folders are there already.
    pub fn put(&mut self, view: &View, path: &str, value: &[u8]) {
        self.writes.push(Change::Put(view.clone(), path.to_owned(), Protected::copy_of(value)));
    }

    /// Stores at a path that must not exist yet, and lists its folders.
    pub fn create(&mut self, view: &View, path: &str, value: &[u8]) {
        self.require_absent(view, path);
        self.put(view, path, value);
        self.list_folders(view, path);
    }

    /// Lists the folders of `path`; part of [`Changes::create`].
    pub fn list_folders(&mut self, view: &View, path: &str) {
        for (slash, _) in path.match_indices('/').filter(|(slash, _)| slash + 1 < path.len()) {
            if let Some(folder) = path.get(..=slash) {
                self.put(view, folder, &[]);
            }
        }
    }

    /// Removes; a missing record is no error.
    pub fn delete(&mut self, view: &View, path: &str) {
        self.writes.push(Change::Delete(view.clone(), path.to_owned()));
    }

    /// The commit happens only if the record was written by this commit.
    pub fn require(&mut self, view: &View, path: &str, revision: Revision) {
        self.preconditions.push(Check::At(view.clone(), path.to_owned(), revision));
    }

    /// The commit happens only if there is no record.
    pub fn require_absent(&mut self, view: &View, path: &str) {
        self.preconditions.push(Check::Absent(view.clone(), path.to_owned()));
    }

    /// Whether nothing would be written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many records would be written.
    pub(super) fn puts(&self) -> u64 {
        self.writes.iter().filter(|write| matches!(write, Change::Put(..))).count() as u64
    }

    /// The batch with sealed values.
    pub(super) fn seal(
        self,
        names: &Names,
        seal: impl Fn(&Key, &[u8]) -> Result<Vec<u8>, BarrierError>,
    ) -> Result<crate::store::Batch, BarrierError> {
        let check = |check| match check {
            Check::Absent(view, path) => Precondition::Absent(names.key(&view.space, &path)),
            Check::At(view, path, revision) => Precondition::At(names.key(&view.space, &path), revision),
        };
        let preconditions = self.preconditions.into_iter().map(check).collect();
        let mut writes = Vec::with_capacity(self.writes.len());
        for write in self.writes {
            writes.push(match write {
                Change::Put(view, path, value) => {
                    let key = names.key(&view.space, &path);
                    let (_, name) = split(&path).unwrap_or(("", &path));
                    if u16::try_from(name.len()).is_err() {
                        return Err(BarrierError::Store(crate::store::StoreError::TooLarge));
                    }
                    let sealed = seal(&key, &with_name(name, value.expose()))?;
                    Write::Put(key, sealed)
                }
                Change::Delete(view, path) => Write::Delete(names.key(&view.space, &path)),
            });
        }
        Ok(crate::store::Batch { preconditions, writes })
    }
}

/// Length of the name, name, value.
fn with_name(name: &str, value: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(2 + name.len() + value.len()));
    plain.extend((name.len() as u16).to_be_bytes());
    plain.extend(name.as_bytes());
    plain.extend(value);
    plain
}

/// Undoes [`with_name`].
pub(super) fn name_and_value(plain: Protected) -> Result<(String, Protected), BarrierError> {
    let mut plain = plain.into_inner();
    let [a, b, ..] = plain.as_slice() else { return Err(BarrierError::Damaged) };
    let end = 2 + usize::from(u16::from_be_bytes([*a, *b]));
    let name =
        plain.get(2..end).and_then(|name| std::str::from_utf8(name).ok()).ok_or(BarrierError::Damaged)?.to_owned();
    // Within the same buffer: no second copy of the value that would have to be wiped.
    plain.copy_within(end.., 0);
    let left = plain.len() - end;
    plain.truncate(left);
    Ok((name, Protected::new(std::mem::take(&mut *plain))))
}

/// The key under which names are hashed.
pub(super) struct Names(hmac::Key);

impl Names {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The storage key of a record.
    pub(super) fn key(&self, space: &str, path: &str) -> Key {
        let (folder, _) = split(path).unwrap_or(("", path));
        let mut key = Vec::with_capacity(KEY_BYTES);
        key.extend(self.folder(space, folder));
        key.extend(self.hash(b"name", space, path).get(..16).unwrap_or_default());
        Key(key.into_boxed_slice())
    }

    /// What the storage keys of a folder's records start with.
    pub(super) fn folder(&self, space: &str, folder: &str) -> Vec<u8> {
        let mut prefix = self.space(space);
        prefix.extend(self.hash(b"fold", space, folder).get(..16).unwrap_or_default());
        prefix
    }

    /// What the storage keys of a space's records start with.
    pub(super) fn space(&self, space: &str) -> Vec<u8> {
        self.hash(b"spac", space, "").get(..SPACE_BYTES).unwrap_or_default().to_vec()
    }

    fn hash(&self, kind: &[u8; 4], space: &str, text: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(kind);
        context.update(&(space.len() as u32).to_be_bytes());
        context.update(space.as_bytes());
        context.update(text.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }
}
