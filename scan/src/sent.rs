//! What a push is about to send, before it is sent: the commits that the other side does not have yet.

use std::io::BufRead;

use gix::Repository;
use gix::bstr::ByteSlice as _;
use turnlock_core::finding::Finding;

use crate::coverage::Coverage;
use crate::range::{self, Range};
use crate::received::{id, lines, peeled};
use crate::scanner::{ScanError, Scanner};

/// Scans the commits that the references of `input` lead to and `remote` does not have, as far as is known. `input`: lines
/// of a reference and its id here, and a reference and its id there.
pub(crate) fn scan(
    scanner: &Scanner,
    repository: &Repository,
    remote: &str,
    input: &mut dyn BufRead,
) -> Result<(Vec<Finding>, Coverage), ScanError> {
    let (mut tips, mut there) = (Vec::new(), Vec::new());
    for line in lines(input)? {
        let [_, here, _, old] = line.as_slice() else { return Err(ScanError::HookInput) };
        // A reference that is deleted sends nothing.
        tips.extend(Some(id(here)?).filter(|id| !id.is_null()));
        there.push(id(old)?);
    }
    let tips = peeled(repository, tips)?;
    // What stands there may have been pushed by others and not be here.
    there.retain(|id| !id.is_null() && repository.has_object(id));
    let mut there = peeled(repository, there)?.commits;
    let folder = format!("refs/remotes/{remote}/");
    let references = repository.references().ok();
    let all = references.as_ref().and_then(|references| references.all().ok()).into_iter().flatten();
    let of_remote = all.filter_map(Result::ok).filter(|one| one.name().as_bstr().starts_with_str(&folder));
    there.extend(of_remote.filter_map(|mut one| Some(one.peel_to_id().ok()?.detach())));
    range::scan_between(scanner, repository, tips, there, &Range::default())
}
