//! The commits of a history: what they were made from, when, and which of them something leads to.

use std::collections::{HashMap, HashSet};

use gix::objs::{CommitRef, Kind};
use gix::{ObjectId, Repository, ThreadSafeRepository, oid};

use crate::coverage::{Coverage, Why};
use crate::forest::{Descent, Visit};
use crate::objects::Objects;

/// One commit, without its words.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) tree: ObjectId,
    pub(crate) parents: Vec<ObjectId>,
    /// When it was committed, in seconds since 1970.
    pub(crate) seconds: i64,
}

/// All commits of a repository by their ids.
pub(crate) type Commits = HashMap<ObjectId, Commit>;

/// Reads the commits that are `wanted`.
pub(crate) fn read(
    objects: &Objects,
    repository: &ThreadSafeRepository,
    wanted: impl Fn(&oid) -> bool + Sync,
    coverage: &mut Coverage,
) -> Commits {
    let (commits, covered) = objects.walk(repository, &Reader, Kind::Commit, wanted);
    coverage.absorb(covered);
    commits.into_iter().collect()
}

struct Reader;

impl Visit for Reader {
    type Trace = ();
    type Yield = (Vec<(ObjectId, Commit)>, Coverage);

    fn max_bytes(&self) -> u64 {
        u64::MAX
    }

    fn visit(&self, id: &oid, bytes: &[u8], _: Option<Descent<'_, ()>>, to: &mut Self::Yield) {
        match parse(id, bytes) {
            Some(commit) => to.0.push((id.to_owned(), commit)),
            None => self.miss(id, Why::Damaged, to),
        }
    }

    fn miss(&self, id: &oid, why: Why, to: &mut Self::Yield) {
        to.1.omit(format!("commit {id}"), why);
    }

    fn join(&self, earlier: &mut Self::Yield, later: Self::Yield) {
        earlier.0.extend(later.0);
        earlier.1.absorb(later.1);
    }
}

fn parse(id: &oid, bytes: &[u8]) -> Option<Commit> {
    let commit = CommitRef::from_bytes(bytes, id.kind()).ok()?;
    let seconds = commit.committer().ok().map_or(0, |committer| committer.seconds());
    Some(Commit { tree: commit.tree(), parents: commit.parents().collect(), seconds })
}

/// The commits that HEAD or some reference leads to.
pub(crate) fn reachable(repository: &Repository, commits: &Commits) -> HashSet<ObjectId> {
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
        if let Some(commit) = commits.get(&id).filter(|_| reached.insert(id)) {
            open.extend(commit.parents.iter().copied());
        }
    }
    reached
}
