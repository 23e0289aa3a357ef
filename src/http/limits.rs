//! What a client may cost before and after it is known.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::error::Error;

/// Limits of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest body in bytes.
    pub max_request_bytes: usize,
    /// Largest body in bytes that is read before the token is known to live.
    pub max_anonymous_bytes: usize,
    /// Bytes of bodies of known senders in memory at one time.
    pub in_flight_bytes: usize,
    /// Bytes of bodies of unknown senders in memory at one time.
    pub anonymous_in_flight_bytes: usize,
    /// Time for the whole head of a request, and for which a connection may be idle.
    pub head_timeout: Duration,
    /// Time for the whole body.
    pub body_timeout: Duration,
    /// Longest pause within a body, and longest time that a client may refuse to take bytes of an answer.
    pub stall_timeout: Duration,
    /// Connections at one time.
    pub max_connections: usize,
    /// Connections of one address at one time.
    pub max_connections_per_peer: usize,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_request_bytes: 32 << 20,
            max_anonymous_bytes: 16 << 10,
            in_flight_bytes: 64 << 20,
            anonymous_in_flight_bytes: 16 << 20,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(90),
            stall_timeout: Duration::from_secs(15),
            max_connections: 4096,
            max_connections_per_peer: 1024,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Memory for bodies, shared by all requests of a listener. Known and unknown senders have their own, so that the
/// latter cannot use up what the former need.
#[derive(Debug)]
pub(super) struct Budget {
    known: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
    /// Half of the cores may be at large bodies: those who send small ones have the other half.
    parsing: Semaphore,
}

/// Memory that a request holds until it is answered.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<OwnedSemaphorePermit>);

/// Bytes that one permit stands for.
const UNIT: usize = 1024;
/// Longest body that is parsed without waiting for a turn.
const SMALL_BYTES: usize = 4096;

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        let permits = |bytes: usize| Arc::new(Semaphore::new((bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS)));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            known: permits(limits.in_flight_bytes),
            unknown: permits(limits.anonymous_in_flight_bytes),
            parsing: Semaphore::new((cores / 2).max(1)),
        }
    }

    /// Waits until a body of `length` bytes may be parsed. To be held for the parsing and never across a wait for the
    /// sender, who could take a turn and keep it.
    pub(super) async fn turn(&self, length: usize) -> Option<SemaphorePermit<'_>> {
        if length <= SMALL_BYTES {
            return None;
        }
        // Never closed.
        self.parsing.acquire().await.ok()
    }

    /// Takes `bytes` more for a request, or refuses: waiting would let a queue grow.
    pub(super) fn hold(&self, held: &mut Held, bytes: usize, known: bool) -> Result<(), Error> {
        let pool = if known { &self.known } else { &self.unknown };
        let permits = u32::try_from(bytes.div_ceil(UNIT)).map_err(|_| Error::TooLarge(u32::MAX as usize))?;
        let permit = pool.clone().try_acquire_many_owned(permits).map_err(|_| Error::Busy(Duration::from_secs(1)))?;
        held.0.push(permit);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt as _;

    use super::{Budget, Limits, SMALL_BYTES};

    #[tokio::test]
    async fn large_bodies_wait_for_each_other_and_small_ones_for_nobody() {
        let budget = Budget::new(&Limits::default());
        let turns: Vec<_> = std::iter::from_fn(|| budget.turn(SMALL_BYTES + 1).now_or_never()).collect();
        let cores = std::thread::available_parallelism().unwrap().get();
        assert_eq!(turns.len(), (cores / 2).max(1));
        assert!(budget.turn(SMALL_BYTES).now_or_never().is_some());
        drop(turns);
        assert!(budget.turn(SMALL_BYTES + 1).now_or_never().is_some());
    }
}
