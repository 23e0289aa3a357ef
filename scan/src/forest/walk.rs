//! The way down a forest: decodes and visits.

use gix::prelude::FindExt as _;
use gix::zlib::Inflate;
use gix::{ObjectId, Repository, ThreadSafeRepository};

use super::{Descent, Forest, Visit};
use crate::coverage::Why;
use crate::delta::{self, Copied};
use crate::git::MAX_OBJECT_BYTES;
use crate::pack;

/// Bytes below a node that are worth another core.
const WORTH_SPLITTING_BYTES: u64 = 8 << 20;

/// Splits that may lie within each other: each takes room on the stack.
const MAX_NESTED_SPLITS: u32 = 64;

/// Room that each thread keeps for the next objects: so many pieces of at most so many bytes.
const MAX_SPARE: usize = 8;
const MAX_SPARE_BYTES: usize = 4 << 20;

/// What one thread works with.
pub(super) struct Bench {
    repository: Repository,
    inflate: Inflate,
    packed: Vec<u8>,
    delta: Vec<u8>,
    copied: Vec<Copied>,
    spare: Vec<Vec<u8>>,
}

impl Bench {
    pub(super) fn new(repository: &ThreadSafeRepository) -> Self {
        Self {
            repository: repository.to_thread_local(),
            inflate: Inflate::default(),
            packed: Vec::new(),
            delta: Vec::new(),
            copied: Vec::new(),
            spare: Vec::new(),
        }
    }
}

impl Bench {
    /// Takes back room that is not needed any more.
    fn give(&mut self, room: Vec<u8>) {
        if self.spare.len() < MAX_SPARE && room.capacity() <= MAX_SPARE_BYTES {
            self.spare.push(room);
        }
    }
}

/// An object on the way down.
struct Decoded<Trace> {
    number: u32,
    bytes: Vec<u8>,
    /// `None`: it was not visited.
    trace: Option<Trace>,
    splits: u32,
}

/// One walk.
pub(super) struct Walk<'a, V> {
    pub(super) forest: &'a Forest,
    pub(super) repository: &'a ThreadSafeRepository,
    pub(super) visitor: &'a V,
    pub(super) is_wanted: Vec<bool>,
    /// Wanted objects at and below each node.
    pub(super) weights: Vec<u32>,
}

impl<V: Visit> Walk<'_, V> {
    fn weight(&self, number: u32) -> u32 {
        self.weights.get(number as usize).copied().unwrap_or(0)
    }

    /// Visits a root and all below it.
    pub(super) fn root(&self, number: u32, bench: &mut Bench, to: &mut V::Yield) {
        if self.visitor.is_late() {
            return self.miss(number, &Why::OutOfTime, to);
        }
        let mut bytes = bench.spare.pop().unwrap_or_default();
        match self.decode_root(number, bench, &mut bytes) {
            Ok(()) => {
                let trace = self.visit(number, &bytes, None, to);
                self.descend(Decoded { number, bytes, trace, splits: 0 }, bench, to);
            }
            Err(why) => self.miss(number, &why, to),
        }
    }

    fn decode_root(&self, number: u32, bench: &mut Bench, bytes: &mut Vec<u8>) -> Result<(), Why> {
        let entry = self.forest.read(number, &mut bench.packed).ok_or(Why::Damaged)?;
        if entry.header.is_delta() {
            let id = self.forest.nodes.get(number as usize).map(|node| self.forest.id(node)).ok_or(Why::Damaged)?;
            let length = bench.repository.objects.find(id, bytes).map_err(|_| Why::Damaged)?.data.len();
            bytes.truncate(length);
            return Ok(());
        }
        // Those that are made from it may be small enough though it is not.
        if entry.decompressed_size > self.visitor.max_bytes().max(MAX_OBJECT_BYTES) {
            return Err(Why::TooLarge { limit: self.visitor.max_bytes() });
        }
        pack::inflate(&bench.packed, entry.decompressed_size, &mut bench.inflate, bytes).ok_or(Why::Damaged)
    }

    /// Decodes and visits all that is made from `from`. Of several children the one with most below it comes last and
    /// takes the room of its base, so that at no time more objects are kept than the logarithm of all.
    fn descend(&self, mut from: Decoded<V::Trace>, bench: &mut Bench, to: &mut V::Yield) {
        loop {
            let children = || self.forest.children(from.number).iter().copied().filter(|child| self.weight(*child) > 0);
            let Some(heavy) = children().max_by_key(|child| self.weight(*child)) else { break };
            let beside: u32 = children().filter(|child| *child != heavy).map(|child| self.weight(child)).sum();
            if u64::from(beside) * from.bytes.len() as u64 > WORTH_SPLITTING_BYTES && from.splits < MAX_NESTED_SPLITS {
                from.splits += 1;
                let (light, ()) = rayon::join(
                    || {
                        let (mut bench, mut to) = (Bench::new(self.repository), V::Yield::default());
                        for child in children().filter(|child| *child != heavy) {
                            self.step(&from, child, &mut bench, &mut to);
                        }
                        to
                    },
                    || self.step(&from, heavy, bench, to),
                );
                self.visitor.join(to, light);
                break;
            }
            for child in children().filter(|child| *child != heavy) {
                self.step(&from, child, bench, to);
            }
            let Some(next) = self.make(&from, heavy, bench, to) else { break };
            bench.give(std::mem::replace(&mut from, next).bytes);
        }
        bench.give(from.bytes);
    }

    fn step(&self, from: &Decoded<V::Trace>, child: u32, bench: &mut Bench, to: &mut V::Yield) {
        if let Some(made) = self.make(from, child, bench, to) {
            self.descend(made, bench, to);
        }
    }

    /// Decodes and visits `child`, which is a delta of `from`.
    fn make(
        &self,
        from: &Decoded<V::Trace>,
        child: u32,
        bench: &mut Bench,
        to: &mut V::Yield,
    ) -> Option<Decoded<V::Trace>> {
        let mut bytes = bench.spare.pop().unwrap_or_default();
        let decoded = if self.visitor.is_late() {
            Err(Why::OutOfTime)
        } else {
            self.decode_delta(&from.bytes, child, bench, &mut bytes)
        };
        if let Err(why) = decoded {
            self.miss(child, &why, to);
            return None;
        }
        let descent = from.trace.as_ref().map(|trace| Descent { trace, base: &from.bytes, copied: &bench.copied });
        let trace = self.visit(child, &bytes, descent, to);
        Some(Decoded { number: child, bytes, trace, splits: from.splits })
    }

    fn decode_delta(&self, base: &[u8], child: u32, bench: &mut Bench, bytes: &mut Vec<u8>) -> Result<(), Why> {
        let limit = self.visitor.max_bytes();
        let entry = self.forest.read(child, &mut bench.packed).ok_or(Why::Damaged)?;
        if entry.decompressed_size > MAX_OBJECT_BYTES {
            return Err(Why::TooLarge { limit });
        }
        let mut instructions = std::mem::take(&mut bench.delta);
        pack::inflate(&bench.packed, entry.decompressed_size, &mut bench.inflate, &mut instructions)
            .ok_or(Why::Damaged)?;
        let (from, size, rest) = delta::sizes(&instructions).ok_or(Why::Damaged)?;
        if size > MAX_OBJECT_BYTES {
            return Err(Why::TooLarge { limit });
        }
        let made = (from == base.len() as u64)
            .then_some(())
            .and_then(|()| delta::apply(base, usize::try_from(size).ok()?, rest, bytes, &mut bench.copied));
        bench.delta = instructions;
        made.ok_or(Why::Damaged)
    }

    fn visit(
        &self,
        number: u32,
        bytes: &[u8],
        from: Option<Descent<'_, V::Trace>>,
        to: &mut V::Yield,
    ) -> Option<V::Trace> {
        let id = self.forest.id(self.forest.nodes.get(number as usize)?);
        if !*self.is_wanted.get(number as usize)? {
            return None;
        }
        let limit = self.visitor.max_bytes();
        if bytes.len() as u64 > limit {
            self.visitor.miss(id, Why::TooLarge { limit }, to);
            return None;
        }
        Some(self.visitor.visit(id, bytes, from, to))
    }

    /// An object that does not decode takes along all that is made from it.
    fn miss(&self, number: u32, why: &Why, to: &mut V::Yield) {
        let mut open = vec![number];
        while let Some(number) = open.pop() {
            if self.is_wanted.get(number as usize) == Some(&true)
                && let Some(node) = self.forest.nodes.get(number as usize)
            {
                let id: ObjectId = self.forest.id(node).to_owned();
                self.visitor.miss(&id, why.clone(), to);
            }
            open.extend(self.forest.children(number).iter().filter(|child| self.weight(**child) > 0));
        }
    }
}
