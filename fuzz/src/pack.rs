//! Packs that are put together from arbitrary bytes: the reader of objects meets every kind of entry and of damage, which
//! bytes that were changed within a compressed pack seldom bring about.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// More entries say nothing new and cost time.
const MAX_ENTRIES: usize = 64;

/// Kinds of entries: see the pack format of git's documentation.
const BLOB: u8 = 3;
const OFS_DELTA: u8 = 6;
const REF_DELTA: u8 = 7;

const HEAD_BYTES: usize = 12;
const ID_BYTES: usize = 20;

/// A pack with its index.
#[derive(Default)]
pub(crate) struct Pack {
    entries: Vec<u8>,
    /// Of the entries, from the start of the file.
    offsets: Vec<usize>,
}

impl Pack {
    pub(crate) fn push_blob(&mut self, content: &[u8]) {
        self.push(BLOB, content.len() as u64, &[], content);
    }

    /// Appends the entries that `input` describes, each by its kind, the length of its content, and the content. Before
    /// the content stand four bytes if the kind is above 15, the size that the entry's header shall claim, and for a
    /// delta one more: how many entries back its base lies. The content of kind 0 is an entry by itself.
    pub(crate) fn push_all(&mut self, input: &[u8]) {
        let mut left = input;
        let mut take = |wanted: usize| {
            let (taken, rest) = left.split_at(wanted.min(left.len()));
            left = rest;
            taken
        };
        while let &[head, length] = take(2) {
            let claimed = (head > 15).then(|| take(4).iter().fold(0, |size, byte| size << 8 | u64::from(*byte)));
            let kind = head & 7;
            let back = if kind == OFS_DELTA || kind == REF_DELTA { take(1).first().copied().unwrap_or(0) } else { 0 };
            let content = take(usize::from(length));
            let size = claimed.unwrap_or(content.len() as u64);
            match kind {
                0 => {
                    self.begin();
                    self.entries.extend_from_slice(content);
                }
                OFS_DELTA => self.push(kind, size, &self.distance(back), content),
                REF_DELTA => self.push(kind, size, &id(usize::from(back)), content),
                _ => self.push(kind, size, &[], content),
            }
            if self.offsets.len() > MAX_ENTRIES {
                break;
            }
        }
    }

    fn begin(&mut self) {
        self.offsets.push(HEAD_BYTES + self.entries.len());
    }

    fn push(&mut self, kind: u8, size: u64, base: &[u8], content: &[u8]) {
        self.begin();
        let mut rest = size >> 4;
        self.entries.push(u8::from(rest > 0) << 7 | kind << 4 | (size & 15) as u8);
        while rest > 0 {
            self.entries.push(u8::from(rest > 127) << 7 | (rest & 127) as u8);
            rest >>= 7;
        }
        self.entries.extend_from_slice(base);
        let mut encoder = ZlibEncoder::new(&mut self.entries, Compression::none());
        encoder.write_all(content).expect("writing to memory");
        encoder.finish().expect("writing to memory");
    }

    /// How far before the next entry the one `back` entries before it starts, in the notation of a delta; somewhere within
    /// an entry where there are not so many.
    fn distance(&self, back: u8) -> Vec<u8> {
        let base = self.offsets.len().checked_sub(usize::from(back).max(1)).and_then(|base| self.offsets.get(base));
        let here = HEAD_BYTES + self.entries.len();
        let mut distance = base.map_or(usize::from(back), |base| here - base);
        let mut bytes = vec![(distance & 127) as u8];
        while distance > 127 {
            distance = (distance >> 7) - 1;
            bytes.insert(0, 128 | (distance & 127) as u8);
        }
        bytes
    }

    /// Writes a bare repository that has this pack and nothing else to `folder`.
    pub(crate) fn write(&self, folder: &Path) -> std::io::Result<()> {
        let packs = folder.join("objects/pack");
        for needed in [&packs, &folder.join("refs")] {
            std::fs::create_dir_all(needed)?;
        }
        std::fs::write(folder.join("HEAD"), "ref: refs/heads/main\n")?;
        std::fs::write(folder.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")?;
        let count = (self.offsets.len() as u32).to_be_bytes();
        let pack = [b"PACK\0\0\0\x02", count.as_slice(), &self.entries, &[0; ID_BYTES]].concat();
        std::fs::write(packs.join("pack-0.pack"), pack)?;
        std::fs::write(packs.join("pack-0.idx"), self.index())
    }

    fn index(&self) -> Vec<u8> {
        let mut index = b"\xfftOc\0\0\0\x02".to_vec();
        let ids: Vec<_> = (0..self.offsets.len()).map(id).collect();
        for first in 0..=u8::MAX {
            let below = ids.iter().filter(|id| id[0] <= first).count() as u32;
            index.extend(below.to_be_bytes());
        }
        index.extend(ids.concat());
        index.extend(vec![0; 4 * ids.len()]);
        index.extend(self.offsets.iter().flat_map(|offset| (*offset as u32).to_be_bytes()));
        index.extend([0; 2 * ID_BYTES]);
        index
    }
}

/// The id of an entry: nobody computes it from the content, and ids of this form are in order.
fn id(number: usize) -> [u8; ID_BYTES] {
    [number as u8; ID_BYTES]
}
