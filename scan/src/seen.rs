//! What a scan has seen, by number: a history shows the same credential in thousands of versions, which are told from
//! each other long after their texts are gone. Holds fingerprints, no values.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use turnlock_core::finding::Fingerprint;

/// Something worth a second look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mark {
    /// What a rule (by index) found: fingerprint under the key of [`crate::inspect::identity`].
    Hit(usize, Fingerprint),
    /// What the store may hold: fingerprint under the store's key.
    Candidate(Fingerprint),
}

/// All marks by number. The numbers depend on the order of work; nothing that comes out may depend on them.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<Mark, u32>>);

impl Seen {
    /// The number of `mark`; `None` when it is new and there are `most` already.
    pub(crate) fn number(&self, mark: Mark, most: u64) -> Option<u32> {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = u32::try_from(marks.len()).ok()?;
        let is_full = marks.len() as u64 >= most;
        match marks.entry(mark) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(_) if is_full => None,
            Entry::Vacant(new) => Some(*new.insert(next)),
        }
    }

    /// The number of `mark`, if it was seen.
    pub(crate) fn known(&self, mark: &Mark) -> Option<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(mark).copied()
    }

    /// The fingerprints that the store has to be asked about.
    pub(crate) fn candidates(&self) -> HashSet<Fingerprint> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks
            .keys()
            .filter_map(|mark| match mark {
                Mark::Candidate(fingerprint) => Some(*fingerprint),
                Mark::Hit(..) => None,
            })
            .collect()
    }

    /// The numbers of the marks that `keep` names.
    pub(crate) fn numbers(&self, keep: impl Fn(&Mark) -> bool) -> HashSet<u32> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.iter().filter(|(mark, _)| keep(mark)).map(|(_, number)| *number).collect()
    }
}
