//! The process's parts: what lives from start to end ([`Server`]) and what lives while it is unsealed ([`Parts`]).

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::audit::Audit;
use crate::barrier::Barrier;
use crate::clock::SharedClock;
use crate::error::Error;
use crate::hashing::Hashing;
use crate::lockout::Lockout;
use crate::mount::Mounts;
use crate::policy::Policies;
use crate::token::Tokens;

/// One turnlock server.
pub struct Server {
    /// The encryption boundary over the store.
    pub barrier: Barrier,
    /// The audit devices.
    pub audit: Audit,
    /// The time.
    pub clock: SharedClock,
    parts: ArcSwapOption<Parts>,
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
    /// Tokens: minting, checking, revoking.
    pub tokens: Tokens,
}

impl Server {
    /// A server over `barrier`, sealed until [`Server::open_parts`].
    pub fn new(barrier: Barrier, audit: Audit, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { barrier, audit, clock, parts: ArcSwapOption::empty() })
    }

    /// The parts, or [`Error::Sealed`].
    pub fn parts(&self) -> Result<Arc<Parts>, Error> {
        self.parts.load_full().ok_or(Error::Sealed)
    }

    /// Puts the parts of an open barrier into service.
    pub fn install(&self, parts: Arc<Parts>) {
        self.parts.store(Some(parts));
    }

    /// Takes the parts out of service and forgets the keys. Requests under way end with [`Error::Sealed`].
    pub fn seal(&self) {
        self.parts.store(None);
        self.barrier.seal();
    }
}
