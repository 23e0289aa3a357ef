//! What a client may cost before and after it is known.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
#[derive(Debug)]
pub(super) struct Budget {
    known: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
    shares: Arc<Shares>,
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
/// What one address may hold of the memory for unknown senders, as a fraction. An address may have a quarter of all
/// connections, so that those of one cannot fill it, nor all connections that there may be.
const SHARE: usize = 8;

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        let units = |bytes: usize| (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        let unknown = units(limits.anonymous_in_flight_bytes);
        Self {
            known: Arc::new(Semaphore::new(units(limits.in_flight_bytes))),
            unknown: Arc::new(Semaphore::new(unknown)),
            shares: Arc::new(Shares { most: (unknown / SHARE).max(1), taken: Mutex::default() }),
            turns: Turns::new(),
        }
    }

    /// What a request of `sender` holds: nothing yet.
    pub(super) fn held(&self, sender: Sender) -> Held {
        match sender {
            Sender::Known => Held { permits: None, share: None, pool: self.known.clone() },
            Sender::Unknown(peer) => {
                let share = Share { of: self.shares.clone(), origin: origin(peer), units: 0 };
                Held { permits: None, share: Some(share), pool: self.unknown.clone() }
            }
        }
    }
}

/// Memory that a request holds until it is answered; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    permits: Option<OwnedSemaphorePermit>,
    share: Option<Share>,
    pool: Arc<Semaphore>,
}

impl Held {
    /// Takes as much more as `bytes` in all need, or refuses: waiting would let a queue grow.
    pub(super) fn cover(&mut self, bytes: usize) -> Result<(), Error> {
        let busy = || Error::Busy(Duration::from_secs(1));
        let before = self.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(UNIT).saturating_sub(before);
        if !self.share.as_mut().is_none_or(|share| share.take(more)) {
            return Err(busy());
        }
        let more = u32::try_from(more).map_err(|_| Error::TooLarge(u32::MAX as usize))?;
        let more = self.pool.clone().try_acquire_many_owned(more).map_err(|_| busy())?;
        match &mut self.permits {
            Some(permits) => permits.merge(more),
            None => self.permits = Some(more),
        }
        Ok(())
    }
}

/// How much of the memory for unknown senders each origin has, so that none takes it from the others.
#[derive(Debug)]
struct Shares {
    most: usize,
    // Held for one look-up, never across a wait.
    taken: Mutex<HashMap<Option<IpAddr>, usize>>,
}

/// What one request has of its origin's share; given back when dropped.
#[derive(Debug)]
struct Share {
    of: Arc<Shares>,
    origin: Option<IpAddr>,
    units: usize,
}

impl Share {
    fn take(&mut self, units: usize) -> bool {
        let mut taken = self.of.taken.lock();
        let before = taken.get(&self.origin).copied().unwrap_or(0);
        if before + units > self.of.most {
            return false;
        }
        taken.insert(self.origin, before + units);
        self.units += units;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock();
        let Some(sum) = taken.get_mut(&self.origin) else { return };
        *sum = sum.saturating_sub(self.units);
        if *sum == 0 {
            taken.remove(&self.origin);
        }
    }
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

    use super::{Budget, Limits, SHARE, Sender, UNIT};
    use crate::request::Peer;

    fn peer(address: &str) -> Sender {
        Sender::Unknown(Peer::Ip(address.parse().unwrap()))
    }

    #[test]
    fn one_address_has_a_share_of_what_unknown_senders_have_and_gives_it_back() {
        let limits = Limits { anonymous_in_flight_bytes: 2 * SHARE * UNIT, ..Limits::default() };
        let budget = Budget::new(&limits);
        let fill = |sender: Sender| {
            let mut all = Vec::new();
            loop {
                let mut held = budget.held(sender);
                match held.cover(1) {
                    Ok(()) => all.push(held),
                    Err(_) => return all,
                }
            }
        };
        let first = fill(peer("192.0.2.1"));
        assert_eq!(first.len(), 2);
        assert_eq!(fill(peer("::ffff:192.0.2.1")).len(), 0, "the same address in other words");
        let second = fill(peer("2001:db8::1"));
        assert_eq!(second.len(), 2);
        assert_eq!(fill(peer("2001:db8::ffff:2")).len(), 0, "another address of the same host");
        assert_eq!(fill(Sender::Unknown(Peer::Unix)).len(), 2);
        assert!(budget.held(Sender::Known).cover(1 << 20).is_ok());
        drop((first, second));
        assert_eq!(fill(peer("192.0.2.1")).len(), 2);
        assert!(budget.shares.taken.lock().is_empty());
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
