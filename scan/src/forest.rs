//! A pack as a forest: an object that is stored whole is a root, one that is stored as a delta hangs below its base.
//! Walking down decodes every object once, however long the chains of deltas are.

mod walk;

use std::path::Path;

use gix::objs::Kind;
use gix::odb::pack::data::entry::Header;
use gix::odb::pack::{MMap, data, index};
use gix::{Repository, ThreadSafeRepository, oid};
use rayon::prelude::*;

use crate::coverage::Why;
use crate::delta::Copied;
use crate::forest::walk::{Bench, Walk};
use crate::pack::Pack;

const NONE: u32 = u32::MAX;

/// One pack.
pub(crate) struct Forest {
    pack: Pack,
    index: index::File<MMap>,
    /// In order of the pack.
    nodes: Vec<Node>,
    /// Of all nodes; those of one lie next to each other.
    children: Vec<u32>,
}

struct Node {
    offset: u64,
    /// In the index, where the id is.
    position: u32,
    /// `NONE` for a root.
    base: u32,
    /// Where in `children` those of this node start.
    first_child: u32,
    /// `None` when the pack is damaged here.
    kind: Option<Kind>,
}

/// What is done with each object.
pub(crate) trait Visit: Sync {
    /// What an object leaves behind for those that are made from it.
    type Trace: Send + Sync;
    /// What comes out.
    type Yield: Default + Send;

    /// Larger objects are decoded for those that are made from them, but not visited.
    fn max_bytes(&self) -> u64;
    /// Whether the time for visits is over.
    fn is_late(&self) -> bool {
        false
    }
    /// Looks at an object. `from`: what it was made from, if that was visited.
    fn visit(
        &self,
        id: &oid,
        bytes: &[u8],
        from: Option<Descent<'_, Self::Trace>>,
        to: &mut Self::Yield,
    ) -> Self::Trace;
    /// Learns of an object that cannot be visited.
    fn miss(&self, id: &oid, why: Why, to: &mut Self::Yield);
    /// Puts what came out later behind what came out earlier.
    fn join(&self, earlier: &mut Self::Yield, later: Self::Yield);
}

/// The base of an object, and what was taken from it.
pub(crate) struct Descent<'a, Trace> {
    pub(crate) trace: &'a Trace,
    pub(crate) base: &'a [u8],
    pub(crate) copied: &'a [Copied],
}

impl Forest {
    /// The pack of the index at `path`; without nodes if all objects are `known`. `None`: one of both cannot be used.
    pub(crate) fn open(repository: &Repository, path: &Path, known: impl Fn(&oid) -> bool) -> Option<Self> {
        let hash = repository.object_hash();
        let index = index::File::at(path, hash).ok()?;
        let pack = Pack::open(&path.with_extension("pack"), hash)?;
        let all_known = (0..index.num_objects()).all(|position| known(index.oid_at_index(position)));
        if all_known {
            return Some(Self { pack, index, nodes: Vec::new(), children: Vec::new() });
        }
        let mut nodes: Vec<Node> = (0..index.num_objects())
            .map(|position| Node {
                offset: index.pack_offset_at_index(position),
                position,
                base: NONE,
                first_child: 0,
                kind: None,
            })
            .collect();
        nodes.sort_unstable_by_key(|node| node.offset);
        let mut headers = pack.headers();
        for number in 0..nodes.len() {
            let Some(Node { offset, position, .. }) = nodes.get(number) else { continue };
            let found = headers.at(*offset).and_then(|entry| match entry.header {
                Header::OfsDelta { base_distance } => {
                    // The base lies before, so that its kind is known by now.
                    let base = offset.checked_sub(base_distance).filter(|base| base < offset)?;
                    let base = nodes.binary_search_by_key(&base, |node| node.offset).ok()?;
                    Some((nodes.get(base)?.kind, u32::try_from(base).ok()?))
                }
                // Not written by git to disk unless asked to: leave it to the object store.
                Header::RefDelta { .. } => {
                    Some((repository.find_header(index.oid_at_index(*position)).ok().map(|found| found.kind()), NONE))
                }
                whole => Some((whole.as_kind(), NONE)),
            });
            if let (Some((kind, base)), Some(node)) = (found, nodes.get_mut(number)) {
                (node.kind, node.base) = (kind, base);
            }
        }
        let mut forest = Self { pack, index, nodes, children: Vec::new() };
        forest.adopt();
        Some(forest)
    }

    /// Gathers the children of each node.
    fn adopt(&mut self) {
        let mut counts = vec![0u32; self.nodes.len()];
        for node in &self.nodes {
            if let Some(count) = counts.get_mut(node.base as usize) {
                *count += 1;
            }
        }
        let mut total = 0;
        for (node, count) in self.nodes.iter_mut().zip(&mut counts) {
            node.first_child = total;
            total += *count;
            *count = node.first_child;
        }
        self.children = vec![0; total as usize];
        for (number, node) in self.nodes.iter().enumerate() {
            if let Some(at) = counts.get_mut(node.base as usize) {
                if let Some(place) = self.children.get_mut(*at as usize) {
                    *place = number as u32;
                }
                *at += 1;
            }
        }
    }

    /// Whether the pack has an object of this id.
    pub(crate) fn has(&self, id: &oid) -> bool {
        self.index.lookup(id).is_some()
    }

    /// The ids of all objects, also of those that are known.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &oid> {
        (0..self.index.num_objects()).map(|position| self.index.oid_at_index(position))
    }

    /// Ids and kinds of all objects, in order of the pack; no kind where the pack is damaged.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (&oid, Option<Kind>)> {
        self.nodes.iter().map(|node| (self.id(node), node.kind))
    }

    fn id(&self, node: &Node) -> &oid {
        self.index.oid_at_index(node.position)
    }

    /// The entry of a node, as it is in the file.
    fn read(&self, number: u32, packed: &mut Vec<u8>) -> Option<data::Entry> {
        let next = self.nodes.get(number as usize + 1).map(|next| next.offset);
        self.pack.read(self.nodes.get(number as usize)?.offset, next, packed)
    }

    fn children(&self, number: u32) -> &[u32] {
        let start = self.nodes.get(number as usize).map_or(0, |node| node.first_child as usize);
        let end = self.nodes.get(number as usize + 1).map_or(self.children.len(), |node| node.first_child as usize);
        self.children.get(start..end).unwrap_or_default()
    }

    /// Visits the objects of one kind that are `wanted`, on all cores.
    pub(crate) fn walk<V: Visit>(
        &self,
        repository: &ThreadSafeRepository,
        visitor: &V,
        kind: Kind,
        wanted: impl Fn(&oid) -> bool,
    ) -> V::Yield {
        let is_wanted: Vec<bool> =
            self.nodes.iter().map(|node| node.kind == Some(kind) && wanted(self.id(node))).collect();
        let mut weights: Vec<u32> = is_wanted.iter().map(|wanted| u32::from(*wanted)).collect();
        // Bases lie before what is made from them, so that going backwards meets children first.
        for (number, node) in self.nodes.iter().enumerate().rev() {
            let weight = weights.get(number).copied().unwrap_or(0);
            if let Some(sum) = weights.get_mut(node.base as usize) {
                *sum = sum.saturating_add(weight);
            }
        }
        let roots: Vec<u32> = (0u32..)
            .zip(&self.nodes)
            .zip(&weights)
            .filter(|((_, node), weight)| node.base == NONE && **weight > 0)
            .map(|((number, _), _)| number)
            .collect();
        let walk = Walk { forest: self, repository, visitor, is_wanted, weights };
        roots
            .par_iter()
            .with_max_len(64)
            .fold(
                || (None, V::Yield::default()),
                |(bench, mut to), root| {
                    let mut bench = bench.unwrap_or_else(|| Bench::new(repository));
                    walk.root(*root, &mut bench, &mut to);
                    (Some(bench), to)
                },
            )
            .map(|(_, to)| to)
            .reduce(V::Yield::default, |mut earlier, later| {
                visitor.join(&mut earlier, later);
                earlier
            })
    }
}
