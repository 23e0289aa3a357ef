//! The folders of a history, as far as they lead to blobs that are looked for: small enough to be kept in memory and
//! compared for every commit.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use gix::objs::tree::EntryKind;
use gix::objs::{Kind, TreeRefIter};
use gix::{ObjectId, ThreadSafeRepository, oid};

use crate::coverage::{Coverage, Why};
use crate::forest::{Descent, Visit};
use crate::objects::Objects;

/// What stands under a name in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Child {
    /// A folder that leads to a wanted blob, by number.
    Folder(u32),
    /// A wanted blob, by number.
    Blob(u32),
}

/// One name in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: u32,
    pub(crate) child: Child,
}

/// The folders that lead to wanted blobs.
pub(crate) struct Folders {
    /// All trees; the place is the number.
    trees: Vec<ObjectId>,
    blobs: Vec<ObjectId>,
    entries: HashMap<u32, Box<[Entry]>>,
    names: Vec<Box<[u8]>>,
}

impl Folders {
    /// Reads all trees twice: first to find those that lead to a blob of `wanted`, then these with the names.
    pub(crate) fn read(
        objects: &Objects,
        repository: &ThreadSafeRepository,
        wanted: &HashSet<ObjectId>,
        coverage: &mut Coverage,
    ) -> Self {
        let mut trees: Vec<ObjectId> = objects.ids(Kind::Tree).map(ToOwned::to_owned).collect();
        trees.sort_unstable();
        let mut blobs: Vec<ObjectId> = wanted.iter().copied().collect();
        blobs.sort_unstable();
        let edges = objects.walk(repository, &EdgeReader { trees: &trees, wanted }, Kind::Tree, |_| true);
        coverage.absorb(edges.coverage);
        let leading = leading(trees.len(), &edges.direct, &edges.below);
        let leads = |id: &oid| number_of(&trees, id).is_some_and(|number| leading.contains(&number));
        let names = Mutex::new(HashMap::new());
        let reader = EntryReader { trees: &trees, blobs: &blobs, leading: &leading, names: &names };
        let entries = objects.walk(repository, &reader, Kind::Tree, leads).into_iter().collect();
        let names = names.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<(Box<[u8]>, u32)> = names.into_iter().collect();
        sorted.sort_unstable_by_key(|(_, number)| *number);
        Self { trees, blobs, entries, names: sorted.into_iter().map(|(name, _)| name).collect() }
    }

    /// The number of the tree `id`.
    pub(crate) fn number(&self, id: &oid) -> Option<u32> {
        number_of(&self.trees, id)
    }

    /// What in the folder leads to wanted blobs, in order of the names' numbers.
    pub(crate) fn entries(&self, folder: u32) -> &[Entry] {
        self.entries.get(&folder).map(AsRef::as_ref).unwrap_or_default()
    }

    /// What stands under the name in the folder.
    pub(crate) fn child(&self, folder: u32, name: u32) -> Option<Child> {
        let entries = self.entries(folder);
        let place = entries.binary_search_by_key(&name, |entry| entry.name).ok()?;
        entries.get(place).map(|entry| entry.child)
    }

    /// The name of this number.
    pub(crate) fn name(&self, number: u32) -> &[u8] {
        self.names.get(number as usize).map(AsRef::as_ref).unwrap_or_default()
    }

    /// The wanted blob of this number.
    pub(crate) fn blob(&self, number: u32) -> Option<ObjectId> {
        self.blobs.get(number as usize).copied()
    }
}

fn number_of(ids: &[ObjectId], id: &oid) -> Option<u32> {
    ids.binary_search_by(|known| known.as_ref().cmp(id)).ok().and_then(|place| u32::try_from(place).ok())
}

/// The trees from which a way leads down to one of `direct`; `below`: pairs of folder and subfolder.
fn leading(count: usize, direct: &[u32], below: &[(u32, u32)]) -> HashSet<u32> {
    // Folders of each subfolder, next to each other.
    let mut starts = vec![0u32; count + 1];
    for (_, child) in below {
        if let Some(start) = starts.get_mut(*child as usize + 1) {
            *start += 1;
        }
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    let mut next = starts.clone();
    let mut above = vec![0u32; below.len()];
    for (folder, child) in below {
        if let Some(at) = next.get_mut(*child as usize) {
            if let Some(place) = above.get_mut(*at as usize) {
                *place = *folder;
            }
            *at += 1;
        }
    }
    let mut leading: HashSet<u32> = HashSet::new();
    let mut open = direct.to_vec();
    while let Some(number) = open.pop() {
        if leading.insert(number) {
            let from = starts.get(number as usize).copied().unwrap_or(0) as usize;
            let to = starts.get(number as usize + 1).copied().unwrap_or(0) as usize;
            open.extend(above.get(from..to).into_iter().flatten());
        }
    }
    leading
}

/// Reads which trees hold wanted blobs, and which trees hold which.
struct EdgeReader<'a> {
    trees: &'a [ObjectId],
    wanted: &'a HashSet<ObjectId>,
}

#[derive(Default)]
struct Edges {
    direct: Vec<u32>,
    below: Vec<(u32, u32)>,
    coverage: Coverage,
}

impl Visit for EdgeReader<'_> {
    type Trace = ();
    type Yield = Edges;

    fn max_bytes(&self) -> u64 {
        u64::MAX
    }

    fn visit(&self, id: &oid, bytes: &[u8], _: Option<Descent<'_, ()>>, to: &mut Edges) {
        let Some(number) = number_of(self.trees, id) else { return };
        let mut holds = false;
        for entry in TreeRefIter::from_bytes(bytes, id.kind()) {
            let Ok(entry) = entry else {
                self.miss(id, Why::Damaged, to);
                break;
            };
            match entry.mode.kind() {
                EntryKind::Tree => to.below.extend(number_of(self.trees, entry.oid).map(|child| (number, child))),
                EntryKind::Commit => {}
                EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => {
                    holds |= self.wanted.contains(entry.oid);
                }
            }
        }
        if holds {
            to.direct.push(number);
        }
    }

    fn miss(&self, id: &oid, why: Why, to: &mut Edges) {
        to.coverage.omit(format!("tree {id}"), why);
    }

    fn join(&self, earlier: &mut Edges, later: Edges) {
        earlier.direct.extend(later.direct);
        earlier.below.extend(later.below);
        earlier.coverage.absorb(later.coverage);
    }
}

/// Reads the names in the trees that lead to wanted blobs.
struct EntryReader<'a> {
    trees: &'a [ObjectId],
    blobs: &'a [ObjectId],
    leading: &'a HashSet<u32>,
    names: &'a Mutex<HashMap<Box<[u8]>, u32>>,
}

impl Visit for EntryReader<'_> {
    type Trace = ();
    type Yield = Vec<(u32, Box<[Entry]>)>;

    fn max_bytes(&self) -> u64 {
        u64::MAX
    }

    fn visit(&self, id: &oid, bytes: &[u8], _: Option<Descent<'_, ()>>, to: &mut Self::Yield) {
        let Some(number) = number_of(self.trees, id) else { return };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Vec::new();
        for entry in TreeRefIter::from_bytes(bytes, id.kind()).map_while(Result::ok) {
            let child = match entry.mode.kind() {
                EntryKind::Tree => {
                    number_of(self.trees, entry.oid).filter(|child| self.leading.contains(child)).map(Child::Folder)
                }
                EntryKind::Commit => None,
                EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => {
                    number_of(self.blobs, entry.oid).map(Child::Blob)
                }
            };
            let Some(child) = child else { continue };
            let name = match names.get(entry.filename.as_ref() as &[u8]) {
                Some(name) => *name,
                None => {
                    let name = u32::try_from(names.len()).unwrap_or(u32::MAX);
                    names.insert(entry.filename.to_vec().into_boxed_slice(), name);
                    name
                }
            };
            entries.push(Entry { name, child });
        }
        entries.sort_unstable_by_key(|entry| entry.name);
        to.push((number, entries.into_boxed_slice()));
    }

    // The first reading has told it.
    fn miss(&self, _: &oid, _: Why, _: &mut Self::Yield) {}

    fn join(&self, earlier: &mut Self::Yield, later: Self::Yield) {
        earlier.extend(later);
    }
}
