//! Files of one content are looked at once if nothing was in it: copies of libraries and licences fill many a tree.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use turnlock_core::finding::{Fingerprint, FingerprintKey};

use crate::content::Content;
use crate::inspect;

/// Most contents that are remembered, 32 bytes each.
const MAX_REMEMBERED: usize = 1 << 20;

/// The contents of a tree in which nothing was.
pub(crate) struct Twins {
    key: FingerprintKey,
    /// Lengths that several files have: only they can have twins, and only they are hashed.
    lengths: HashSet<u64>,
    empty: Mutex<HashSet<Fingerprint>>,
}

impl Twins {
    /// Among files of these lengths in bytes.
    pub(crate) fn among(lengths: impl Iterator<Item = u64>) -> Self {
        let mut counts = HashMap::<u64, u32>::new();
        lengths.for_each(|length| *counts.entry(length).or_default() += 1);
        let lengths = counts.into_iter().filter(|(_, count)| *count > 1).map(|(length, _)| length).collect();
        Self { key: inspect::identity(), lengths, empty: Mutex::default() }
    }

    /// What `look` finds in `bytes`, unless it is known that there is nothing.
    pub(crate) fn look(&self, bytes: &[u8], look: impl FnOnce() -> Content) -> Content {
        if !self.lengths.contains(&(bytes.len() as u64)) {
            return look();
        }
        let content_of = self.key.fingerprint(bytes);
        let known = || self.empty.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&content_of) {
            return Content::default();
        }
        let content = look();
        let mut known = known();
        if content.is_nothing() && known.len() < MAX_REMEMBERED {
            known.insert(content_of);
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::Twins;
    use crate::content::Content;

    #[test]
    fn a_content_without_findings_is_looked_at_once() {
        let twins = Twins::among([3, 3, 4].into_iter());
        let mut looked = Vec::new();
        for bytes in [&b"one"[..], b"one", b"two", b"four", b"four"] {
            twins.look(bytes, || {
                looked.push(bytes);
                Content::default()
            });
        }
        // Of the length of the last there is one file, so that it is not remembered.
        assert_eq!(looked, [&b"one"[..], b"two", b"four", b"four"]);
    }
}
