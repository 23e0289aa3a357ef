//! Compressed data in what another notation says: `base64(gzip(…))` is how many tools keep a file in one setting.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use crate::archive::{self, Format};

/// Most bytes that all the compressed data in one text may expand to: a text made to harm says very much in few letters.
const MAX_BYTES: usize = 8 << 20;

/// So many bytes may come out of the shortest text.
const FLOOR_BYTES: usize = 64 << 10;

/// So many bytes may come out for each byte of the text.
const RATIO: usize = 16;

/// What may still come out of the compressed data in one text, in all notations together.
#[derive(Debug)]
pub(super) struct Room {
    bytes: usize,
    /// Whether something would have needed more.
    pub(super) is_exceeded: bool,
}

impl Room {
    pub(super) fn of(text: &[u8]) -> Self {
        Self { bytes: text.len().saturating_mul(RATIO).saturating_add(FLOOR_BYTES).min(MAX_BYTES), is_exceeded: false }
    }
}

/// Whether what starts with `head` is compressed data.
pub(super) fn is_packed(head: &[u8]) -> bool {
    is_zlib(head) || Format::of(head).is_some_and(Format::is_stream)
}

/// Header of a zlib stream: deflate with a window of 32 KiB, and the check over both bytes.
fn is_zlib(head: &[u8]) -> bool {
    matches!(head, [0x78, flags, ..] if flags & 0x20 == 0 && (0x7800 + u16::from(*flags)) % 31 == 0)
}

/// What compressed data says, as far as `room` goes, which becomes less.
pub(super) fn unpack(bytes: &[u8], room: &mut Room) -> Vec<u8> {
    // One byte more tells that there is more.
    let limit = room.bytes + 1;
    let mut unpacked = if is_zlib(bytes) {
        let mut unpacked = Vec::new();
        // Damage ends it, and what was read stays.
        let _ = ZlibDecoder::new(bytes).take(limit as u64).read_to_end(&mut unpacked);
        unpacked
    } else {
        archive::unpacked(bytes, limit)
    };
    room.is_exceeded |= unpacked.len() > room.bytes;
    unpacked.truncate(room.bytes);
    room.bytes -= unpacked.len();
    unpacked
}
