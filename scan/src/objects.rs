//! All objects of a repository, reachable or not, each once: those of its packs, the loose ones, and those of the object
//! folders that it borrows from.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use gix::objs::Kind;
use gix::odb::loose;
use gix::odb::pack::multi_index;
use gix::prelude::FindExt as _;
use gix::{ObjectId, Repository, ThreadSafeRepository, oid};
use rayon::prelude::*;

use crate::coverage::{Coverage, Why};
use crate::forest::{Forest, Visit};
use crate::git::MAX_OBJECT_BYTES;

/// All objects of a repository.
pub(crate) struct Objects {
    /// An object of several packs belongs to the first.
    forests: Vec<Forest>,
    /// Those in none of these packs.
    single: Vec<(ObjectId, Option<Kind>)>,
    /// How many objects are known.
    pub(crate) known: usize,
}

impl Objects {
    /// Lists the objects; notes what cannot be read. Packs and loose objects that are `known` are left out of the list, but
    /// not missed by [`Objects::has`].
    pub(crate) fn list(repository: &Repository, known: impl Fn(&oid) -> bool, coverage: &mut Coverage) -> Self {
        let mut forests = Vec::new();
        let mut others = Vec::new();
        for folder in folders(repository, coverage) {
            let (indices, unindexed) = packs(&folder.join("pack"), coverage);
            for path in indices {
                match Forest::open(repository, &path, &known) {
                    Some(forest) => forests.push(forest),
                    None => coverage.omit(path.file_name().unwrap_or_default().to_string_lossy(), Why::Damaged),
                }
            }
            others.extend(unindexed);
            for id in loose::Store::at(&folder, repository.object_hash()).iter() {
                match id {
                    Ok(id) => others.push(id),
                    Err(_) => coverage.omit("loose objects", Why::Damaged),
                }
            }
        }
        others.sort_unstable();
        others.dedup();
        others.retain(|id| !forests.iter().any(|forest: &Forest| forest.has(id)));
        let mut single = Vec::with_capacity(others.len());
        for id in others {
            // The kind does not matter of what is not looked at.
            if known(&id) {
                single.push((id, None));
                continue;
            }
            match repository.find_header(id) {
                Ok(header) => single.push((id, Some(header.kind()))),
                Err(_) => coverage.omit(format!("object {id}"), Why::Damaged),
            }
        }
        let mut objects = Self { forests, single, known: 0 };
        objects.known = objects.all().filter(|id| known(id)).count();
        for (number, forest) in objects.forests.iter().enumerate() {
            for (id, _) in forest.objects().filter(|(_, kind)| kind.is_none()) {
                if objects.is_first(number, id) {
                    coverage.omit(format!("object {id}"), Why::Damaged);
                }
            }
        }
        objects
    }

    /// Whether there is an object of this id.
    pub(crate) fn has(&self, id: &oid) -> bool {
        self.forests.iter().any(|forest| forest.has(id))
            || self.single.binary_search_by(|(known, _)| known.as_ref().cmp(id)).is_ok()
    }

    /// The ids of all objects of `kind`, each once.
    pub(crate) fn ids(&self, kind: Kind) -> impl Iterator<Item = &oid> {
        let packed = self.forests.iter().enumerate().flat_map(move |(number, forest)| {
            let of_kind = forest.objects().filter(move |(_, known)| *known == Some(kind)).map(|(id, _)| id);
            of_kind.filter(move |id| self.is_first(number, id))
        });
        packed.chain(self.single.iter().filter(move |(_, known)| *known == Some(kind)).map(|(id, _)| id.as_ref()))
    }

    /// The ids of all objects, each once.
    fn all(&self) -> impl Iterator<Item = &oid> {
        let packed = self.forests.iter().enumerate();
        let packed = packed.flat_map(move |(number, forest)| forest.ids().filter(move |id| self.is_first(number, id)));
        packed.chain(self.single.iter().map(|(id, _)| id.as_ref()))
    }

    fn is_first(&self, number: usize, id: &oid) -> bool {
        !self.forests.iter().take(number).any(|forest| forest.has(id))
    }

    /// Visits the objects of `kind` that are `wanted`, each once, on all cores.
    pub(crate) fn walk<V: Visit>(
        &self,
        repository: &ThreadSafeRepository,
        visitor: &V,
        kind: Kind,
        wanted: impl Fn(&oid) -> bool + Sync,
    ) -> V::Yield {
        let mut to = V::Yield::default();
        for (number, forest) in self.forests.iter().enumerate() {
            let wanted = |id: &oid| wanted(id) && self.is_first(number, id);
            visitor.join(&mut to, forest.walk(repository, visitor, kind, wanted));
        }
        let single: Vec<ObjectId> =
            self.single.iter().filter(|(id, known)| *known == Some(kind) && wanted(id)).map(|(id, _)| *id).collect();
        let visited = visit_all(repository, visitor, &single);
        visitor.join(&mut to, visited);
        to
    }
}

/// Visits the objects of these ids on all cores, wherever they lie; none is seen as made from another.
pub(crate) fn visit_all<V: Visit>(repository: &ThreadSafeRepository, visitor: &V, ids: &[ObjectId]) -> V::Yield {
    ids.par_chunks(64)
        .map_init(
            || (repository.to_thread_local(), Vec::new()),
            |(repository, buffer), ids| {
                let mut to = V::Yield::default();
                for id in ids {
                    visit_single(repository, visitor, id, buffer, &mut to);
                }
                to
            },
        )
        .reduce(V::Yield::default, |mut earlier, later| {
            visitor.join(&mut earlier, later);
            earlier
        })
}

fn visit_single<V: Visit>(repository: &Repository, visitor: &V, id: &oid, buffer: &mut Vec<u8>, to: &mut V::Yield) {
    let limit = visitor.max_bytes().min(MAX_OBJECT_BYTES);
    if visitor.is_late() {
        return visitor.miss(id, Why::OutOfTime, to);
    }
    match repository.find_header(id) {
        Ok(header) if header.size() > limit => visitor.miss(id, Why::TooLarge { limit }, to),
        Ok(_) => match repository.objects.find(id, buffer) {
            Ok(object) => drop(visitor.visit(id, object.data, None, to)),
            Err(_) => visitor.miss(id, Why::Damaged, to),
        },
        Err(_) => visitor.miss(id, Why::Damaged, to),
    }
}

/// The object folders: the repository's own, then those that it borrows from.
pub(crate) fn folders(repository: &Repository, coverage: &mut Coverage) -> Vec<PathBuf> {
    let store = repository.objects.store_ref();
    let borrowed = store.alternate_db_paths().unwrap_or_else(|_| {
        coverage.omit("alternate object folders", Why::Damaged);
        Vec::new()
    });
    let (there, gone): (Vec<PathBuf>, Vec<PathBuf>) = borrowed.into_iter().partition(|folder| folder.is_dir());
    for folder in gone {
        coverage.omit(folder.display().to_string(), Why::Unreadable("the repository borrows from it".to_owned()));
    }
    std::iter::once(store.path().to_owned()).chain(there).collect()
}

/// The indices of the packs in `folder`, the largest first, and the ids that only a multi-pack-index knows.
fn packs(folder: &Path, coverage: &mut Coverage) -> (Vec<PathBuf>, Vec<ObjectId>) {
    let mut indices: Vec<(u64, PathBuf)> = Vec::new();
    for file in std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = file.path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            indices.push((file.metadata().map_or(0, |metadata| metadata.len()), path));
        }
    }
    indices.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.cmp(y)));
    let known: HashSet<&std::ffi::OsStr> = indices.iter().filter_map(|(_, path)| path.file_name()).collect();
    let mut unindexed = Vec::new();
    let path = folder.join("multi-pack-index");
    if path.exists() {
        match multi_index::File::at(&path, None) {
            Ok(multi) => {
                let names = multi.index_names();
                let is_known = |number: u32| {
                    names
                        .get(number as usize)
                        .and_then(|path| path.file_name())
                        .is_some_and(|name| known.contains(name))
                };
                let entries = multi.iter().filter_map(Result::ok);
                unindexed.extend(entries.filter(|entry| !is_known(entry.pack_index)).map(|entry| entry.oid));
            }
            Err(_) => coverage.omit("multi-pack-index", Why::Damaged),
        }
    }
    (indices.into_iter().map(|(_, path)| path).collect(), unindexed)
}
