//! The files of a tree: what `.gitignore` leaves of it, without `.git` and whatever is no regular file. Links are passed
//! over unless told.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ignore::WalkBuilder;
use rayon::prelude::*;
use rustix::fs::OFlags;
use turnlock_core::finding::Finding;

use crate::archive::HEAD_BYTES;
use crate::content::{Confirmed, Content};
use crate::coverage::{Coverage, Why};
use crate::inspect::Inspection;
use crate::scanner::{Phase, Progress, ScanError, Scanner};
use crate::sqlite;
use crate::twins::Twins;

/// A plain text of so many bytes or more is read in windows.
const IN_WINDOWS_BYTES: u64 = 16 << 20;

/// What tells git which files are none of its business.
const IGNORE_FILE: &str = ".gitignore";

/// Bytes that tell a plain text.
const SNIFF_BYTES: u64 = 8 << 10;

struct Entry {
    path: PathBuf,
    /// The name in reports.
    name: String,
    /// The name of the link that leads to it; empty when it was found by its own.
    symlink: String,
    /// As it was listed.
    bytes: u64,
}

/// Scans the files below `root`. In reports `shown` stands in place of `root`.
pub(crate) fn scan(scanner: &Scanner, root: &Path, shown: &Path) -> Result<(Vec<Finding>, Coverage), ScanError> {
    let metadata = std::fs::metadata(root).map_err(|source| ScanError::NoSuchPath { path: root.to_owned(), source })?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(ScanError::Special { path: root.to_owned() });
    }
    let mut coverage = Coverage::default();
    let entries = list(scanner, root, shown, &mut coverage);
    let total = entries.len() as u64;
    let twins = Twins::among(entries.iter().map(|entry| entry.bytes));
    let (done, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let reads: Vec<Result<Content, Why>> = entries
        .par_iter()
        .map(|entry| {
            let look = |bytes: &[u8]| match database_of(scanner, &entry.path, bytes) {
                // What a log says depends on its database, so that one with the same bytes may be no twin.
                Some(database) => scanner.look_into_log(bytes, &database, &Confirmed::new()),
                None => twins.look(bytes, || scanner.look_into(bytes, &Confirmed::new())),
            };
            let read = if scanner.is_late() {
                Err(Why::OutOfTime)
            } else {
                read(scanner, &entry.path, &Confirmed::new(), look)
            };
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            let bytes = bytes.fetch_add(read.as_ref().map_or(0, |(_, bytes)| *bytes), Ordering::Relaxed);
            scanner.progress(Progress { phase: Phase::Tree, done, total, bytes });
            read.map(|(mut content, _)| {
                content.inspection.sightings.retain(|sighting| scanner.bounds.keep(sighting));
                content
            })
        })
        .collect();

    coverage.bytes = bytes.into_inner();
    let mut contents = Vec::new();
    let mut candidates = HashSet::new();
    for (entry, read) in entries.iter().zip(reads) {
        match read {
            Ok(mut content) => {
                coverage.files += 1;
                content.count(&entry.name, &mut coverage);
                candidates.extend(content.inspection.candidates.iter().copied());
                if !content.inspection.is_empty() {
                    contents.push((entry, content.inspection));
                }
            }
            Err(why) => coverage.omit(entry.name.clone(), why),
        }
    }
    let confirmed = scanner.confirm(candidates, &mut coverage);
    let mut found: Vec<Finding> = contents
        .into_iter()
        .flat_map(|(entry, inspection)| findings(scanner, entry, inspection, &confirmed, &mut coverage))
        .collect();
    let inspector = scanner.inspector();
    found.extend(entries.iter().flat_map(|entry| inspector.findings_of_name(&entry.name, None)));
    Ok((found, coverage))
}

fn findings(
    scanner: &Scanner,
    entry: &Entry,
    mut inspection: Inspection,
    confirmed: &Confirmed,
    coverage: &mut Coverage,
) -> Vec<Finding> {
    if inspection.candidates.iter().any(|candidate| confirmed.contains_key(candidate)) {
        // Read once more: values that were merely looked up are not kept in memory.
        let look = |bytes: &[u8]| {
            let database = database_of(scanner, &entry.path, bytes).unwrap_or_default();
            scanner.look_into_log(bytes, &database, confirmed)
        };
        match read(scanner, &entry.path, confirmed, look) {
            Ok((content, _)) => inspection = content.inspection,
            Err(why) => coverage.omit(entry.name.clone(), why),
        }
    }
    let inspector = scanner.inspector();
    let finding =
        |sighting| Finding { symlink: entry.symlink.clone(), ..inspector.finding(sighting, &entry.name, None) };
    inspection.sightings.iter().map(finding).collect()
}

/// The regular files in order of their names; counts and notes the rest.
fn list(scanner: &Scanner, root: &Path, shown: &Path, coverage: &mut Coverage) -> Vec<Entry> {
    let honour = scanner.options.honour_ignore_files;
    let (is_within, mut may_exclude) = above(root);
    let holds_repository = Arc::new(AtomicBool::new(is_within));
    let sees = holds_repository.clone();
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .ignore(false)
        .git_global(false)
        .git_ignore(honour)
        .git_exclude(honour)
        .parents(honour)
        .follow_links(false)
        .filter_entry(move |entry| {
            let is_git = entry.depth() > 0 && entry.file_name() == ".git";
            sees.fetch_or(is_git, Ordering::Relaxed);
            !is_git
        })
        .sort_by_file_name(std::cmp::Ord::cmp)
        .build();
    let left_out: HashSet<PathBuf> =
        scanner.options.leave_out.iter().filter_map(|path| std::fs::canonicalize(path).ok()).collect();
    let is_left_out =
        |path: &Path| !left_out.is_empty() && std::fs::canonicalize(path).is_ok_and(|path| left_out.contains(&path));
    // Values of the store are looked for everywhere: an allowlist speaks of what rules find.
    let is_allowed = |name: &str| scanner.options.lookup.is_none() && scanner.rules.covers_file(name);
    let top = std::fs::canonicalize(root).unwrap_or_default();
    // What a link leads to inside the tree is called as if it had been found there.
    let name = |path: &Path| -> PathBuf {
        let relative = path.strip_prefix(root).or_else(|_| path.strip_prefix(&top));
        match relative {
            Ok(relative) if relative.as_os_str().is_empty() => shown.to_owned(),
            Ok(relative) => shown.join(relative),
            Err(_) => path.to_owned(),
        }
    };
    let mut entries = Vec::new();
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let what = path_of(&error).map_or_else(|| error.to_string(), |path| name(path).display().to_string());
                coverage.omit(what, Why::Unreadable(kind_of(error.io_error())));
                continue;
            }
        };
        may_exclude |= entry.file_name() == IGNORE_FILE;
        let mut entry_name = name(entry.path()).to_string_lossy().into_owned();
        let (mut symlink, mut path) = (String::new(), entry.path().to_owned());
        let mut kind = entry.file_type();
        if entry.depth() == 0 {
            // What was asked for may be given by a link.
            kind = std::fs::metadata(&path).map(|metadata| metadata.file_type()).ok().or(kind);
        }
        if kind.is_some_and(|kind| kind.is_symlink()) {
            // Only to files: what folders hold is read in its own place, or belongs to another tree.
            let target = std::fs::canonicalize(&path).and_then(|path| Ok((std::fs::metadata(&path)?, path)));
            match target {
                Ok((metadata, target)) if scanner.options.follow_symlinks && !metadata.is_dir() => {
                    symlink = std::mem::replace(&mut entry_name, name(&target).to_string_lossy().into_owned());
                    kind = Some(metadata.file_type());
                    path = target;
                }
                _ => {
                    coverage.symlinks += 1;
                    continue;
                }
            }
        }
        match kind {
            Some(kind) if kind.is_dir() => {}
            Some(kind) if (kind.is_file() || kind.is_symlink()) && is_left_out(&path) => {}
            Some(kind) if (kind.is_file() || kind.is_symlink()) && is_allowed(&entry_name) => {
                coverage.allowed += 1;
            }
            Some(kind) if kind.is_file() || kind.is_symlink() => {
                let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
                entries.push(Entry { path, name: entry_name, symlink, bytes });
            }
            _ => coverage.omit(entry_name, Why::Special),
        }
    }
    coverage.excludes |= honour && may_exclude && holds_repository.load(Ordering::Relaxed);
    entries
}

/// Whether `root` is within a repository, and whether it is a folder above `root` in it that has a `.gitignore`.
fn above(root: &Path) -> (bool, bool) {
    let Ok(root) = std::fs::canonicalize(root) else { return (false, false) };
    let mut excludes = false;
    for folder in root.ancestors() {
        excludes |= folder != root && folder.join(IGNORE_FILE).is_file();
        if folder.join(".git").exists() {
            return (true, excludes);
        }
    }
    (false, false)
}

/// Looks into a file, and says how large it is; `look` gets one that is read whole. Never waits for a FIFO that took the
/// file's place since it was listed.
fn read(
    scanner: &Scanner,
    path: &Path,
    confirmed: &Confirmed,
    look: impl FnOnce(&[u8]) -> Content,
) -> Result<(Content, u64), Why> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC).bits();
    let unreadable = |error: io::Error| Why::Unreadable(kind_of(Some(&error)));
    let mut file: File =
        OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Why::Special);
    }
    let mut content = Vec::with_capacity(HEAD_BYTES);
    file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut content).map_err(unreadable)?;
    if let Some(format) = scanner.archive(&content) {
        // It is read piece by piece, whatever its size.
        file.rewind().map_err(unreadable)?;
        let mut file = BufReader::new(file);
        return Ok((scanner.unpack(format, &mut file, metadata.len(), confirmed), metadata.len()));
    }
    let limit = scanner.options.max_bytes;
    if metadata.len() > limit {
        return Err(Why::TooLarge { limit });
    }
    if metadata.len() >= IN_WINDOWS_BYTES {
        file.by_ref().take(SNIFF_BYTES).read_to_end(&mut content).map_err(unreadable)?;
        if scanner.is_plain(&content) {
            // The file may grow while it is read.
            let rest = limit.saturating_add(1).saturating_sub(content.len() as u64);
            let mut reader = content.as_slice().chain(file.take(rest));
            let (found, bytes) = scanner.look_through(&mut reader, confirmed).map_err(unreadable)?;
            return if bytes > limit { Err(Why::TooLarge { limit }) } else { Ok((found, bytes)) };
        }
    }
    content.reserve(usize::try_from(metadata.len()).unwrap_or(0).saturating_sub(content.len()));
    // The file may grow while it is read.
    file.take(limit.saturating_add(1).saturating_sub(content.len() as u64))
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    let bytes = content.len() as u64;
    if bytes > limit { Err(Why::TooLarge { limit }) } else { Ok((look(&content), bytes)) }
}

/// The database of the write-ahead log that is at `path` and has these `bytes`; `None` if it is no log or stands alone.
fn database_of(scanner: &Scanner, path: &Path, bytes: &[u8]) -> Option<Vec<u8>> {
    let name = path.file_name().filter(|_| sqlite::is_log(bytes))?.as_bytes().strip_suffix(b"-wal")?;
    let mut database = None;
    read(scanner, &path.with_file_name(OsStr::from_bytes(name)), &Confirmed::new(), |bytes| {
        database = Some(bytes.to_vec());
        Content::default()
    })
    .ok()?;
    database
}

/// The path that the error is about.
fn path_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        _ => None,
    }
}

/// The kind of an error: its full text may name paths, which are shown elsewhere.
fn kind_of(error: Option<&io::Error>) -> String {
    error.map_or_else(|| "unknown".to_owned(), |error| error.kind().to_string())
}
