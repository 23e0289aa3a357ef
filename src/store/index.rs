//! The index over the commit log: which key's value lies where. What changed last is in memory, all else in `sled`.
//!
//! One change of sled takes 5 µs of processor time, a quarter of what a whole commit takes otherwise, and a start after
//! a kill has to make all of them. So changes are gathered in memory, where they are found first, and go to sled in the
//! order of their keys when nobody commits, or a few with each commit when too many wait.
//!
//! sled fails for good with its first write that fails, on a full disk as anywhere. Then it is given up, and all of the
//! index lies in memory until it can be made anew.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use parking_lot::RwLock;

use super::Key;
use super::frame::bytes_of;
use super::sled::{Location, Settled};

/// Changes by key; `None` is a deletion.
pub(super) type Recent = BTreeMap<Key, Option<Location>>;

/// A part of an index in key order, and whether more follows.
pub(super) type Part = (Vec<(Key, Location)>, bool);

/// The index. Changed by one thread at a time, read by any.
pub(super) struct Index {
    /// Locked for one look-up, one change, or the reading of one part; never during a change of sled.
    recent: RwLock<Recent>,
    /// `None` while all is in memory. Locked before `recent`, so that nobody looks for an entry in one layer while it
    /// goes to the other.
    settled: RwLock<Option<Settled>>,
    path: PathBuf,
}

impl Index {
    /// Opens the index in `path`, or makes an empty one.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { settled: RwLock::new(Some(Settled::open(path)?)), ..Self::in_memory(path, Recent::new()) })
    }

    /// An index that has all of its entries in memory, until [`Index::settle`] makes it anew in `path`.
    pub(super) fn in_memory(path: &Path, entries: Recent) -> Self {
        Self { recent: RwLock::new(entries), settled: RwLock::new(None), path: path.to_owned() }
    }

    /// Gives sled up. `entries` are all that the index has.
    pub(super) fn give_up(&self, entries: Recent) {
        let mut settled = self.settled.write();
        *self.recent.write() = entries;
        *settled = None;
    }

    /// Whether [`Index::close`] noted this marker last.
    pub(super) fn agrees_with(&self, marker: &[u8]) -> bool {
        self.settled.read().as_ref().is_some_and(|settled| settled.agrees_with(marker))
    }

    pub(super) fn get(&self, key: &Key) -> io::Result<Option<Location>> {
        let settled = self.settled.read();
        let recent = self.recent.read().get(key).copied();
        match (recent, settled.as_ref()) {
            (Some(location), _) => Ok(location),
            (None, Some(settled)) => settled.get(&key.0),
            (None, None) => Ok(None),
        }
    }

    /// Notes where the value lies now; `None` when it is deleted. Answers how many bytes of the log are known to be of
    /// no use any more: those of a value that is not in memory are told by [`Index::settle`].
    pub(super) fn change(&self, key: Key, location: Option<Location>) -> u64 {
        let size = key.0.len();
        let old = self.recent.write().insert(key, location).flatten();
        let deletion = if location.is_none() { bytes_of(size, 0) } else { 0 };
        old.map_or(0, |old| bytes_of(size, old.length)) + deletion
    }

    /// How many changes are in memory only.
    pub(super) fn unsettled(&self) -> usize {
        self.recent.read().len()
    }

    /// Brings at most `most` changes to sled; when there are none, sees to it that sled has written those before. Answers
    /// how many bytes of the log they made useless. After an error the caller gives sled up.
    pub(super) fn settle(&self, most: usize) -> io::Result<u64> {
        if self.settled.read().is_none() {
            match fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => *self.settled.write() = Some(Settled::open(&self.path)?),
            }
        }
        let settled = self.settled.read();
        let Some(settled) = settled.as_ref() else { return Ok(0) };
        let changes: Recent = self.recent.read().iter().take(most).map(|(key, to)| (key.clone(), *to)).collect();
        if changes.is_empty() {
            settled.write_out()?;
        }
        let mut useless = 0;
        for (key, location) in &changes {
            let old = match location {
                Some(location) => settled.put(&key.0, *location)?,
                None => settled.delete(&key.0)?,
            };
            useless += old.map_or(0, |old| bytes_of(key.0.len(), old.length));
        }
        // Only now: a reader finds each of them here or there.
        let mut recent = self.recent.write();
        for key in changes.keys() {
            recent.remove(key);
        }
        Ok(useless)
    }

    /// At most `limit` entries with `prefix` after `after`.
    pub(super) fn part(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> io::Result<Part> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(Key::from(after)),
            _ => Bound::Included(Key::from(prefix)),
        };
        let settled = self.settled.read();
        let recent = self.recent.read();
        let changes = recent.range((start, Bound::Unbounded)).take_while(|(key, _)| key.0.starts_with(prefix));
        let settled = settled.as_ref().map(|settled| settled.scan(prefix, after)).into_iter().flatten();
        let (mut changes, mut settled) = (changes.peekable(), settled.peekable());
        let mut found = Vec::new();
        loop {
            let settled_first = match (changes.peek(), settled.peek()) {
                (None, None) => return Ok((found, false)),
                (Some((key, _)), Some(Ok((other, _)))) => **other < *key.0,
                (changed, _) => changed.is_none(),
            };
            let entry = if settled_first {
                settled.next().transpose()?.map(|(key, location)| (Key(key.into_boxed_slice()), location))
            } else {
                let Some((key, location)) = changes.next() else { continue };
                // What sled says of the same key is out of date.
                if settled.peek().is_some_and(|other| matches!(other, Ok((other, _)) if *other == *key.0)) {
                    settled.next();
                }
                location.map(|location| (key.clone(), location))
            };
            let Some(entry) = entry else { continue };
            if found.len() == limit {
                return Ok((found, true));
            }
            found.push(entry);
        }
    }

    /// Brings everything to sled and to the disk, with a note which end of the log it belongs to, so that the index may
    /// be trusted by who finds the same `marker`. The marker counts what became useless on the way, so it is made then.
    pub(super) fn close(&self, marker: &[u8]) -> io::Result<()> {
        self.settled.read().as_ref().map_or(Ok(()), |settled| settled.close(marker))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::Key;
    use super::super::sled::Location;
    use super::Index;

    #[derive(Debug, Clone)]
    enum Step {
        Change(u8, bool),
        Settle(usize),
        GiveUp,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..40_u8, any::<bool>()).prop_map(|(key, put)| Step::Change(key, put)),
            1 => (0..20_usize).prop_map(Step::Settle),
            1 => Just(Step::GiveUp),
        ]
    }

    /// A few keys with a common start, so that prefixes select some of them.
    fn key(number: u8) -> Key {
        Key::from([number / 10, number % 10, 7].as_slice())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_in_memory_and_what_is_in_sled_are_one_map(
            steps in proptest::collection::vec(step(), 0..120),
            prefix in proptest::option::of(0..4_u8),
            after in proptest::option::of(0..40_u8),
            limit in 1..12_usize,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let index = Index::open(&dir.path().join("index")).unwrap();
            let (mut model, mut written, mut useless) = (BTreeMap::new(), 0, 0);
            for (revision, step) in (1..).zip(steps) {
                match step {
                    Step::Change(number, put) => {
                        let location = put.then_some(Location { offset: revision, length: number.into(), revision });
                        written += super::bytes_of(3, location.map_or(0, |location| location.length));
                        useless += index.change(key(number), location);
                        match location {
                            Some(location) => drop(model.insert(key(number), location)),
                            None => drop(model.remove(&key(number))),
                        }
                    }
                    Step::Settle(most) => useless += index.settle(most).unwrap(),
                    Step::GiveUp => {
                        index.give_up(model.iter().map(|(key, location): (&Key, _)| (key.clone(), Some(*location))).collect());
                        // The caller counts anew as well.
                        useless = written - live(&model);
                    }
                }
            }
            for number in 0..40 {
                prop_assert_eq!(index.get(&key(number)).unwrap(), model.get(&key(number)).copied());
            }
            let prefix: Vec<u8> = prefix.into_iter().collect();
            let after = after.map(key);
            let expected: Vec<_> = model
                .iter()
                .filter(|(key, _)| key.0.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after))
                .map(|(key, location)| (key.clone(), *location))
                .collect();
            let (found, more) = index.part(&prefix, after.as_ref().map(|after| &*after.0), limit).unwrap();
            prop_assert_eq!(more, expected.len() > limit);
            prop_assert_eq!(&found[..], &expected[..limit.min(expected.len())]);
            // What was written is useless or in the map.
            useless += index.settle(usize::MAX).unwrap();
            prop_assert_eq!(index.unsettled(), 0);
            prop_assert_eq!(useless + live(&model), written);
        }
    }

    fn live(model: &BTreeMap<Key, Location>) -> u64 {
        model.values().map(|location| super::bytes_of(3, location.length)).sum()
    }
}
