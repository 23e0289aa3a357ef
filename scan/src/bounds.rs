//! How much is kept of one text, of one file and in one scan, and how much a scan unpacks, whatever it is given to read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::coverage::Why;
use crate::inspect::Sighting;

/// Bytes of texts around hits that are kept in all.
const KEPT_BYTES: u64 = 256 << 20;

/// What may still be kept of one text or of one file: the hits, and the bytes of texts around them, which may be long lines.
#[derive(Debug)]
pub(crate) struct Room {
    hits: usize,
    bytes: usize,
}

impl Room {
    /// That of one text. How many hits are told apart in it is the rules' own bound.
    pub(crate) fn of_text() -> Self {
        Self { hits: usize::MAX, bytes: 32 << 20 }
    }

    /// That of one file, an archive as one.
    pub(crate) fn of_file() -> Self {
        Self { hits: 10_000, bytes: 64 << 20 }
    }

    /// Whether one more hit is kept. After one that is not, none is.
    pub(crate) fn keep(&mut self, sighting: &Sighting) -> bool {
        let left = self.hits.checked_sub(1).zip(self.bytes.checked_sub(sighting.kept_bytes()));
        (self.hits, self.bytes) = left.unwrap_or((0, 0));
        left.is_some()
    }
}

/// What a scan may still take.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// What [`Bounds::renew`] restores.
    all_unpacked: u64,
    all_hits: u64,
    unpacked: AtomicU64,
    hits: AtomicU64,
    bytes: AtomicU64,
    /// Whether something that is compressed was not read.
    is_spent: AtomicBool,
    /// Whether a hit was not kept.
    is_full: AtomicBool,
}

impl Bounds {
    /// Lets `unpacked` bytes come out of what is compressed within texts, and keeps so many `hits`.
    pub(crate) fn new(unpacked: u64, hits: u64) -> Self {
        Self {
            all_unpacked: unpacked,
            all_hits: hits,
            unpacked: AtomicU64::new(unpacked),
            hits: AtomicU64::new(hits),
            bytes: AtomicU64::new(KEPT_BYTES),
            is_spent: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
        }
    }

    /// The next scan may take as much.
    pub(crate) fn renew(&self) {
        self.hits.store(self.all_hits, Ordering::Relaxed);
        self.bytes.store(KEPT_BYTES, Ordering::Relaxed);
        self.is_spent.store(false, Ordering::Relaxed);
        self.is_full.store(false, Ordering::Relaxed);
        self.renew_unpacked();
    }

    /// What was read once may be read again.
    pub(crate) fn renew_unpacked(&self) {
        self.unpacked.store(self.all_unpacked, Ordering::Relaxed);
    }

    /// How much may still come out of what is compressed.
    pub(crate) fn unpackable(&self) -> u64 {
        self.unpacked.load(Ordering::Relaxed)
    }

    /// Takes `bytes` that came out. `wanted_more`: all that could come out did, and it was not enough.
    pub(crate) fn unpack(&self, bytes: u64, wanted_more: bool) {
        take(&self.unpacked, bytes);
        if wanted_more {
            self.is_spent.store(true, Ordering::Relaxed);
        }
    }

    /// Whether one more hit may be kept.
    pub(crate) fn keep(&self, sighting: &Sighting) -> bool {
        let kept = take(&self.hits, 1) && take(&self.bytes, sighting.kept_bytes() as u64);
        if !kept {
            self.is_full.store(true, Ordering::Relaxed);
        }
        kept
    }

    /// What the scan left out so far.
    pub(crate) fn gaps(&self) -> Vec<Why> {
        let spent = self.is_spent.load(Ordering::Relaxed).then_some(Why::ExpandsInAll);
        let full = self.is_full.load(Ordering::Relaxed).then_some(Why::TooManyHits { limit: self.all_hits });
        spent.into_iter().chain(full).collect()
    }

    /// There was a hit that was not even counted.
    pub(crate) fn fill(&self) {
        self.is_full.store(true, Ordering::Relaxed);
    }
}

/// Takes `number` of `left`, or what is left of it; whether there was as much.
fn take(left: &AtomicU64, number: u64) -> bool {
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(number)));
    taken.is_ok_and(|left| left >= number)
}
