//! The files of a tree: what `.gitignore` leaves of it, without `.git`, links and whatever is no regular file.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ignore::WalkBuilder;
use rayon::prelude::*;
use rustix::fs::OFlags;
use turnlock_core::finding::{Finding, Fingerprint, LiveSecret};

use crate::coverage::{Coverage, Why};
use crate::inspect::Inspection;
use crate::scanner::{Phase, Progress, ScanError, Scanner};
use crate::text;

struct Entry {
    path: PathBuf,
    /// The name in reports.
    name: String,
}

/// What reading one file came to.
enum Read {
    Text(Inspection),
    Binary,
    Omitted(Why),
}

/// Scans the files below `root`. In reports `shown` stands in place of `root`.
pub(crate) fn scan(scanner: &Scanner, root: &Path, shown: &Path) -> Result<(Vec<Finding>, Coverage), ScanError> {
    std::fs::metadata(root).map_err(|source| ScanError::NoSuchPath { path: root.to_owned(), source })?;
    let mut coverage = Coverage::default();
    let entries = list(scanner, root, shown, &mut coverage);
    let total = entries.len() as u64;
    let (done, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let inspector = scanner.inspector();
    let limit = scanner.options.max_bytes;
    let reads: Vec<Read> = entries
        .par_iter()
        .map(|entry| {
            let content = if scanner.is_late() { Err(Why::OutOfTime) } else { read(&entry.path, limit) };
            let read = match content {
                Ok(content) => {
                    bytes.fetch_add(content.len() as u64, Ordering::Relaxed);
                    text::of(&content).map_or(Read::Binary, |text| Read::Text(inspector.inspect(&text)))
                }
                Err(why) => Read::Omitted(why),
            };
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            scanner.progress(Progress { phase: Phase::Tree, done, total, bytes: bytes.load(Ordering::Relaxed) });
            read
        })
        .collect();

    coverage.bytes = bytes.into_inner();
    let mut texts = Vec::new();
    let mut candidates = HashSet::new();
    for (entry, read) in entries.iter().zip(reads) {
        match read {
            Read::Text(inspection) => {
                coverage.files += 1;
                candidates.extend(inspection.candidates.iter().copied());
                if !inspection.is_empty() {
                    texts.push((entry, inspection));
                }
            }
            Read::Binary => coverage.binary += 1,
            Read::Omitted(why) => coverage.omit(entry.name.clone(), why),
        }
    }
    let confirmed = scanner.confirm(candidates, &mut coverage);
    let mut found: Vec<Finding> = texts
        .into_iter()
        .flat_map(|(entry, inspection)| findings(scanner, entry, inspection, &confirmed, &mut coverage))
        .collect();
    found.extend(entries.iter().flat_map(|entry| inspector.findings_of_name(&entry.name, None)));
    Ok((found, coverage))
}

fn findings(
    scanner: &Scanner,
    entry: &Entry,
    inspection: Inspection,
    confirmed: &HashMap<Fingerprint, LiveSecret>,
    coverage: &mut Coverage,
) -> Vec<Finding> {
    let inspector = scanner.inspector();
    let mut sightings = inspection.sightings;
    if inspection.candidates.iter().any(|candidate| confirmed.contains_key(candidate)) {
        // Read once more: values that were merely looked up are not kept in memory.
        match read(&entry.path, scanner.options.max_bytes) {
            Ok(content) => {
                if let Some(text) = text::of(&content) {
                    inspector.name_live_secrets(&text, confirmed, &mut sightings);
                }
            }
            Err(why) => coverage.omit(entry.name.clone(), why),
        }
    }
    sightings.iter().map(|sighting| inspector.finding(sighting, &entry.name, None)).collect()
}

/// The regular files in order of their names; counts and notes the rest.
fn list(scanner: &Scanner, root: &Path, shown: &Path, coverage: &mut Coverage) -> Vec<Entry> {
    let honour = scanner.options.honour_ignore_files;
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .ignore(false)
        .git_global(false)
        .git_ignore(honour)
        .git_exclude(honour)
        .parents(honour)
        .follow_links(false)
        .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git")
        .sort_by_file_name(std::cmp::Ord::cmp)
        .build();
    let left_out: HashSet<PathBuf> =
        scanner.options.leave_out.iter().filter_map(|path| std::fs::canonicalize(path).ok()).collect();
    let is_left_out =
        |path: &Path| !left_out.is_empty() && std::fs::canonicalize(path).is_ok_and(|path| left_out.contains(&path));
    // Values of the store are looked for everywhere: an allowlist speaks of what rules find.
    let is_allowed = |name: &str| scanner.options.lookup.is_none() && scanner.rules.covers_file(name);
    let mut entries = Vec::new();
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                // The error's text names the path.
                coverage.omit(error.to_string(), Why::Unreadable(kind_of(error.io_error())));
                continue;
            }
        };
        let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let name = if relative.as_os_str().is_empty() { shown.to_owned() } else { shown.join(relative) };
        let name = name.to_string_lossy().into_owned();
        match entry.file_type() {
            Some(kind) if kind.is_dir() => {}
            Some(kind) if kind.is_symlink() && entry.depth() > 0 => coverage.symlinks += 1,
            Some(kind) if (kind.is_file() || kind.is_symlink()) && is_left_out(entry.path()) => {}
            Some(kind) if (kind.is_file() || kind.is_symlink()) && is_allowed(&name) => coverage.allowed += 1,
            Some(kind) if kind.is_file() || kind.is_symlink() => entries.push(Entry { path: entry.into_path(), name }),
            _ => coverage.omit(name, Why::Special),
        }
    }
    entries
}

/// Reads a file of at most `limit` bytes. Never waits for a FIFO that took the file's place since it was listed.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Why> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC).bits();
    let unreadable = |error: io::Error| Why::Unreadable(kind_of(Some(&error)));
    let file: File = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Why::Special);
    }
    if metadata.len() > limit {
        return Err(Why::TooLarge { limit });
    }
    let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // The file may grow while it is read.
    file.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > limit { Err(Why::TooLarge { limit }) } else { Ok(content) }
}

/// The kind of an error: its full text may name paths, which are shown elsewhere.
fn kind_of(error: Option<&io::Error>) -> String {
    error.map_or_else(|| "unknown".to_owned(), |error| error.kind().to_string())
}
