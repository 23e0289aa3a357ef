//! The whole history of a repository: every blob of its object store once, on all cores; then who brought in what was
//! found.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use gix::objs::Kind;
use gix::{ObjectId, Repository, ThreadSafeRepository};
use turnlock_core::finding::Finding;

use crate::absent;
use crate::again;
use crate::commits;
use crate::coverage::{Coverage, Why};
use crate::memory::{Memory, MemoryFile};
use crate::messages;
use crate::named::{self, Appearance};
use crate::objects::Objects;
use crate::origin::{self, Origin};
use crate::packs;
use crate::scanner::{ScanError, Scanner};
use crate::seen::{Mark, Seen};
use crate::versions::{Sights, Versions};

/// No object makes more room be taken, whatever size it claims. Git stores larger files whole in packs, and needs none of
/// them as a base.
pub(crate) const MAX_OBJECT_BYTES: u64 = 512 << 20;

/// The repository at `path` or above it. In the current folder it is the one that the environment names, as for git: that
/// tells its hooks so which index they are to look at.
pub(crate) fn open(path: &Path) -> Result<Repository, ScanError> {
    let mut options = gix::sec::trust::Mapping::<gix::open::Options>::default();
    options.full = options.full.config_overrides([format!("gitoxide.objects.allocLimit={MAX_OBJECT_BYTES}")]);
    let opened = if path == Path::new(".") {
        // A ceiling elsewhere is none.
        let upwards = gix::discover::upwards::Options { match_ceiling_dir_or_error: false, ..Default::default() };
        ThreadSafeRepository::discover_with_environment_overrides_opts(path, upwards, options)
    } else {
        // A bare repository is not recognised by a name that leads out of the current folder.
        let absolute = std::fs::canonicalize(path);
        ThreadSafeRepository::discover_opts(absolute.as_deref().unwrap_or(path), Default::default(), options)
    };
    opened
        .map(Repository::from)
        .map_err(|error| ScanError::NoRepository { path: path.to_owned(), source: error.to_string().into() })
}

/// The repository at `path` or above it, `.git` or bare, whether it can be opened or not; an empty folder is none.
pub(crate) fn folder_above(path: &Path) -> Option<PathBuf> {
    let path = std::fs::canonicalize(path).ok()?;
    let holds = |git: &Path| git.is_file() || git.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    let is_bare = |folder: &Path| folder.join("objects").is_dir() && folder.join("refs").is_dir();
    path.ancestors().find_map(|folder| {
        let git = folder.join(".git");
        if holds(&git) { Some(git) } else { is_bare(folder).then(|| folder.to_owned()) }
    })
}

/// Why a repository cannot be opened.
pub(crate) fn reason(error: &ScanError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// The working tree of the repository at `path` or above it; `None` when there is none.
pub fn repository_top(path: &Path) -> Option<PathBuf> {
    open(path).ok()?.workdir().map(Path::to_owned)
}

/// Scans the history of `repository`, as far as the last scan has not done it.
pub(crate) fn scan(scanner: &Scanner, repository: &Repository) -> Result<(Vec<Finding>, Coverage), ScanError> {
    let file = MemoryFile::of(scanner, repository);
    let known = file.as_ref().and_then(MemoryFile::load);
    let again = known.and_then(|known| again::scan(scanner, repository, &known));
    let (findings, coverage, memory) = again.unwrap_or_else(|| scan_whole(scanner, repository));
    // What was not seen may be there next time, and belong to what was. Too large stays too large and is said again.
    let is_whole = coverage.omitted == memory.missed as u64
        && coverage.omissions.iter().all(|omission| matches!(omission.why, Why::TooLarge { .. }))
        && scanner.bounds.gaps().is_empty();
    if let Some(file) = file.filter(|_| is_whole) {
        file.save(memory);
    }
    Ok((findings, coverage))
}

/// Scans every blob of `repository` and finds out who brought the findings in.
///
/// Of what is seen on the way only numbers are kept, however often it occurs. The few blobs that the report names are
/// read again at the end.
fn scan_whole(scanner: &Scanner, repository: &Repository) -> (Vec<Finding>, Coverage, Memory) {
    let mut coverage = Coverage::default();
    let objects = Objects::list(repository, |_| false, &mut coverage);
    packs::doubt(repository, |id| objects.has(id), &mut coverage);
    let seen = Seen::default();
    let shared = repository.clone().into_sync();
    let versions = Versions::new(scanner, &seen, objects.ids(Kind::Blob).count() as u64);
    let Sights { mut blobs, missed, coverage: covered } = objects.walk(&shared, &versions, Kind::Blob, |_| true);
    coverage.absorb(covered);
    coverage.commits = objects.ids(Kind::Commit).count() as u64;

    let mut heard = messages::hear(scanner, &objects, &shared, |_| true);
    coverage.absorb(std::mem::take(&mut heard.coverage));

    let candidates = seen.candidates().into_iter().chain(heard.candidates).collect();
    let confirmed = scanner.confirm(candidates, &mut coverage);
    let numbers = seen.numbers(|mark| match mark {
        Mark::Hit(..) => true,
        Mark::Candidate(fingerprint) => confirmed.contains_key(fingerprint),
    });
    blobs.retain(|(_, marks)| marks.iter().any(|mark| numbers.contains(mark)));
    let mut wanted: HashSet<ObjectId> = blobs.iter().map(|(id, _)| *id).collect();
    if scanner.rules.names_files() {
        // A mere name may be a finding, so the names of all blobs are wanted.
        wanted.extend(objects.ids(Kind::Blob).map(ToOwned::to_owned));
    }
    let commits = commits::read(&objects, &shared, |_| true, &mut coverage);
    absent::note(repository, &objects, &commits, &mut coverage);
    let mut origins = if wanted.is_empty() {
        HashMap::new()
    } else {
        origin::resolve(repository, &objects, &commits, &wanted, &mut coverage, |progress| scanner.progress(progress))
    };
    let names = findings_of_names(scanner, &origins);
    let mut memory = Memory::default();
    let mut appearances = Vec::new();
    for (blob, marks) in blobs {
        let marks: Vec<u32> = marks.iter().copied().filter(|mark| numbers.contains(mark)).collect();
        let origins = origins.remove(&blob).unwrap_or_else(|| vec![Origin::unknown(&blob)]);
        memory.dirty.extend(origins.first().map(|origin| (blob, origin.rank)));
        let here = |origin| Appearance { blob, origin, marks: marks.clone() };
        appearances.extend(origins.into_iter().map(here));
    }
    let firsts = named::first_of_each(appearances);
    let mut findings = named::report(scanner, repository, &seen, &firsts, &confirmed, &mut coverage);
    findings.extend(names);
    let reached = commits::reachable(repository, &commits);
    let is_unreachable = |id: &ObjectId| commits.contains_key(id) && !reached.contains(id);
    let speakers = &heard.speakers;
    messages::report(scanner, repository, speakers, is_unreachable, &confirmed, &mut coverage, &mut findings);
    if scanner.options.cache.is_some() {
        memory.facts.speakers = heard.speakers.iter().map(ToString::to_string).collect();
        memory.facts.unreachable =
            commits.keys().filter(|id| !reached.contains(*id)).map(ToString::to_string).collect();
        memory.take(repository, &objects, &missed, &firsts, &coverage);
    }
    (findings, coverage, memory)
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
