//! From what was seen in which blob to findings: which blob is the first to show a credential in a file, and the report
//! of it.

use std::collections::{HashMap, HashSet};

use gix::prelude::FindExt as _;
use gix::{ObjectId, Repository};
use rayon::prelude::*;
use turnlock_core::finding::{Finding, Fingerprint, LiveSecret};

use crate::coverage::{Coverage, Why};
use crate::inspect::{Sighting, identity};
use crate::origin::Origin;
use crate::scanner::Scanner;
use crate::seen::{Mark, Seen};

/// A blob at one of its places, and what it was seen to bring there.
pub(crate) struct Appearance {
    pub(crate) blob: ObjectId,
    pub(crate) origin: Origin,
    pub(crate) marks: Vec<u32>,
}

/// One appearance of each credential in each file: a secret that stays in a file through many versions was brought in
/// once, by the first of them.
pub(crate) fn first_of_each(appearances: Vec<Appearance>) -> Vec<Appearance> {
    let mut first: HashMap<(u32, &str), usize> = HashMap::new();
    let rank = |number: usize| appearances.get(number).map(|here| (here.origin.rank, here.blob));
    for (number, appearance) in appearances.iter().enumerate() {
        for mark in &appearance.marks {
            let known = first.entry((*mark, &appearance.origin.file)).or_insert(number);
            if rank(number) < rank(*known) {
                *known = number;
            }
        }
    }
    let firsts: HashSet<(u32, usize)> = first.into_iter().map(|((mark, _), number)| (mark, number)).collect();
    let mut kept: Vec<Appearance> = appearances
        .into_iter()
        .enumerate()
        .filter_map(|(number, mut appearance)| {
            appearance.marks.retain(|mark| firsts.contains(&(*mark, number)));
            (!appearance.marks.is_empty()).then_some(appearance)
        })
        .collect();
    kept.sort_unstable_by(|a, b| (a.blob, &a.origin.file).cmp(&(b.blob, &b.origin.file)));
    kept
}

/// Reads the blobs again and makes the findings out of them: values are kept nowhere meanwhile.
pub(crate) fn report(
    scanner: &Scanner,
    repository: &Repository,
    seen: &Seen,
    appearances: &[Appearance],
    confirmed: &HashMap<Fingerprint, LiveSecret>,
    coverage: &mut Coverage,
) -> Vec<Finding> {
    scanner.bounds.renew_unpacked();
    let shared = repository.clone().into_sync();
    let of_one_blob: Vec<&[Appearance]> = appearances.chunk_by(|a, b| a.blob == b.blob).collect();
    let read: Vec<_> = of_one_blob
        .into_par_iter()
        .map_init(
            || (shared.to_thread_local(), Vec::new()),
            |(repository, buffer), appearances| {
                let id = appearances.first().map(|appearance| appearance.blob)?;
                let sightings = sightings(scanner, repository, &id, buffer, confirmed);
                Some((id, sightings.map(|sightings| findings(scanner, seen, appearances, &sightings))))
            },
        )
        .flatten()
        .collect();
    let mut all = Vec::new();
    for (id, findings) in read {
        match findings {
            Some(findings) => all.extend(findings),
            None => coverage.omit(format!("blob {id}"), Why::Damaged),
        }
    }
    all
}

fn sightings(
    scanner: &Scanner,
    repository: &Repository,
    id: &ObjectId,
    buffer: &mut Vec<u8>,
    confirmed: &HashMap<Fingerprint, LiveSecret>,
) -> Option<Vec<Sighting>> {
    let object = repository.objects.find(id, buffer).ok()?;
    Some(scanner.look_into(object.data, confirmed).inspection.sightings)
}

/// The first sighting of each credential that the appearance was the first to show.
fn findings(scanner: &Scanner, seen: &Seen, appearances: &[Appearance], sightings: &[Sighting]) -> Vec<Finding> {
    let inspector = scanner.inspector();
    let same = identity();
    let numbered: Vec<(u32, &Sighting)> = sightings
        .iter()
        .filter_map(|sighting| {
            let mark = match sighting.rule {
                Some(rule) => Mark::Hit(rule, sighting.identity(&same)),
                None => Mark::Candidate(inspector.lookup?.fingerprint(sighting.secret.expose())),
            };
            Some((seen.known(&mark)?, sighting))
        })
        .collect();
    let mut findings = Vec::new();
    for Appearance { origin, marks, .. } in appearances {
        for mark in marks {
            let first =
                numbered.iter().filter(|(number, _)| number == mark).min_by_key(|(_, seen)| seen.place.start_line);
            if let Some((_, sighting)) = first.filter(|(_, sighting)| scanner.bounds.keep(sighting)) {
                findings.push(inspector.finding(sighting, &origin.file, origin.commit.clone()));
            }
        }
    }
    findings
}
