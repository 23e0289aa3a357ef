//! Staging labels: names that point at one version each and move without the version changing.

use std::collections::BTreeMap;

use crate::error::Error;

/// What a read without a version gives.
pub const CURRENT: &str = "current";
/// What was current before.
pub const PREVIOUS: &str = "previous";
/// A version that a rotation has made and not yet promoted.
pub const PENDING: &str = "pending";

/// Most labels of one secret.
const MAX_LABELS: usize = 32;
/// Longest name in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Which version each label points at.
pub type Labels = BTreeMap<String, u32>;

/// Checks a label's name: 1 to 64 lower-case letters, digits, `-`, `_` and `.`.
pub fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    match (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed) {
        true => Ok(()),
        false => Err(Error::invalid("a label is 1 to 64 lower-case letters, digits, dashes, underscores and dots")),
    }
}

/// Points `label` at `version`.
///
/// `current` takes along `previous`, to the version that it leaves, and ends `pending` when that was the version
/// promoted. When `label` is there already, nothing moves, so that a repeated promotion does not lose `previous`.
pub fn move_label(labels: &mut Labels, label: &str, version: u32) -> Result<(), Error> {
    let before = labels.get(label).copied();
    if before == Some(version) {
        return Ok(());
    }
    if label == CURRENT {
        if let Some(before) = before {
            labels.insert(PREVIOUS.to_owned(), before);
        }
        if labels.get(PENDING) == Some(&version) {
            labels.remove(PENDING);
        }
    }
    labels.insert(label.to_owned(), version);
    match labels.len() > MAX_LABELS {
        true => Err(Error::invalid(format!("a secret has at most {MAX_LABELS} labels"))),
        false => Ok(()),
    }
}

/// Whether pruning keeps a version because a label is on it. `previous` does not hold: it would make every limit one
/// more than was asked for.
pub fn holds(labels: &Labels, version: u32) -> bool {
    labels.iter().any(|(name, labelled)| *labelled == version && name != PREVIOUS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::{CURRENT, Labels, PENDING, PREVIOUS, check_name, holds, move_label};

    #[test]
    fn names_are_short_and_plain() {
        for name in ["current", "blue-green_2.1"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "Current", "a b", "a/b", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn promotion_moves_previous_and_ends_pending() {
        let mut labels = Labels::from([(CURRENT.to_owned(), 3), (PREVIOUS.to_owned(), 2), (PENDING.to_owned(), 4)]);
        move_label(&mut labels, CURRENT, 4).unwrap();
        assert_eq!(labels, Labels::from([(CURRENT.to_owned(), 4), (PREVIOUS.to_owned(), 3)]));
    }

    proptest! {
        #[test]
        fn moving_obeys_its_laws(moves in proptest::collection::vec((0usize..4, 1u32..6), 0..20)) {
            let mut labels = Labels::new();
            for (name, version) in moves {
                let name = [CURRENT, PREVIOUS, PENDING, "blue"][name];
                let before = labels.clone();
                move_label(&mut labels, name, version).unwrap();
                prop_assert_eq!(labels.get(name), Some(&version));
                prop_assert!(holds(&labels, version) || name == PREVIOUS);
                if name == CURRENT && before.get(CURRENT) != Some(&version) {
                    prop_assert!(before.get(CURRENT).is_none_or(|old| labels.get(PREVIOUS) == Some(old)));
                    prop_assert_ne!(labels.get(PENDING), Some(&version));
                } else {
                    // Nothing but the label itself moved.
                    let others = |labels: &Labels| {
                        labels.iter().filter(|(other, _)| *other != name).map(|(a, b)| (a.clone(), *b)).collect::<Vec<_>>()
                    };
                    prop_assert_eq!(others(&labels), others(&before));
                }
                // Again changes nothing: a retried promotion keeps `previous`.
                let once = labels.clone();
                move_label(&mut labels, name, version).unwrap();
                prop_assert_eq!(labels.clone(), once);
            }
        }
    }
}
