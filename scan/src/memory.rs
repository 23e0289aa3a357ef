//! What a scan of a history leaves for the next one: which objects it has seen, which blobs held something, and which of
//! them the report named. Ids only: no value, no fingerprint of one, so that nobody learns a secret from it.
//!
//! It lies in the user's own cache folder, not in the repository: a repository from elsewhere could otherwise bring along
//! the claim that it is clean.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use gix::hash::{Kind, hasher};
use gix::{ObjectId, Repository, object, oid};
use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;
use crate::named::Appearance;
use crate::objects::Objects;
use crate::origin::Rank;
use crate::range;
use crate::rule::Rule;
use crate::scanner::Scanner;

/// Changes with everything that changes the meaning of the file.
const FORMAT: &str = "turnlock scan memory 2";

/// Bytes of an id that are kept of the objects that need not be looked at again.
const SHORT_BYTES: usize = 16;

const CHECKSUM_BYTES: usize = 32;

/// What is known of a history.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) facts: Facts,
    /// Objects that were looked at, shortened, in order.
    known: Vec<[u8; SHORT_BYTES]>,
    /// The blobs in which something was seen, with the rank of the commit that brought them.
    pub(crate) dirty: HashMap<ObjectId, Rank>,
    /// How many blobs were not looked at by the scan that made this.
    pub(crate) missed: usize,
}

/// The small part, written as JSON.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Of rules, options and program.
    key: String,
    /// What the references led to.
    pub(crate) tips: Vec<String>,
    /// Commits that nothing led to.
    pub(crate) unreachable: Vec<String>,
    /// The blobs that the report named, with the files under which it did.
    pub(crate) named: Vec<(String, String)>,
    /// The commits and tags in whose messages something was seen.
    pub(crate) speakers: Vec<String>,
    pub(crate) blobs: u64,
    pub(crate) commits: u64,
    pub(crate) bytes: u64,
    pub(crate) binary: u64,
    pub(crate) archives: u64,
    pub(crate) unpacked: u64,
    known: usize,
    dirty: usize,
}

impl Memory {
    /// Whether the object of this id was looked at.
    pub(crate) fn knows(&self, id: &oid) -> bool {
        short(id).is_some_and(|short| self.known.binary_search(&short).is_ok())
    }

    /// How many objects were looked at.
    pub(crate) fn known(&self) -> usize {
        self.known.len()
    }

    /// Remembers what `before` knew.
    pub(crate) fn adopt(&mut self, before: &Self) {
        self.known.extend_from_slice(&before.known);
    }

    /// Remembers what a scan came to: it looked at all `objects` but the `missed` ones, and named the `firsts`.
    pub(crate) fn take(
        &mut self,
        repository: &Repository,
        objects: &Objects,
        missed: &[ObjectId],
        firsts: &[Appearance],
        coverage: &Coverage,
    ) {
        let facts = &mut self.facts;
        facts.tips = range::references(repository).iter().map(ToString::to_string).collect();
        facts.named = firsts.iter().map(|first| (first.blob.to_string(), first.origin.file.clone())).collect();
        (facts.blobs, facts.commits) = (coverage.blobs, coverage.commits);
        (facts.bytes, facts.binary) = (coverage.bytes, coverage.binary);
        (facts.archives, facts.unpacked) = (coverage.archives, coverage.unpacked);
        self.missed = missed.len();
        let missed: HashSet<&oid> = missed.iter().map(AsRef::as_ref).collect();
        let kinds = [object::Kind::Blob, object::Kind::Commit, object::Kind::Tree, object::Kind::Tag];
        let looked_at = kinds.into_iter().flat_map(|kind| objects.ids(kind)).filter(|id| !missed.contains(id));
        self.known.extend(looked_at.filter_map(short));
        self.known.sort_unstable();
        self.known.dedup();
    }
}

/// The file of one repository in the cache folder. Whatever is wrong with it, the scan is made as if it were not there.
pub(crate) struct MemoryFile {
    path: PathBuf,
    key: String,
    hash: Kind,
}

impl MemoryFile {
    /// `None` when the scan shall remember nothing. Values of a live store change without anybody's commit, so that with it
    /// every blob counts every time; so it does for rules about mere names.
    pub(crate) fn of(scanner: &Scanner, repository: &Repository) -> Option<Self> {
        let is_lasting = scanner.options.lookup.is_none() && !scanner.rules.names_files();
        let folder = scanner.options.cache.as_ref().filter(|_| is_lasting)?;
        let home = fs::canonicalize(repository.common_dir()).ok()?;
        let name = digest([home.as_os_str().as_encoded_bytes()])?;
        let path = folder.join(format!("{}.scan", name.get(..40)?));
        Some(Self { path, key: key(scanner)?, hash: repository.object_hash() })
    }

    /// What the last scan left, if it was made with the same rules and options by the same program.
    pub(crate) fn load(&self) -> Option<Memory> {
        let bytes = fs::read(&self.path).ok()?;
        let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_BYTES)?)?;
        if hash_of([content])?.as_bytes() != checksum {
            return None;
        }
        let end = memchr::memchr(b'\n', content)?;
        let facts: Facts = serde_json::from_slice(content.get(..end)?).ok()?;
        let known_bytes = facts.known.checked_mul(SHORT_BYTES)?;
        if facts.key != self.key {
            return None;
        }
        let (known, rest) = content.get(end + 1..)?.split_at_checked(known_bytes)?;
        let (known, _) = known.as_chunks::<SHORT_BYTES>();
        let length = self.hash.len_in_bytes();
        let record = 2 * length + 9;
        if rest.len() != facts.dirty.checked_mul(record)? {
            return None;
        }
        let mut dirty = HashMap::with_capacity(facts.dirty);
        for bytes in rest.chunks_exact(record) {
            let (blob, bytes) = bytes.split_at_checked(length)?;
            let (commit, bytes) = bytes.split_at_checked(length)?;
            let (is_unreachable, seconds) = bytes.split_first()?;
            let rank = (*is_unreachable != 0, i64::from_be_bytes(seconds.try_into().ok()?), id(commit)?);
            dirty.insert(id(blob)?, rank);
        }
        Some(Memory { facts, known: known.to_vec(), dirty, missed: 0 })
    }

    /// Writes `memory` for the next scan: whole or not at all, also beside another scan that does the same. That it
    /// cannot be written is no failure of the scan.
    pub(crate) fn save(&self, mut memory: Memory) {
        memory.facts.key.clone_from(&self.key);
        (memory.facts.known, memory.facts.dirty) = (memory.known.len(), memory.dirty.len());
        let _ = self.write(&memory);
    }

    fn write(&self, memory: &Memory) -> Option<()> {
        let mut content = serde_json::to_vec(&memory.facts).ok()?;
        content.push(b'\n');
        content.extend(memory.known.iter().flatten());
        for (blob, (is_unreachable, seconds, commit)) in &memory.dirty {
            content.extend_from_slice(blob.as_slice());
            content.extend_from_slice(commit.as_slice());
            content.push(u8::from(*is_unreachable));
            content.extend_from_slice(&seconds.to_be_bytes());
        }
        let checksum = hash_of([content.as_slice()])?;
        content.extend_from_slice(checksum.as_slice());
        let folder: &Path = self.path.parent()?;
        DirBuilder::new().recursive(true).mode(0o700).create(folder).ok()?;
        // Made for this user alone, and renamed when it is complete.
        let mut file = tempfile::NamedTempFile::new_in(folder).ok()?;
        file.write_all(&content).ok()?;
        file.persist(&self.path).ok().map(drop)
    }
}

fn id(bytes: &[u8]) -> Option<ObjectId> {
    ObjectId::try_from(bytes).ok()
}

fn short(id: &oid) -> Option<[u8; SHORT_BYTES]> {
    id.as_bytes().first_chunk().copied()
}

fn hash_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Option<ObjectId> {
    let mut hasher = hasher(Kind::Sha256);
    for part in parts {
        hasher.update(part);
    }
    hasher.try_finalize().ok()
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    Some(hash_of(parts)?.to_hex().to_string())
}

/// Names rules and options, and the program: another one may judge the same matches otherwise.
fn key(scanner: &Scanner) -> Option<String> {
    let program = std::env::current_exe().and_then(fs::metadata).ok()?;
    let made = program.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos();
    let options = &scanner.options;
    let mut text = format!("{FORMAT}\n{} {made} {} {}\n", program.len(), options.honour_comments, options.max_bytes);
    text.push_str(&format!("{} {} {}\n", options.decode_depth, options.archive_depth, scanner.config));
    for rule in scanner.rules.catalogue() {
        let Rule { id, keywords, pattern, group, entropy, certainty, reach, setting, assigned, check, .. } = rule;
        text.push_str(&format!(
            "{id:?} {keywords:?} {pattern:?} {group} {entropy} {certainty} {reach:?} {setting:?} {assigned} {check:?}\n"
        ));
    }
    digest([text.as_bytes()])
}
