//! What a client may cost before and after it is known.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::shares::{NoRoom, Share, Shares};
use super::turns::Turns;
use crate::error::Error;
use crate::request::Peer;

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

/// What all requests of a server share. Known and unknown senders have memory for bodies of their own, so that the latter cannot
/// use up what the former need.
pub(super) struct Budget {
    known: Arc<Semaphore>,
    unknown: Arc<Shares>,
    pub(super) turns: Turns,
}

/// Whose body it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// He sent a live token.
    Known,
    /// He is known by his address only, which may have a share.
    Unknown(Peer),
}

/// Bytes that one permit stands for.
const UNIT: usize = 1024;

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        let units = |bytes: usize| (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            known: Arc::new(Semaphore::new(units(limits.in_flight_bytes))),
            unknown: Shares::new(units(limits.anonymous_in_flight_bytes)),
            turns: Turns::new(),
        }
    }

    /// What a request of `sender` holds: nothing yet.
    pub(super) fn held(&self, sender: Sender) -> Held {
        match sender {
            Sender::Known => Held::Known { permits: None, pool: self.known.clone() },
            Sender::Unknown(peer) => Held::Unknown(self.unknown.begin(peer)),
        }
    }
}

/// Memory that a request holds until it is answered; given back when dropped.
pub(super) enum Held {
    /// Of the pool of known senders.
    Known { permits: Option<OwnedSemaphorePermit>, pool: Arc<Semaphore> },
    /// Of what the others share.
    Unknown(Share),
}

impl Held {
    /// Takes as much more as `bytes` in all need, or refuses: waiting would let a queue grow.
    pub(super) fn cover(&mut self, bytes: usize) -> Result<(), Error> {
        let (permits, pool) = match self {
            Self::Unknown(share) => return share.grow(bytes.div_ceil(UNIT)).map_err(busy),
            Self::Known { permits, pool } => (permits, pool),
        };
        let before = permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(UNIT).saturating_sub(before);
        let more = u32::try_from(more).map_err(|_| Error::TooLarge(u32::MAX as usize))?;
        let more = pool.clone().try_acquire_many_owned(more).map_err(busy)?;
        match permits {
            Some(permits) => permits.merge(more),
            None => *permits = Some(more),
        }
        Ok(())
    }

    /// The body is whole: its memory is nobody else's any more.
    pub(super) fn keep(&mut self) -> Result<(), Error> {
        match self {
            Self::Known { .. } => Ok(()),
            Self::Unknown(share) => share.keep().map_err(busy),
        }
    }

    /// Waits until another body has the memory, and answers what becomes of this one.
    pub(super) async fn given_up(&self) -> Error {
        match self {
            Self::Known { .. } => std::future::pending().await,
            Self::Unknown(share) => share.given_up().await,
        }
        busy(NoRoom)
    }
}

fn busy<E>(_: E) -> Error {
    Error::Busy(Duration::from_secs(1))
}

/// What counts as one client: an address, or the network of an IPv6 address, of which a host has as many as it likes.
pub(super) fn origin(peer: Peer) -> Option<IpAddr> {
    match peer {
        Peer::Ip(address) => Some(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
            address => address,
        }),
        Peer::Unix | Peer::Local => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Budget, Limits, Sender, UNIT};
    use crate::request::Peer;

    #[test]
    fn unknown_senders_take_nothing_from_known_ones() {
        let limits = Limits { anonymous_in_flight_bytes: UNIT, in_flight_bytes: UNIT, ..Limits::default() };
        let budget = Budget::new(&limits);
        let mut held = budget.held(Sender::Unknown(Peer::Unix));
        held.cover(1).unwrap();
        held.keep().unwrap();
        assert!(budget.held(Sender::Unknown(Peer::Unix)).cover(1).is_err());
        assert!(budget.held(Sender::Known).cover(1).is_ok());
    }

    #[test]
    fn memory_is_taken_once_for_a_body_that_grows() {
        let limits = Limits { in_flight_bytes: 8 * UNIT, ..Limits::default() };
        let budget = Budget::new(&limits);
        let mut held = budget.held(Sender::Known);
        for bytes in [1, UNIT, UNIT + 1, 8 * UNIT] {
            assert!(held.cover(bytes).is_ok(), "{bytes}");
        }
        assert!(held.cover(8 * UNIT + 1).is_err() && budget.held(Sender::Known).cover(1).is_err());
        drop(held);
        assert!(budget.held(Sender::Known).cover(8 * UNIT).is_ok());
    }
}
