//! Snapshots: a consistent copy of the sealed records in one file. It opens with the unseal key of the store, nothing else.
//!
//! | part | bytes |
//! |---|---|
//! | magic `TLKSNAP1` | 8 |
//! | records: key length 1, value length 4 (little-endian), key, value | … |
//! | end: key length 0 | 1 |
//! | number of records, little-endian | 8 |
//! | SHA-256 of everything before | 32 |
//! | HMAC-SHA-256 of the digest under a key of the barrier | 32 |
//!
//! Left out is how far the audit goes, which belongs to the machine. The digest finds damage without any key. The MAC and the records' own seals find tampering, once the key is there.

use std::sync::Arc;

use ring::{digest, hmac};

use crate::audit::end;
use crate::barrier::{Barrier, BarrierError};
use crate::clock::SharedClock;
use crate::store::{Key, LogStore, MemoryStore, Store as _, StoreError};

const MAGIC: &[u8; 8] = b"TLKSNAP1";
const TRAILER: usize = 8 + 32 + 32;
const PURPOSE: &str = "snapshot";

/// Why a snapshot is not taken for one.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Cut off, damaged, or something else altogether.
    #[error("this is not a whole snapshot: it was cut off or damaged")]
    Damaged,
    /// The digest was made by somebody without the barrier's keys.
    #[error("the snapshot was not written by the store that it claims to be from")]
    Forged,
    /// A record does not open, or the unseal key is not the one of this snapshot.
    #[error("the snapshot does not open")]
    Barrier(#[source] BarrierError),
    /// The folder to restore into cannot be used.
    #[error("the snapshot cannot be restored there")]
    Store(#[source] StoreError),
    /// The folder holds a store already.
    #[error("a store lies there already; restore into an empty folder")]
    Occupied,
}

impl From<BarrierError> for SnapshotError {
    fn from(error: BarrierError) -> Self {
        Self::Barrier(error)
    }
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Records in the snapshot.
    pub records: u64,
    /// Records that were opened; 0 without the unseal key.
    pub opened: u64,
}

/// Writes a snapshot of an open barrier while commits go on.
pub async fn save(barrier: &Barrier) -> Result<Vec<u8>, SnapshotError> {
    let (key, left_out) = (barrier.hmac_key(PURPOSE)?, end::storage_key(barrier)?);
    let mut bytes = MAGIC.to_vec();
    let mut count = 0_u64;
    for found in barrier.export().await? {
        let (key, entry) = found.map_err(BarrierError::from)?;
        if key == left_out {
            continue;
        }
        bytes.push(key.0.len() as u8);
        bytes.extend((entry.bytes.len() as u32).to_le_bytes());
        bytes.extend(&key.0);
        bytes.extend(&entry.bytes);
        count += 1;
    }
    bytes.push(0);
    bytes.extend(count.to_le_bytes());
    let sum = digest::digest(&digest::SHA256, &bytes);
    bytes.extend(sum.as_ref());
    bytes.extend(hmac::sign(&key, sum.as_ref()).as_ref());
    Ok(bytes)
}

/// Checks a snapshot: its digest, and with an unseal key its MAC and every record, in a temporary store in memory.
pub async fn verify(bytes: &[u8], unseal_key: Option<&[u8]>, clock: SharedClock) -> Result<Verified, SnapshotError> {
    let records = read(bytes)?;
    let count = records.len() as u64;
    let Some(unseal_key) = unseal_key else { return Ok(Verified { records: count, opened: 0 }) };
    let barrier = Barrier::new(Arc::new(MemoryStore::new()), clock);
    barrier.import(records).await?;
    barrier.unseal(unseal_key).await?;
    check_mac(bytes, &barrier)?;
    Ok(Verified { records: count, opened: barrier.verify().await? })
}

/// Replaces everything behind an open barrier by a snapshot of the same store, and seals it. The snapshot is checked
/// first; a failure changes nothing.
pub async fn restore(bytes: &[u8], barrier: &Barrier) -> Result<u64, SnapshotError> {
    let records = read(bytes)?;
    check_mac(bytes, barrier)?;
    let count = records.len() as u64;
    barrier.import(records).await?;
    Ok(count)
}

/// Restores a snapshot into an empty folder while no server runs on it. Who unseals the store later proves to have its key.
pub async fn restore_into(bytes: &[u8], folder: &std::path::Path, clock: SharedClock) -> Result<u64, SnapshotError> {
    let records = read(bytes)?;
    let count = records.len() as u64;
    let store = Arc::new(LogStore::open(folder).map_err(SnapshotError::Store)?);
    let barrier = Barrier::new(store.clone(), clock);
    if barrier.seal_config().await?.is_some() {
        return Err(SnapshotError::Occupied);
    }
    barrier.import(records).await?;
    store.close().await.map_err(SnapshotError::Store)?;
    Ok(count)
}

/// The records of a snapshot whose digest holds.
fn read(bytes: &[u8]) -> Result<Vec<(Key, Vec<u8>)>, SnapshotError> {
    let body = bytes.len().checked_sub(64).and_then(|end| bytes.get(..end)).ok_or(SnapshotError::Damaged)?;
    let sum = digest::digest(&digest::SHA256, body);
    if bytes.get(body.len()..body.len() + 32) != Some(sum.as_ref()) {
        return Err(SnapshotError::Damaged);
    }
    let mut rest = body.strip_prefix(MAGIC).ok_or(SnapshotError::Damaged)?;
    let mut records = Vec::new();
    loop {
        let (length, after) = rest.split_first().ok_or(SnapshotError::Damaged)?;
        if *length == 0 {
            let count = after.try_into().map(u64::from_le_bytes).map_err(|_| SnapshotError::Damaged)?;
            return if count == records.len() as u64 { Ok(records) } else { Err(SnapshotError::Damaged) };
        }
        let (value_length, after) = after.split_first_chunk::<4>().ok_or(SnapshotError::Damaged)?;
        let (key, after) = after.split_at_checked(usize::from(*length)).ok_or(SnapshotError::Damaged)?;
        let value_length = u32::from_le_bytes(*value_length) as usize;
        let (value, after) = after.split_at_checked(value_length).ok_or(SnapshotError::Damaged)?;
        records.push((Key::from(key), value.to_vec()));
        rest = after;
    }
}

fn check_mac(bytes: &[u8], barrier: &Barrier) -> Result<(), SnapshotError> {
    let trailer = bytes.len().checked_sub(TRAILER - 8).and_then(|start| bytes.get(start..));
    let (sum, mac) = trailer.and_then(|trailer| trailer.split_at_checked(32)).ok_or(SnapshotError::Damaged)?;
    hmac::verify(&barrier.hmac_key(PURPOSE)?, sum, mac).map_err(|_| SnapshotError::Forged)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::sync::Arc;

    use ring::digest;

    use super::{SnapshotError, Verified, restore, restore_into, save, verify};
    use crate::barrier::seal::{SealConfig, SealKind};
    use crate::barrier::{Barrier, Changes};
    use crate::clock::{SharedClock, SystemClock};
    use crate::store::{LogStore, MemoryStore};

    const KEY: [u8; 32] = [3; 32];

    fn clock() -> SharedClock {
        Arc::new(SystemClock)
    }

    async fn filled(records: usize) -> Barrier {
        let barrier = Barrier::new(Arc::new(MemoryStore::new()), clock());
        barrier.initialize(&SealConfig::fresh(SealKind::Static, 1, 1).unwrap(), &KEY).await.unwrap();
        barrier.unseal(&KEY).await.unwrap();
        for number in 0..records {
            let mut changes = Changes::new();
            changes.create(&barrier.view("kv"), &format!("key{number}"), b"tlk_canary_snapshot");
            barrier.commit(changes).await.unwrap();
        }
        barrier
    }

    #[tokio::test]
    async fn a_snapshot_is_checked_record_by_record_and_restored() {
        let barrier = filled(3).await;
        let bytes = save(&barrier).await.unwrap();
        assert!(!bytes.windows(10).any(|window| window == b"tlk_canary"));
        let verified = verify(&bytes, Some(&KEY), clock()).await.unwrap();
        assert_eq!(verified, Verified { records: 6, opened: 3 });
        assert_eq!(verify(&bytes, None, clock()).await.unwrap().opened, 0);
        assert!(matches!(verify(&bytes, Some(&[1; 32]), clock()).await, Err(SnapshotError::Barrier(_))));

        let mut changes = Changes::new();
        changes.create(&barrier.view("kv"), "later", b"x");
        barrier.commit(changes).await.unwrap();
        restore(&bytes, &barrier).await.unwrap();
        assert!(barrier.is_sealed());
        barrier.unseal(&KEY).await.unwrap();
        assert!(barrier.view("kv").get("later").await.unwrap().is_none());
        assert!(barrier.view("kv").get("key2").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_snapshot_restores_into_an_empty_folder_only() {
        let bytes = save(&filled(2).await).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        restore_into(&bytes, dir.path(), clock()).await.unwrap();
        assert!(matches!(restore_into(&bytes, dir.path(), clock()).await, Err(SnapshotError::Occupied)));
        let barrier = Barrier::new(Arc::new(LogStore::open(dir.path()).unwrap()), clock());
        barrier.unseal(&KEY).await.unwrap();
        assert_eq!(barrier.verify().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn how_far_the_audit_goes_stays_with_its_files() {
        let barrier = filled(2).await;
        let mut changes = Changes::new();
        changes.put(&barrier.view("audit"), "end", b"{}");
        barrier.commit(changes).await.unwrap();
        let bytes = save(&barrier).await.unwrap();
        assert_eq!(verify(&bytes, Some(&KEY), clock()).await.unwrap(), Verified { records: 5, opened: 2 });
        let dir = tempfile::tempdir().unwrap();
        restore_into(&bytes, dir.path(), clock()).await.unwrap();
        let restored = Barrier::new(Arc::new(LogStore::open(dir.path()).unwrap()), clock());
        restored.unseal(&KEY).await.unwrap();
        assert!(restored.view("audit").get("end").await.unwrap().is_none());
        assert!(restored.view("kv").get("key1").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn every_flipped_byte_and_every_cut_is_noticed() {
        let bytes = save(&filled(1).await).await.unwrap();
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            assert!(verify(&flipped, Some(&KEY), clock()).await.is_err(), "byte {place}");
            assert!(verify(&bytes[..place], None, clock()).await.is_err(), "cut at {place}");
        }
    }

    #[tokio::test]
    async fn a_changed_snapshot_is_noticed_even_with_a_new_digest() {
        let bytes = save(&filled(1).await).await.unwrap();
        let mut forged = bytes.clone();
        let end = forged.len() - 64;
        forged[end - 20] ^= 1;
        let sum = digest::digest(&digest::SHA256, &forged[..end]);
        forged[end..end + 32].copy_from_slice(sum.as_ref());
        assert!(verify(&forged, None, clock()).await.is_ok());
        // What breaks first depends on whose record comes last.
        let refused = verify(&forged, Some(&KEY), clock()).await;
        assert!(matches!(refused, Err(SnapshotError::Forged | SnapshotError::Barrier(_))), "{refused:?}");
        let other = filled(1).await;
        assert!(matches!(restore(&bytes, &other).await, Err(SnapshotError::Forged)));
    }
}
