//! What is staged for the next commit: the index compared with the trees that it will be made from. Folders that did not change are not
//! even opened, so that it takes no longer in a large repository than in a small one.

use std::collections::HashMap;

use gix::bstr::ByteSlice as _;
use gix::index::entry::Mode;
use gix::index::extension::Tree;
use gix::{ObjectId, Repository};
use turnlock_core::finding::Finding;

use crate::changes::Change;
use crate::coverage::{Coverage, Why};
use crate::origin::Origin;
use crate::range;
use crate::scanner::{ScanError, Scanner};

/// Scans what is staged; what HEAD has in the same file is not new, nor what a branch has that is being merged.
pub(crate) fn scan(scanner: &Scanner, repository: &Repository) -> Result<(Vec<Finding>, Coverage), ScanError> {
    let mut coverage = Coverage::default();
    let index = repository.index_or_empty().map_err(|error| ScanError::Objects(error.to_string().into()))?;
    let head = repository.head_tree_id_or_empty().map_err(|error| ScanError::Objects(error.to_string().into()))?;
    let known = index.tree().map(trees).unwrap_or_default();
    let mut parents = vec![Parent::read(repository, head.detach(), &known, &mut coverage)];
    for commit in merged(repository) {
        match repository.find_commit(commit).ok().and_then(|commit| Some(commit.tree_id().ok()?.detach())) {
            Some(tree) => parents.push(Parent::read(repository, tree, &known, &mut coverage)),
            None => coverage.omit(format!("commit {commit}"), Why::Damaged),
        }
    }
    let mut changes = Vec::new();
    for entry in index.entries() {
        let path = entry.path(&index).as_bytes();
        let is_file = entry.mode != Mode::COMMIT && entry.mode != Mode::DIR && !entry.id.is_empty_blob();
        // A file that is only announced has no content yet.
        let is_announced = entry.flags.contains(gix::index::entry::Flags::INTENT_TO_ADD);
        if !is_file || is_announced || parents.iter().any(|parent| parent.has(path, entry.id)) {
            continue;
        }
        let file = String::from_utf8_lossy(path).into_owned();
        let origin = Origin { file: file.clone(), commit: None, rank: (false, 0, entry.id) };
        let before = parents.iter().filter_map(|parent| parent.blobs.get(path).copied()).collect();
        changes.push((Change { blob: entry.id, file, before }, origin));
    }
    let findings = range::new_in(scanner, repository, &mut changes, &mut coverage);
    Ok((findings, coverage))
}

/// The commits that are being merged into HEAD.
fn merged(repository: &Repository) -> Vec<ObjectId> {
    let text = std::fs::read_to_string(repository.git_dir().join("MERGE_HEAD")).unwrap_or_default();
    text.lines().filter_map(|line| ObjectId::from_hex(line.trim().as_bytes()).ok()).collect()
}

/// What a commit has from which the staged one will be made.
#[derive(Default)]
struct Parent {
    /// By their paths, without those in folders that the index has just the same.
    blobs: HashMap<Vec<u8>, ObjectId>,
    /// Those folders, in order.
    same: Vec<Vec<u8>>,
}

impl Parent {
    fn read(
        repository: &Repository,
        tree: ObjectId,
        known: &HashMap<Vec<u8>, ObjectId>,
        coverage: &mut Coverage,
    ) -> Self {
        let mut parent = Self::default();
        read(repository, tree, &mut Vec::new(), known, &mut parent, coverage);
        parent.same.sort_unstable();
        parent
    }

    /// Whether it has what the index has at `path`.
    fn has(&self, path: &[u8], id: ObjectId) -> bool {
        let place = self.same.partition_point(|folder| folder.as_slice() <= path);
        let folder = place.checked_sub(1).and_then(|place| self.same.get(place));
        folder.is_some_and(|folder| path.starts_with(folder)) || self.blobs.get(path) == Some(&id)
    }
}

/// The folders of the index whose tree is known, by their paths with a slash at the end.
fn trees(root: &Tree) -> HashMap<Vec<u8>, ObjectId> {
    let mut known = HashMap::new();
    let mut open = vec![(root, Vec::new())];
    while let Some((tree, path)) = open.pop() {
        for child in &tree.children {
            let mut path: Vec<u8> = path.clone();
            path.extend_from_slice(&child.name);
            path.push(b'/');
            open.push((child, path));
        }
        if tree.num_entries.is_some() {
            known.insert(path, tree.id);
        }
    }
    known
}

/// Reads the blobs of the tree of a parent, except below folders that the index has just the same.
fn read(
    repository: &Repository,
    tree: ObjectId,
    path: &mut Vec<u8>,
    known: &HashMap<Vec<u8>, ObjectId>,
    parent: &mut Parent,
    coverage: &mut Coverage,
) {
    /// Deepest folder that is followed: deeper ones exist only in repositories made to harm.
    const MAX_PATH_BYTES: usize = 1 << 16;
    if known.get(path.as_slice()) == Some(&tree) {
        parent.same.push(path.clone());
        return;
    }
    let Some(object) = repository.find_tree(tree).ok().filter(|_| path.len() < MAX_PATH_BYTES) else {
        coverage.omit(format!("tree {tree}"), Why::Damaged);
        return;
    };
    for entry in object.iter() {
        let Ok(entry) = entry else {
            coverage.omit(format!("tree {tree}"), Why::Damaged);
            return;
        };
        let length = path.len();
        path.extend_from_slice(entry.filename());
        if entry.mode().is_tree() {
            path.push(b'/');
            read(repository, entry.object_id(), path, known, parent, coverage);
        } else {
            parent.blobs.insert(path.clone(), entry.object_id());
        }
        path.truncate(length);
    }
}
