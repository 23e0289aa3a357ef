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

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use ring::digest;

use super::{Key, MAX_BATCH_BYTES};

/// Most bytes in one frame before the rest waits for the next; also bounds what one group holds in memory.
pub(super) const GROUP_BYTES: usize = 8 << 20;
pub(super) const HEADER: usize = 32;
pub(super) const FRAME_HEAD: usize = 48;
const MAGIC: &[u8; 8] = b"TLKLOG1\n";
const FRAME_MAGIC: &[u8; 4] = b"TLKF";
/// No frame is larger: a group ends with the batch that exceeds its limit.
const MAX_BODY_BYTES: u64 = (MAX_BATCH_BYTES + GROUP_BYTES) as u64;
/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;
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

/// A whole frame that follows from the one before.
pub(super) struct Frame<'a> {
    pub(super) body: &'a [u8],
    pub(super) last_revision: u64,
    pub(super) chain: Chain,
}

/// The frames of a log in their order. Memory holds one of them at a time, however long the log is.
pub(super) struct Frames<'a> {
    log: BufReader<&'a File>,
    left: u64,
    body: Vec<u8>,
}

impl<'a> Frames<'a> {
    /// At the start of a log of `length` bytes.
    pub(super) fn open(mut log: &'a File, length: u64) -> io::Result<Self> {
        log.seek(SeekFrom::Start(0))?;
        Ok(Self { log: BufReader::with_capacity(READ_BYTES, log), left: length, body: Vec::new() })
    }

    /// What the log begins with.
    pub(super) fn header(&mut self) -> io::Result<[u8; HEADER]> {
        let mut header = [0; HEADER];
        self.log.read_exact(&mut header)?;
        self.left = self.left.saturating_sub(HEADER as u64);
        Ok(header)
    }

    /// The next frame; `None` where none follows from `before`: at the end, or where the log is torn or damaged.
    pub(super) fn next(&mut self, before: &Chain) -> io::Result<Option<Frame<'_>>> {
        let mut head = [0; FRAME_HEAD];
        let Some(left) = self.left.checked_sub(FRAME_HEAD as u64) else { return Ok(None) };
        self.log.read_exact(&mut head)?;
        let length = body_length(&head);
        if !head.starts_with(FRAME_MAGIC) || length > left.min(MAX_BODY_BYTES) {
            return Ok(None);
        }
        self.body.resize(length as usize, 0);
        self.log.read_exact(&mut self.body)?;
        self.left = left - length;
        let chain = sha256(&[before, &head[..16], &self.body]);
        let mut revision = [0; 8];
        revision.copy_from_slice(&head[8..16]);
        let frame = Frame { body: &self.body, last_revision: u64::from_le_bytes(revision), chain };
        Ok((chain == head[16..]).then_some(frame))
    }
}

fn body_length(head: &[u8; FRAME_HEAD]) -> u64 {
    u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]))
}

/// Whether a frame stands anywhere behind the first byte of `from..end`: then what is broken there is no torn end.
pub(super) fn another_follows(log: &File, from: u64, end: u64) -> io::Result<bool> {
    let mut chunk = vec![0; READ_BYTES];
    let mut at = from + 1;
    while at + FRAME_HEAD as u64 <= end {
        let length = (end - at).min(READ_BYTES as u64);
        chunk.resize(length as usize, 0);
        log.read_exact_at(&mut chunk, at)?;
        for (place, head) in chunk.windows(FRAME_HEAD).enumerate().filter(|(_, head)| head.starts_with(FRAME_MAGIC)) {
            let Ok(head) = <&[u8; FRAME_HEAD]>::try_from(head) else { continue };
            if at + (place + FRAME_HEAD) as u64 + body_length(head) <= end {
                return Ok(true);
            }
        }
        // The next chunk begins with what could not be the start of a head in this one.
        at += length - (FRAME_HEAD as u64 - 1);
    }
    Ok(false)
}

/// Bytes of one write with a key and a value of these lengths.
pub(super) fn bytes_of(key: usize, value: u32) -> u64 {
    (WRITE_HEAD + key) as u64 + u64::from(value)
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

/// The hash of `parts` in a row.
pub(super) fn sha256(parts: &[&[u8]]) -> Chain {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut chain = [0; 32];
    chain.copy_from_slice(context.finish().as_ref());
    chain
}
