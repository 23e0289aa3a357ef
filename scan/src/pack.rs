//! The file of a pack, read piece by piece: mapped into memory whole it would count as memory of the scan.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use gix::odb::pack::data;
use gix::zlib::{Inflate, Status};

/// Bytes that are read at a time where only the headers of entries matter.
const WINDOW_BYTES: usize = 16 << 10;

/// More than any header of an entry takes.
const HEADER_BYTES: usize = 96;

/// Bytes that one byte of a compressed stream can stand for: copies of 258, told in two bits each (RFC 1951).
const MAX_EXPANSION: u64 = 1032;

/// An opened pack.
pub(crate) struct Pack {
    file: File,
    /// Where the entries end and the checksum starts.
    end: u64,
    hash: gix::hash::Kind,
}

/// Reads the headers of entries in ascending order.
pub(crate) struct Headers<'a> {
    pack: &'a Pack,
    window: Vec<u8>,
    start: u64,
}

impl Pack {
    /// `None`: it cannot be opened or is no pack.
    pub(crate) fn open(path: &Path, hash: gix::hash::Kind) -> Option<Self> {
        let file = File::open(path).ok()?;
        let end = file.metadata().ok()?.len().checked_sub(hash.len_in_bytes() as u64)?;
        let mut head = [0; data::header::SIZE];
        file.read_exact_at(&mut head, 0).ok()?;
        data::header::decode(&head).ok()?;
        Some(Self { file, end, hash })
    }

    pub(crate) fn headers(&self) -> Headers<'_> {
        Headers { pack: self, window: Vec::new(), start: 0 }
    }

    /// Reads the entry at `offset`, which ends before `next` at the latest, as it is in the file.
    pub(crate) fn read(&self, offset: u64, next: Option<u64>, packed: &mut Vec<u8>) -> Option<data::Entry> {
        packed.resize(HEADER_BYTES.min(usize::try_from(self.end.checked_sub(offset)?).ok()?), 0);
        self.file.read_exact_at(packed, offset).ok()?;
        let entry = data::Entry::from_bytes(packed, offset, self.hash).ok()?;
        // Text that cannot be compressed grows a little. A damaged index may claim any length.
        let most = entry.decompressed_size.checked_add(entry.decompressed_size / 64)?.checked_add(1024)?;
        let end = next.unwrap_or(self.end).min(self.end).min(entry.data_offset.checked_add(most)?);
        packed.resize(usize::try_from(end.checked_sub(entry.data_offset)?).ok()?, 0);
        self.file.read_exact_at(packed, entry.data_offset).ok()?;
        Some(entry)
    }
}

impl Headers<'_> {
    /// The entry at `offset`; `None` where there is none.
    pub(crate) fn at(&mut self, offset: u64) -> Option<data::Entry> {
        let place = offset.checked_sub(self.start).and_then(|place| usize::try_from(place).ok());
        let is_inside = place.is_some_and(|place| place.saturating_add(HEADER_BYTES) <= self.window.len());
        if !is_inside {
            let size = usize::try_from(self.pack.end.checked_sub(offset)?).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            self.window.resize(size, 0);
            self.pack.file.read_exact_at(&mut self.window, offset).ok()?;
            self.start = offset;
        }
        let place = usize::try_from(offset - self.start).ok()?;
        data::Entry::from_bytes(self.window.get(place..)?, offset, self.pack.hash).ok()
    }
}

/// Decompresses what [`Pack::read`] read. `None`: it is damaged.
pub(crate) fn inflate(packed: &[u8], size: u64, inflate: &mut Inflate, bytes: &mut Vec<u8>) -> Option<()> {
    // A false size must not take room.
    if size / MAX_EXPANSION > packed.len() as u64 {
        return None;
    }
    bytes.resize(usize::try_from(size).ok()?, 0);
    inflate.reset();
    let (status, _, length) = inflate.once(packed, bytes).ok()?;
    (status == Status::StreamEnd && length == bytes.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::inflate;

    #[test]
    fn a_false_size_takes_no_room() {
        let stream = [0x78, 0x01, 0x01, 0x02, 0x00, 0xfd, 0xff, b'o', b'k', 0x01, 0x4b, 0x00, 0xdb];
        let (mut work, mut bytes) = (gix::zlib::Inflate::default(), Vec::new());
        assert_eq!(inflate(&stream, 511 << 20, &mut work, &mut bytes), None);
        assert_eq!(bytes.capacity(), 0);
        assert_eq!(inflate(&stream, 2, &mut work, &mut bytes), Some(()));
        assert_eq!(bytes, b"ok");
    }
}
