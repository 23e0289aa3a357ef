//! Finds thousands of keywords in one pass over a text, whatever their case.
//!
//! Each keyword is known by the rarest four bytes in it, its anchor, or by three if it has no more. A bit for each hash of an
//! anchor tells whether any keyword is worth a look; the tables stay in the caches and are made in microseconds, where an
//! automaton over so many words takes megabytes and longer to make than a small scan runs.

use std::ops::Range;

use memchr::memchr2_iter;

use crate::letters;

/// Bits of a hash of four bytes: so many that few texts without a keyword look like one, so few that the table stays in the
/// second cache, whose delay is hidden because no byte waits for the one before.
const LONG_BITS: u32 = 19;
const LONG_WORDS: usize = 1 << (LONG_BITS - 6);

/// Bits of a hash of three bytes, of which there are few.
const SHORT_BITS: u32 = 14;
const SHORT_WORDS: usize = 1 << (SHORT_BITS - 6);

/// Bits of a hash that lead to its anchors.
const INDEX_BITS: u32 = 13;

/// Bytes that are gone through before their candidates are looked at.
const PIECE: usize = 512;

/// Takes the byte before three out of four.
const THREE: u32 = 0xffff_ff00;

/// The keywords, ready to be looked for.
pub(crate) struct Keywords {
    long: Anchors<LONG_BITS, LONG_WORDS>,
    short: Anchors<SHORT_BITS, SHORT_WORDS>,
    tiny: Vec<Tiny>,
    keywords: Vec<Box<[u8]>>,
}

/// The anchors of one length, which are hashed to `BITS` bits, as many as `WORDS` words of 64 bits have.
struct Anchors<const BITS: u32, const WORDS: usize> {
    /// A bit for each hash of an anchor. An array, because no place that a hash gives is checked in one.
    table: Box<[u64; WORDS]>,
    /// In order of the hashes of their bytes.
    anchors: Vec<Anchor>,
    /// Where the anchors start whose hash starts with the bits of the index; one more for the end.
    starts: Vec<usize>,
}

struct Anchor {
    /// The first is the lowest; three bytes lie as the last three of four do.
    bytes: u32,
    keyword: usize,
    /// Where in the keyword its last byte is.
    last: usize,
    /// How the keyword starts, as [`start_of`] reads it, and the bits of that which are its own.
    start: u64,
    mask: u64,
}

impl Anchor {
    fn new(bytes: u32, keyword: usize, last: usize, text: &[u8]) -> Self {
        let own = text.len().min(8) as u32;
        let mask = u64::MAX.checked_shr(64 - 8 * own).unwrap_or(0);
        Self { bytes, keyword, last, start: start_of(text) & mask, mask }
    }

    /// Where the keyword may stand in `text` if the anchor ends at `at`: most that have the anchor are told apart by their
    /// start, without a look at the keyword.
    fn place(&self, text: &[u8], at: usize) -> Option<usize> {
        let place = at.checked_sub(self.last)?;
        (start_of(text.get(place..)?) & self.mask == self.start).then_some(place)
    }
}

/// A keyword of one or two bytes, which is looked for by one of them.
struct Tiny {
    /// In lower case; no letter if the keyword has another.
    byte: u8,
    keyword: usize,
    /// Place of the byte in the keyword.
    offset: usize,
}

impl Tiny {
    fn of(keyword: usize, text: &str) -> Option<Self> {
        let bytes = text.bytes().map(|byte| byte.to_ascii_lowercase()).enumerate();
        let (offset, byte) = bytes.min_by_key(|(_, byte)| byte.is_ascii_alphabetic())?;
        Some(Self { byte, keyword, offset })
    }
}

impl<const BITS: u32, const WORDS: usize> Anchors<BITS, WORDS> {
    fn new(mut anchors: Vec<Anchor>) -> Self {
        let mut table = Box::new([0; WORDS]);
        for anchor in &anchors {
            let hash = hash(anchor.bytes, BITS);
            if let Some(word) = table.get_mut((hash >> 6) as usize) {
                *word |= 1 << (hash & 63);
            }
        }
        anchors.sort_by_key(|anchor| hash(anchor.bytes, 32));
        let starts = (0..=1u32 << INDEX_BITS)
            .scan(0, |at, index| {
                let before = |anchor: &Anchor| hash(anchor.bytes, INDEX_BITS) < index;
                *at += anchors.get(*at..).unwrap_or_default().iter().take_while(|anchor| before(anchor)).count();
                Some(*at)
            })
            .collect();
        Self { table, anchors, starts }
    }

    /// 1 where an anchor may be these bytes.
    fn may_be(&self, bytes: u32) -> u64 {
        let hash = hash(bytes, BITS);
        self.table.get((hash >> 6) as usize).copied().unwrap_or(0) >> (hash & 63) & 1
    }

    fn of(&self, bytes: u32) -> impl Iterator<Item = &Anchor> {
        let index = hash(bytes, INDEX_BITS) as usize;
        let near = self.starts.get(index).zip(self.starts.get(index + 1));
        let near = near.and_then(|(from, to)| self.anchors.get(*from..*to)).unwrap_or_default();
        near.iter().filter(move |anchor| anchor.bytes == bytes)
    }
}

impl std::fmt::Debug for Keywords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keywords").field("keywords", &self.keywords.len()).finish_non_exhaustive()
    }
}

impl Keywords {
    /// Prepares `keywords`.
    pub(crate) fn new(keywords: &[&str]) -> Self {
        let (mut long, mut short, mut tiny) = (Vec::new(), Vec::new(), Vec::new());
        for (keyword, text) in keywords.iter().enumerate() {
            let length = text.len().min(4);
            let all = text.as_bytes().windows(length.max(1)).enumerate();
            let rarest = all.max_by_key(|(_, bytes)| letters::rarity(bytes));
            match rarest {
                Some((start, bytes)) if length >= 3 => {
                    let bytes = bytes.iter().fold(0, |bytes, byte| bytes >> 8 | fold(*byte) << 24);
                    let anchor = Anchor::new(bytes, keyword, start + length - 1, text.as_bytes());
                    if length == 4 { long.push(anchor) } else { short.push(anchor) }
                }
                _ => tiny.extend(Tiny::of(keyword, text)),
            }
        }
        Self {
            long: Anchors::new(long),
            short: Anchors::new(short),
            tiny,
            keywords: keywords.iter().map(|text| text.as_bytes().into()).collect(),
        }
    }

    /// Calls `found` with each appearance of a keyword (by index) in `text`.
    pub(crate) fn find(&self, text: &[u8], mut found: impl FnMut(usize, Range<usize>)) {
        for tiny in &self.tiny {
            for at in memchr2_iter(tiny.byte, tiny.byte.to_ascii_uppercase(), text) {
                self.check(text, tiny.keyword, at.checked_sub(tiny.offset), &mut found);
            }
        }
        let mut four = 0u32;
        let mut candidates = [(0, 0); PIECE];
        for (piece, bytes) in text.chunks(PIECE).enumerate() {
            let mut count = 0;
            for (offset, byte) in bytes.iter().enumerate() {
                four = four >> 8 | fold(*byte) << 24;
                // Written always and counted seldom: a branch here would be mispredicted wherever a keyword stands.
                if let Some(candidate) = candidates.get_mut(count % PIECE) {
                    *candidate = (offset, four);
                }
                count += (self.long.may_be(four) | self.short.may_be(four & THREE)) as usize;
            }
            for (offset, four) in candidates.iter().take(count) {
                let at = piece * PIECE + offset;
                for anchor in self.long.of(*four).chain(self.short.of(four & THREE)) {
                    self.check(text, anchor.keyword, anchor.place(text, at), &mut found);
                }
            }
        }
    }

    /// Calls `found` if `keyword` stands at `start` of `text`.
    fn check(&self, text: &[u8], keyword: usize, start: Option<usize>, found: &mut impl FnMut(usize, Range<usize>)) {
        let (Some(start), Some(bytes)) = (start, self.keywords.get(keyword)) else { return };
        let span = start..start + bytes.len();
        if !bytes.is_empty() && text.get(span.clone()).is_some_and(|part| part.eq_ignore_ascii_case(bytes)) {
            found(keyword, span);
        }
    }
}

/// The first eight bytes, the first one lowest, in a case of their own that makes letters alike; zeros behind the end.
fn start_of(text: &[u8]) -> u64 {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let eight = match text.first_chunk::<8>() {
        Some(eight) => *eight,
        None => {
            let mut eight = [0; 8];
            eight.iter_mut().zip(text).for_each(|(place, byte)| *place = *byte);
            eight
        }
    };
    u64::from_le_bytes(eight) | CASE
}

/// Letters of either case alike, and some other bytes, which are told apart when the keyword is compared.
fn fold(byte: u8) -> u32 {
    u32::from(byte | 0x20)
}

fn hash(bytes: u32, bits: u32) -> u32 {
    bytes.wrapping_mul(0x9e37_79b1) >> (32 - bits)
}

#[cfg(test)]
mod tests {
    use super::Keywords;

    #[test]
    fn keywords_are_found_wherever_they_stand_and_however_they_overlap() {
        let words = ["token", "to", "ken", "://", "api_key", "keyboard", "d "];
        let text = b"ToKeN://api_KEYboarD tok";
        let mut found = Vec::new();
        Keywords::new(&words).find(text, |keyword, span| found.push((span.start, words[keyword])));
        found.sort_unstable();
        assert_eq!(
            found,
            [(0, "to"), (0, "token"), (2, "ken"), (5, "://"), (8, "api_key"), (12, "keyboard"), (19, "d "), (21, "to")]
        );
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        Keywords::new(&["token"]).find(b"", |_, _| panic!("found in an empty text"));
        Keywords::new(&["token"]).find(b"toke", |_, _| panic!("found beyond the end"));
        Keywords::new(&[]).find(b"token", |_, _| panic!("found without keywords"));
    }
}
