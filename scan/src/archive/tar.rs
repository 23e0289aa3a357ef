//! Tapes: files one after the other, each behind a header.

use std::io::Read;

use ::tar::{Archive, EntryType, Header, PaxExtensions};

use super::{Walk, join};
use crate::coverage::Why;

/// Longest header that gives a name; what is longer is passed over.
const MAX_NAME_BYTES: u64 = 64 << 10;

/// Whether `head` is the header of a file on a tape: its checksum holds.
pub(super) fn is_header(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<512>() else { return false };
    let header = Header::from_byte_slice(block);
    let sum = |from: usize, to: usize| {
        block.get(from..to).unwrap_or_default().iter().map(|byte| u32::from(*byte)).sum::<u32>()
    };
    // Some programs give the header before a long name none itself.
    let named =
        block.first().is_some_and(|byte| *byte != 0) || header.as_ustar().is_some() || header.as_gnu().is_some();
    named && header.cksum().is_ok_and(|expected| expected == sum(0, 148) + sum(156, 512) + 8 * u32::from(b' '))
}

/// Goes through the tape `stream`, called `name`.
pub(super) fn walk(walk: &mut Walk<'_>, name: &str, stream: impl Read, depth: usize) -> Result<(), Why> {
    // Headers that give names are read here: the library would take any size for them.
    let mut archive = Archive::new(walk.budget.count(stream));
    let entries = archive.entries().map_err(|_| Why::Broken)?.raw(true);
    let mut given = None;
    for entry in entries {
        let mut entry = entry.map_err(|_| Why::Broken)?;
        let kind = entry.header().entry_type();
        if kind == EntryType::GNULongName || kind == EntryType::XHeader {
            let mut bytes = Vec::new();
            entry.by_ref().take(MAX_NAME_BYTES).read_to_end(&mut bytes).map_err(|_| Why::Broken)?;
            given = if kind == EntryType::XHeader { path_in(&bytes).or(given) } else { Some(until_zero(&bytes)) };
            continue;
        }
        if matches!(kind, EntryType::XGlobalHeader | EntryType::GNULongLink) {
            continue;
        }
        let path = given.take().unwrap_or_else(|| String::from_utf8_lossy(&entry.header().path_bytes()).into_owned());
        if matches!(kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse) && !path.ends_with('/') {
            walk.member(&join(name, &path), &mut entry, depth);
        }
        if walk.budget.is_spent() {
            break;
        }
    }
    if walk.budget.is_spent() { Err(Why::Expands) } else { Ok(()) }
}

fn path_in(header: &[u8]) -> Option<String> {
    let path = PaxExtensions::new(header).flatten().find(|extension| extension.key_bytes() == b"path")?;
    Some(String::from_utf8_lossy(path.value_bytes()).into_owned())
}

fn until_zero(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}
