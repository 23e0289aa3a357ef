//! Whether the object store of a repository is whole: what a damaged index hides would otherwise not be missed.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use gix::odb::pack::{index, multi_index};
use gix::progress::Discard;
use gix::{ObjectId, Repository, oid};

use crate::coverage::{Coverage, Why};
use crate::objects;

/// Notes indices whose checksum is wrong, packs without an index, references to objects that are not there, and shallow
/// clones.
pub(crate) fn doubt(repository: &Repository, is_there: impl Fn(&oid) -> bool, coverage: &mut Coverage) {
    for folder in objects::folders(repository, &mut Coverage::default()) {
        doubt_folder(repository, &folder.join("pack"), coverage);
    }
    if repository.is_shallow().unwrap_or(true) {
        coverage.omit("older commits", Why::CutOff);
    }
    let references = repository.references().ok();
    let all = references.as_ref().and_then(|references| references.all().ok()).into_iter().flatten();
    let mut missing: Vec<ObjectId> = all
        .filter_map(Result::ok)
        .filter_map(|reference| reference.target().try_id().map(ToOwned::to_owned))
        .filter(|id| !is_there(id))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    for id in missing {
        coverage.omit(format!("object {id}"), Why::Damaged);
    }
}

fn doubt_folder(repository: &Repository, folder: &Path, coverage: &mut Coverage) {
    let Ok(files) = std::fs::read_dir(folder) else { return };
    let never = AtomicBool::new(false);
    let has_multi = folder.join("multi-pack-index").exists();
    for path in files.filter_map(Result::ok).map(|file| file.path()) {
        let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("idx") => {
                let whole = index::File::at(&path, repository.object_hash())
                    .and_then(|index| index.verify_checksum(&mut Discard, &never));
                if whole.is_err() {
                    coverage.omit(name(), Why::Damaged);
                }
            }
            Some("pack") if !has_multi && !path.with_extension("idx").exists() => coverage.omit(name(), Why::Damaged),
            None if path.ends_with("multi-pack-index") => {
                let whole =
                    multi_index::File::at(&path, None).and_then(|index| index.verify_checksum(&mut Discard, &never));
                if whole.is_err() {
                    coverage.omit(name(), Why::Damaged);
                }
            }
            _ => {}
        }
    }
}
