//! Finds thousands of keywords in one pass over a text, whatever their case.
//!
//! Each keyword is known by the rarest three bytes in it. A bit for each hash of three bytes tells whether any keyword is
//! worth a look; the tables fit into the first cache and are made in microseconds, where an automaton over so many words takes
//! megabytes and longer to make than a small scan runs.

use std::ops::Range;

use crate::letters;

/// Bits of a hash: so many that few texts without a keyword look like one, so few that the table stays in the first cache.
const HASH_BITS: u32 = 17;

/// Bits of a hash that lead to its anchors.
const INDEX_BITS: u32 = 12;

/// Words of the table of hashes.
const TABLE_WORDS: usize = 1 << (HASH_BITS - 6);

/// The keywords, ready to be looked for.
pub(crate) struct Keywords {
    /// A bit for each hash of an anchor.
    table: Box<[u64; TABLE_WORDS]>,
    /// Anchors in order of their hash.
    anchors: Vec<Anchor>,
    /// Where the anchors start whose hash starts with the bits of the index; one more for the end.
    starts: Vec<usize>,
    keywords: Vec<Box<[u8]>>,
    /// Keywords (by index) too short for an anchor.
    short: Vec<usize>,
}

struct Anchor {
    hash: u32,
    keyword: usize,
    /// Place of the three bytes in the keyword.
    offset: usize,
}

impl std::fmt::Debug for Keywords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keywords").field("keywords", &self.keywords.len()).finish_non_exhaustive()
    }
}

impl Keywords {
    /// Prepares `keywords`.
    pub(crate) fn new(keywords: &[&str]) -> Self {
        let mut table = Box::new([0u64; TABLE_WORDS]);
        let mut anchors = Vec::with_capacity(keywords.len());
        let mut short = Vec::new();
        for (keyword, text) in keywords.iter().enumerate() {
            let rarest = text.as_bytes().windows(3).enumerate().max_by_key(|(_, three)| letters::rarity(three));
            match rarest {
                Some((offset, &[first, second, third])) => {
                    let hash = hash(fold(first) | fold(second) << 8 | fold(third) << 16);
                    if let Some(word) = table.get_mut((hash >> 6) as usize) {
                        *word |= 1 << (hash & 63);
                    }
                    anchors.push(Anchor { hash, keyword, offset });
                }
                _ => short.push(keyword),
            }
        }
        anchors.sort_by_key(|anchor| anchor.hash);
        let starts = (0..=1u32 << INDEX_BITS)
            .scan(0, |at, index| {
                let before = |anchor: &Anchor| anchor.hash >> (HASH_BITS - INDEX_BITS) < index;
                *at += anchors.get(*at..).unwrap_or_default().iter().take_while(|anchor| before(anchor)).count();
                Some(*at)
            })
            .collect();
        Self { table, anchors, starts, keywords: keywords.iter().map(|text| text.as_bytes().into()).collect(), short }
    }

    /// Calls `found` with each appearance of a keyword (by index) in `text`.
    pub(crate) fn find(&self, text: &[u8], mut found: impl FnMut(usize, Range<usize>)) {
        for keyword in &self.short {
            for at in 0..text.len() {
                self.check(text, *keyword, Some(at), &mut found);
            }
        }
        let mut three = 0u32;
        for (at, byte) in text.iter().enumerate() {
            three = three >> 8 | fold(*byte) << 16;
            let hash = hash(three);
            let word = self.table.get((hash >> 6) as usize).copied().unwrap_or(0);
            if word >> (hash & 63) & 1 == 0 || at < 2 {
                continue;
            }
            let index = (hash >> (HASH_BITS - INDEX_BITS)) as usize;
            let near = self
                .starts
                .get(index)
                .zip(self.starts.get(index + 1))
                .and_then(|(from, to)| self.anchors.get(*from..*to));
            for anchor in near.into_iter().flatten().filter(|anchor| anchor.hash == hash) {
                self.check(text, anchor.keyword, (at - 2).checked_sub(anchor.offset), &mut found);
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

fn fold(byte: u8) -> u32 {
    u32::from(byte.to_ascii_lowercase())
}

fn hash(three: u32) -> u32 {
    three.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)
}

#[cfg(test)]
mod tests {
    use super::Keywords;

    #[test]
    fn keywords_are_found_wherever_they_stand_and_however_they_overlap() {
        let words = ["token", "to", "ken", "://", "api_key", "keyboard"];
        let text = b"ToKeN://api_KEYboard tok";
        let mut found = Vec::new();
        Keywords::new(&words).find(text, |keyword, span| found.push((span.start, words[keyword])));
        found.sort_unstable();
        assert_eq!(
            found,
            [(0, "to"), (0, "token"), (2, "ken"), (5, "://"), (8, "api_key"), (12, "keyboard"), (21, "to")]
        );
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        Keywords::new(&["token"]).find(b"", |_, _| panic!("found in an empty text"));
        Keywords::new(&["token"]).find(b"toke", |_, _| panic!("found beyond the end"));
        Keywords::new(&[]).find(b"token", |_, _| panic!("found without keywords"));
    }
}
