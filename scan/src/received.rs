//! What a push brings to a server, before it is accepted: git keeps the new objects aside and names the references that
//! are about to move.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use gix::objs::Kind;
use gix::{ObjectId, Repository};
use tempfile::TempDir;
use turnlock_core::finding::Finding;

use crate::coverage::Coverage;
use crate::range::{self, Range, Tips};
use crate::scanner::{ScanError, Scanner};

/// A line of a hook's input is never longer.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Where git keeps objects during a push, as it tells hooks in their environment.
#[derive(Debug, Clone, Default)]
pub struct Quarantine {
    /// The folder of the new objects.
    pub objects: Option<PathBuf>,
    /// The folders of the objects that are there already.
    pub others: Vec<PathBuf>,
}

/// Scans the commits that the references of `input` would lead to and none leads to yet, and the files and folders that they
/// would name without a commit. `input`: lines of the old id, the
/// new id and the name of the reference.
pub(crate) fn scan(
    scanner: &Scanner,
    repository: &mut Repository,
    quarantine: &Quarantine,
    input: &mut dyn BufRead,
) -> Result<(Vec<Finding>, Coverage), ScanError> {
    let tips = tips(input)?;
    // Lives as long as the scan.
    let joined = quarantine.objects.as_deref().map(|objects| join(repository, objects, &quarantine.others)).transpose();
    let _joined = joined.map_err(|error| ScanError::Objects(Box::new(error)))?;
    let present: Vec<ObjectId> = range::references(repository);
    let tips = peeled(repository, tips)?;
    range::scan_between(scanner, repository, tips, present, &Range::default())
}

/// The new ids; a reference that is deleted brings nothing.
fn tips(input: &mut dyn BufRead) -> Result<Vec<ObjectId>, ScanError> {
    let mut ids = Vec::new();
    for line in lines(input)? {
        let [old, new, ..] = line.as_slice() else { return Err(ScanError::HookInput) };
        id(old)?;
        ids.extend(Some(id(new)?).filter(|id| !id.is_null()));
    }
    Ok(ids)
}

/// What these objects are or, through tags, name.
pub(crate) fn peeled(repository: &Repository, ids: Vec<ObjectId>) -> Result<Tips, ScanError> {
    let mut tips = Tips::default();
    for id in ids {
        let gone =
            |error: &dyn ToString| ScanError::Revision { revision: id.to_string(), source: error.to_string().into() };
        let mut object = repository.find_object(id).map_err(|error| gone(&error))?;
        while let Ok(tag) = object.clone().try_into_tag() {
            tips.tags.push(tag.id);
            let target = tag.target_id().map_err(|error| gone(&error))?;
            object = target.object().map_err(|error| gone(&error))?;
        }
        match object.kind {
            Kind::Commit => tips.commits.push(object.id),
            Kind::Tree => tips.trees.push(object.id),
            Kind::Blob | Kind::Tag => tips.blobs.push(object.id),
        }
    }
    Ok(tips)
}

/// The words of each line of what git writes to a hook.
pub(crate) fn lines(input: &mut dyn BufRead) -> Result<Vec<Vec<Vec<u8>>>, ScanError> {
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        std::io::Read::take(&mut *input, MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(ScanError::Input)?;
        if line.is_empty() {
            return Ok(lines);
        }
        let words: Vec<_> =
            line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect();
        // A script that has nothing to hand on still writes the end of a line.
        lines.extend((!words.is_empty()).then_some(words));
    }
}

pub(crate) fn id(word: &[u8]) -> Result<ObjectId, ScanError> {
    ObjectId::from_hex(word).map_err(|_| ScanError::HookInput)
}

/// Lets `repository` read the objects of the push as well: an object folder without objects that borrows from both. It is
/// gone with the guard.
fn join(repository: &mut Repository, objects: &Path, others: &[PathBuf]) -> std::io::Result<TempDir> {
    let own = repository.objects.store_ref().path().to_owned();
    let folder = tempfile::Builder::new().prefix("turnlock-push-").tempdir()?;
    std::fs::create_dir(folder.path().join("info"))?;
    let mut list = Vec::new();
    for path in std::iter::once(objects).chain(others.iter().map(AsRef::as_ref)).chain([own.as_path()]) {
        list.extend_from_slice(std::fs::canonicalize(path)?.as_os_str().as_encoded_bytes());
        list.push(b'\n');
    }
    std::fs::write(folder.path().join("info/alternates"), list)?;
    let store = gix::odb::at(folder.path(), repository.object_hash())?;
    repository.objects = gix::odb::memory::Proxy::from(store);
    Ok(folder)
}
