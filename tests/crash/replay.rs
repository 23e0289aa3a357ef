//! What a disk holds after a power cut: the durable state, and any part of what was not synced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files below one directory, as a power cut would leave them.
#[derive(Clone)]
pub(crate) struct Image {
    root: PathBuf,
    files: BTreeMap<PathBuf, Vec<u8>>,
    folders: Vec<PathBuf>,
}

/// One recorded change.
#[derive(Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate { length: usize },
}

/// A file while the trace is replayed.
#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

impl Image {
    /// What lies on the disk now, taken as durable.
    pub(crate) fn of(root: &Path) -> Self {
        let mut image = Self { root: root.to_owned(), files: BTreeMap::new(), folders: Vec::new() };
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let entry = entry.unwrap();
                match entry.file_type().unwrap() {
                    kind if kind.is_dir() => open.push(entry.path()),
                    kind if kind.is_file() => {
                        image.files.insert(entry.path(), std::fs::read(entry.path()).unwrap());
                    }
                    _ => {}
                }
            }
            image.folders.push(folder);
        }
        image
    }

    /// The image after `trace`, with every unsynced change lost, except that `keep(n)` percent of the `n` unsynced
    /// changes of a file stay, the last one of them torn in half. A created, renamed or removed name, of a folder too,
    /// counts from the sync of its directory on, as POSIX has it: that a file was synced does not keep its name.
    pub(crate) fn after(self, trace: &[u8], keep: &mut impl FnMut(usize) -> u64) -> Self {
        let root = self.root;
        let mut inodes: Vec<Inode> = Vec::new();
        let mut durable_names: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for (path, bytes) in self.files {
            durable_names.insert(path, inodes.len());
            inodes.push(Inode { durable: bytes, unsynced: Vec::new() });
        }
        let mut names = durable_names.clone();
        let mut durable_folders = self.folders.clone();
        let mut folders = self.folders;
        for record in Records(trace) {
            match record.kind {
                b'c' => {
                    names.insert(record.path, inodes.len());
                    inodes.push(Inode::default());
                }
                b'm' => folders.push(record.path),
                b'w' | b't' => {
                    let Some(inode) = names.get(&record.path).and_then(|index| inodes.get_mut(*index)) else {
                        continue;
                    };
                    inode.unsynced.push(match record.kind {
                        b'w' => Change::Write { offset: record.offset, data: record.data.to_vec() },
                        _ => Change::Truncate { length: record.offset },
                    });
                }
                b's' => {
                    let Some(index) = names.get(&record.path).copied() else { continue };
                    let inode = &mut inodes[index];
                    for change in std::mem::take(&mut inode.unsynced) {
                        change.apply(&mut inode.durable);
                    }
                }
                b'd' => {
                    let inside = |path: &PathBuf| path.parent() == Some(&record.path);
                    durable_folders.retain(|path| !inside(path));
                    durable_folders.extend(folders.iter().filter(|path| inside(path)).cloned());
                    durable_names.retain(|path, _| !inside(path));
                    durable_names.extend(
                        names.iter().filter(|(path, _)| inside(path)).map(|(path, index)| (path.clone(), *index)),
                    );
                }
                b'r' => {
                    let target = PathBuf::from(String::from_utf8(record.data.to_vec()).unwrap());
                    if let Some(index) = names.remove(&record.path) {
                        names.insert(target, index);
                    }
                }
                b'u' => {
                    names.remove(&record.path);
                    folders.retain(|folder| *folder != record.path);
                }
                other => panic!("unknown record {other}"),
            }
        }
        let mut folders = durable_folders.clone();
        folders.retain(|path| {
            path.ancestors().skip(1).all(|above| root.starts_with(above) || durable_folders.contains(&above.to_owned()))
        });
        let files = durable_names
            .into_iter()
            .filter(|(path, _)| path.parent().is_some_and(|folder| folders.contains(&folder.to_owned())))
            .map(|(path, index)| {
                let inode = &inodes[index];
                let kept = inode.unsynced.len() * usize::try_from(keep(inode.unsynced.len())).unwrap() / 100;
                let mut bytes = inode.durable.clone();
                for (position, change) in inode.unsynced.iter().take(kept).enumerate() {
                    if position + 1 == kept { change.torn().apply(&mut bytes) } else { change.apply(&mut bytes) }
                }
                (path, bytes)
            })
            .collect();
        Self { root, files, folders }
    }

    /// Makes the disk hold exactly this image.
    pub(crate) fn restore(&self, root: &Path) {
        for stale in Self::of(root).files.keys().filter(|path| !self.files.contains_key(*path)) {
            std::fs::remove_file(stale).unwrap();
        }
        let mut stale_folders = Self::of(root).folders;
        stale_folders.retain(|folder| !self.folders.contains(folder));
        // The deepest first.
        stale_folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
        stale_folders.iter().for_each(|folder| std::fs::remove_dir(folder).unwrap());
        for folder in &self.folders {
            std::fs::create_dir_all(folder).unwrap();
        }
        for (path, bytes) in &self.files {
            std::fs::write(path, bytes).unwrap();
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => {
                let end = offset + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset..end].copy_from_slice(data);
            }
            Self::Truncate { length } => bytes.resize(*length, 0),
        }
    }

    fn torn(&self) -> Self {
        match self {
            Self::Write { offset, data } => Self::Write { offset: *offset, data: data[..data.len() / 2].to_vec() },
            Self::Truncate { .. } => self.clone(),
        }
    }
}

/// The records of a trace; a cut-off last one is dropped.
struct Records<'a>(&'a [u8]);

struct Record<'a> {
    kind: u8,
    path: PathBuf,
    offset: usize,
    data: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (head, rest) = self.0.split_at_checked(15)?;
        let path_length = usize::from(u16::from_le_bytes(head[1..3].try_into().unwrap()));
        let data_length = usize::try_from(u32::from_le_bytes(head[3..7].try_into().unwrap())).unwrap();
        let offset = usize::try_from(u64::from_le_bytes(head[7..15].try_into().unwrap())).unwrap();
        let (path, rest) = rest.split_at_checked(path_length)?;
        let (data, rest) = rest.split_at_checked(data_length)?;
        self.0 = rest;
        let path = PathBuf::from(std::str::from_utf8(path).unwrap());
        Some(Record { kind: head[0], path, offset, data })
    }
}

#[test]
fn only_what_was_synced_is_left() {
    let record = |kind: u8, path: &str, offset: u64, data: &[u8]| {
        let mut bytes = vec![kind];
        bytes.extend(u16::try_from(path.len()).unwrap().to_le_bytes());
        bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes.extend(path.as_bytes());
        bytes.extend(data);
        bytes
    };
    let trace = [
        record(b'c', "/d/a", 0, b""),
        record(b'w', "/d/a", 0, b"kept"),
        record(b's', "/d/a", 0, b""),
        record(b'd', "/d", 0, b""),
        record(b'm', "/d/e", 0, b""),
        record(b'c', "/d/e/f", 0, b""),
        record(b's', "/d/e/f", 0, b""),
        record(b'd', "/d/e", 0, b""),
        record(b'w', "/d/a", 4, b"lost"),
        record(b'c', "/d/b", 0, b""),
        record(b'w', "/d/b", 0, b"gone"),
        record(b'r', "/d/a", 0, b"/d/c"),
    ]
    .concat();
    let empty = Image { root: "/d".into(), files: BTreeMap::new(), folders: vec!["/d".into()] };
    let after = empty.clone().after(&trace, &mut |_| 0);
    assert_eq!(after.files, BTreeMap::from([(PathBuf::from("/d/a"), b"kept".to_vec())]));
    let renamed = empty.after(&[trace, record(b'd', "/d", 0, b"")].concat(), &mut |_| 100);
    assert_eq!(renamed.files.get(Path::new("/d/c")).map(Vec::as_slice), Some(&b"keptlo"[..]));
    assert!(!renamed.files.contains_key(Path::new("/d/a")));
}
