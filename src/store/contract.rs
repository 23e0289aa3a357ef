//! What every backend must do, as one suite that runs over each of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Batch, Key, LogStore, MemoryStore, Precondition, Revision, Scan, Store, StoreError, Write};

type Model = BTreeMap<Vec<u8>, (Vec<u8>, u64)>;

fn key(name: &str) -> Key {
    Key::from(name.as_bytes())
}

fn put(name: &str, value: &[u8]) -> Batch {
    Batch { preconditions: Vec::new(), writes: vec![Write::Put(key(name), value.to_vec())] }
}

fn all(store: &dyn Store) -> Model {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut found = Model::new();
    let mut after = None;
    loop {
        let page = runtime.block_on(store.scan(Scan { prefix: Vec::new(), after, limit: 3 })).unwrap();
        after = page.entries.last().map(|(key, _)| key.clone());
        found.extend(page.entries.into_iter().map(|(key, entry)| (key.0.to_vec(), (entry.bytes, entry.revision.0))));
        if !page.more {
            return found;
        }
    }
}

/// Runs `steps` against the store and against a map. `open` is told whether the process before it crashed.
fn agrees_with_a_map(steps: &[Step], mut open: impl FnMut(bool) -> Box<dyn Store>, reopens: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut store = open(false);
    let mut model = Model::new();
    let mut revision = 0;
    for step in steps {
        match step {
            Step::Reopen if reopens => {
                runtime.block_on(store.close()).unwrap();
                drop(store);
                store = open(false);
            }
            Step::Crash if reopens => {
                drop(store);
                store = open(true);
            }
            Step::Reopen | Step::Crash => {}
            Step::Commit { absent, at, writes } => {
                let name = |number: &u8| vec![b'k', *number];
                let mut preconditions: Vec<_> =
                    absent.iter().map(|number| Precondition::Absent(Key::from(&*name(number)))).collect();
                preconditions.extend(at.iter().map(|(number, stale)| {
                    let known = model.get(&name(number)).map_or(0, |(_, revision)| *revision);
                    Precondition::At(Key::from(&*name(number)), Revision(if *stale { known + 1 } else { known }))
                }));
                let holds = |precondition: &Precondition| match precondition {
                    Precondition::Absent(key) => !model.contains_key(&*key.0),
                    Precondition::At(key, at) => model.get(&*key.0).is_some_and(|(_, revision)| *revision == at.0),
                };
                let expected = preconditions.iter().position(|precondition| !holds(precondition));
                let batch_writes = writes.iter().map(|(number, value)| match value {
                    Some(value) => Write::Put(Key::from(&*name(number)), value.clone()),
                    None => Write::Delete(Key::from(&*name(number))),
                });
                let answer = runtime.block_on(store.commit(Batch { writes: batch_writes.collect(), preconditions }));
                match (expected, answer) {
                    (Some(expected), Err(StoreError::Conflict { index })) => assert_eq!(index, expected),
                    (None, Ok(new)) => {
                        assert_eq!(
                            new.0 > revision,
                            !writes.is_empty(),
                            "every batch that writes has a revision of its own"
                        );
                        revision = new.0;
                        for (number, value) in writes {
                            match value {
                                Some(value) => drop(model.insert(name(number), (value.clone(), revision))),
                                None => drop(model.remove(&name(number))),
                            }
                        }
                    }
                    (expected, answer) => panic!("expected failure {expected:?}, answered {answer:?}"),
                }
            }
        }
        assert_eq!(all(store.as_ref()), model);
    }
    let exported: Model = runtime
        .block_on(store.export())
        .unwrap()
        .map(|found| found.map(|(key, entry)| (key.0.to_vec(), (entry.bytes, entry.revision.0))).unwrap())
        .collect();
    assert_eq!(exported, model);
}

#[derive(Debug, Clone)]
enum Step {
    Commit { absent: Vec<u8>, at: Vec<(u8, bool)>, writes: Vec<(u8, Option<Vec<u8>>)> },
    Reopen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let value = proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..40));
    let writes = proptest::collection::vec((0u8..12, value), 0..4);
    let absent = proptest::collection::vec(0u8..12, 0..2);
    let at = proptest::collection::vec((0u8..12, proptest::bool::weighted(0.2)), 0..2);
    prop_oneof![
        8 => (absent, at, writes).prop_map(|(absent, at, writes)| Step::Commit { absent, at, writes }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_memory_store_agrees_with_a_map(steps in proptest::collection::vec(step(), 1..30)) {
        agrees_with_a_map(&steps, |_| Box::new(MemoryStore::new()), false);
    }

    #[test]
    fn the_log_store_agrees_with_a_map_across_closes_and_crashes(steps in proptest::collection::vec(step(), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        // So small a threshold compacts again and again.
        let open = |crashed| -> Box<dyn Store> {
            if crashed {
                fs::remove_file(dir.path().join("clean")).unwrap();
            }
            Box::new(LogStore::open_with(dir.path(), 600, super::disk::Disk::default()).unwrap())
        };
        agrees_with_a_map(&steps, open, true);
    }
}

#[tokio::test]
async fn a_conflict_names_the_precondition_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let stores: [Arc<dyn Store>; 2] = [Arc::new(MemoryStore::new()), Arc::new(LogStore::open(dir.path()).unwrap())];
    for store in stores {
        store.commit(put("a", b"1")).await.unwrap();
        let mut batch = put("b", b"2");
        batch.preconditions = vec![Precondition::Absent(key("b")), Precondition::Absent(key("a"))];
        assert!(matches!(store.commit(batch).await, Err(StoreError::Conflict { index: 1 })));
        assert!(store.get(&key("b")).await.unwrap().is_none());
        let too_large = put("c", &vec![0; super::MAX_VALUE_BYTES + 1]);
        assert!(matches!(store.commit(too_large).await, Err(StoreError::TooLarge)));
        store.close().await.unwrap();
        assert!(matches!(store.commit(put("a", b"3")).await, Err(StoreError::Closed)));
        assert!(matches!(store.get(&key("a")).await, Err(StoreError::Closed)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_with_one_precondition_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(LogStore::open(dir.path()).unwrap());
    for round in 0..20 {
        let name = format!("round{round}");
        let tasks: Vec<_> = (0..16u8)
            .map(|writer| {
                let (store, mut batch) = (store.clone(), put(&name, &[writer]));
                batch.preconditions.push(Precondition::Absent(key(&name)));
                tokio::spawn(async move { store.commit(batch).await.is_ok() })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            won += usize::from(task.await.unwrap());
        }
        assert_eq!(won, 1);
    }
}

fn fresh(path: &Path, commits: usize) -> LogStore {
    let store = LogStore::open(path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for number in 0..commits {
        runtime.block_on(store.commit(put(&format!("key{number}"), format!("value{number}").as_bytes()))).unwrap();
    }
    store
}

#[test]
fn a_second_process_on_the_same_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = fresh(dir.path(), 1);
    assert!(matches!(LogStore::open(dir.path()), Err(StoreError::Locked(_))));
}

#[test]
fn a_log_cut_off_anywhere_keeps_every_whole_commit_before_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    drop(fresh(dir.path(), 5));
    let log = fs::read(dir.path().join("log.1")).unwrap();
    let mut counts = Vec::new();
    for cut in super::frame::HEADER..log.len() {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join("log.1"), &log[..cut]).unwrap();
        counts.push(all(&LogStore::open(copy.path()).unwrap()).len());
    }
    assert!(counts.is_sorted(), "a longer log never holds less");
    assert_eq!((counts.first(), counts.last()), (Some(&0), Some(&4)));
}

#[test]
fn a_flipped_bit_is_damage_unless_it_tears_the_last_commit() {
    let dir = tempfile::tempdir().unwrap();
    drop(fresh(dir.path(), 4));
    let log = fs::read(dir.path().join("log.1")).unwrap();
    let (mut refused, mut torn) = (0, 0);
    for place in 0..log.len() {
        let copy = tempfile::tempdir().unwrap();
        let mut flipped = log.clone();
        flipped[place] ^= 1;
        fs::write(copy.path().join("log.1"), flipped).unwrap();
        match LogStore::open(copy.path()) {
            Err(StoreError::Corrupt { .. }) => refused += 1,
            Ok(store) => {
                let left = all(&store);
                assert_eq!(left.len(), 3, "byte {place}: only the last commit may be taken for a torn one");
                assert!(left.iter().all(|(key, (value, _))| key[3..] == value[5..]));
                torn += 1;
            }
            Err(other) => panic!("byte {place}: {other}"),
        }
    }
    assert!(refused > torn && torn > 0, "{refused} refused, {torn} torn");
}

#[test]
fn a_marker_of_another_state_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    drop(fresh(dir.path(), 3));
    let marker = fs::read(dir.path().join("clean")).unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    assert!(!dir.path().join("clean").exists(), "the marker is gone while the store is open");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.commit(put("key0", b"newer"))).unwrap();
    drop(store);
    fs::write(dir.path().join("clean"), marker).unwrap();
    let again = LogStore::open(dir.path()).unwrap();
    assert_eq!(all(&again)[b"key0".as_slice()].0, b"newer");
}

#[test]
fn a_log_that_lost_bytes_since_a_clean_close_is_refused_each_time() {
    let dir = tempfile::tempdir().unwrap();
    drop(fresh(dir.path(), 3));
    let log = dir.path().join("log.1");
    let whole = fs::read(&log).unwrap();
    fs::write(&log, &whole[..whole.len() - 1]).unwrap();
    for _ in 0..2 {
        assert!(matches!(LogStore::open(dir.path()), Err(StoreError::Corrupt { .. })));
    }
    fs::remove_file(&log).unwrap();
    assert!(matches!(LogStore::open(dir.path()), Err(StoreError::Corrupt { .. })));
    fs::write(&log, whole).unwrap();
    assert_eq!(all(&LogStore::open(dir.path()).unwrap()).len(), 3);
}

/// As after a kill: without what a clean close leaves.
fn killed(path: &Path) {
    fs::remove_file(path.join("clean")).unwrap();
}

// A flipped bit in the marker gave the next frame a wrong predecessor, so that a later replay cut off commits that were
// acknowledged. The marker carries a digest.
#[test]
fn a_flipped_bit_in_the_marker_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(fresh(dir.path(), 3));
    for place in 0..fs::read(dir.path().join("clean")).unwrap().len() {
        let mut marker = fs::read(dir.path().join("clean")).unwrap();
        marker[place] ^= 1;
        fs::write(dir.path().join("clean"), marker).unwrap();
        let store = LogStore::open(dir.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.commit(put("place", &[place as u8]))).unwrap();
        drop(store);
        killed(dir.path());
        let store = LogStore::open(dir.path()).unwrap();
        assert_eq!(all(&store).len(), 4, "byte {place}");
        assert_eq!(all(&store)[b"place".as_slice()].0, [place as u8]);
    }
}

// An index that was removed or restored from a copy was believed because of the marker: the store read as empty, or old.
#[test]
fn an_index_that_is_not_the_one_that_was_closed_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    drop(fresh(dir.path(), 3));
    let (index, older) = (dir.path().join("index.1"), dir.path().join("older"));
    fs::rename(&index, &older).unwrap();
    assert_eq!(all(&LogStore::open(dir.path()).unwrap()).len(), 3);
    drop(fresh(dir.path(), 5));
    fs::remove_dir_all(&index).unwrap();
    fs::rename(&older, &index).unwrap();
    assert_eq!(all(&LogStore::open(dir.path()).unwrap()).len(), 5);
}

#[test]
fn a_log_that_is_gone_is_not_taken_for_a_new_store() {
    let dir = tempfile::tempdir().unwrap();
    drop(fresh(dir.path(), 3));
    killed(dir.path());
    fs::remove_file(dir.path().join("log.1")).unwrap();
    assert!(matches!(LogStore::open(dir.path()), Err(StoreError::Corrupt { .. })));
}

// The one frame of a compacted log was taken for a torn write when a bit of it flipped, and everything was cut off.
#[test]
fn a_flipped_bit_in_a_compacted_log_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open_with(dir.path(), 300, super::disk::Disk::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..6 {
        runtime.block_on(store.commit(put("key", &[7; 90]))).unwrap();
    }
    drop(store);
    let name = (2..9).map(|number| format!("log.{number}")).find(|name| dir.path().join(name).exists()).unwrap();
    let log = fs::read(dir.path().join(&name)).unwrap();
    let mut refused = 0;
    for place in 0..log.len() {
        let copy = tempfile::tempdir().unwrap();
        let mut flipped = log.clone();
        flipped[place] ^= 1;
        fs::write(copy.path().join(&name), flipped).unwrap();
        match LogStore::open(copy.path()) {
            Err(StoreError::Corrupt { .. }) => refused += 1,
            Ok(store) => assert_eq!(all(&store).len(), 1, "byte {place}: the entry is lost"),
            Err(other) => panic!("byte {place}: {other}"),
        }
    }
    assert!(refused > 90);
}
