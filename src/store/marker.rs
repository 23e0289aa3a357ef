//! The marker that a clean close leaves, so that the next start need not replay the log.

use super::committer::Tail;

/// What a clean close leaves: the index matches this end of this log.
pub(super) struct Marker {
    pub(super) generation: u64,
    pub(super) tail: Tail,
}

impl Marker {
    const BYTES: usize = 64;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        for number in [self.generation, self.tail.length, self.tail.revision, self.tail.dead] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.tail.chain);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let chain = bytes.get(32..Self::BYTES)?.try_into().ok().filter(|_| bytes.len() == Self::BYTES)?;
        let tail = Tail { length: number(8)?, revision: number(16)?, dead: number(24)?, chain };
        Some(Self { generation: number(0)?, tail })
    }
}
