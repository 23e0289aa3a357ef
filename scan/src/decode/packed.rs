//! Compressed data in what another notation says: `base64(gzip(…))` is how many tools keep a file in one setting.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use crate::archive::{self, Format};

/// Most bytes that all the compressed data in one text may expand to: a text made to harm says very much in few letters.
pub(super) const MAX_BYTES: usize = 8 << 20;

/// Whether what starts with `head` is compressed data.
pub(super) fn is_packed(head: &[u8]) -> bool {
    is_zlib(head) || Format::of(head).is_some_and(Format::is_stream)
}

/// Header of a zlib stream: deflate with a window of 32 KiB, and the check over both bytes.
fn is_zlib(head: &[u8]) -> bool {
    matches!(head, [0x78, flags, ..] if flags & 0x20 == 0 && (0x7800 + u16::from(*flags)) % 31 == 0)
}

/// What compressed data says, as far as `room` goes, which becomes less.
pub(super) fn unpack(bytes: &[u8], room: &mut usize) -> Vec<u8> {
    let unpacked = if is_zlib(bytes) {
        let mut unpacked = Vec::new();
        // Damage ends it, and what was read stays.
        let _ = ZlibDecoder::new(bytes).take(*room as u64).read_to_end(&mut unpacked);
        unpacked
    } else {
        archive::unpacked(bytes, *room)
    };
    *room = room.saturating_sub(unpacked.len());
    unpacked
}
