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

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

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
    space: Arc<Space>,
}

/// The name of a space, and what its storage keys start with, once that is known.
struct Space {
    name: Box<str>,
    prefix: OnceLock<Prefix>,
}

/// What storage keys start with, and the names that say so: a restore brings others.
struct Prefix {
    of: [u8; SPACE_BYTES],
    bytes: [u8; SPACE_BYTES],
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("View").field(&self.space.name).finish()
    }
}

impl View {
    pub(super) fn new(barrier: Barrier, space: &str) -> Self {
        Self { barrier, space: Arc::new(Space { name: space.into(), prefix: OnceLock::new() }) }
    }

    /// Under which key the store has the record at `path`.
    pub(crate) fn storage_key(&self, path: &str) -> Result<Key, BarrierError> {
        Ok(self.barrier.open()?.names.key(&self.space, path))
    }

    /// The record at `path`.
    pub async fn get(&self, path: &str) -> Result<Option<Record>, BarrierError> {
        let open = self.barrier.open()?;
        let key = open.names.key(&self.space, path);
        self.barrier.read(&open, &key).await
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
        // What is checked is written too, most often.
        let mut checked: HashMap<(*const Space, String), Key> = HashMap::new();
        let mut preconditions = Vec::with_capacity(self.preconditions.len());
        for check in self.preconditions {
            let (Check::Absent(view, path) | Check::At(view, path, _)) = &check;
            let key = names.key(&view.space, path);
            checked.insert((Arc::as_ptr(&view.space), path.clone()), key.clone());
            preconditions.push(match check {
                Check::Absent(..) => Precondition::Absent(key),
                Check::At(_, _, revision) => Precondition::At(key, revision),
            });
        }
        let mut writes = Vec::with_capacity(self.writes.len());
        for write in self.writes {
            let (view, path, value) = match write {
                Change::Put(view, path, value) => (view, path, Some(value)),
                Change::Delete(view, path) => (view, path, None),
            };
            let place = (Arc::as_ptr(&view.space), path);
            let key = checked.get(&place).cloned().unwrap_or_else(|| names.key(&view.space, &place.1));
            writes.push(match value {
                Some(value) => {
                    let (_, name) = split(&place.1).unwrap_or(("", &place.1));
                    if u16::try_from(name.len()).is_err() {
                        return Err(BarrierError::Store(crate::store::StoreError::TooLarge));
                    }
                    let sealed = seal(&key, &with_name(name, value.expose()))?;
                    Write::Put(key, sealed)
                }
                None => Write::Delete(key),
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
    let name = plain.expose().get(name_range(plain.expose())?).and_then(|name| std::str::from_utf8(name).ok());
    let name = name.ok_or(BarrierError::Damaged)?.to_owned();
    Ok((name, value_of(plain)?))
}

/// As [`name_and_value`], for who has named the record.
pub(super) fn value_of(plain: Protected) -> Result<Protected, BarrierError> {
    let mut plain = plain.into_inner();
    let end = name_range(&plain)?.end;
    // Within the same buffer: no second copy of the value that would have to be wiped.
    plain.copy_within(end.., 0);
    let left = plain.len() - end;
    plain.truncate(left);
    Ok(Protected::new(std::mem::take(&mut *plain)))
}

fn name_range(plain: &[u8]) -> Result<Range<usize>, BarrierError> {
    let [a, b, ..] = plain else { return Err(BarrierError::Damaged) };
    let end = 2 + usize::from(u16::from_be_bytes([*a, *b]));
    if end > plain.len() { Err(BarrierError::Damaged) } else { Ok(2..end) }
}

/// The key under which names are hashed.
pub(super) struct Names {
    key: hmac::Key,
    /// Tells this key from others.
    id: [u8; SPACE_BYTES],
}

impl Names {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let mut names = Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), id: [0; SPACE_BYTES] };
        names.id = names.hash(b"this", "", "");
        names
    }

    /// The storage key of a record.
    fn key(&self, space: &Space, path: &str) -> Key {
        let (folder, _) = split(path).unwrap_or(("", path));
        let mut key = Vec::with_capacity(KEY_BYTES);
        key.extend(self.folder(space, folder));
        key.extend(self.hash::<16>(b"name", &space.name, path));
        Key(key.into_boxed_slice())
    }

    /// What the storage keys of a folder's records start with.
    fn folder(&self, space: &Space, folder: &str) -> [u8; FOLDER_BYTES] {
        let mut prefix = [0; FOLDER_BYTES];
        let (head, rest) = prefix.split_at_mut(SPACE_BYTES);
        head.copy_from_slice(&self.space(space));
        rest.copy_from_slice(&self.hash::<16>(b"fold", &space.name, folder));
        prefix
    }

    /// What the storage keys of a space's records start with.
    fn space(&self, space: &Space) -> [u8; SPACE_BYTES] {
        let make = || Prefix { of: self.id, bytes: self.hash(b"spac", &space.name, "") };
        let known = space.prefix.get_or_init(make);
        if known.of == self.id { known.bytes } else { make().bytes }
    }

    /// The first bytes of a keyed hash.
    fn hash<const BYTES: usize>(&self, kind: &[u8; 4], space: &str, text: &str) -> [u8; BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(kind);
        context.update(&(space.len() as u32).to_be_bytes());
        context.update(space.as_bytes());
        context.update(text.as_bytes());
        let mut hash = [0; BYTES];
        hash.copy_from_slice(context.sign().as_ref().get(..BYTES).unwrap_or_default());
        hash
    }
}
