//! Power cuts: the changes of a scripted life of a store are recorded; then, after each of them, everything that was not
//! synced is thrown away, kept or torn, and the store is opened from what is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Disk, Step, Trace};
use super::{Batch, Key, LogStore, Scan, Store, StoreError, Write};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;
type Image = BTreeMap<OsString, Vec<u8>>;

/// So small that the script compacts several times.
const COMPACT_FROM: u64 = 900;

/// A disk with a cache that a power cut empties.
#[derive(Clone, Default)]
struct Simulated {
    /// Content by file; a file keeps its number when it is renamed.
    durable: Vec<Vec<u8>>,
    pending: Vec<Vec<Step>>,
    names: BTreeMap<OsString, usize>,
    /// Names as they were after each change since the last sync of the folder; the first are the durable ones.
    names_since: Vec<BTreeMap<OsString, usize>>,
}

/// What becomes of changes to a file's content that were not synced.
#[derive(Clone, Copy)]
enum Unsynced {
    Lost,
    Kept,
    /// The last one reached the disk by half.
    Torn,
    /// The length reached the disk, the content did not.
    Zeroed,
}

impl Simulated {
    fn new() -> Self {
        Self { names_since: vec![BTreeMap::new()], ..Self::default() }
    }

    fn name(path: &Path) -> OsString {
        path.file_name().unwrap().to_owned()
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Create(path) => {
                // As if truncation were an own file: the older content must not matter either.
                self.names.insert(Self::name(path), self.durable.len());
                self.durable.push(Vec::new());
                self.pending.push(Vec::new());
                self.names_since.push(self.names.clone());
            }
            Step::Write(path, ..) | Step::Cut(path, _) => {
                let file = self.names[&Self::name(path)];
                self.pending[file].push(step.clone());
            }
            Step::Sync(path) => {
                let file = self.names[&Self::name(path)];
                for step in std::mem::take(&mut self.pending[file]) {
                    change(&mut self.durable[file], &step);
                }
            }
            Step::Rename(from, to) => {
                let file = self.names.remove(&Self::name(from)).unwrap();
                self.names.insert(Self::name(to), file);
                self.names_since.push(self.names.clone());
            }
            Step::Remove(path) => {
                self.names.remove(&Self::name(path));
                self.names_since.push(self.names.clone());
            }
            Step::SyncFolder => self.names_since = vec![self.names.clone()],
            Step::Acknowledged | Step::Closed => {}
        }
    }

    /// Everything that a power cut now may leave.
    fn images(&self) -> Vec<Image> {
        let mut images = Vec::new();
        for names in &self.names_since {
            for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn, Unsynced::Zeroed] {
                let content = |file: &usize| self.content(*file, unsynced);
                images.push(names.iter().map(|(name, file)| (name.clone(), content(file))).collect());
            }
        }
        images
    }

    fn content(&self, file: usize, unsynced: Unsynced) -> Vec<u8> {
        let mut bytes = self.durable[file].clone();
        let pending = &self.pending[file];
        for (number, step) in pending.iter().enumerate() {
            match (unsynced, step) {
                (Unsynced::Lost, _) => {}
                (Unsynced::Torn, Step::Write(path, at, written)) if number + 1 == pending.len() => {
                    let half = written[..written.len() / 2].to_vec();
                    change(&mut bytes, &Step::Write(path.clone(), *at, half));
                }
                (Unsynced::Zeroed, Step::Write(path, at, written)) => {
                    change(&mut bytes, &Step::Write(path.clone(), *at, vec![0; written.len()]));
                }
                _ => change(&mut bytes, step),
            }
        }
        bytes
    }
}

fn change(bytes: &mut Vec<u8>, step: &Step) {
    match step {
        Step::Write(_, at, written) => {
            let (at, end) = (*at as usize, *at as usize + written.len());
            bytes.resize(bytes.len().max(end), 0);
            bytes[at..end].copy_from_slice(written);
        }
        Step::Cut(_, length) => bytes.resize(*length as usize, 0),
        other => panic!("{other:?} does not change content"),
    }
}

/// A recorded life: the changes, the model after each commit, and the index as each clean close left it.
struct Life {
    steps: Vec<Step>,
    models: Vec<Model>,
    indexes: Vec<PathBuf>,
}

fn live(folder: &Path, keep: &Path) -> Life {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let trace = Arc::new(Mutex::new(Trace::default()));
    let mut models = vec![Model::new()];
    let mut indexes = Vec::new();
    for session in 0..3u8 {
        let disk = Disk { trace: Some(trace.clone()) };
        let store = LogStore::open_with(folder, COMPACT_FROM, disk).unwrap();
        for round in 0..9u8 {
            let mut model = models.last().unwrap().clone();
            let key = |number: u8| vec![b'k', number];
            let value = vec![session * 16 + round; 20 + usize::from(round) * 9];
            let mut writes = Vec::new();
            // Two keys that always change together: half a batch would show.
            for number in [round % 3, 3 + round % 3] {
                writes.push(Write::Put(Key::from(&*key(number)), value.clone()));
                model.insert(key(number), value.clone());
            }
            let gone = (round + 1) % 3 + 3 * (round % 2);
            writes.push(Write::Delete(Key::from(&*key(gone))));
            model.remove(&key(gone));
            models.push(model);
            runtime.block_on(store.commit(Batch { preconditions: Vec::new(), writes })).unwrap();
            trace.lock().steps.push(Step::Acknowledged);
        }
        runtime.block_on(store.close()).unwrap();
        drop(store);
        trace.lock().steps.push(Step::Closed);
        let kept = keep.join(session.to_string());
        copy_folders(folder, &kept);
        indexes.push(kept);
    }
    let steps = std::mem::take(&mut trace.lock().steps);
    Life { steps, models, indexes }
}

/// Whether a log bears its name. Before, there is no index of the script's that could lie beside it.
fn has_log<'a>(mut names: impl Iterator<Item = &'a OsString>) -> bool {
    names.any(|name| name.to_str().and_then(|name| name.strip_prefix("log.")?.parse::<u64>().ok()).is_some())
}

/// Copies the folders in `from`, which are the index, with what is in them.
fn copy_folders(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

fn content(store: &LogStore) -> Model {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let page = runtime.block_on(store.scan(Scan { prefix: Vec::new(), after: None, limit: 1000 })).unwrap();
    page.entries.into_iter().map(|(key, entry)| (key.0.into_vec(), entry.bytes)).collect()
}

#[test]
fn a_power_cut_after_any_change_keeps_every_acknowledged_commit_and_no_half_one() {
    let (folder, keep) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let life = live(folder.path(), keep.path());
    let compactions = life.steps.iter().filter(|step| matches!(step, Step::Rename(..))).count();
    assert!(compactions > 2, "the script must compact, or it proves little");
    let mut disk = Simulated::new();
    let (mut acknowledged, mut closed, mut opened) = (0, 0, 0);
    let mut seen = HashSet::new();
    for (number, step) in life.steps.iter().enumerate() {
        disk.apply(step);
        acknowledged += usize::from(matches!(step, Step::Acknowledged));
        // The close is over for the disk before the test sees it.
        let closing = life.steps[number..]
            .iter()
            .take_while(|step| !matches!(step, Step::Create(_)))
            .any(|step| matches!(step, Step::Closed));
        closed += usize::from(matches!(step, Step::Closed));
        for image in disk.images() {
            if !seen.insert((image.clone(), acknowledged)) {
                continue;
            }
            let left = tempfile::tempdir().unwrap();
            for (name, bytes) in &image {
                fs::write(left.path().join(name), bytes).unwrap();
            }
            // The index that belongs to the marker; without a marker, one that must not be believed.
            let marker = image.get(&OsString::from("clean")).is_some_and(|marker| !marker.is_empty());
            let index = if marker && closing { closed.min(life.indexes.len() - 1) } else { closed.saturating_sub(1) };
            let index = if marker && matches!(step, Step::Closed) { closed - 1 } else { index };
            if has_log(image.keys()) {
                copy_folders(&life.indexes[index], left.path());
            }
            let store = LogStore::open_with(left.path(), COMPACT_FROM, Disk::default())
                .unwrap_or_else(|error| panic!("after change {number}, {step:?}: {error}"));
            opened += 1;
            let found = content(&store);
            let possible = &life.models[acknowledged..(acknowledged + 2).min(life.models.len())];
            assert!(possible.contains(&found), "after change {number}, {step:?}: {acknowledged} were acknowledged");
            drop(store);
        }
        if matches!(step, Step::Create(_) | Step::Rename(..) | Step::Remove(_) | Step::Write(..)) {
            kill_and_cut(disk.clone(), &life.indexes[closed.saturating_sub(1).min(life.indexes.len() - 1)], number);
        }
    }
    assert!(opened > 100, "{opened} images were opened");
}

/// The process is killed, which leaves everything in the page cache; the next one commits; then the power fails. What
/// the second process acknowledged, or let anybody read, must not have stood on names or bytes that only the cache had.
fn kill_and_cut(mut disk: Simulated, index: &Path, number: usize) {
    let left = tempfile::tempdir().unwrap();
    for (name, file) in &disk.names {
        fs::write(left.path().join(name), disk.content(*file, Unsynced::Kept)).unwrap();
    }
    if has_log(disk.names.keys()) {
        copy_folders(index, left.path());
    }
    let trace = Arc::new(Mutex::new(Trace::default()));
    let store = LogStore::open_with(left.path(), COMPACT_FROM, Disk { trace: Some(trace.clone()) })
        .unwrap_or_else(|error| panic!("killed after change {number}: {error}"));
    let mut model = content(&store);
    let opening = std::mem::take(&mut trace.lock().steps);
    opening.iter().for_each(|step| disk.apply(step));
    only(&disk, &model, &format!("killed after change {number}, read, then cut"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let write = Write::Put(Key::from(&b"second"[..]), b"life".to_vec());
    runtime.block_on(store.commit(Batch { preconditions: Vec::new(), writes: vec![write] })).unwrap();
    model.insert(b"second".to_vec(), b"life".to_vec());
    let steps = std::mem::take(&mut trace.lock().steps);
    drop(store);
    steps.iter().for_each(|step| disk.apply(step));
    only(&disk, &model, &format!("killed after change {number}, written, then cut"));
}

/// Whatever a power cut now leaves, it holds `model`.
fn only(disk: &Simulated, model: &Model, when: &str) {
    let mut seen = HashSet::new();
    for image in disk.images().into_iter().filter(|image| seen.insert(image.clone())) {
        let left = tempfile::tempdir().unwrap();
        for (name, bytes) in &image {
            fs::write(left.path().join(name), bytes).unwrap();
        }
        let store = LogStore::open_with(left.path(), COMPACT_FROM, Disk::default())
            .unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_eq!(content(&store), *model, "{when}");
    }
}

#[tokio::test]
async fn a_compaction_without_space_leaves_nothing_behind_and_commits_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let trace = Arc::new(Mutex::new(Trace { full_after: Some(40), full_name: ".new", ..Trace::default() }));
    let store = LogStore::open_with(folder.path(), COMPACT_FROM, Disk::default()).unwrap();
    store.close().await.unwrap();
    let store = LogStore::open_with(folder.path(), COMPACT_FROM, Disk { trace: Some(trace.clone()) }).unwrap();
    let names = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<HashSet<_>>();
    let before = names();
    for round in 0..40_u8 {
        let writes = vec![Write::Put(Key::from(&b"key"[..]), vec![round; 60])];
        store.commit(Batch { preconditions: Vec::new(), writes }).await.unwrap();
        if trace.lock().full_after.is_none() {
            break;
        }
    }
    assert!(trace.lock().full_after.is_none(), "no compaction was tried");
    // The committer answers before it compacts; with the next answer the attempt is over.
    let writes = vec![Write::Put(Key::from(&b"last"[..]), b"one".to_vec())];
    store.commit(Batch { preconditions: Vec::new(), writes }).await.unwrap();
    assert_eq!(names(), before);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_the_commit_and_harms_nothing() {
    for kept in [0, 1, 40, 70] {
        let folder = tempfile::tempdir().unwrap();
        let trace = Arc::new(Mutex::new(Trace::default()));
        let disk = Disk { trace: Some(trace.clone()) };
        let store = LogStore::open_with(folder.path(), COMPACT_FROM, disk).unwrap();
        let put = |value: &[u8]| Batch {
            preconditions: Vec::new(),
            writes: vec![Write::Put(Key::from(&b"key"[..]), value.to_vec())],
        };
        store.commit(put(b"old")).await.unwrap();
        trace.lock().full_after = Some(kept);
        assert!(matches!(store.commit(put(b"new")).await, Err(StoreError::Full)));
        assert_eq!(store.get(&Key::from(&b"key"[..])).await.unwrap().unwrap().bytes, b"old");
        store.commit(put(b"newer")).await.unwrap();
        store.close().await.unwrap();
        fs::remove_file(folder.path().join("clean")).unwrap();
        let again = LogStore::open(folder.path()).unwrap();
        assert_eq!(again.get(&Key::from(&b"key"[..])).await.unwrap().unwrap().bytes, b"newer");
    }
}

#[test]
fn a_store_that_cannot_be_begun_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let trace = Arc::new(Mutex::new(Trace { full_after: Some(4), full_name: ".new", ..Trace::default() }));
    let full = LogStore::open_with(&path, COMPACT_FROM, Disk { trace: Some(trace) });
    assert!(full.is_err());
    assert!(!path.exists());
    drop(LogStore::open(&path).unwrap());
}
