//! What a history leads to and does not have: a partial clone left it out, or it was lost. Nothing is fetched: a scan talks to
//! nobody.

use std::collections::HashSet;

use gix::objs::tree::EntryKind;
use gix::objs::{Kind, TreeRefIter};
use gix::{ObjectId, Repository, oid};
use rayon::prelude::*;

use crate::commits::Commits;
use crate::coverage::{Coverage, Why};
use crate::forest::{Descent, Visit};
use crate::objects::{self, Objects};

/// Notes what `commits` lead to and is not there. In a partial clone that is counted, with what the listed trees name; in
/// any other all trees are not read for what only damage could have taken away.
pub(crate) fn note(repository: &Repository, objects: &Objects, commits: &Commits, coverage: &mut Coverage) {
    // That a shallow clone ends somewhere is said already.
    let is_shallow = repository.is_shallow().unwrap_or(true);
    let mut absent: HashSet<ObjectId> = commits
        .par_iter()
        .flat_map_iter(|(_, commit)| {
            let parents = commit.parents.iter().filter(|parent| !is_shallow && !commits.contains_key(*parent));
            parents.chain([&commit.tree]).filter(|id| !objects.has(id)).copied()
        })
        .collect();
    if !is_partial(repository) {
        for id in absent {
            coverage.omit(format!("object {id}"), Why::Damaged);
        }
        return;
    }
    let shared = repository.clone().into_sync();
    absent.extend(objects.walk(&shared, &Reader { objects }, Kind::Tree, |_| true));
    match absent.len() {
        0 => {}
        1 => coverage.omit("an object that a partial clone left out", Why::CutOff),
        many => coverage.omit(format!("{many} objects that a partial clone left out"), Why::CutOff),
    }
}

/// Whether a pack promises that somebody else has what it leads to.
fn is_partial(repository: &Repository) -> bool {
    objects::folders(repository, &mut Coverage::default()).iter().any(|folder| {
        let files = std::fs::read_dir(folder.join("pack")).into_iter().flatten().filter_map(Result::ok);
        files.map(|file| file.path()).any(|path| path.extension().is_some_and(|extension| extension == "promisor"))
    })
}

struct Reader<'a> {
    objects: &'a Objects,
}

impl Visit for Reader<'_> {
    type Trace = ();
    type Yield = HashSet<ObjectId>;

    fn max_bytes(&self) -> u64 {
        u64::MAX
    }

    fn visit(&self, id: &oid, bytes: &[u8], _: Option<Descent<'_, ()>>, to: &mut Self::Yield) {
        let entries = TreeRefIter::from_bytes(bytes, id.kind()).map_while(Result::ok);
        let own = entries.filter(|entry| entry.mode.kind() != EntryKind::Commit);
        to.extend(own.map(|entry| entry.oid).filter(|id| !self.objects.has(id)).map(ToOwned::to_owned));
    }

    fn miss(&self, id: &oid, _: Why, to: &mut Self::Yield) {
        to.insert(id.to_owned());
    }

    fn join(&self, earlier: &mut Self::Yield, later: Self::Yield) {
        earlier.extend(later);
    }
}
