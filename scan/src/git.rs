//! The whole history of a repository: every object of its store, each blob once, on all cores.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use gix::objs::Kind;
use gix::prelude::FindExt as _;
use gix::{ObjectId, Repository};
use rayon::prelude::*;
use turnlock_core::finding::{Finding, Fingerprint};

use crate::archive;
use crate::coverage::{Coverage, Why};
use crate::inspect::{Inspection, Sighting, identity};
use crate::origin::{self, Origin, Rank};
use crate::packs;
use crate::scanner::{Phase, Progress, ScanError, Scanner};

/// Objects that one thread takes at a time. They lie next to each other in a pack, so that bases of deltas are at hand.
const RUN: usize = 512;

/// Memory of each thread for bases of deltas.
const CACHE_BYTES: usize = 32 << 20;

/// What one run of objects came to.
#[derive(Default)]
struct Run {
    blobs: Vec<(ObjectId, Inspection)>,
    commits: Vec<ObjectId>,
    coverage: Coverage,
}

/// The repository at `path` or above it.
pub(crate) fn open(path: &Path) -> Result<Repository, ScanError> {
    gix::discover(path)
        .map_err(|error| ScanError::NoRepository { path: path.to_owned(), source: error.to_string().into() })
}

/// The working tree of the repository at `path` or above it; `None` when there is none.
pub fn repository_top(path: &Path) -> Option<std::path::PathBuf> {
    open(path).ok()?.workdir().map(Path::to_owned)
}

/// Scans every blob of `repository` and finds out who brought the findings in.
pub(crate) fn scan(scanner: &Scanner, repository: &Repository) -> Result<(Vec<Finding>, Coverage), ScanError> {
    let mut coverage = Coverage::default();
    let ids = list(repository, &mut coverage)?;
    let shared = repository.clone().into_sync();
    let total = ids.len() as u64;
    let (done, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let runs: Vec<Run> = ids
        .par_chunks(RUN)
        .map_init(
            || {
                let mut repository = shared.to_thread_local();
                repository
                    .objects
                    .set_pack_cache(|| Box::new(gix::odb::pack::cache::lru::MemoryCappedHashmap::new(CACHE_BYTES)));
                repository
            },
            |repository, ids| {
                let run = read(scanner, repository, ids);
                let bytes = bytes.fetch_add(run.coverage.bytes, Ordering::Relaxed) + run.coverage.bytes;
                let done = done.fetch_add(ids.len() as u64, Ordering::Relaxed) + ids.len() as u64;
                scanner.progress(Progress { phase: Phase::History, done, total, bytes });
                run
            },
        )
        .collect();
    let all = if scanner.rules.names_files() { ids } else { Vec::new() };

    let (mut blobs, mut commits, mut candidates) = (Vec::new(), Vec::new(), HashSet::<Fingerprint>::new());
    for run in runs {
        coverage.absorb(run.coverage);
        commits.extend(run.commits);
        for (_, inspection) in &run.blobs {
            candidates.extend(inspection.candidates.iter().copied());
        }
        blobs.extend(run.blobs);
    }
    coverage.commits = commits.len() as u64;

    let confirmed = scanner.confirm(candidates, &mut coverage);
    let mut sighted: HashMap<ObjectId, Vec<Sighting>> = HashMap::new();
    for (id, inspection) in blobs {
        let mut sightings = inspection.sightings;
        if inspection.candidates.iter().any(|candidate| confirmed.contains_key(candidate)) {
            let mut buffer = Vec::new();
            match repository.objects.find(&id, &mut buffer) {
                Ok(object) => sightings = scanner.look_into(object.data, &confirmed).inspection.sightings,
                Err(_) => coverage.omit(format!("blob {id}"), Why::Damaged),
            }
        }
        if !sightings.is_empty() {
            sighted.insert(id, sightings);
        }
    }
    let mut wanted: HashSet<ObjectId> = sighted.keys().copied().collect();
    if scanner.rules.names_files() {
        // A mere name may be a finding, so the names of all blobs are wanted.
        wanted.extend(all);
    }
    if wanted.is_empty() {
        return Ok((Vec::new(), coverage));
    }
    let origins = origin::resolve(repository, &commits, &wanted, &mut coverage, |progress| scanner.progress(progress));
    let mut found = findings(scanner, sighted, &origins);
    found.extend(findings_of_names(scanner, &origins));
    Ok((found, coverage))
}

/// The ids of all objects, each once, those in packs in the order of the pack.
fn list(repository: &Repository, coverage: &mut Coverage) -> Result<Vec<ObjectId>, ScanError> {
    let order = gix::odb::store::iter::Ordering::PackAscendingOffsetThenLooseLexicographical;
    let all = repository
        .objects
        .store_ref()
        .iter()
        .map_err(|error| ScanError::Objects(error.to_string().into()))?
        .with_ordering(order);
    let mut ids = Vec::new();
    let mut seen = HashSet::new();
    for id in all {
        match id {
            Ok(id) if seen.insert(id) => ids.push(id),
            Ok(_) => {}
            Err(_) => coverage.omit("loose objects", Why::Damaged),
        }
    }
    packs::doubt(repository, &seen, coverage);
    Ok(ids)
}

fn read(scanner: &Scanner, repository: &Repository, ids: &[ObjectId]) -> Run {
    let mut run = Run::default();
    let mut buffer = Vec::new();
    let limit = scanner.options.max_bytes;
    for id in ids {
        if scanner.is_late() {
            run.coverage.omit(format!("object {id}"), Why::OutOfTime);
            continue;
        }
        let header = match repository.find_header(*id) {
            Ok(header) => header,
            Err(_) => {
                run.coverage.omit(format!("object {id}"), Why::Damaged);
                continue;
            }
        };
        match header.kind() {
            Kind::Commit => run.commits.push(*id),
            Kind::Tree | Kind::Tag => {}
            Kind::Blob if header.size() > limit => run.coverage.omit(format!("blob {id}"), Why::TooLarge { limit }),
            Kind::Blob => match repository.objects.find(id, &mut buffer) {
                Ok(object) => {
                    run.coverage.blobs += 1;
                    run.coverage.bytes += object.data.len() as u64;
                    let mut content = scanner.look_into(object.data, &HashMap::new());
                    content.count(&format!("blob {id}"), &mut run.coverage);
                    let inspection = content.inspection;
                    if !inspection.is_empty() {
                        run.blobs.push((*id, inspection));
                    }
                }
                Err(_) => run.coverage.omit(format!("blob {id}"), Why::Damaged),
            },
        }
    }
    run
}

/// One finding for each credential in each file: a secret that stays in a file through many versions was brought in
/// once, by the first of them.
fn findings(
    scanner: &Scanner,
    sighted: HashMap<ObjectId, Vec<Sighting>>,
    origins: &HashMap<ObjectId, Vec<Origin>>,
) -> Vec<Finding> {
    let inspector = scanner.inspector();
    let same = identity();
    // By rule, credential and file.
    type Key = (Option<usize>, Fingerprint, String);
    let mut earliest: HashMap<Key, (Rank, Finding)> = HashMap::new();
    let mut ids: Vec<&ObjectId> = sighted.keys().collect();
    ids.sort_unstable();
    for id in ids {
        let nowhere = [Origin::unknown(id)];
        for origin in origins.get(id).map_or(&nowhere[..], Vec::as_slice) {
            for sighting in sighted.get(id).into_iter().flatten() {
                let file = archive::name(&origin.file, &sighting.place.file);
                let key = (sighting.rule, same.fingerprint(sighting.secret.expose()), file);
                let earlier = earliest.get(&key).is_some_and(|(rank, known)| {
                    (*rank, known.place.start_line) <= (origin.rank, sighting.place.start_line)
                });
                if !earlier {
                    earliest
                        .insert(key, (origin.rank, inspector.finding(sighting, &origin.file, origin.commit.clone())));
                }
            }
        }
    }
    earliest.into_values().map(|(_, finding)| finding).collect()
}

/// What files are by their mere names, each from its first commit.
fn findings_of_names(scanner: &Scanner, origins: &HashMap<ObjectId, Vec<Origin>>) -> Vec<Finding> {
    if !scanner.rules.names_files() {
        return Vec::new();
    }
    let mut first: HashMap<&str, &Origin> = HashMap::new();
    for origin in origins.values().flatten() {
        let known = first.entry(&origin.file).or_insert(origin);
        if origin.rank < known.rank {
            *known = origin;
        }
    }
    let inspector = scanner.inspector();
    first.values().flat_map(|origin| inspector.findings_of_name(&origin.file, origin.commit.as_ref())).collect()
}
