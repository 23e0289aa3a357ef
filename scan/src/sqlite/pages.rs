//! The pages of a database file or of a write-ahead log, and the trees of rows that they make.

use std::cell::Cell;
use std::collections::HashMap;

use super::row::{Encoding, Value, number, values, varint};
use super::{FLOOR_BYTES, RATIO};

pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";

/// A log starts with this; the last bit tells how its sums are computed.
const LOG_MAGIC: u64 = 0x377f_0682;

/// The only version of logs.
const LOG_VERSION: u64 = 3_007_000;

/// Sizes of the header of a log and of each page in it.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Largest page, and the least of one that may be used.
const MAX_PAGE_BYTES: usize = 1 << 16;
const MIN_USABLE: usize = 480;

/// Deepest tree of a table that is followed; real ones are a few pages deep.
const MAX_DEPTH: usize = 32;

/// The types of pages: of tables, and of indexes, in which a table without row ids is stored.
const INDEX_INNER: u8 = 2;
const INNER: u8 = 5;
const INDEX_LEAF: u8 = 10;
const LEAF: u8 = 13;

pub(super) struct Pages<'b> {
    source: Source<'b>,
    size: usize,
    /// Bytes of a page that are used.
    usable: usize,
    encoding: Encoding,
    /// Bytes that may still be read or written.
    left: Cell<usize>,
    is_damaged: Cell<bool>,
}

enum Source<'b> {
    /// Each page in its place.
    Database(&'b [u8]),
    /// Pages as they were written, one behind the other.
    Log {
        frames: Vec<(u32, &'b [u8])>,
        /// Where in `frames` the page of a number was written last.
        newest: HashMap<u32, usize>,
        /// How many pages the database has after what was written.
        pages: usize,
        /// What the log belongs to, which has the pages that were not written since.
        database: &'b [u8],
    },
}

impl<'b> Pages<'b> {
    /// Those of a database, or of a log over those of its `database`.
    pub(super) fn of(bytes: &'b [u8], database: &'b [u8]) -> Option<Self> {
        if let Some(size) = size_of_database(bytes) {
            return Some(Self::new(Source::Database(bytes), size, bytes.len()));
        }
        let size = size_of_log(bytes)?;
        let database = if size_of_database(database) == Some(size) { database } else { b"" };
        // Each behind its header; the last may be cut off.
        let written = || Some(bytes.get(LOG_HEADER..)?.chunks_exact(FRAME_HEADER.checked_add(size)?));
        let frames: Vec<_> = written()?
            .filter_map(|frame| Some((u32::try_from(number(frame.get(..4)?)).ok()?, frame.get(FRAME_HEADER..)?)))
            .collect();
        // The last page that is written at once has the number of them all behind its own.
        let pages = written()?.filter_map(|frame| usize::try_from(number(frame.get(4..8)?)).ok()).max()?;
        let newest = frames.iter().enumerate().map(|(index, (page, _))| (*page, index)).collect();
        Some(Self::new(
            Source::Log { frames, newest, pages, database },
            size,
            bytes.len().saturating_add(database.len()),
        ))
    }

    fn new(source: Source<'b>, size: usize, bytes: usize) -> Self {
        let left = Cell::new(bytes.saturating_mul(RATIO).saturating_add(FLOOR_BYTES));
        let is_damaged = Cell::new(false);
        let mut pages = Self { source, size, usable: size, encoding: Encoding::Unknown, left, is_damaged };
        if let Some(header) = pages.bytes(1).and_then(|page| page.first_chunk::<100>()) {
            pages.usable = size.saturating_sub(usize::from(header[20]));
            pages.encoding = match number(&header[56..60]) {
                // None was chosen before there is a table.
                0 | 1 => Encoding::Utf8,
                2 => Encoding::Utf16Little,
                3 => Encoding::Utf16Big,
                _ => Encoding::Unknown,
            };
        }
        // The bounds of SQLite itself; beyond them there is nothing to be read.
        if pages.usable < MIN_USABLE || size > MAX_PAGE_BYTES {
            pages.is_damaged.set(true);
            pages.source = Source::Database(b"");
        }
        pages
    }

    /// Takes so much of what is left; whether there was as much.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(bytes));
        bytes < left
    }

    /// Whether there was more than may be read or written.
    pub(super) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    /// Whether it is a log without its database, which has pages that the log does not.
    pub(super) fn lacks_database(&self) -> bool {
        match &self.source {
            Source::Database(_) => false,
            Source::Log { newest, pages, database, .. } => {
                database.is_empty() && (newest.len() < *pages || !newest.contains_key(&1))
            }
        }
    }

    /// Whether something could not be read.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged.get()
    }

    /// Notes that something is missing if `read` is `None`. What a log lacks is in the database.
    fn noted<T>(&self, read: Option<T>) -> Option<T> {
        if read.is_none() && matches!(self.source, Source::Database(_)) {
            self.is_damaged.set(true);
        }
        read
    }

    /// The page of this number.
    fn bytes(&self, page: u32) -> Option<&'b [u8]> {
        let in_place = |database: &'b [u8]| {
            let start = usize::try_from(page.checked_sub(1)?).ok()?.checked_mul(self.size)?;
            database.get(start..start.checked_add(self.size)?)
        };
        match &self.source {
            Source::Database(bytes) => in_place(bytes),
            Source::Log { frames, newest, database, .. } => match newest.get(&page) {
                Some(index) => frames.get(*index).map(|(_, page)| *page),
                None => in_place(database),
            },
        }
    }

    /// How many pages there are.
    fn count(&self) -> usize {
        match &self.source {
            Source::Database(bytes) => bytes.len() / self.size.max(1),
            Source::Log { frames, database, .. } => frames.len() + database.len() / self.size.max(1),
        }
    }

    /// Whether the rows in the page of this number are told: those that a log does not have are told of its database. The first
    /// page lists the tables.
    fn is_told(&self, page: u32) -> bool {
        match &self.source {
            Source::Database(_) => true,
            Source::Log { newest, .. } => page == 1 || newest.contains_key(&page),
        }
    }

    /// Hands out the rows of the table whose tree starts at page `root`.
    pub(super) fn rows(&self, root: u32, visit: &mut impl FnMut(&[Value<'_>])) {
        let mut open = vec![(root, 0)];
        while let Some((number, depth)) = open.pop() {
            let page = if depth < MAX_DEPTH { self.bytes(number) } else { None };
            let Some(page) = self.noted(page) else { continue };
            if !self.take(self.size) {
                return;
            }
            let visit = &mut |row: &[Value<'_>]| {
                if self.is_told(number) {
                    visit(row);
                }
            };
            let below = self.noted(self.visit(page, number == 1, visit)).unwrap_or_default();
            open.extend(below.into_iter().rev().map(|page| (page, depth + 1)));
        }
    }

    /// Hands out the rows in the pages of a log, all versions of them, whatever table they belong to.
    pub(super) fn rows_of_log(&self, visit: &mut impl FnMut(&[Value<'_>])) {
        let Source::Log { frames, .. } = &self.source else { return };
        for (number, page) in frames {
            if !self.take(self.size) {
                return;
            }
            // What goes on in other pages, or has no rows at all, begins as it likes.
            let start = if *number == 1 { 100 } else { 0 };
            if page.get(start).is_some_and(|kind| matches!(*kind, LEAF | INDEX_LEAF | INDEX_INNER)) {
                let _ = self.visit(page, *number == 1, visit);
            }
        }
    }

    /// Hands out the rows of one page; the pages below it.
    fn visit(&self, page: &'b [u8], is_first: bool, visit: &mut impl FnMut(&[Value<'_>])) -> Option<Vec<u32>> {
        let start = if is_first { 100 } else { 0 };
        let kind = *page.get(start)?;
        let cells = usize::try_from(number(page.get(start + 3..start + 5)?)).ok()?;
        let (is_inner, is_index) = match kind {
            INNER => (true, false),
            INDEX_INNER => (true, true),
            LEAF => (false, false),
            INDEX_LEAF => (false, true),
            _ => return None,
        };
        let pointers = page.get(start + if is_inner { 12 } else { 8 }..)?;
        let pointers = self.noted(pointers.get(..2 * cells)).unwrap_or(pointers);
        let mut below = Vec::new();
        for pointer in pointers.chunks_exact(2) {
            let cell = usize::try_from(number(pointer)).ok().and_then(|at| page.get(at..));
            let Some(mut cell) = self.noted(cell) else { continue };
            if is_inner {
                let Some((child, rest)) = self.noted(cell.split_at_checked(4)) else { continue };
                below.extend(u32::try_from(number(child)));
                cell = rest;
            }
            if kind == INNER {
                continue;
            }
            let Some(row) = self.noted(self.row(cell, is_index)) else { continue };
            if !self.take(row.len() + 1) {
                return Some(Vec::new());
            }
            let Some((values, is_whole)) = self.noted(values(&row, self.encoding)) else { continue };
            self.noted(is_whole.then_some(()));
            visit(&values);
        }
        if is_inner {
            below.extend(u32::try_from(number(page.get(start + 8..start + 12)?)));
        }
        Some(below)
    }

    /// The bytes of a row. A long one goes on in other pages; if one is missing, there are those before it.
    fn row(&self, cell: &[u8], is_index: bool) -> Option<Vec<u8>> {
        let (length, mut cell) = varint(cell)?;
        if !is_index {
            (_, cell) = varint(cell)?;
        }
        let length = usize::try_from(length).ok()?;
        let most = if is_index { (self.usable - 12) * 64 / 255 - 23 } else { self.usable - 35 };
        if length <= most {
            return cell.get(..length).map(<[u8]>::to_vec);
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let local = least + (length - least) % (self.usable - 4);
        let local = if local <= most { local } else { least };
        let mut row = cell.get(..local)?.to_vec();
        let mut next = u32::try_from(number(cell.get(local..local + 4)?)).ok()?;
        // The length may be a lie, and the pages lead to each other: no row has more of them than there are.
        let mut pages = 0..self.count();
        while row.len() < length && row.len() < self.left.get() {
            let page = pages.next().and_then(|_| self.bytes(next));
            let Some(page) = self.noted(page) else { break };
            next = u32::try_from(number(page.get(..4)?)).ok()?;
            let wanted = (length - row.len()).min(self.usable - 4);
            row.extend_from_slice(page.get(4..4 + wanted)?);
        }
        Some(row)
    }
}

/// The size of a page, if `bytes` are a database.
fn size_of_database(bytes: &[u8]) -> Option<usize> {
    match number(bytes.strip_prefix(MAGIC)?.get(..2)?) {
        1 => Some(MAX_PAGE_BYTES),
        size => usize::try_from(size).ok(),
    }
}

/// The size of a page, if `bytes` are a log.
pub(super) fn size_of_log(bytes: &[u8]) -> Option<usize> {
    let is_log = number(bytes.get(..4)?) & !1 == LOG_MAGIC && number(bytes.get(4..8)?) == LOG_VERSION;
    is_log.then_some(usize::try_from(number(bytes.get(8..12)?)).ok()?)
}
