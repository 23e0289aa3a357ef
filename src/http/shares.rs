//! Memory for bodies of senders that are known by their address only. Where there is none left, the body that has been on its
//! way for longest makes room, so that nobody keeps others from logging in by sending slowly.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::limits::origin;
use crate::request::Peer;

/// What one client may hold of the memory, as a fraction.
pub(super) const SHARE: usize = 8;

/// Of so many bodies of a client one makes room.
const AT_ONCE: usize = 16;

/// The memory, in units.
pub(super) struct Shares {
    most: usize,
    most_of_one: usize,
    // Held for one look over the bodies, never across a wait.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    of: HashMap<Option<IpAddr>, usize>,
    next: u64,
    /// Bodies that are still on their way, oldest first.
    arriving: BTreeMap<u64, Arriving>,
}

struct Arriving {
    origin: Option<IpAddr>,
    units: usize,
    given_up: Arc<Notify>,
}

/// What one body has of the memory; given back when dropped.
pub(super) struct Share {
    from: Arc<Shares>,
    origin: Option<IpAddr>,
    number: u64,
    /// What it has once it is whole; until then that stands among those on their way.
    units: usize,
    given_up: Arc<Notify>,
}

/// There is no memory left, or another body has this one's.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Shares {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_one: (most / SHARE).max(1), state: Mutex::default() })
    }

    /// A body of `peer` that has nothing yet.
    pub(super) fn begin(self: &Arc<Self>, peer: Peer) -> Share {
        let (origin, given_up) = (origin(peer), Arc::new(Notify::new()));
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.arriving.insert(number, Arriving { origin, units: 0, given_up: given_up.clone() });
        Share { from: self.clone(), origin, number, units: 0, given_up }
    }
}

impl State {
    fn of(&self, origin: Option<IpAddr>) -> usize {
        self.of.get(&origin).copied().unwrap_or(0)
    }

    /// Gives up some of the bodies of `origin`, or of whoever has most, that are on their way and have something: the oldest, and
    /// several at once, because it takes a look at all of them. Body `except` stays.
    fn make_room(&mut self, origin: Option<Option<IpAddr>>, except: u64) -> Result<(), NoRoom> {
        let others = || self.arriving.iter().filter(|(number, body)| body.units > 0 && **number != except);
        let largest = || others().max_by_key(|(number, body)| (self.of(body.origin), Reverse(**number)));
        let origin = origin.or_else(|| largest().map(|(_, body)| body.origin)).ok_or(NoRoom)?;
        let oldest: Vec<u64> = others().filter(|(_, body)| body.origin == origin).map(|(number, _)| *number).collect();
        for number in oldest.iter().take((oldest.len() / AT_ONCE).max(1)) {
            if let Some(body) = self.arriving.remove(number) {
                body.given_up.notify_one();
                self.give_back(origin, body.units);
            }
        }
        if oldest.is_empty() { Err(NoRoom) } else { Ok(()) }
    }

    fn give_back(&mut self, origin: Option<IpAddr>, units: usize) {
        self.taken = self.taken.saturating_sub(units);
        if let Some(sum) = self.of.get_mut(&origin) {
            *sum = sum.saturating_sub(units);
            if *sum == 0 {
                self.of.remove(&origin);
            }
        }
    }
}

impl Share {
    /// Has `units` from here on, at the cost of others that are on their way.
    pub(super) fn grow(&self, units: usize) -> Result<(), NoRoom> {
        let mut state = self.from.state.lock();
        let before = state.arriving.get(&self.number).ok_or(NoRoom)?.units;
        let more = units.saturating_sub(before);
        while state.of(self.origin) + more > self.from.most_of_one {
            state.make_room(Some(self.origin), self.number)?;
        }
        while state.taken + more > self.from.most {
            state.make_room(None, self.number)?;
        }
        if let Some(body) = state.arriving.get_mut(&self.number) {
            body.units += more;
        }
        state.taken += more;
        *state.of.entry(self.origin).or_default() += more;
        Ok(())
    }

    /// The body is whole: nobody takes its memory any more.
    pub(super) fn keep(&mut self) -> Result<(), NoRoom> {
        let body = self.from.state.lock().arriving.remove(&self.number);
        self.units = body.ok_or(NoRoom)?.units;
        Ok(())
    }

    /// Waits until another body has the memory.
    pub(super) async fn given_up(&self) {
        self.given_up.notified().await;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.from.state.lock();
        let arriving = state.arriving.remove(&self.number).map_or(0, |body| body.units);
        state.give_back(self.origin, self.units + arriving);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::{SHARE, Share, Shares};
    use crate::request::Peer;

    fn peer(address: &str) -> Peer {
        Peer::Ip(address.parse().unwrap())
    }

    fn grown(shares: &Arc<Shares>, from: &str, units: usize) -> Share {
        let share = shares.begin(peer(from));
        share.grow(units).unwrap();
        share
    }

    fn lost(share: &Share) -> bool {
        share.given_up().now_or_never().is_some()
    }

    #[test]
    fn of_one_client_the_body_that_is_on_its_way_for_longest_makes_room() {
        let shares = Shares::new(2 * SHARE);
        let mut bodies: Vec<Share> =
            ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"].map(|from| grown(&shares, from, 1)).into();
        bodies.push(grown(&shares, "192.0.2.1", 1));
        assert_eq!(bodies.iter().map(lost).collect::<Vec<_>>(), [true, false, false, false]);
        // It gets nothing more, and what it had is not given back twice.
        assert!(bodies[0].grow(2).is_err() && bodies[0].keep().is_err());
        drop(bodies.remove(0));
        assert_eq!(shares.state.lock().taken, 3);
        // What is whole is kept, and then there is no room for another.
        bodies.iter_mut().for_each(|body| body.keep().unwrap());
        assert!(shares.begin(peer("192.0.2.1")).grow(1).is_err());
        assert!(shares.begin(peer("2001:db8::ffff:2")).grow(2).is_err(), "another address of the same host");
        drop(bodies);
        let state = shares.state.lock();
        assert!(state.taken == 0 && state.of.is_empty() && state.arriving.is_empty());
    }

    #[test]
    fn when_all_is_taken_whoever_has_most_makes_room() {
        let shares = Shares::new(2 * SHARE);
        let first = grown(&shares, "192.0.2.100", 1);
        let large: Vec<Share> = (0..SHARE - 1).map(|host| grown(&shares, &format!("192.0.2.{host}"), 2)).collect();
        let last = grown(&shares, "192.0.2.101", 1);
        let newcomer = grown(&shares, "192.0.2.102", 1);
        assert!(lost(&large[0]) && !lost(&large[1]) && !lost(&first) && !lost(&last) && !lost(&newcomer));
    }

    proptest! {
        /// Whatever comes and goes, no more is held than there is, nor than one client may have.
        #[test]
        fn the_sums_hold(steps in proptest::collection::vec((0_u8..12, 0_u8..4, 1_usize..5), 1..200)) {
            let shares = Shares::new(3 * SHARE);
            let mut bodies: Vec<Share> = Vec::new();
            for (step, host, units) in steps {
                let at = usize::from(step) % bodies.len().max(1);
                match step {
                    0..6 => bodies.push(shares.begin(peer(&format!("192.0.2.{host}")))),
                    6..9 if !bodies.is_empty() => { let _ = bodies[at].grow(units); }
                    9 if !bodies.is_empty() => { let _ = bodies[at].keep(); }
                    _ if !bodies.is_empty() => drop(bodies.remove(at)),
                    _ => {}
                }
                let state = shares.state.lock();
                let whole: usize = bodies.iter().map(|body| body.units).sum();
                let arriving: usize = state.arriving.values().map(|body| body.units).sum();
                prop_assert_eq!(state.taken, whole + arriving);
                prop_assert_eq!(state.taken, state.of.values().sum::<usize>());
                prop_assert!(state.taken <= shares.most && state.of.values().all(|sum| *sum <= shares.most_of_one));
            }
            drop(bodies);
            let state = shares.state.lock();
            prop_assert!(state.taken == 0 && state.of.is_empty() && state.arriving.is_empty());
        }
    }
}
