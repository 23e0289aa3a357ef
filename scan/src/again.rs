//! A history that was scanned before: only what is new is looked at, and what the last report named is read again. The
//! answer is that of a whole scan; where that is in doubt, there is none and the history is scanned whole.

use std::collections::{HashMap, HashSet};

use gix::objs::Kind;
use gix::{ObjectId, Repository};
use turnlock_core::finding::Finding;

use crate::absent;
use crate::changes::Change;
use crate::commits;
use crate::coverage::Coverage;
use crate::memory::Memory;
use crate::messages;
use crate::named::{self, Appearance};
use crate::objects::{self, Objects};
use crate::origin::{self, Origin, Rank};
use crate::packs;
use crate::range;
use crate::scanner::Scanner;
use crate::seen::Seen;
use crate::versions::{Sights, Versions};

/// Scans what `memory` does not know. `None`: the history is not merely the one that it knows and more.
pub(crate) fn scan(
    scanner: &Scanner,
    repository: &Repository,
    memory: &Memory,
) -> Option<(Vec<Finding>, Coverage, Memory)> {
    let facts = &memory.facts;
    let mut coverage = Coverage {
        blobs: facts.blobs,
        commits: facts.commits,
        bytes: facts.bytes,
        binary: facts.binary,
        archives: facts.archives,
        unpacked: facts.unpacked,
        ..Coverage::default()
    };
    let objects = Objects::list(repository, |id| memory.knows(id), &mut coverage);
    if objects.known != memory.known() {
        // Something was pruned that the answer may have rested on.
        return None;
    }
    packs::doubt(repository, |id| objects.has(id), &mut coverage);
    let shared = repository.clone().into_sync();
    let is_new = |id: &gix::oid| !memory.knows(id);
    let commits = commits::read(&objects, &shared, is_new, &mut coverage);
    coverage.commits += commits.len() as u64;
    absent::note(repository, &objects, &commits, &mut coverage);

    // Nothing that led to a commit has gone, and nothing leads to one that nothing led to.
    let tips = range::references(repository);
    let reached = commits::reachable(repository, &commits);
    let touched: HashSet<ObjectId> = reached
        .iter()
        .filter_map(|id| commits.get(id))
        .flat_map(|commit| &commit.parents)
        .chain(&tips)
        .copied()
        .collect();
    if !ids(&facts.tips)?.iter().all(|tip| touched.contains(tip))
        || ids(&facts.unreachable)?.iter().any(|id| touched.contains(id))
    {
        return None;
    }

    let seen = Seen::default();
    let new: Vec<ObjectId> = commits.keys().copied().collect();
    let brought = range::brought(repository, &new, |id| !reached.contains(id), &mut coverage);
    let total = objects.ids(Kind::Blob).filter(|id| is_new(id)).count() as u64;
    let versions = Versions::new(scanner, &seen, total);
    let Sights { blobs, missed, coverage: covered } = objects.walk(&shared, &versions, Kind::Blob, is_new);
    coverage.absorb(covered);
    let origins = first_origins(memory, brought)?;

    let mut next = Memory::default();
    next.dirty.clone_from(&memory.dirty);
    let mut appearances = named_before(scanner, repository, memory, &seen)?;
    for (blob, marks) in blobs {
        let origins = origins.get(&blob).cloned().unwrap_or_else(|| vec![Origin::unknown(&blob)]);
        next.dirty.extend(origins.first().map(|origin| (blob, origin.rank)));
        let here = |origin| Appearance { blob, origin, marks: marks.to_vec() };
        appearances.extend(origins.into_iter().map(here));
    }
    let firsts = named::first_of_each(appearances);
    let mut findings = named::report(scanner, repository, &seen, &firsts, &HashMap::new(), &mut coverage);
    let heard = messages::hear(scanner, &objects, &shared, is_new);
    coverage.absorb(heard.coverage);
    let speakers: Vec<ObjectId> = ids(&facts.speakers)?.into_iter().chain(heard.speakers).collect();
    let forgotten: HashSet<ObjectId> = ids(&facts.unreachable)?.into_iter().collect();
    let is_unreachable = |id: &ObjectId| forgotten.contains(id) || (commits.contains_key(id) && !reached.contains(id));
    let confirmed = HashMap::new();
    messages::report(scanner, repository, &speakers, is_unreachable, &confirmed, &mut coverage, &mut findings);
    next.facts.speakers = speakers.iter().map(ToString::to_string).collect();

    let unreachable = new.iter().filter(|id| !reached.contains(*id)).map(ToString::to_string);
    next.facts.unreachable = facts.unreachable.iter().cloned().chain(unreachable).collect();
    next.adopt(memory);
    next.take(repository, &objects, &missed, &firsts, &coverage);
    Some((findings, coverage, next))
}

fn ids(texts: &[String]) -> Option<Vec<ObjectId>> {
    texts.iter().map(|text| ObjectId::from_hex(text.as_bytes()).ok()).collect()
}

/// For each blob the first of the new commits that brought it in, at all files where it did. `None` when that is before
/// the commit that is known to have brought it in.
fn first_origins(memory: &Memory, brought: Vec<(Change, Origin)>) -> Option<HashMap<ObjectId, Vec<Origin>>> {
    let mut best: HashMap<ObjectId, Vec<Origin>> = HashMap::new();
    for (Change { blob, .. }, origin) in brought {
        if memory.dirty.get(&blob).is_some_and(|known| origin.rank < *known) {
            return None;
        }
        let known: Option<Rank> = best.get(&blob).and_then(|origins| origins.first()).map(|origin| origin.rank);
        match known {
            Some(rank) if rank < origin.rank => {}
            Some(rank) if rank == origin.rank => best.entry(blob).or_default().push(origin),
            _ => drop(best.insert(blob, vec![origin])),
        }
    }
    Some(best)
}

/// What the last report named, with all that is seen there now. `None` when some of it is gone.
fn named_before(scanner: &Scanner, repository: &Repository, memory: &Memory, seen: &Seen) -> Option<Vec<Appearance>> {
    let named: Vec<(ObjectId, &String)> = memory
        .facts
        .named
        .iter()
        .map(|(id, file)| Some((ObjectId::from_hex(id.as_bytes()).ok()?, file)))
        .collect::<Option<_>>()?;
    let mut blobs: Vec<ObjectId> = named.iter().map(|(blob, _)| *blob).collect();
    blobs.sort_unstable();
    blobs.dedup();
    let versions = Versions::new(scanner, seen, blobs.len() as u64);
    let sights = objects::visit_all(&repository.clone().into_sync(), &versions, &blobs);
    if sights.coverage.omitted > 0 {
        return None;
    }
    let marks: HashMap<ObjectId, Box<[u32]>> = sights.blobs.into_iter().collect();
    let mut commits = HashMap::new();
    let mut appearances = Vec::new();
    for (blob, file) in named {
        let rank = *memory.dirty.get(&blob)?;
        let is_in_a_commit = rank.2 != blob;
        let commit = if is_in_a_commit {
            commits.entry(rank.2).or_insert_with(|| origin::mark(repository, &rank.2)).clone()
        } else {
            None
        };
        if is_in_a_commit && commit.is_none() {
            return None;
        }
        let origin = Origin { file: file.clone(), commit, rank };
        appearances.push(Appearance { blob, origin, marks: marks.get(&blob)?.to_vec() });
    }
    Some(appearances)
}
