//! Who brought a blob in: the commits whose tree has it at a path where none of their parents has it.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, SecondsFormat};
use gix::objs::CommitRef;
use gix::prelude::FindExt as _;
use gix::{ObjectId, Repository};
use turnlock_core::finding::CommitMark;

use crate::commits::{self, Commits};
use crate::coverage::{Coverage, Why};
use crate::folders::{Child, Folders};
use crate::objects::Objects;
use crate::scanner::{Phase, Progress};

/// Deepest folder that is followed: deeper ones exist only in repositories made to harm.
const MAX_DEPTH: usize = 256;

/// Folders that are visited for one commit. A repository made to harm has trees with endlessly many paths.
const MAX_FOLDERS: usize = 100_000;

/// How the place of a blob begins that no commit holds; its id follows. NEVER CHANGE: ignore files hold it.
pub(crate) const UNREFERENCED: &str = "unreferenced/";

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
        Self { file: format!("{UNREFERENCED}{blob}"), commit: None, rank: (true, i64::MAX, *blob) }
    }
}

/// The commit that brought a blob in, as far as is known, and the paths at which it did.
struct Best {
    rank: Rank,
    files: Vec<String>,
}

/// The origin of each of the `wanted` blobs: of the commits that brought it in the one that sorts first, with all paths
/// at which that commit did.
pub(crate) fn resolve(
    repository: &Repository,
    objects: &Objects,
    commits: &Commits,
    wanted: &HashSet<ObjectId>,
    coverage: &mut Coverage,
    progress: impl Fn(Progress),
) -> HashMap<ObjectId, Vec<Origin>> {
    let folders = Folders::read(objects, &repository.clone().into_sync(), wanted, coverage);
    let reachable = commits::reachable(repository, commits);
    let mut best: HashMap<ObjectId, Best> = HashMap::new();
    for (done, (id, commit)) in commits.iter().enumerate() {
        if done % 256 == 0 {
            progress(Progress { phase: Phase::Origins, done: done as u64, total: commits.len() as u64, bytes: 0 });
        }
        let Some(tree) = folders.number(&commit.tree) else { continue };
        let parents: Vec<u32> =
            commit.parents.iter().filter_map(|parent| folders.number(&commits.get(parent)?.tree)).collect();
        let mut search = Search { folders: &folders, visited: 0, path: Vec::new(), brought: Vec::new() };
        search.introduced(tree, &parents, 0);
        if search.visited > MAX_FOLDERS {
            coverage.omit(format!("paths of commit {id}"), Why::CutOff);
        }
        let rank = (!reachable.contains(id), commit.seconds, *id);
        for (blob, file) in search.brought {
            let entry = best.entry(blob).or_insert_with(|| Best { rank, files: Vec::new() });
            if rank < entry.rank {
                *entry = Best { rank, files: Vec::new() };
            }
            if rank == entry.rank {
                entry.files.push(file);
            }
        }
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

/// The search for what one commit brought in.
struct Search<'a> {
    folders: &'a Folders,
    visited: usize,
    path: Vec<u8>,
    brought: Vec<(ObjectId, String)>,
}

impl Search<'_> {
    /// Collects the wanted blobs in `folder` that lie at a path where none of `parents`, the same folder in the parents
    /// of the commit, has them.
    fn introduced(&mut self, folder: u32, parents: &[u32], depth: usize) {
        self.visited += 1;
        if parents.contains(&folder) || self.visited > MAX_FOLDERS || depth > MAX_DEPTH {
            return;
        }
        for entry in self.folders.entries(folder) {
            let before = || parents.iter().filter_map(|parent| self.folders.child(*parent, entry.name));
            if before().any(|child| child == entry.child) {
                continue;
            }
            let length = self.path.len();
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(self.folders.name(entry.name));
            match entry.child {
                Child::Folder(below) => {
                    let folder = |child| match child {
                        Child::Folder(number) => Some(number),
                        Child::Blob(_) => None,
                    };
                    let parents: Vec<u32> = before().filter_map(folder).collect();
                    self.introduced(below, &parents, depth + 1);
                }
                Child::Blob(number) => {
                    let blob = self.folders.blob(number);
                    self.brought.extend(blob.map(|blob| (blob, String::from_utf8_lossy(&self.path).into_owned())));
                }
            }
            self.path.truncate(length);
        }
    }
}

/// What findings say of a commit.
pub(crate) fn mark(repository: &Repository, id: &ObjectId) -> Option<CommitMark> {
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
        tells: false,
    })
}
