//! Some commits of a history: what each of them brought in, compared with those that it was made from.

use std::collections::{HashMap, HashSet};

use gix::objs::CommitRef;
use gix::prelude::FindExt as _;
use gix::revision::plumbing::Spec;
use gix::revision::walk::Sorting;
use gix::traverse::commit::simple::CommitTimeOrder;
use gix::{ObjectId, Repository};
use rayon::prelude::*;
use turnlock_core::finding::Finding;

use crate::changes::{Change, Changes};
use crate::coverage::{Coverage, Why};
use crate::messages;
use crate::named::{self, Appearance};
use crate::origin::{self, Origin};
use crate::scanner::{Phase, Progress, ScanError, Scanner};
use crate::seen::{Mark, Seen};
use crate::versions::{Sights, Versions};

/// Which commits are scanned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// What leads to the commits, as git names it: `A..B` those of B that A does not have, `B` all of B, `^A` leaves out
    /// what A has. Empty: what HEAD and the references lead to.
    pub revisions: Vec<String>,
    /// Leaves out commits that were committed earlier, in seconds since 1970.
    pub since: Option<i64>,
    /// At most so many, the latest.
    pub most: Option<usize>,
}

/// Memory of each thread for bases of deltas.
const CACHE_BYTES: usize = 16 << 20;

/// Scans what the commits of `range` brought in.
pub(crate) fn scan(
    scanner: &Scanner,
    repository: &Repository,
    range: &Range,
) -> Result<(Vec<Finding>, Coverage), ScanError> {
    let (commits, hidden) = ends(repository, range)?;
    let tips = Tips { commits, ..Tips::default() };
    scan_between(scanner, repository, tips, hidden, range)
}

/// What a scan starts from. Tags may name folders and files that no commit holds.
#[derive(Debug, Default)]
pub(crate) struct Tips {
    pub(crate) commits: Vec<ObjectId>,
    pub(crate) trees: Vec<ObjectId>,
    pub(crate) blobs: Vec<ObjectId>,
    /// The tags themselves, whose messages are read.
    pub(crate) tags: Vec<ObjectId>,
}

/// Scans what the commits that `tips` lead to and `hidden` do not brought in, and all that lies in no commit.
pub(crate) fn scan_between(
    scanner: &Scanner,
    repository: &Repository,
    tips: Tips,
    hidden: Vec<ObjectId>,
    range: &Range,
) -> Result<(Vec<Finding>, Coverage), ScanError> {
    let mut coverage = Coverage::default();
    let commits = commits(repository, tips.commits, hidden, range, &mut coverage)?;
    coverage.commits = commits.len() as u64;
    let mut changes = brought(repository, &commits, |_| false, &mut coverage);
    for tree in tips.trees {
        let found = Changes::between(repository, tree, &[]);
        if found.is_cut_off {
            coverage.omit(format!("what tree {tree} holds"), Why::CutOff);
        }
        for missing in found.missing {
            coverage.omit(format!("tree {missing}"), Why::Damaged);
        }
        changes.extend(found.changes.into_iter().map(|change| {
            let origin = Origin { file: change.file.clone(), ..Origin::unknown(&change.blob) };
            (change, origin)
        }));
    }
    changes.extend(tips.blobs.into_iter().map(|blob| {
        let origin = Origin::unknown(&blob);
        (Change { blob, file: origin.file.clone(), before: Vec::new() }, origin)
    }));
    let mut findings = new_in(scanner, repository, &mut changes, &mut coverage);
    let speakers: Vec<ObjectId> = commits.into_iter().chain(tips.tags).collect();
    let heard = messages::hear_these(scanner, &repository.clone().into_sync(), &speakers);
    coverage.absorb(heard.coverage);
    let confirmed = scanner.confirm(heard.candidates, &mut coverage);
    messages::report(scanner, repository, &heard.speakers, |_| false, &confirmed, &mut coverage, &mut findings);
    Ok((findings, coverage))
}

/// Where the walk starts, and what it leaves out.
fn ends(repository: &Repository, range: &Range) -> Result<(Vec<ObjectId>, Vec<ObjectId>), ScanError> {
    if range.revisions.is_empty() {
        return Ok((references(repository), Vec::new()));
    }
    let (mut tips, mut hidden) = (Vec::new(), Vec::new());
    for revision in &range.revisions {
        let unknown =
            |error: &dyn ToString| ScanError::Revision { revision: revision.clone(), source: error.to_string().into() };
        let spec = repository.rev_parse(revision.as_str()).map_err(|error| unknown(&error))?;
        match spec.detach() {
            Spec::Include(id) | Spec::ExcludeParents(id) => tips.push(id),
            Spec::Exclude(id) => hidden.push(id),
            Spec::Range { from, to } => {
                hidden.push(from);
                tips.push(to);
            }
            Spec::Merge { theirs, ours } => {
                let base = repository.merge_base(theirs, ours).map_err(|error| unknown(&error))?;
                hidden.extend(base.map(gix::Id::detach));
                tips.extend([theirs, ours]);
            }
            Spec::IncludeOnlyParents(id) => {
                let commit = repository.find_commit(id).map_err(|error| unknown(&error))?;
                tips.extend(commit.parent_ids().map(gix::Id::detach));
            }
        }
    }
    Ok((peeled(repository, tips), peeled(repository, hidden)))
}

/// The commits that tags lead to.
fn peeled(repository: &Repository, ids: Vec<ObjectId>) -> Vec<ObjectId> {
    let commit = |id: ObjectId| repository.find_object(id).ok()?.peel_to_commit().ok().map(|commit| commit.id);
    ids.into_iter().map(|id| commit(id).unwrap_or(id)).collect()
}

/// The commits that HEAD and all references lead to directly.
pub(crate) fn references(repository: &Repository) -> Vec<ObjectId> {
    let mut ids: Vec<ObjectId> = repository.head_id().ok().map(gix::Id::detach).into_iter().collect();
    if let Ok(references) = repository.references()
        && let Ok(all) = references.all()
    {
        let peeled = all.filter_map(Result::ok).filter_map(|mut reference| reference.peel_to_id().ok());
        ids.extend(peeled.map(gix::Id::detach));
    }
    // What a tag of a file or of a folder leads to has no history.
    ids.retain(|id| repository.find_header(*id).is_ok_and(|header| header.kind() == gix::objs::Kind::Commit));
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn commits(
    repository: &Repository,
    tips: Vec<ObjectId>,
    hidden: Vec<ObjectId>,
    range: &Range,
    coverage: &mut Coverage,
) -> Result<Vec<ObjectId>, ScanError> {
    let order = CommitTimeOrder::NewestFirst;
    let sorting = match range.since {
        Some(seconds) => Sorting::ByCommitTimeCutoff { order, seconds },
        None => Sorting::ByCommitTime(order),
    };
    let walk = repository
        .rev_walk(tips)
        .with_hidden(hidden)
        .sorting(sorting)
        .all()
        .map_err(|error| ScanError::Objects(error.to_string().into()))?;
    let mut ids = Vec::new();
    for step in walk.take(range.most.unwrap_or(usize::MAX)) {
        match step {
            Ok(step) => ids.push(step.id),
            Err(_) => {
                coverage.omit("commits of the range", Why::Damaged);
                break;
            }
        }
    }
    Ok(ids)
}

/// What each commit brought in, compared with its parents.
pub(crate) fn brought(
    repository: &Repository,
    commits: &[ObjectId],
    is_unreachable: impl Fn(&ObjectId) -> bool,
    coverage: &mut Coverage,
) -> Vec<(Change, Origin)> {
    let shared = repository.clone().into_sync();
    let all: Vec<(ObjectId, Option<(Changes, Origin)>)> = commits
        .par_iter()
        .map_init(
            || {
                let mut repository = shared.to_thread_local();
                repository.object_cache_size(CACHE_BYTES);
                repository
            },
            |repository, id| (*id, changes_of(repository, id)),
        )
        .collect();
    let mut brought = Vec::new();
    for (id, found) in all {
        let Some((changes, mut origin)) = found else {
            coverage.omit(format!("commit {id}"), Why::Damaged);
            continue;
        };
        origin.rank.0 = is_unreachable(&id);
        for tree in changes.missing {
            coverage.omit(format!("tree {tree}"), Why::Damaged);
        }
        if changes.is_cut_off {
            coverage.omit(format!("what commit {id} changed"), Why::CutOff);
        }
        brought.extend(changes.changes.into_iter().map(|change| {
            let origin = Origin { file: change.file.clone(), ..origin.clone() };
            (change, origin)
        }));
    }
    brought
}

fn changes_of(repository: &Repository, id: &ObjectId) -> Option<(Changes, Origin)> {
    let mut buffer = Vec::new();
    let object = repository.objects.find(id, &mut buffer).ok()?;
    let commit = CommitRef::from_bytes(object.data, id.kind()).ok()?;
    let seconds = commit.committer().ok().map_or(0, |committer| committer.seconds());
    let tree_of = |parent: ObjectId| Some(repository.find_commit(parent).ok()?.tree_id().ok()?.detach());
    // The parents of the oldest commits of a shallow clone are not there: then all that the commit has is new.
    let parents: Vec<ObjectId> = commit.parents().filter_map(tree_of).collect();
    let mut changes = Changes::between(repository, commit.tree(), &parents);
    changes.is_cut_off |= parents.len() < commit.parents().count();
    let origin = Origin { file: String::new(), commit: origin::mark(repository, id), rank: (false, seconds, *id) };
    Some((changes, origin))
}

/// Scans the blobs of `changes`; what stood in the same file before is not new.
pub(crate) fn new_in(
    scanner: &Scanner,
    repository: &Repository,
    changes: &mut Vec<(Change, Origin)>,
    coverage: &mut Coverage,
) -> Vec<Finding> {
    let seen = Seen::default();
    let ids: HashSet<ObjectId> = changes.iter().map(|(change, _)| change.blob).collect();
    let Sights { blobs, coverage: covered, .. } = look(scanner, repository, &seen, ids);
    coverage.absorb(covered);
    let inspector = scanner.inspector();
    let is_new = changes.iter().filter(|(change, _)| change.before.is_empty());
    let names = is_new.flat_map(|(change, origin)| inspector.findings_of_name(&change.file, origin.commit.as_ref()));
    let names: Vec<Finding> = names.collect();
    let mut marks: HashMap<ObjectId, Box<[u32]>> = blobs.into_iter().collect();
    changes.retain(|(change, _)| marks.contains_key(&change.blob));
    let before: HashSet<ObjectId> =
        changes.iter().flat_map(|(change, _)| &change.before).filter(|id| !marks.contains_key(*id)).copied().collect();
    // What cannot be read of what was there before counts as if it had held nothing.
    marks.extend(look(scanner, repository, &seen, before).blobs);

    let confirmed = scanner.confirm(seen.candidates(), coverage);
    let numbers = seen.numbers(|mark| match mark {
        Mark::Hit(..) => true,
        Mark::Candidate(fingerprint) => confirmed.contains_key(fingerprint),
    });
    let marks_of = |id: &ObjectId| marks.get(id).map(AsRef::as_ref).unwrap_or_default();
    let appearances = changes
        .drain(..)
        .map(|(change, origin)| {
            let is_new = |mark: &u32| !change.before.iter().any(|before| marks_of(before).contains(mark));
            let marks = marks_of(&change.blob).iter().filter(|mark| numbers.contains(mark) && is_new(mark)).copied();
            Appearance { blob: change.blob, origin, marks: marks.collect() }
        })
        .collect();
    let firsts = named::first_of_each(appearances);
    let mut findings = named::report(scanner, repository, &seen, &firsts, &confirmed, coverage);
    findings.extend(names);
    findings
}

fn look(scanner: &Scanner, repository: &Repository, seen: &Seen, ids: HashSet<ObjectId>) -> Sights {
    let mut ids: Vec<ObjectId> = ids.into_iter().collect();
    ids.sort_unstable();
    let versions = Versions::new(scanner, seen, ids.len() as u64);
    scanner.progress(Progress { phase: Phase::History, done: 0, total: ids.len() as u64, bytes: 0 });
    crate::objects::visit_all(&repository.clone().into_sync(), &versions, &ids)
}
