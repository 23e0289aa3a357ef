//! The barrier over the memory store.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use super::seal::{Progress, SealConfig, SealKind, Submitted, decode_share, new_shares};
use super::{Barrier, BarrierError, Changes, Term};
use crate::clock::{SharedClock, SystemClock};
use crate::store::{Batch, LogStore, MemoryStore, Scan, Store, Write};

const KEY: [u8; 32] = [9; 32];

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

async fn opened(store: Arc<dyn Store>, term_limit: u64) -> Barrier {
    let barrier = Barrier::with_term_limit(store, clock(), term_limit);
    barrier.initialize(&SealConfig::fresh(SealKind::Static, 1, 1).unwrap(), &KEY).await.unwrap();
    barrier.unseal(&KEY).await.unwrap();
    barrier
}

async fn put(barrier: &Barrier, path: &str, value: &[u8]) {
    let mut changes = Changes::new();
    changes.create(&barrier.view("kv"), path, value);
    barrier.commit(changes).await.unwrap();
}

async fn remove(barrier: &Barrier, path: &str) {
    let mut changes = Changes::new();
    barrier.view("kv").delete_with_folders(path, &mut changes).await.unwrap();
    barrier.commit(changes).await.unwrap();
}

#[tokio::test]
async fn folders_appear_with_their_first_path_and_go_with_their_last() {
    let barrier = opened(Arc::new(MemoryStore::new()), u64::MAX).await;
    let view = barrier.view("kv");
    for path in ["a/b/c", "a/b/d", "a/x", "top", "a"] {
        put(&barrier, path, path.as_bytes()).await;
    }
    assert_eq!(view.list("").await.unwrap(), ["a", "a/", "top"]);
    assert_eq!(view.list("a/").await.unwrap(), ["b/", "x"]);
    assert_eq!(view.list("a/b/").await.unwrap(), ["c", "d"]);
    assert!(view.get("a/b/c").await.unwrap().unwrap().value.same_as(b"a/b/c"));
    remove(&barrier, "a/b/c").await;
    assert_eq!(view.list("a/").await.unwrap(), ["b/", "x"]);
    remove(&barrier, "a/b/d").await;
    assert_eq!(view.list("a/").await.unwrap(), ["x"]);
    remove(&barrier, "a/x").await;
    assert_eq!(view.list("").await.unwrap(), ["a", "top"]);
}

#[tokio::test]
async fn a_creation_in_a_folder_that_is_being_removed_makes_the_removal_conflict() {
    let barrier = opened(Arc::new(MemoryStore::new()), u64::MAX).await;
    put(&barrier, "a/one", b"1").await;
    let mut removal = Changes::new();
    barrier.view("kv").delete_with_folders("a/one", &mut removal).await.unwrap();
    put(&barrier, "a/two", b"2").await;
    assert!(matches!(barrier.commit(removal).await, Err(BarrierError::Conflict { .. })));
    assert_eq!(barrier.view("kv").list("a/").await.unwrap(), ["one", "two"]);
}

#[tokio::test]
async fn all_paths_below_a_folder_are_listed_in_order() {
    let barrier = opened(Arc::new(MemoryStore::new()), u64::MAX).await;
    for path in ["b", "a/y", "a/x/2", "a/x/1", "a"] {
        put(&barrier, path, b"1").await;
    }
    let view = barrier.view("kv");
    assert_eq!(view.list_all("", 100).await.unwrap(), ["a", "a/x/1", "a/x/2", "a/y", "b"]);
    assert_eq!(view.list_all("a/", 2).await.unwrap(), ["a/x/1", "a/x/2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_fill_a_term_together_lose_no_record_and_no_term() {
    let barrier = opened(Arc::new(MemoryStore::new()), 50).await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let barrier = barrier.clone();
            tokio::spawn(async move {
                for number in 0..40 {
                    put(&barrier, &format!("{task}-{number}"), b"value").await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let status = barrier.key_status().unwrap();
    assert!(status.term >= Term(7) && status.encryptions < 50, "{status:?}");
    assert_eq!(barrier.verify().await.unwrap(), 320);
    assert_eq!(barrier.rotate().await.unwrap(), Term(status.term.0 + 1));
}

#[tokio::test]
async fn a_name_that_a_record_cannot_hold_is_refused() {
    let barrier = opened(Arc::new(MemoryStore::new()), u64::MAX).await;
    let mut changes = Changes::new();
    changes.create(&barrier.view("kv"), &"x".repeat(65_536), b"1");
    assert!(barrier.commit(changes).await.is_err());
}

#[tokio::test]
async fn spaces_do_not_see_each_other_and_are_purged_alone() {
    let barrier = opened(Arc::new(MemoryStore::new()), u64::MAX).await;
    put(&barrier, "a/b", b"1").await;
    let mut changes = Changes::new();
    changes.create(&barrier.view("other"), "a/b", b"2");
    barrier.commit(changes).await.unwrap();
    while barrier.view("kv").purge(1).await.unwrap() > 0 {}
    assert!(barrier.view("kv").get("a/b").await.unwrap().is_none());
    assert!(barrier.view("other").get("a/b").await.unwrap().unwrap().value.same_as(b"2"));
}

#[tokio::test]
async fn rotation_keeps_old_records_readable_and_survives_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let barrier = opened(store.clone(), u64::MAX).await;
    put(&barrier, "old", b"1").await;
    let derived = barrier.derive("token").unwrap();
    assert_eq!(barrier.rotate().await.unwrap(), Term(2));
    put(&barrier, "new", b"2").await;
    let again = Barrier::new(store, clock());
    again.unseal(&KEY).await.unwrap();
    assert_eq!(again.key_status().unwrap().term, Term(2));
    assert!(again.view("kv").get("old").await.unwrap().unwrap().value.same_as(b"1"));
    assert!(again.view("kv").get("new").await.unwrap().unwrap().value.same_as(b"2"));
    assert_eq!(*again.derive("token").unwrap(), *derived);
    assert_eq!(again.verify().await.unwrap(), 2);
}

#[tokio::test]
async fn a_new_term_comes_by_itself_before_the_bound() {
    let barrier = opened(Arc::new(MemoryStore::new()), 10).await;
    for number in 0..35 {
        put(&barrier, &format!("key{number}"), b"value").await;
    }
    let status = barrier.key_status().unwrap();
    assert!(status.term > Term(3) && status.encryptions < 10, "{status:?}");
    assert_eq!(barrier.verify().await.unwrap(), 35);
}

#[tokio::test]
async fn a_crash_never_forgets_encryptions() {
    let store = Arc::new(MemoryStore::new());
    let barrier = opened(store.clone(), u64::MAX).await;
    put(&barrier, "a", b"1").await;
    let before = barrier.key_status().unwrap().encryptions;
    let again = Barrier::new(store, clock());
    again.unseal(&KEY).await.unwrap();
    assert!(again.key_status().unwrap().encryptions >= before);
}

#[tokio::test]
async fn the_wrong_key_is_refused_and_harms_nothing() {
    let store = Arc::new(MemoryStore::new());
    let barrier = opened(store.clone(), u64::MAX).await;
    put(&barrier, "a", b"1").await;
    let again = Barrier::new(store, clock());
    for wrong in [&[8; 32][..], &[9; 31], &[]] {
        assert!(matches!(again.unseal(wrong).await, Err(BarrierError::WrongKey)));
        assert!(again.is_sealed());
    }
    again.unseal(&KEY).await.unwrap();
    assert!(matches!(
        again.initialize(&SealConfig::fresh(SealKind::Static, 1, 1).unwrap(), &KEY).await,
        Err(BarrierError::Initialized)
    ));
    assert!(again.view("kv").get("a").await.unwrap().is_some());
}

#[tokio::test]
async fn after_a_rekey_only_the_new_key_opens() {
    let barrier = opened(Arc::new(MemoryStore::new()), u64::MAX).await;
    put(&barrier, "a", b"1").await;
    let config = SealConfig::fresh(SealKind::Shamir, 5, 3).unwrap();
    barrier.rekey(&config, &KEY, &[4; 32]).await.unwrap();
    barrier.seal();
    assert!(matches!(barrier.view("kv").get("a").await, Err(BarrierError::Sealed)));
    assert!(matches!(barrier.unseal(&KEY).await, Err(BarrierError::WrongKey)));
    barrier.unseal(&[4; 32]).await.unwrap();
    assert!(barrier.view("kv").get("a").await.unwrap().is_some());
    assert_eq!(barrier.seal_config().await.unwrap().unwrap().threshold, 3);
}

#[tokio::test]
async fn records_that_are_swapped_do_not_open() {
    let store = Arc::new(MemoryStore::new());
    let barrier = opened(store.clone(), u64::MAX).await;
    put(&barrier, "a", b"1").await;
    put(&barrier, "b", b"2").await;
    let page = store.scan(Scan { prefix: Vec::new(), after: None, limit: 100 }).await.unwrap();
    let records: Vec<_> = page.entries.iter().filter(|(key, _)| key.0.len() == 40).collect();
    assert_eq!(records.len(), 2);
    let swapped = vec![
        Write::Put(records[0].0.clone(), records[1].1.bytes.clone()),
        Write::Put(records[1].0.clone(), records[0].1.bytes.clone()),
    ];
    store.commit(Batch { preconditions: Vec::new(), writes: swapped }).await.unwrap();
    assert!(matches!(barrier.view("kv").get("a").await, Err(BarrierError::Damaged)));
    assert!(matches!(barrier.verify().await, Err(BarrierError::Damaged)));
}

#[tokio::test]
async fn neither_values_nor_names_reach_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let barrier = opened(Arc::new(LogStore::open(dir.path()).unwrap()), u64::MAX).await;
    put(&barrier, "tlk_canary_folder/tlk_canary_name", b"tlk_canary_value").await;
    barrier.close().await.unwrap();
    let mut open = vec![dir.path().to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(10).any(|window| window == b"tlk_canary"), "{}", path.display());
        }
    }
}

#[test]
fn shares_count_once_and_complete_at_the_threshold() {
    let (key, shares) = new_shares(5, 3).unwrap();
    let mut progress = Progress::default();
    for (share, expected) in [(0, 1), (0, 1), (3, 2)] {
        let outcome = progress.submit(shares[share].duplicate(), 3, "n".into()).unwrap();
        assert!(matches!(outcome, Submitted::Pending));
        assert_eq!(progress.count(), expected);
    }
    let Submitted::Complete(combined) = progress.submit(shares[4].duplicate(), 3, "n".into()).unwrap() else {
        panic!("three shares complete")
    };
    assert!(combined.same_as(&*key));
    assert_eq!((progress.count(), progress.nonce()), (0, ""));
    assert!(decode_share("zz").is_none() && decode_share("00ff").unwrap().same_as(&[0, 255]));
}

// A record that was created between the restore's look at the store and its commit stayed among the restored ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_under_writers_leaves_nothing_but_the_snapshot() {
    for round in 0..20 {
        let barrier = opened(Arc::new(MemoryStore::new()), u64::MAX).await;
        put(&barrier, "kept", b"1").await;
        let snapshot = crate::snapshot::save(&barrier).await.unwrap();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let barrier = barrier.clone();
                tokio::spawn(async move {
                    for number in 0.. {
                        let mut changes = Changes::new();
                        changes.create(&barrier.view("kv"), &format!("{writer}-{number}"), b"2");
                        if barrier.commit(changes).await.is_err() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        while barrier.view("kv").list("").await.unwrap().len() < 50 {
            tokio::task::yield_now().await;
        }
        crate::snapshot::restore(&snapshot, &barrier).await.unwrap();
        for writer in writers {
            writer.await.unwrap();
        }
        barrier.unseal(&KEY).await.unwrap();
        assert_eq!(barrier.view("kv").list("").await.unwrap(), ["kept"], "round {round}");
    }
}
