//! The mount table: which engine answers where. One record holds all of it, so that a change is one commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use turnlock_core::Path;

use crate::barrier::{Barrier, BarrierError, Changes, View};
use crate::engine::EngineKind;
use crate::error::Error;
use crate::store::Revision;

const RECORD: &str = "mounts";

/// How often a change is tried again when another one came first.
const TRIES: usize = 8;

/// What is stored of a mount.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MountEntry {
    /// Where, without a trailing slash; auth mounts start with `auth/`.
    pub path: String,
    /// Which engine.
    pub kind: EngineKind,
    /// Identity of the mount's data; survives a move.
    pub uuid: String,
    /// Handle for tokens and audit, as in `kv_1a2b3c4d`.
    pub accessor: String,
    /// For people.
    pub description: String,
    /// `local`, kept for clients.
    pub local: bool,
    /// `seal_wrap`, kept for clients.
    pub seal_wrap: bool,
    /// `external_entropy_access`, kept for clients.
    pub external_entropy_access: bool,
    /// Engine options; `version` for `kv`. `None` is answered as `null`.
    pub options: Option<BTreeMap<String, String>>,
    /// Tunable settings.
    pub config: MountConfig,
}

/// Tunable settings of a mount. Zero seconds mean the server's default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MountConfig {
    /// Seconds.
    pub default_lease_ttl: u64,
    /// Seconds.
    pub max_lease_ttl: u64,
    /// Kept for clients.
    pub force_no_cache: bool,
    /// `default-service`, `default-batch`, `service` or `batch`; auth mounts only.
    pub token_type: Option<String>,
    /// `unauth`, `hidden` or empty.
    pub listing_visibility: Option<String>,
}

/// A mount in use.
#[derive(Debug)]
pub struct Mount {
    /// What is stored of it.
    pub entry: MountEntry,
    /// Its part of the barrier.
    pub view: View,
}

impl Mount {
    /// The other path of what `path` names here; see [`EngineKind::one_form`].
    pub fn one_form(&self, path: &Path) -> Result<Option<Path>, Error> {
        let (mount, kind) = (&self.entry.path, self.entry.kind);
        let form = path.below(mount).and_then(|below| kind.one_form(below));
        let path = form.map(|form| Path::parse(&format!("{mount}/{form}")));
        path.transpose().map_err(|reason| Error::invalid(reason.to_string()))
    }

    /// Whether it lies below `auth/`.
    pub fn is_auth(&self) -> bool {
        self.entry.path.starts_with("auth/")
    }
}

/// All mounts, readable without a lock.
pub struct Mounts {
    barrier: Barrier,
    view: View,
    table: ArcSwap<Table>,
}

/// One state of the table.
#[derive(Default)]
pub struct Table {
    revision: Option<Revision>,
    mounts: BTreeMap<String, Arc<Mount>>,
    /// Every request asks whether the mount of its token is still there.
    by_uuid: HashMap<String, Arc<Mount>>,
    deepest: usize,
}

impl Table {
    /// All mounts by path.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Mount>> {
        self.mounts.values()
    }

    /// The mount at exactly `path`, with or without a trailing slash.
    pub fn at(&self, path: &str) -> Option<&Arc<Mount>> {
        self.mounts.get(path.strip_suffix('/').unwrap_or(path))
    }

    /// The mount whose data has `uuid`.
    pub fn by_uuid(&self, uuid: &str) -> Option<&Arc<Mount>> {
        self.by_uuid.get(uuid)
    }

    /// The mount with the longest path at or above `path`, and where the rest of the path starts.
    pub fn resolve(&self, path: &Path) -> Option<(Arc<Mount>, usize)> {
        let text = path.as_str();
        let ends = text.match_indices('/').map(|(index, _)| index).chain([text.len()]);
        let found = ends.take(self.deepest).filter_map(|end| self.mounts.get(text.get(..end)?)).last()?;
        Some((found.clone(), (found.entry.path.len() + 1).min(text.len())))
    }

    /// Whether a new mount at `path` would lie at, above or below an existing one.
    pub fn overlaps(&self, path: &str) -> bool {
        let inside = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.mounts.keys().any(|existing| inside(existing, path) || inside(path, existing))
    }
}

impl Mounts {
    /// Reads the table behind an open barrier; `fresh` entries are stored when there is none yet.
    pub async fn open(barrier: &Barrier, fresh: impl FnOnce() -> Vec<MountEntry>) -> Result<Self, Error> {
        let view = barrier.view("system");
        let mounts = Self { barrier: barrier.clone(), view, table: ArcSwap::default() };
        if mounts.reload().await?.revision.is_none() {
            let entries = fresh();
            mounts
                .change(move |table| {
                    *table = entries.iter().map(|entry| (entry.path.clone(), entry.clone())).collect();
                    Ok(())
                })
                .await?;
        }
        Ok(mounts)
    }

    /// The table as it is now.
    pub fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Reads, changes and writes the table as one commit; tried again when another change came first.
    pub async fn change(
        &self,
        mut edit: impl FnMut(&mut BTreeMap<String, MountEntry>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for _ in 0..TRIES {
            let table = self.reload().await?;
            let mut entries: BTreeMap<_, _> =
                table.mounts.iter().map(|(path, mount)| (path.clone(), mount.entry.clone())).collect();
            edit(&mut entries)?;
            let value = serde_json::to_vec(&entries.values().collect::<Vec<_>>()).map_err(Error::internal)?;
            let mut changes = Changes::new();
            match table.revision {
                Some(revision) => changes.require(&self.view, RECORD, revision),
                None => changes.require_absent(&self.view, RECORD),
            }
            changes.put(&self.view, RECORD, &value);
            match self.barrier.commit(changes).await {
                Ok(_) => {
                    self.reload().await?;
                    return Ok(());
                }
                Err(BarrierError::Conflict { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Unavailable("the mount table changes too often, try again"))
    }

    async fn reload(&self) -> Result<Arc<Table>, Error> {
        let Some(record) = self.view.get(RECORD).await? else { return Ok(Arc::default()) };
        let entries: Vec<MountEntry> = serde_json::from_slice(record.value.expose()).map_err(Error::internal)?;
        let deepest = entries.iter().map(|entry| entry.path.split('/').count()).max().unwrap_or(0);
        let mount = |entry: MountEntry| {
            let view = self.barrier.view(&format!("mount/{}", entry.uuid));
            (entry.path.clone(), Arc::new(Mount { entry, view }))
        };
        let mounts: BTreeMap<_, _> = entries.into_iter().map(mount).collect();
        let by_uuid = mounts.values().map(|mount| (mount.entry.uuid.clone(), mount.clone())).collect();
        let table = Arc::new(Table { revision: Some(record.revision), mounts, by_uuid, deepest });
        // Two reloads may cross; the newer one stays.
        self.table.rcu(|old| if old.revision > table.revision { old.clone() } else { table.clone() });
        Ok(table)
    }
}
