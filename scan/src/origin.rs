//! Who brought a blob in: the commits whose tree has it at a path where none of their parents has it.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, SecondsFormat};
use gix::objs::tree::EntryKind;
use gix::objs::{CommitRef, TreeRefIter};
use gix::prelude::FindExt as _;
use gix::{ObjectId, Repository};
use turnlock_core::finding::CommitMark;

use crate::coverage::{Coverage, Why};
use crate::scanner::{Phase, Progress};

/// Deepest folder that is followed: deeper ones exist only in repositories made to harm.
const MAX_DEPTH: usize = 256;

/// Folders that are visited for one commit. A repository made to harm has trees with endlessly many paths.
const MAX_FOLDERS: usize = 100_000;

/// Sorts the commit that people will recognise first: not unreachable, then early, then by id.
pub(crate) type Rank = (bool, i64, ObjectId);

/// Where a blob came from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The path in the tree.
    pub(crate) file: String,
    /// `None` for a blob in no commit.
    pub(crate) commit: Option<CommitMark>,
    pub(crate) rank: Rank,
}

impl Origin {
    /// For a blob that no commit holds: staged and then forgotten, or of a stash that was dropped in part.
    pub(crate) fn unknown(blob: &ObjectId) -> Self {
        Self { file: format!("unreferenced/{blob}"), commit: None, rank: (true, i64::MAX, *blob) }
    }
}

/// The commit that brought a blob in, as far as is known, and the paths at which it did.
struct Best {
    rank: Rank,
    files: Vec<String>,
}

struct Node {
    tree: ObjectId,
    parents: Vec<ObjectId>,
    seconds: i64,
}

/// The origin of each of the `wanted` blobs: of the commits that brought it in the one that sorts first, with all paths
/// at which that commit did.
pub(crate) fn resolve(
    repository: &Repository,
    commits: &[ObjectId],
    wanted: &HashSet<ObjectId>,
    coverage: &mut Coverage,
    progress: impl Fn(Progress),
) -> HashMap<ObjectId, Vec<Origin>> {
    let mut buffer = Vec::new();
    let mut nodes: HashMap<ObjectId, Node> = HashMap::with_capacity(commits.len());
    for id in commits {
        match node(repository, id, &mut buffer) {
            Some(node) => {
                nodes.insert(*id, node);
            }
            None => coverage.omit(format!("commit {id}"), Why::Damaged),
        }
    }
    let reachable = reachable(repository, &nodes);
    let mut trees = Trees { repository, wanted, holding: HashMap::new(), damaged: HashSet::new(), folders: 0 };
    let mut best: HashMap<ObjectId, Best> = HashMap::new();
    let mut order: Vec<&ObjectId> = nodes.keys().collect();
    order.sort_unstable();
    for (done, id) in order.iter().enumerate() {
        if done % 256 == 0 {
            progress(Progress { phase: Phase::Origins, done: done as u64, total: order.len() as u64, bytes: 0 });
        }
        let Some(node) = nodes.get(*id) else { continue };
        if !trees.holds(&node.tree, 0) {
            continue;
        }
        let rank = (!reachable.contains(*id), node.seconds, **id);
        let parents: Vec<ObjectId> =
            node.parents.iter().filter_map(|parent| nodes.get(parent)).map(|parent| parent.tree).collect();
        let mut brought = Vec::new();
        trees.folders = 0;
        trees.introduced(&node.tree, &parents, &mut Vec::new(), &mut brought);
        if trees.folders > MAX_FOLDERS {
            coverage.omit(format!("paths of commit {id}"), Why::CutOff);
        }
        for (blob, file) in brought {
            let entry = best.entry(blob).or_insert_with(|| Best { rank, files: Vec::new() });
            if rank < entry.rank {
                *entry = Best { rank, files: Vec::new() };
            }
            if rank == entry.rank {
                entry.files.push(file);
            }
        }
    }
    for tree in &trees.damaged {
        coverage.omit(format!("tree {tree}"), Why::Damaged);
    }
    let mut marks: HashMap<ObjectId, Option<CommitMark>> = HashMap::new();
    best.into_iter()
        .map(|(blob, Best { rank, mut files })| {
            files.sort();
            files.dedup();
            let commit = marks.entry(rank.2).or_insert_with(|| mark(repository, &rank.2)).clone();
            (blob, files.into_iter().map(|file| Origin { file, commit: commit.clone(), rank }).collect())
        })
        .collect()
}

struct Trees<'a> {
    repository: &'a Repository,
    wanted: &'a HashSet<ObjectId>,
    /// Whether a tree holds a wanted blob, itself or below.
    holding: HashMap<ObjectId, bool>,
    damaged: HashSet<ObjectId>,
    folders: usize,
}

impl Trees<'_> {
    fn entries(&mut self, tree: &ObjectId) -> Vec<(Vec<u8>, EntryKind, ObjectId)> {
        let mut buffer = Vec::new();
        let Ok(object) = self.repository.objects.find(tree, &mut buffer) else {
            self.damaged.insert(*tree);
            return Vec::new();
        };
        let mut entries = Vec::new();
        for entry in TreeRefIter::from_bytes(object.data, tree.kind()) {
            match entry {
                Ok(entry) => entries.push((entry.filename.to_vec(), entry.mode.kind(), entry.oid.to_owned())),
                Err(_) => {
                    self.damaged.insert(*tree);
                    break;
                }
            }
        }
        entries
    }

    fn holds(&mut self, tree: &ObjectId, depth: usize) -> bool {
        if let Some(known) = self.holding.get(tree) {
            return *known;
        }
        if depth >= MAX_DEPTH {
            return false;
        }
        let mut holds = false;
        for (_, kind, id) in self.entries(tree) {
            // No early return: whatever is asked for once will be asked for again.
            holds |= match kind {
                EntryKind::Tree => self.holds(&id, depth + 1),
                EntryKind::Commit => false,
                EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => self.wanted.contains(&id),
            };
        }
        self.holding.insert(*tree, holds);
        holds
    }

    /// Collects the wanted blobs in `tree` that lie at a path where none of `parents`, the same folder in the parents
    /// of the commit, has them.
    fn introduced(
        &mut self,
        tree: &ObjectId,
        parents: &[ObjectId],
        path: &mut Vec<u8>,
        brought: &mut Vec<(ObjectId, String)>,
    ) {
        self.folders += 1;
        if parents.contains(tree) || self.folders > MAX_FOLDERS || path.len() > MAX_DEPTH * 256 {
            return;
        }
        let before: Vec<HashMap<Vec<u8>, ObjectId>> = parents
            .iter()
            .map(|parent| self.entries(parent).into_iter().map(|(name, _, id)| (name, id)).collect())
            .collect();
        for (name, kind, id) in self.entries(tree) {
            if before.iter().any(|folder| folder.get(&name) == Some(&id)) {
                continue;
            }
            let length = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            match kind {
                EntryKind::Tree if self.holding.get(&id) == Some(&true) => {
                    let below: Vec<ObjectId> = before.iter().filter_map(|folder| folder.get(&name).copied()).collect();
                    self.introduced(&id, &below, path, brought);
                }
                EntryKind::Tree | EntryKind::Commit => {}
                EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => {
                    if self.wanted.contains(&id) {
                        brought.push((id, String::from_utf8_lossy(path).into_owned()));
                    }
                }
            }
            path.truncate(length);
        }
    }
}

fn node(repository: &Repository, id: &ObjectId, buffer: &mut Vec<u8>) -> Option<Node> {
    let object = repository.objects.find(id, buffer).ok()?;
    let commit = CommitRef::from_bytes(object.data, id.kind()).ok()?;
    let seconds = commit.committer().ok().map_or(0, |committer| committer.seconds());
    Some(Node { tree: commit.tree(), parents: commit.parents().collect(), seconds })
}

/// The commits that some reference or HEAD leads to.
fn reachable(repository: &Repository, nodes: &HashMap<ObjectId, Node>) -> HashSet<ObjectId> {
    let mut open: Vec<ObjectId> = repository.head_id().ok().map(|id| id.detach()).into_iter().collect();
    if let Ok(references) = repository.references()
        && let Ok(all) = references.all()
    {
        // An annotated tag leads to its commit only after peeling.
        open.extend(
            all.filter_map(Result::ok).filter_map(|mut reference| reference.peel_to_id().ok().map(|id| id.detach())),
        );
    }
    let mut reached = HashSet::new();
    while let Some(id) = open.pop() {
        if let Some(node) = nodes.get(&id).filter(|_| reached.insert(id)) {
            open.extend(node.parents.iter().copied());
        }
    }
    reached
}

fn mark(repository: &Repository, id: &ObjectId) -> Option<CommitMark> {
    let mut buffer = Vec::new();
    let object = repository.objects.find(id, &mut buffer).ok()?;
    let commit = CommitRef::from_bytes(object.data, id.kind()).ok()?;
    let author = commit.author().ok();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let date = author
        .as_ref()
        .and_then(|author| DateTime::from_timestamp(author.seconds(), 0))
        .map(|date| date.to_rfc3339_opts(SecondsFormat::Secs, true));
    Some(CommitMark {
        id: id.to_string(),
        author: author.as_ref().map(|author| text(author.name)).unwrap_or_default(),
        email: author.as_ref().map(|author| text(author.email)).unwrap_or_default(),
        date: date.unwrap_or_default(),
        message: text(commit.message),
    })
}
