//! Places for connections. Where there is none left, idle connections make room, and where none is idle those that have gone
//! longest without an answer, so that nobody keeps newcomers out by holding connections open.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::limits::{Limits, origin};
use crate::request::Peer;

/// Of so many connections of a client one makes room.
const AT_ONCE: usize = 16;

/// The connections of one listener, of all clients and of each as far as its address tells.
pub(super) struct Gate {
    // Held for one look over the places, never across a wait.
    places: Mutex<Places>,
    most: usize,
    most_of_one: usize,
    opened: Instant,
}

#[derive(Default)]
struct Places {
    next: u64,
    taken: HashMap<u64, Arc<Place>>,
    of: HashMap<Option<IpAddr>, usize>,
}

struct Place {
    origin: Option<IpAddr>,
    /// When the connection was made or answered last, in milliseconds since the gate was opened.
    answered: AtomicU64,
    /// Whether it was ever asked for anything, and how much of that is under way.
    asked: AtomicBool,
    under_way: AtomicU32,
    given_up: Notify,
}

/// A connection's place; free again when dropped.
pub(super) struct Pass {
    gate: Arc<Gate>,
    number: u64,
    place: Arc<Place>,
}

/// A request under way on a connection.
pub(super) struct UnderWay {
    pass: Arc<Pass>,
    /// How many are, with this one.
    pub(super) number: u32,
}

impl Gate {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            places: Mutex::default(),
            most: limits.max_connections.max(1),
            most_of_one: limits.max_connections_per_peer.max(1),
            opened: Instant::now(),
        })
    }

    /// A place for a new connection with `peer`. Who has all that one client may have makes room himself, else whoever
    /// has most.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer) -> Pass {
        let origin = origin(peer);
        let place = Arc::new(Place {
            origin,
            answered: AtomicU64::new(self.now()),
            asked: AtomicBool::new(false),
            under_way: AtomicU32::new(0),
            given_up: Notify::new(),
        });
        let mut places = self.places.lock();
        let own = places.of.get(&origin).copied().unwrap_or(0);
        if origin.is_some() && own >= self.most_of_one {
            places.make_room(origin);
        } else if places.taken.len() >= self.most
            && let Some(largest) = places.largest()
        {
            places.make_room(largest);
        }
        let number = places.next;
        places.next += 1;
        places.taken.insert(number, place.clone());
        *places.of.entry(origin).or_default() += 1;
        Pass { gate: self.clone(), number, place }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Place {
    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether there is something to wait for: an answer, or what it was made for.
    fn is_busy(&self) -> bool {
        !self.asked.load(Ordering::Relaxed) || self.under_way.load(Ordering::Relaxed) > 0
    }
}

impl Places {
    /// Takes their places from some of the connections of `origin`: idle ones before others, and of both those that have gone
    /// longest without an answer. Several at once, because it takes a look at all of them.
    fn make_room(&mut self, origin: Option<IpAddr>) {
        let own = self.taken.iter().filter(|(_, place)| place.origin == origin);
        let mut own: Vec<_> = own.map(|(number, place)| (place.is_busy(), place.answered(), *number)).collect();
        let leaving = (own.len() / AT_ONCE).max(1);
        own.sort_unstable();
        own.iter().take(leaving).for_each(|(_, _, number)| self.leave(*number));
    }

    /// Whoever has most; of several, whose connection has gone longest without an answer.
    fn largest(&self) -> Option<Option<IpAddr>> {
        let most = self.of.values().copied().max()?;
        let largest = self.taken.iter().filter(|(_, place)| self.of.get(&place.origin) == Some(&most));
        largest.min_by_key(|(number, place)| (place.answered(), **number)).map(|(_, place)| place.origin)
    }

    fn leave(&mut self, number: u64) {
        let Some(place) = self.taken.remove(&number) else { return };
        place.given_up.notify_one();
        if let Some(count) = self.of.get_mut(&place.origin) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&place.origin);
            }
        }
    }
}

impl Pass {
    /// Tells that a request is under way on the connection, until what comes back is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.place.asked.store(true, Ordering::Relaxed);
        let number = self.place.under_way.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        UnderWay { pass: self.clone(), number }
    }

    /// Waits until another has the place.
    pub(super) async fn given_up(&self) {
        self.place.given_up.notified().await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.pass.place.under_way.fetch_sub(1, Ordering::Relaxed);
        self.pass.place.answered.store(self.pass.gate.now(), Ordering::Relaxed);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.places.lock().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::sync::atomic::Ordering;

    use futures_util::FutureExt as _;

    use super::{Gate, Limits, Pass};
    use crate::request::Peer;

    fn peer(address: &str) -> Peer {
        Peer::Ip(address.parse().unwrap())
    }

    fn gate(most: usize, most_of_one: usize) -> std::sync::Arc<Gate> {
        Gate::new(&Limits { max_connections: most, max_connections_per_peer: most_of_one, ..Limits::default() })
    }

    fn kept(passes: &[Pass]) -> Vec<bool> {
        passes.iter().map(|pass| pass.given_up().now_or_never().is_none()).collect()
    }

    #[test]
    fn of_one_client_the_connection_that_is_longest_without_an_answer_makes_room() {
        let gate = gate(10, 2);
        let mut passes = Vec::new();
        for address in ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "192.0.2.1"] {
            passes.push(gate.admit(peer(address)));
            // As if it had been answered later than any other.
            passes[0].place.answered.store(u64::MAX, Ordering::Relaxed);
        }
        assert_eq!(kept(&passes), [true, false, true, true]);
        // Who gave his place up leaves no second time.
        drop(passes.remove(1));
        assert_eq!(gate.places.lock().of.values().sum::<usize>(), 3);
        drop(passes);
        let places = gate.places.lock();
        assert!(places.taken.is_empty() && places.of.is_empty());
    }

    #[test]
    fn idle_connections_make_room_before_those_with_something_under_way() {
        let gate = gate(10, 3);
        let passes: Vec<_> = (0..3).map(|_| std::sync::Arc::new(gate.admit(peer("192.0.2.1")))).collect();
        let upload = passes[0].begin();
        drop(passes[2].begin());
        let newcomer = gate.admit(peer("192.0.2.1"));
        let kept = |pass: &Pass| pass.given_up().now_or_never().is_none();
        assert_eq!([0, 1, 2].map(|index| kept(&passes[index])), [true, true, false]);
        // None is idle: the oldest goes.
        let another = gate.admit(peer("192.0.2.1"));
        assert_eq!([0, 1].map(|index| kept(&passes[index])), [false, true]);
        assert!(kept(&newcomer) && kept(&another) && upload.number == 1);
    }

    #[test]
    fn of_many_connections_several_make_room_at_once() {
        let gate = gate(100, 64);
        let mut passes: Vec<Pass> = (0..65).map(|_| gate.admit(peer("192.0.2.1"))).collect();
        assert_eq!(kept(&passes), [vec![false; 4], vec![true; 61]].concat());
        passes.extend((0..3).map(|_| gate.admit(peer("192.0.2.1"))));
        assert_eq!(kept(&passes[4..]), [true; 64]);
    }

    #[test]
    fn a_host_with_many_addresses_is_one_client() {
        let gate = gate(10, 1);
        let passes =
            [gate.admit(peer("2001:db8::1")), gate.admit(peer("2001:db8::2")), gate.admit(peer("2001:db8:0:1::1"))];
        assert_eq!(kept(&passes), [false, true, true]);
    }

    #[test]
    fn when_all_places_are_taken_whoever_has_most_makes_room() {
        let gate = gate(5, 3);
        let of = ["192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.3", "192.0.2.2", "192.0.2.4"];
        let mut passes: Vec<Pass> = of.into_iter().map(|address| gate.admit(peer(address))).collect();
        passes.push(gate.admit(Peer::Unix));
        assert_eq!(kept(&passes), [true, false, false, true, true, true, true]);
    }
}
