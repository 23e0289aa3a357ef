//! The encryption boundary: nothing above it sees ciphertext, nothing below it sees plaintext or names. The only user of [`Store`].
//!
//! Three layers of keys: the unseal key (split into shares, or static) opens the root key, the root key opens the
//! [`Keyring`](keyring), the keyring's terms seal the records. So rekeying and rotation each change one small record.

mod error;
pub mod keyring;
pub mod seal;
pub mod shamir;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use ring::{hkdf, hmac};
use turnlock_core::Protected;
use zeroize::Zeroizing;

use crate::clock::SharedClock;
use crate::store::{Batch, Key, Precondition, Revision, Scan, Store, StoreError, Write};
pub use error::BarrierError;
pub use keyring::Term;
use keyring::{Cipher, Keyring, term_of};
use seal::SealConfig;
pub use view::{Changes, View};
use view::{Names, name_and_value, value_of};

/// Encryptions under one term before a new one is put in force; below the 2³² of NIST SP 800-38D §8.3.
const TERM_LIMIT: u64 = 3_800_000_000;
/// Encryptions that are reserved at once.
const RESERVE: u64 = 1 << 20;
/// Records that a scan reads at once.
const PAGE: usize = 1024;

const SEAL: &[u8] = b"barrier/seal";
const ROOT: &[u8] = b"barrier/root";
const KEYRING: &[u8] = b"barrier/keyring";

/// A value and the commit that wrote it.
#[derive(Debug)]
pub struct Record {
    /// The value.
    pub value: Protected,
    /// The commit that wrote it.
    pub revision: Revision,
}

/// The barrier. Cheap to clone.
#[derive(Clone)]
pub struct Barrier(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    open: ArcSwapOption<Open>,
    clock: SharedClock,
    term_limit: u64,
    /// Held from the reading of the keyring or root key to the use of the new one: of two changes at once, the later
    /// commit must also be the one in use. Nothing else is done under it.
    changing: tokio::sync::Mutex<()>,
    /// Shared by commits, alone for a restore: no commit over the old records may land among the new ones. Taken
    /// before `changing`.
    replacing: tokio::sync::RwLock<()>,
}

/// The keys while the barrier is open.
struct Open {
    store_id: [u8; 16],
    root: Cipher,
    ciphers: BTreeMap<Term, Cipher>,
    active: Term,
    installed: DateTime<Utc>,
    /// Encryptions counted so far, shared by all that is made of this term, and up to where they are reserved on disk.
    used: Arc<AtomicU64>,
    reserved: u64,
    names: Names,
    derivation: hkdf::Prk,
}

/// What `sys/key-status` answers.
#[derive(Debug, Clone, Copy)]
pub struct KeyStatus {
    /// The term in force.
    pub term: Term,
    /// Since when.
    pub installed: DateTime<Utc>,
    /// Encryptions under it, never too few.
    pub encryptions: u64,
}

impl Barrier {
    /// A sealed barrier over `store`.
    pub fn new(store: Arc<dyn Store>, clock: SharedClock) -> Self {
        Self::with_term_limit(store, clock, TERM_LIMIT)
    }

    fn with_term_limit(store: Arc<dyn Store>, clock: SharedClock, term_limit: u64) -> Self {
        let (changing, replacing) = (tokio::sync::Mutex::new(()), tokio::sync::RwLock::new(()));
        Self(Arc::new(Inner { store, open: ArcSwapOption::empty(), clock, term_limit, changing, replacing }))
    }

    /// The time that the barrier goes by.
    pub fn clock(&self) -> SharedClock {
        self.0.clock.clone()
    }

    /// Name of the store's backend.
    pub fn storage_kind(&self) -> &'static str {
        self.0.store.kind()
    }

    /// How the barrier is sealed; `None` before it is initialized.
    pub async fn seal_config(&self) -> Result<Option<SealConfig>, BarrierError> {
        let Some(entry) = self.0.store.get(&Key::from(SEAL)).await? else { return Ok(None) };
        serde_json::from_slice(&entry.bytes).map(Some).map_err(|_| BarrierError::Damaged)
    }

    /// Makes root key and keyring, sealed under `unseal_key`, and leaves the barrier sealed. One commit: a crash leaves
    /// a store that is initialized or not.
    pub async fn initialize(&self, config: &SealConfig, unseal_key: &[u8; 32]) -> Result<(), BarrierError> {
        let root_key = keyring::random_key()?;
        let store_id = config.store_id;
        let wrapped = Cipher::new(unseal_key, Term(0), store_id).seal(ROOT, &*root_key)?;
        let sealed = Keyring::fresh(self.0.clock.now())?.seal(&Cipher::new(&root_key, Term(0), store_id))?;
        let config = serde_json::to_vec(config).map_err(|_| BarrierError::Damaged)?;
        let batch = Batch {
            preconditions: vec![Precondition::Absent(Key::from(SEAL))],
            writes: vec![
                Write::Put(Key::from(SEAL), config),
                Write::Put(Key::from(ROOT), wrapped),
                Write::Put(Key::from(KEYRING), sealed),
            ],
        };
        match self.0.store.commit(batch).await {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict { .. }) => Err(BarrierError::Initialized),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the barrier. [`BarrierError::WrongKey`] when the key does not open the root key; nothing is changed then.
    pub async fn unseal(&self, unseal_key: &[u8]) -> Result<(), BarrierError> {
        let config = self.seal_config().await?.ok_or(BarrierError::NotInitialized)?;
        let root_key = self.root_key(&config, unseal_key).await?;
        let root = Cipher::new(&root_key, Term(0), config.store_id);
        self.load(root, config.store_id).await
    }

    /// The root key, opened with the unseal key.
    async fn root_key(&self, config: &SealConfig, unseal_key: &[u8]) -> Result<keyring::SecretKey, BarrierError> {
        let unseal_key: &[u8; 32] = unseal_key.try_into().map_err(|_| BarrierError::WrongKey)?;
        let wrapped = self.0.store.get(&Key::from(ROOT)).await?.ok_or(BarrierError::Damaged)?;
        let opened = Cipher::new(unseal_key, Term(0), config.store_id).open(ROOT, &wrapped.bytes);
        let root_key = opened.map_err(|_| BarrierError::WrongKey)?;
        root_key.expose().try_into().map(Zeroizing::new).map_err(|_| BarrierError::Damaged)
    }

    /// Reads the keyring and puts it to use.
    async fn load(&self, root: Cipher, store_id: [u8; 16]) -> Result<(), BarrierError> {
        let entry = self.0.store.get(&Key::from(KEYRING)).await?.ok_or(BarrierError::Damaged)?;
        let keyring = Keyring::open(&root, &entry.bytes)?;
        let last = keyring.terms.last().ok_or(BarrierError::Damaged)?;
        let open = Open {
            store_id,
            ciphers: keyring.ciphers(store_id),
            active: last.term,
            installed: last.installed,
            used: Arc::new(AtomicU64::new(last.reserved)),
            reserved: last.reserved,
            names: Names::new(&keyring.names),
            derivation: hkdf::Salt::new(hkdf::HKDF_SHA256, &store_id).extract(&keyring.derivation),
            root,
        };
        self.0.open.store(Some(Arc::new(open)));
        Ok(())
    }

    /// Forgets the keys.
    pub fn seal(&self) {
        self.0.open.store(None);
    }

    /// Whether the keys are not there.
    pub fn is_sealed(&self) -> bool {
        self.0.open.load().is_none()
    }

    /// The term in force.
    pub fn key_status(&self) -> Result<KeyStatus, BarrierError> {
        let open = self.open()?;
        Ok(KeyStatus { term: open.active, installed: open.installed, encryptions: open.used.load(Ordering::Relaxed) })
    }

    /// Puts a new term in force; older records stay readable.
    pub async fn rotate(&self) -> Result<Term, BarrierError> {
        self.change_keyring(|keyring| keyring.add_term(self.0.clock.now())).await
    }

    /// Whether `unseal_key` is the one in force: [`BarrierError::WrongKey`] when it is not.
    pub async fn check_unseal_key(&self, unseal_key: &[u8]) -> Result<(), BarrierError> {
        let config = self.seal_config().await?.ok_or(BarrierError::NotInitialized)?;
        self.root_key(&config, unseal_key).await.map(drop)
    }

    /// Seals the root key under another unseal key, as one commit.
    pub async fn rekey(&self, config: &SealConfig, unseal_key: &[u8], new_key: &[u8; 32]) -> Result<(), BarrierError> {
        let _alone = self.0.changing.lock().await;
        let old = self.seal_config().await?.ok_or(BarrierError::NotInitialized)?;
        let root_key = self.root_key(&old, unseal_key).await?;
        let wrapped = Cipher::new(new_key, Term(0), old.store_id).seal(ROOT, &*root_key)?;
        let config = SealConfig { store_id: old.store_id, ..config.clone() };
        let config = serde_json::to_vec(&config).map_err(|_| BarrierError::Damaged)?;
        let writes = vec![Write::Put(Key::from(SEAL), config), Write::Put(Key::from(ROOT), wrapped)];
        self.0.store.commit(Batch { preconditions: Vec::new(), writes }).await?;
        Ok(())
    }

    /// A part of the barrier with names of its own.
    pub fn view(&self, space: &str) -> View {
        View::new(self.clone(), space)
    }

    /// Seals and commits `changes`, all or nothing.
    pub async fn commit(&self, changes: Changes) -> Result<Revision, BarrierError> {
        let _shared = self.0.replacing.read().await;
        let open = self.count(changes.puts()).await?;
        let cipher = open.ciphers.get(&open.active).ok_or(BarrierError::Damaged)?;
        let batch = changes.seal(&open.names, |key, plain| cipher.seal(&key.0, plain))?;
        Ok(self.0.store.commit(batch).await?)
    }

    /// A key for one purpose, the same for the life of the store (HKDF-SHA-256, RFC 5869).
    pub fn derive(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, BarrierError> {
        let open = self.open()?;
        let mut key = Zeroizing::new([0; 32]);
        let info = [purpose.as_bytes()];
        let derived = open.derivation.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut *key));
        derived.map_err(|_| BarrierError::Random)?;
        Ok(key)
    }

    /// A prepared HMAC-SHA-256 key for one purpose.
    pub fn hmac_key(&self, purpose: &str) -> Result<hmac::Key, BarrierError> {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &*self.derive(purpose)?))
    }

    /// A consistent copy of the sealed records, for snapshots.
    pub async fn export(&self) -> Result<crate::store::Export, BarrierError> {
        Ok(self.0.store.export().await?)
    }

    /// Replaces everything in the store by the sealed records of a snapshot, and seals the barrier.
    pub async fn import(&self, records: Vec<(Key, Vec<u8>)>) -> Result<(), BarrierError> {
        let _alone = self.0.replacing.write().await;
        let mut writes = Vec::new();
        let mut after = None;
        loop {
            let page = self.0.store.scan(Scan { prefix: Vec::new(), after, limit: PAGE }).await?;
            writes.extend(page.entries.iter().map(|(key, _)| Write::Delete(key.clone())));
            after = page.entries.last().map(|(key, _)| key.clone());
            if !page.more {
                break;
            }
        }
        writes.extend(records.into_iter().map(|(key, bytes)| Write::Put(key, bytes)));
        // The keys in use belong to the records that go: nothing may be sealed under them in between or afterwards.
        let _unchanged = self.0.changing.lock().await;
        self.seal();
        self.0.store.commit(Batch { preconditions: Vec::new(), writes }).await?;
        Ok(())
    }

    /// Opens every record and answers how many there are. Errors on the first that does not open.
    pub async fn verify(&self) -> Result<u64, BarrierError> {
        let open = self.open()?;
        let (mut after, mut count) = (None, 0);
        loop {
            let page = self.0.store.scan(Scan { prefix: Vec::new(), after, limit: PAGE }).await?;
            for (key, entry) in page.entries.iter().filter(|(key, _)| ![SEAL, ROOT, KEYRING].contains(&&*key.0)) {
                name_and_value(open.open(key, &entry.bytes)?)?;
                count += 1;
            }
            after = page.entries.last().map(|(key, _)| key.clone());
            if !page.more {
                return Ok(count);
            }
        }
    }

    /// Ends the store in order.
    pub async fn close(&self) -> Result<(), BarrierError> {
        self.seal();
        Ok(self.0.store.close().await?)
    }

    fn open(&self) -> Result<Arc<Open>, BarrierError> {
        self.0.open.load_full().ok_or(BarrierError::Sealed)
    }

    async fn read(&self, open: &Open, key: &Key) -> Result<Option<Record>, BarrierError> {
        let Some(entry) = self.0.store.get(key).await? else { return Ok(None) };
        let value = value_of(open.open(key, &entry.bytes)?)?;
        Ok(Some(Record { value, revision: entry.revision }))
    }

    async fn read_all(&self, open: &Open, prefix: &[u8], limit: usize) -> Result<Vec<(String, Record)>, BarrierError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let wanted = PAGE.min(limit - found.len());
            let page = self.0.store.scan(Scan { prefix: prefix.to_vec(), after, limit: wanted }).await?;
            after = page.entries.last().map(|(key, _)| key.clone());
            for (key, entry) in page.entries {
                let (name, value) = name_and_value(open.open(&key, &entry.bytes)?)?;
                found.push((name, Record { value, revision: entry.revision }));
            }
            if !page.more || found.len() >= limit {
                return Ok(found);
            }
        }
    }

    async fn purge(&self, prefix: &[u8], limit: usize) -> Result<usize, BarrierError> {
        let _shared = self.0.replacing.read().await;
        let page = self.0.store.scan(Scan { prefix: prefix.to_vec(), after: None, limit }).await?;
        let writes: Vec<_> = page.entries.into_iter().map(|(key, _)| Write::Delete(key)).collect();
        let count = writes.len();
        if count > 0 {
            self.0.store.commit(Batch { preconditions: Vec::new(), writes }).await?;
        }
        Ok(count)
    }

    /// Counts encryptions that are about to happen; reserves more on disk, or starts a new term, when it must.
    async fn count(&self, encryptions: u64) -> Result<Arc<Open>, BarrierError> {
        loop {
            let open = self.open()?;
            let used = open.used.fetch_add(encryptions, Ordering::Relaxed) + encryptions;
            if used <= open.reserved {
                return Ok(open);
            }
            let changed = if used >= self.0.term_limit {
                let full = open.active;
                // Of the tasks that find the term full, the first starts a new one.
                let replace = |keyring: &mut Keyring| match keyring.terms.last() {
                    Some(last) if last.term == full => keyring.add_term(self.0.clock.now()).map(drop),
                    _ => Ok(()),
                };
                self.change_keyring(replace).await
            } else {
                let floor = used + RESERVE.min(self.0.term_limit - used);
                let active = open.active;
                let raise = |keyring: &mut Keyring| {
                    if let Some(last) = keyring.terms.last_mut().filter(|last| last.term == active) {
                        last.reserved = last.reserved.max(floor);
                    }
                    Ok(())
                };
                self.change_keyring(raise).await
            };
            match changed {
                // Another task did it first.
                Ok(()) | Err(BarrierError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads, changes and writes the keyring as one commit, then puts it to use.
    async fn change_keyring<T>(
        &self,
        edit: impl Fn(&mut Keyring) -> Result<T, BarrierError>,
    ) -> Result<T, BarrierError> {
        let _alone = self.0.changing.lock().await;
        let open = self.open()?;
        let entry = self.0.store.get(&Key::from(KEYRING)).await?.ok_or(BarrierError::Damaged)?;
        let mut keyring = Keyring::open(&open.root, &entry.bytes)?;
        let edited = edit(&mut keyring)?;
        let batch = Batch {
            preconditions: vec![Precondition::At(Key::from(KEYRING), entry.revision)],
            writes: vec![Write::Put(Key::from(KEYRING), keyring.seal(&open.root)?)],
        };
        self.0.store.commit(batch).await?;
        let last = keyring.terms.last().ok_or(BarrierError::Damaged)?;
        let same = last.term == open.active;
        let next = Open {
            store_id: open.store_id,
            root: open.root.duplicate(),
            ciphers: keyring.ciphers(open.store_id),
            active: last.term,
            installed: last.installed,
            used: if same { open.used.clone() } else { Arc::default() },
            reserved: last.reserved,
            names: Names::new(&keyring.names),
            derivation: hkdf::Salt::new(hkdf::HKDF_SHA256, &open.store_id).extract(&keyring.derivation),
        };
        // Only in place of what it was made from: a barrier that was sealed meanwhile stays sealed.
        self.0.open.compare_and_swap(&open, Some(Arc::new(next)));
        Ok(edited)
    }
}

impl Open {
    fn open(&self, key: &Key, sealed: &[u8]) -> Result<Protected, BarrierError> {
        let cipher = self.ciphers.get(&term_of(sealed)?).ok_or(BarrierError::Damaged)?;
        cipher.open(&key.0, sealed)
    }
}
