//! The bytes of the commit log.
//!
//! A log is a header and frames. One frame is one group of commits that became durable together, so a power cut can
//! tear the last frame only.
//!
//! | header | bytes | | frame | bytes |
//! |---|---|---|---|---|
//! | magic `TLKLOG1\n` | 8 | | magic `TLKF` | 4 |
//! | generation | 8 | | length of the body | 4 |
//! | random seed of the chain | 16 | | last revision in the body | 8 |
//! | | | | chain: SHA-256 of the chain before, the 16 bytes above and the body | 32 |
//! | | | | body: writes | … |
//!
//! A write: kind (1: put, 2: delete), key length 1, value length 4, revision 8, key, value. Integers are little-endian.

use ring::digest;

use super::Key;
use super::sled::Location;

pub(super) const HEADER: usize = 32;
pub(super) const FRAME_HEAD: usize = 48;
const MAGIC: &[u8; 8] = b"TLKLOG1\n";
const FRAME_MAGIC: &[u8; 4] = b"TLKF";
const PUT: u8 = 1;
const DELETE: u8 = 2;
/// Bytes of a write before its key.
const WRITE_HEAD: usize = 14;

/// Running hash over everything in the log up to a frame.
pub(super) type Chain = [u8; 32];

/// The header of a new log.
pub(super) fn header(generation: u64, seed: [u8; 16]) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&generation.to_le_bytes());
    bytes[16..].copy_from_slice(&seed);
    bytes
}

/// The first chain value of a log with this header, or `None` when it is not one of this generation.
pub(super) fn open_header(bytes: &[u8], generation: u64) -> Option<Chain> {
    let bytes: &[u8; HEADER] = bytes.try_into().ok()?;
    let known = bytes.starts_with(MAGIC) && bytes[8..16] == generation.to_le_bytes();
    known.then(|| sha256(&[bytes]))
}

/// A frame in the making.
pub(super) struct Builder {
    bytes: Vec<u8>,
    last_revision: u64,
}

/// Where a value lies, counted from the start of its frame.
pub(super) struct Placed {
    pub(super) value_at: usize,
    pub(super) value_length: u32,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; FRAME_HEAD], last_revision: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() == FRAME_HEAD
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Sizes were checked when the batch came in: keys fit a byte, values 32 bits.
    pub(super) fn put(&mut self, key: &Key, value: &[u8], revision: u64) -> Placed {
        self.write(PUT, key, value, revision);
        Placed { value_at: self.bytes.len() - value.len(), value_length: value.len() as u32 }
    }

    pub(super) fn delete(&mut self, key: &Key, revision: u64) {
        self.write(DELETE, key, &[], revision);
    }

    fn write(&mut self, kind: u8, key: &Key, value: &[u8], revision: u64) {
        self.bytes.push(kind);
        self.bytes.push(key.0.len() as u8);
        self.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&revision.to_le_bytes());
        self.bytes.extend_from_slice(&key.0);
        self.bytes.extend_from_slice(value);
        self.last_revision = self.last_revision.max(revision);
    }

    /// The revision that the log stands at after this frame, also when no write in it carries it.
    pub(super) fn at_revision(mut self, revision: u64) -> Self {
        self.last_revision = self.last_revision.max(revision);
        self
    }

    /// Fills in the head, chained to `before`; answers the bytes and the new chain value.
    pub(super) fn finish(mut self, before: &Chain) -> (Vec<u8>, Chain) {
        let body = (self.bytes.len() - FRAME_HEAD) as u32;
        self.bytes[..4].copy_from_slice(FRAME_MAGIC);
        self.bytes[4..8].copy_from_slice(&body.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&self.last_revision.to_le_bytes());
        let chain = sha256(&[before, &self.bytes[..16], &self.bytes[FRAME_HEAD..]]);
        self.bytes[16..FRAME_HEAD].copy_from_slice(&chain);
        (self.bytes, chain)
    }
}

/// What stands at a place of a log.
pub(super) enum Next<'a> {
    /// A whole frame, chained to the one before.
    Frame { body: &'a [u8], length: usize, last_revision: u64, chain: Chain },
    /// The log ends here.
    End,
    /// Not a frame, or not one that follows.
    Broken,
}

/// Reads the frame at the start of `bytes`.
pub(super) fn next<'a>(bytes: &'a [u8], before: &Chain) -> Next<'a> {
    if bytes.is_empty() {
        return Next::End;
    }
    let Some((head, rest)) = bytes.split_at_checked(FRAME_HEAD) else { return Next::Broken };
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    let (true, Some(body)) = (head.starts_with(FRAME_MAGIC), rest.get(..length)) else { return Next::Broken };
    let chain = sha256(&[before, &head[..16], body]);
    if chain != head[16..] {
        return Next::Broken;
    }
    let mut revision = [0; 8];
    revision.copy_from_slice(&head[8..16]);
    Next::Frame { body, length: FRAME_HEAD + length, last_revision: u64::from_le_bytes(revision), chain }
}

/// Whether a frame head stands anywhere in `bytes` after its first byte: then what is broken before it is no torn end.
pub(super) fn another_frame_follows(bytes: &[u8]) -> bool {
    let rest = bytes.get(1..).unwrap_or_default();
    let mut at = 0;
    while let Some(found) = rest.get(at..).and_then(|rest| rest.windows(4).position(|window| window == FRAME_MAGIC)) {
        let start = at + found;
        let head = rest.get(start..start + FRAME_HEAD);
        let length = head.map(|head| u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize);
        if length.is_some_and(|length| length > 0 && rest.len() >= start + FRAME_HEAD + length) {
            return true;
        }
        at = start + 1;
    }
    false
}

/// Bytes that are of no use any more once `new` (`None`: a deletion) took the place of `old` under `key`.
pub(super) fn made_useless(key: &[u8], old: Option<Location>, new: Option<Location>) -> u64 {
    let write = |length: u32| (WRITE_HEAD + key.len()) as u64 + u64::from(length);
    old.map_or(0, |old| write(old.length)) + if new.is_none() { write(0) } else { 0 }
}

/// One write of a body.
pub(super) struct Written<'a> {
    pub(super) key: &'a [u8],
    /// `None` for a deletion; else where in the body the value lies.
    pub(super) value: Option<(usize, u32)>,
    pub(super) revision: u64,
}

/// The writes of a body that a chain vouches for.
pub(super) fn writes(body: &[u8]) -> impl Iterator<Item = Written<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let head = body.get(at..at + WRITE_HEAD)?;
        let (key_length, mut revision) = (usize::from(head[1]), [0; 8]);
        let value_length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        revision.copy_from_slice(&head[6..14]);
        let key = body.get(at + WRITE_HEAD..at + WRITE_HEAD + key_length)?;
        let value_at = at + WRITE_HEAD + key_length;
        at = value_at + value_length as usize;
        let value = (head[0] == PUT).then_some((value_at, value_length));
        Some(Written { key, value, revision: u64::from_le_bytes(revision) })
    })
}

fn sha256(parts: &[&[u8]]) -> Chain {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut chain = [0; 32];
    chain.copy_from_slice(context.finish().as_ref());
    chain
}
