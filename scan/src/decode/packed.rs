//! Compressed data in what another notation says: `base64(gzip(…))` is how many tools keep a file in one setting.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use crate::archive::{self, Format};
use crate::bounds::Bounds;

/// Most bytes that all the compressed data in one text may expand to: a text made to harm says very much in few letters.
const MAX_BYTES: usize = 8 << 20;

/// So many bytes may come out of the shortest text.
const FLOOR_BYTES: usize = 64 << 10;

/// So many bytes may come out for each byte of the text.
const RATIO: usize = 16;

/// What may still come out of the compressed data in one text, in all notations together.
#[derive(Debug)]
pub(super) struct Room<'b> {
    bytes: usize,
    /// What may come out of all texts.
    bounds: &'b Bounds,
    /// Whether something would have needed more.
    pub(super) is_exceeded: bool,
}

impl<'b> Room<'b> {
    pub(super) fn of(text: &[u8], bounds: &'b Bounds) -> Self {
        let bytes = text.len().saturating_mul(RATIO).saturating_add(FLOOR_BYTES).min(MAX_BYTES);
        Self { bytes, bounds, is_exceeded: false }
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
pub(super) fn unpack(bytes: &[u8], room: &mut Room<'_>) -> Vec<u8> {
    let in_all = usize::try_from(room.bounds.unpackable()).unwrap_or(usize::MAX);
    let most = room.bytes.min(in_all);
    // One byte more tells that there is more.
    let limit = most + 1;
    let mut unpacked = if is_zlib(bytes) {
        let mut unpacked = Vec::new();
        // Damage ends it, and what was read stays.
        let _ = ZlibDecoder::new(bytes).take(limit as u64).read_to_end(&mut unpacked);
        unpacked
    } else {
        archive::unpacked(bytes, limit)
    };
    let is_cut = unpacked.len() > most;
    room.is_exceeded |= is_cut && room.bytes <= in_all;
    unpacked.truncate(most);
    room.bytes -= unpacked.len();
    room.bounds.unpack(unpacked.len() as u64, is_cut && in_all < room.bytes + unpacked.len());
    unpacked
}
