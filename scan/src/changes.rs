//! What a commit, or the index, has that those before it have not: blobs at paths where none of them has the same.

use std::collections::HashMap;

use gix::objs::TreeRefIter;
use gix::objs::tree::EntryKind;
use gix::prelude::FindExt as _;
use gix::{ObjectId, Repository};

/// Deepest folder that is followed: deeper ones exist only in repositories made to harm.
const MAX_DEPTH: usize = 256;

/// Folders that are compared for one commit. A repository made to harm has trees with endlessly many paths.
const MAX_FOLDERS: usize = 1_000_000;

/// A blob that is new at its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) blob: ObjectId,
    pub(crate) file: String,
    /// What stood there before: at most one blob for each parent.
    pub(crate) before: Vec<ObjectId>,
}

/// What the comparison of trees came to.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) changes: Vec<Change>,
    /// Trees that cannot be read.
    pub(crate) missing: Vec<ObjectId>,
    /// Whether something is left out: there were too many folders, or a parent is not there.
    pub(crate) is_cut_off: bool,
    folders: usize,
}

type Names = HashMap<Vec<u8>, (EntryKind, ObjectId)>;

impl Changes {
    /// Compares `tree` with `parents`.
    pub(crate) fn between(repository: &Repository, tree: ObjectId, parents: &[ObjectId]) -> Self {
        let mut changes = Self::default();
        changes.compare(repository, tree, parents, &mut Vec::new(), 0);
        changes
    }

    fn compare(
        &mut self,
        repository: &Repository,
        tree: ObjectId,
        parents: &[ObjectId],
        path: &mut Vec<u8>,
        depth: usize,
    ) {
        if parents.contains(&tree) {
            return;
        }
        self.folders += 1;
        if self.folders > MAX_FOLDERS || depth > MAX_DEPTH {
            self.is_cut_off = true;
            return;
        }
        let before: Vec<Names> =
            parents.iter().map(|parent| self.names(repository, parent).into_iter().collect()).collect();
        for (name, (kind, id)) in self.names(repository, &tree) {
            if before.iter().any(|names| names.get(&name).is_some_and(|(_, old)| *old == id)) {
                continue;
            }
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            let old = |wanted: fn(EntryKind) -> bool| -> Vec<ObjectId> {
                let entries = before.iter().filter_map(|names| names.get(&name));
                entries.filter(|(kind, _)| wanted(*kind)).map(|(_, id)| *id).collect()
            };
            match kind {
                EntryKind::Tree => {
                    let below = old(|kind| kind == EntryKind::Tree);
                    self.compare(repository, id, &below, path, depth + 1);
                }
                EntryKind::Commit => {}
                EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => self.changes.push(Change {
                    blob: id,
                    file: String::from_utf8_lossy(path).into_owned(),
                    before: old(|kind| !matches!(kind, EntryKind::Tree | EntryKind::Commit)),
                }),
            }
            path.truncate(length);
        }
    }

    fn names(&mut self, repository: &Repository, tree: &ObjectId) -> Vec<(Vec<u8>, (EntryKind, ObjectId))> {
        let mut buffer = Vec::new();
        let Ok(object) = repository.objects.find(tree, &mut buffer) else {
            self.missing.push(*tree);
            return Vec::new();
        };
        let mut names = Vec::new();
        for entry in TreeRefIter::from_bytes(object.data, tree.kind()) {
            let Ok(entry) = entry else {
                self.missing.push(*tree);
                break;
            };
            names.push((entry.filename.to_vec(), (entry.mode.kind(), entry.oid.to_owned())));
        }
        names
    }
}
