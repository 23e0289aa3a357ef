//! The process's parts: what lives from start to end ([`Server`]) and what lives while it is unsealed ([`Parts`]).

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::audit::Audit;
use crate::barrier::seal::{Progress, SealConfig, SealKind};
use crate::barrier::{Barrier, BarrierError};
use crate::clock::SharedClock;
use crate::engine::fingerprints::Pace;
use crate::engine::sys;
use crate::error::Error;
use crate::hashing::Hashing;
use crate::lockout::Lockout;
use crate::mount::Mounts;
use crate::policy::Policies;
use crate::token::{Lifetimes, Tokens};

/// How long the sweep of tokens rests. Nothing depends on it for safety.
const SWEEP_INTERVAL: Duration = Duration::from_secs(15);

/// One turnlock server.
pub struct Server {
    /// The encryption boundary over the store.
    pub barrier: Barrier,
    /// The audit device.
    pub audit: Audit,
    /// The time.
    pub clock: SharedClock,
    /// What the configuration says to the engines.
    pub settings: Settings,
    /// Locked for whoever opens or closes the barrier, over the whole of it: the steps of two must not mix.
    pub unsealing: Mutex<Unsealing>,
    /// Told when there may be other work on rotations than before. Says nothing of what: who is woken asks through the door.
    pub rotations: watch::Sender<()>,
    /// Whether a rotation needs somebody to look at it, as far as was seen last.
    pub stuck_rotations: AtomicBool,
    parts: ArcSwapOption<Parts>,
}

/// What the configuration says to the engines.
pub struct Settings {
    /// What the unseal key comes from.
    pub seal: SealSource,
    /// Lifetimes where mount and role say nothing.
    pub lifetimes: Lifetimes,
    /// The name in `sys/health`.
    pub cluster_name: String,
    /// Whether `sys/generate-root` needs no token.
    pub open_generate_root: bool,
    /// Folders in which the agent inside the server may replace files; `None` when there is no such agent.
    pub agent_folders: Option<Vec<PathBuf>>,
}

impl Default for Settings {
    fn default() -> Self {
        let cluster_name = "turnlock".to_owned();
        let (seal, lifetimes) = (SealSource::Shares, Lifetimes::default());
        Self { seal, lifetimes, cluster_name, open_generate_root: false, agent_folders: None }
    }
}

/// What the unseal key comes from.
pub enum SealSource {
    /// People submit shares.
    Shares,
    /// The machine holds it.
    Static(Zeroizing<[u8; 32]>),
}

impl SealSource {
    /// The kind, without the key.
    pub fn kind(&self) -> SealKind {
        match self {
            Self::Shares => SealKind::Shamir,
            Self::Static(_) => SealKind::Static,
        }
    }
}

/// Shares that were submitted, what else shares make, and how fast they come for each.
#[derive(Default)]
pub struct Unsealing {
    /// The shares.
    pub progress: Progress,
    /// How fast they come.
    pub pace: sys::SharePace,
    /// New shares in the making.
    pub rekeying: Option<sys::Rekeying>,
    /// How fast shares come for these.
    pub rekey_pace: sys::SharePace,
    /// A root token in the making.
    pub root_attempt: Option<sys::RootAttempt>,
    /// How fast shares come for it.
    pub root_pace: sys::SharePace,
}

/// What an unsealed server consists of. Dropped whole when it is sealed.
pub struct Parts {
    /// The encryption boundary over the store.
    pub barrier: Barrier,
    /// The time.
    pub clock: SharedClock,
    /// Which engine answers where.
    pub mounts: Mounts,
    /// Policies by name.
    pub policies: Policies,
    /// Slow hashes of passwords.
    pub hashing: Hashing,
    /// Names that are locked after wrong passwords.
    pub lockout: Lockout,
    /// Who asked about how many fingerprints.
    pub pace: Pace,
    /// Tokens: minting, checking, revoking.
    pub tokens: Tokens,
}

/// Sweeps rows of tokens that are over, until the parts are dropped.
async fn sweep_while_open(parts: Weak<Parts>) {
    loop {
        let Some(open) = parts.upgrade() else { return };
        let more = match open.tokens.sweep().await {
            Ok(more) => more,
            Err(Error::Sealed) => return,
            Err(error) => {
                tracing::warn!(%error, "the sweep of tokens failed; it will be tried again");
                false
            }
        };
        drop(open);
        if !more {
            tokio::time::sleep(SWEEP_INTERVAL).await;
        }
    }
}

impl Server {
    /// A server over `barrier`, sealed until [`Server::open_parts`].
    pub fn new(barrier: Barrier, audit: Audit, clock: SharedClock, settings: Settings) -> Arc<Self> {
        let parts = ArcSwapOption::empty();
        let (rotations, stuck_rotations) = (watch::Sender::default(), AtomicBool::default());
        let unsealing = Mutex::default();
        Arc::new(Self { barrier, audit, clock, settings, unsealing, rotations, stuck_rotations, parts })
    }

    /// The parts, or [`Error::Sealed`].
    pub fn parts(&self) -> Result<Arc<Parts>, Error> {
        self.parts.load_full().ok_or(Error::Sealed)
    }

    /// Builds the parts behind an open barrier and puts them into service. Makes what every server has when it is not
    /// there yet: the default mounts and policies.
    pub async fn open_parts(&self) -> Result<Arc<Parts>, Error> {
        match self.build_parts().await {
            Ok(parts) => {
                let parts = Arc::new(parts);
                self.parts.store(Some(parts.clone()));
                tokio::spawn(sweep_while_open(Arc::downgrade(&parts)));
                self.rotations.send_replace(());
                Ok(parts)
            }
            Err(error) => {
                // Half open is closed: nothing serves, so nothing may hold the keys.
                self.seal();
                Err(error)
            }
        }
    }

    async fn build_parts(&self) -> Result<Parts, Error> {
        self.audit.unlock(&self.barrier)?;
        self.audit.check_end(&self.barrier).await?;
        let mounts = Mounts::open(&self.barrier, sys::default_mounts).await?;
        let policies = Policies::open(&self.barrier).await?;
        let tokens = Tokens::open(&self.barrier, self.clock.clone(), self.settings.lifetimes).await?;
        Ok(Parts {
            barrier: self.barrier.clone(),
            clock: self.clock.clone(),
            mounts,
            policies,
            tokens,
            hashing: Hashing::start()?,
            lockout: Lockout::new(crate::lockout::Rule::default()),
            pace: Pace::default(),
        })
    }

    /// Whether the configuration names a key of the machine's own.
    pub fn unseals_itself(&self) -> bool {
        matches!(self.settings.seal, SealSource::Static(_))
    }

    /// Unseals with the machine's own key, if it has one and the store is initialized. Answers whether the server is
    /// open.
    pub async fn unseal_itself(&self) -> Result<bool, Error> {
        let SealSource::Static(key) = &self.settings.seal else { return Ok(false) };
        let _unsealing = self.unsealing.lock().await;
        match self.barrier.seal_config().await? {
            Some(config) if config.kind == SealKind::Static => {}
            _ => return Ok(false),
        }
        self.barrier.unseal(&**key).await.map_err(|error| match error {
            BarrierError::WrongKey => Error::invalid(error.to_string()),
            error => error.into(),
        })?;
        self.open_parts().await?;
        tracing::info!("the server is unsealed by the machine's own key");
        Ok(true)
    }

    /// Takes the parts out of service and forgets the keys. Requests under way end with [`Error::Sealed`].
    pub fn seal(&self) {
        self.parts.store(None);
        self.audit.lock();
        self.barrier.seal();
    }

    /// The store's identity as clients see it.
    pub fn cluster_id(&self, config: &SealConfig) -> String {
        Uuid::from_bytes(config.store_id).to_string()
    }
}
