//! A store in memory, for `--dev`, demonstrations and tests. Nothing survives the process.

use std::collections::BTreeMap;
use std::ops::Bound;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use parking_lot::RwLock;

use super::{Batch, Entry, Export, Key, Page, Precondition, Revision, Scan, Store, StoreError, Write, check_sizes};

/// The store.
#[derive(Debug, Default)]
pub struct MemoryStore {
    // Never held while anything is awaited: every call is done before it returns.
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    revision: u64,
    closed: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        let state = self.state.read();
        if state.closed { Err(StoreError::Closed) } else { Ok(read(&state)) }
    }

    fn apply(&self, batch: Batch) -> Result<Revision, StoreError> {
        check_sizes(&batch)?;
        let mut state = self.state.write();
        if state.closed {
            return Err(StoreError::Closed);
        }
        for (index, precondition) in batch.preconditions.iter().enumerate() {
            let holds = match precondition {
                Precondition::Absent(key) => !state.entries.contains_key(key),
                Precondition::At(key, revision) => {
                    state.entries.get(key).is_some_and(|entry| entry.revision == *revision)
                }
            };
            if !holds {
                return Err(StoreError::Conflict { index });
            }
        }
        // A batch that only asks takes no place in the order.
        state.revision += u64::from(!batch.writes.is_empty());
        let revision = Revision(state.revision);
        for write in batch.writes {
            match write {
                Write::Put(key, bytes) => drop(state.entries.insert(key, Entry { bytes, revision })),
                Write::Delete(key) => drop(state.entries.remove(&key)),
            }
        }
        Ok(revision)
    }
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        ready(self.read(|state| state.entries.get(key).cloned())).boxed()
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Page, StoreError>> {
        let page = self.read(|state| {
            let start = match &scan.after {
                Some(after) if after.0.as_ref() >= scan.prefix.as_slice() => Bound::Excluded(after.clone()),
                _ => Bound::Included(Key::from(scan.prefix.as_slice())),
            };
            let mut found =
                state.entries.range((start, Bound::Unbounded)).take_while(|(key, _)| key.0.starts_with(&scan.prefix));
            let entries: Vec<_> =
                found.by_ref().take(scan.limit).map(|(key, entry)| (key.clone(), entry.clone())).collect();
            Page { more: found.next().is_some(), entries }
        });
        ready(page).boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, StoreError>> {
        ready(self.apply(batch)).boxed()
    }

    fn export(&self) -> BoxFuture<'_, Result<Export, StoreError>> {
        let copy = self.read(|state| state.entries.clone());
        ready(copy.map(|entries| Box::new(entries.into_iter().map(Ok)) as Export)).boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.state.write().closed = true;
        ready(Ok(())).boxed()
    }

    fn kind(&self) -> &'static str {
        "inmem"
    }
}
