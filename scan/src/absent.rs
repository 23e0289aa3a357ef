//! What a partial clone left out. It is counted, never fetched: a scan talks to nobody.

use std::collections::HashSet;

use gix::objs::tree::EntryKind;
use gix::objs::{Kind, TreeRefIter};
use gix::{ObjectId, Repository, oid};

use crate::commits::Commits;
use crate::coverage::{Coverage, Why};
use crate::forest::{Descent, Visit};
use crate::objects::{self, Objects};

/// Notes how many objects that the listed trees and `commits` name are not there, if the repository is a partial clone. In
/// any other the reader of trees would notice only what git itself cannot repair.
pub(crate) fn note(repository: &Repository, objects: &Objects, commits: &Commits, coverage: &mut Coverage) {
    if !is_partial(repository) {
        return;
    }
    let shared = repository.clone().into_sync();
    let mut absent = objects.walk(&shared, &Reader { objects }, Kind::Tree, |_| true);
    absent.extend(commits.values().map(|commit| commit.tree).filter(|tree| !objects.has(tree)));
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
