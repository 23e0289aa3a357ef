//! SQLite databases: their rows as settings, so that a column's name, or that in the column before, speaks for a value.

use std::cell::Cell;

use crate::name;

const MAGIC: &[u8] = b"SQLite format 3\0";

/// So many bytes are read for each byte of a database, and some for a small one: pages may lead to each other and rows share
/// their bytes in a database that is made to harm.
pub const RATIO: usize = 8;
/// What may be read of the smallest database.
pub const FLOOR_BYTES: usize = 1 << 20;

/// Most of one row that is read.
const MAX_ROW_BYTES: usize = 64 << 10;

/// Deepest tree of a table that is followed; real ones are a few pages deep.
const MAX_DEPTH: usize = 32;

/// The type of a page of a table's tree.
const INNER: u8 = 5;
const LEAF: u8 = 13;

/// What the database in `bytes` says: `column = "value"` for each text in its tables, an empty line behind each row; and
/// whether that is too much for one of its size, so that a part of it is missing. `None` if it is none, or its texts are no
/// UTF-8. Whatever is damaged is passed over.
pub fn text(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let pages = Pages::of(bytes)?;
    let mut text = Vec::new();
    let mut tables = Vec::new();
    // The first page holds the list of the tables: type, name, table, page and how it was made.
    pages.rows(1, &mut |row| {
        if let [Value::Text(b"table"), _, _, Value::Number(page), Value::Text(sql)] = row {
            tables.push((*page, columns(sql)));
        }
    });
    for (page, columns) in tables {
        pages.rows(u32::try_from(page).unwrap_or(0), &mut |row| {
            write(row, &columns, &mut |setting| {
                if pages.take(setting.len()) {
                    text.extend_from_slice(&setting);
                }
            });
        });
    }
    Some((text, pages.left.get() == 0))
}

/// A value of a row.
#[derive(Debug, PartialEq)]
enum Value<'v> {
    Text(&'v [u8]),
    Number(i64),
    Other,
}

struct Pages<'b> {
    bytes: &'b [u8],
    size: usize,
    /// Bytes of a page that are used.
    usable: usize,
    /// Bytes that may still be read or written.
    left: Cell<usize>,
}

impl<'b> Pages<'b> {
    fn of(bytes: &'b [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let size = match number(rest.get(..2)?) {
            1 => 1 << 16,
            size => usize::try_from(size).ok()?,
        };
        let reserved = usize::from(*bytes.get(20)?);
        let is_utf8 = bytes.get(56..60)? == [0, 0, 0, 1];
        let usable = size.checked_sub(reserved).filter(|usable| *usable >= 480)?;
        let left = Cell::new(bytes.len().saturating_mul(RATIO).saturating_add(FLOOR_BYTES));
        is_utf8.then_some(Self { bytes, size, usable, left })
    }

    /// Takes so much of what is left; whether there was as much.
    fn take(&self, bytes: usize) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(bytes));
        bytes < left
    }

    /// The page of this number, and where its header starts.
    fn page(&self, number: u32) -> Option<(&'b [u8], usize)> {
        let start = usize::try_from(number.checked_sub(1)?).ok()?.checked_mul(self.size)?;
        let page = self.bytes.get(start..start.checked_add(self.size)?)?;
        Some((page, if number == 1 { 100 } else { 0 }))
    }

    /// Hands out the rows of the table whose tree starts at page `root`.
    fn rows(&self, root: u32, visit: &mut impl FnMut(&[Value<'_>])) {
        let mut open = vec![(root, 0)];
        while let Some((page, depth)) = open.pop() {
            if depth >= MAX_DEPTH {
                self.left.set(0);
            }
            if !self.take(self.size) {
                return;
            }
            let below = self.visit(page, visit).unwrap_or_default();
            open.extend(below.into_iter().rev().map(|page| (page, depth + 1)));
        }
    }

    /// Hands out the rows of one page; the pages below it.
    fn visit(&self, page: u32, visit: &mut impl FnMut(&[Value<'_>])) -> Option<Vec<u32>> {
        let (page, start) = self.page(page)?;
        let kind = *page.get(start)?;
        let cells = usize::try_from(number(page.get(start + 3..start + 5)?)).ok()?;
        let pointers = page.get(start + if kind == INNER { 12 } else { 8 }..)?;
        let cells = pointers.chunks_exact(2).take(cells).filter_map(|at| page.get(usize::try_from(number(at)).ok()?..));
        let id = |bytes: &[u8]| u32::try_from(number(bytes.get(..4)?)).ok();
        match kind {
            INNER => Some(cells.filter_map(id).chain(id(page.get(start + 8..)?)).collect()),
            LEAF => {
                for payload in cells.filter_map(|cell| self.payload(cell)) {
                    if !self.take(payload.len() + 1) {
                        break;
                    }
                    if let Some(row) = values(&payload) {
                        visit(&row);
                    }
                }
                None
            }
            _ => None,
        }
    }

    /// The bytes of a row; of a large one the first.
    fn payload(&self, cell: &[u8]) -> Option<Vec<u8>> {
        let (length, cell) = varint(cell)?;
        let (_, cell) = varint(cell)?;
        let length = usize::try_from(length).ok()?;
        let most = self.usable - 35;
        if length <= most {
            return cell.get(..length).map(<[u8]>::to_vec);
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let local = least + (length - least) % (self.usable - 4);
        let local = if local <= most { local } else { least };
        let mut payload = cell.get(..local)?.to_vec();
        let mut next = u32::try_from(number(cell.get(local..local + 4)?)).ok()?;
        while payload.len() < length.min(MAX_ROW_BYTES) {
            let Some((page, _)) = self.page(next) else { break };
            next = u32::try_from(number(page.get(..4)?)).ok()?;
            let wanted = (length - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(page.get(4..4 + wanted)?);
        }
        Some(payload)
    }
}

/// The values of a row; what is missing at its end is left out.
fn values(payload: &[u8]) -> Option<Vec<Value<'_>>> {
    let (header, rest) = varint(payload)?;
    let skipped = payload.len() - rest.len();
    let mut kinds = payload.get(skipped..usize::try_from(header).ok()?)?;
    let mut content = payload.get(usize::try_from(header).ok()?..)?;
    let mut values = Vec::new();
    while let Some((kind, rest)) = varint(kinds) {
        kinds = rest;
        let length = match kind {
            0 | 8..=11 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            _ => (kind - 12) / 2,
        };
        let Some((bytes, rest)) = content.split_at_checked(usize::try_from(length).ok()?) else { break };
        content = rest;
        values.push(match kind {
            1..=4 => Value::Number(number(bytes) as i64),
            9 => Value::Number(1),
            13.. if kind % 2 == 1 => Value::Text(bytes),
            _ => Value::Other,
        });
    }
    Some(values)
}

/// Hands out the texts of a row as settings.
fn write(row: &[Value<'_>], columns: &[Vec<u8>], to: &mut impl FnMut(Vec<u8>)) {
    let mut before: Option<&[u8]> = None;
    for (index, value) in row.iter().enumerate() {
        let Value::Text(value) = value else { continue };
        let column = columns.get(index).map(Vec::as_slice).unwrap_or_default();
        to(setting(column, value));
        // A table of settings has the name in a column of its own.
        if let Some(name) = before.filter(|name| name::at(name).len() == name.len() && name::kind(name).is_some()) {
            to(setting(name, value));
        }
        before = Some(value);
    }
    to(vec![b'\n']);
}

fn setting(name: &[u8], value: &[u8]) -> Vec<u8> {
    if value.iter().any(|byte| matches!(byte, b'\n' | b'"')) {
        // A text of several lines, which may hold settings itself.
        [value, b"\n"].concat()
    } else {
        [name, b" = \"", value, b"\"\n"].concat()
    }
}

/// The names of the columns in the order that made a table: `CREATE TABLE t (a TEXT, "b" INT, PRIMARY KEY (a))`.
fn columns(sql: &[u8]) -> Vec<Vec<u8>> {
    const NO_COLUMNS: &[&[u8]] = &[b"constraint", b"primary", b"unique", b"foreign", b"check"];
    let inner = sql.splitn(2, |byte| *byte == b'(').nth(1).unwrap_or_default();
    let mut depth = 0usize;
    let parts = inner.split(|byte| {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *byte == b',' && depth == 0
    });
    let is_quote = |byte: &u8| matches!(byte, b'"' | b'`' | b'[' | b'\'');
    parts
        .filter_map(|part| {
            let part = part.trim_ascii();
            let part = if part.first().is_some_and(is_quote) { part.get(1..)? } else { part };
            Some(name::at(part).to_vec())
        })
        .filter(|name| !NO_COLUMNS.contains(&name.to_ascii_lowercase().as_slice()))
        .collect()
}

/// A number of up to eight bytes, the first the highest.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A number of one to nine bytes at the start of `bytes`, and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    Some((value << 8 | u64::from(*bytes.get(8)?), bytes.get(9..)?))
}

#[cfg(test)]
mod tests {
    use super::{columns, text, varint};
    use proptest::prelude::*;

    #[test]
    fn columns_are_named_in_order() {
        let sql =
            b"CREATE TABLE t (id INTEGER, \"user_name\" TEXT DEFAULT ('a,b'), [token] TEXT, PRIMARY KEY (id, token))";
        assert_eq!(columns(sql), [&b"id"[..], b"user_name", b"token"]);
    }

    #[test]
    fn numbers_have_one_to_nine_bytes() {
        assert_eq!(varint(b"\x05x"), Some((5, &b"x"[..])));
        assert_eq!(varint(b"\x81\x00"), Some((128, &b""[..])));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, &b""[..])));
        assert_eq!(varint(&[0xff; 3]), None);
    }

    /// A list of one table whose only page leads to itself.
    #[test]
    fn pages_that_lead_to_each_other_come_to_an_end() {
        let mut bytes = vec![0; 1024];
        for (at, part) in [
            (0, super::MAGIC),
            (16, &[2, 0]),
            (56, &[0, 0, 0, 1]),
            // The root: leads to itself by a hundred cells and at its end.
            (100, &[super::INNER, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 1]),
        ] {
            bytes.splice(at..at + part.len(), part.iter().copied());
        }
        for cell in 0..100 {
            bytes.splice(112 + 2 * cell..114 + 2 * cell, [1, 100]);
        }
        bytes.splice(356..360, [0, 0, 0, 1]);
        assert_eq!(text(&bytes), Some((Vec::new(), true)));
    }

    proptest! {
        #[test]
        fn whatever_a_database_holds_is_an_answer(mut bytes in prop::collection::vec(any::<u8>(), 600..3000)) {
            for (at, byte) in [(16, 2), (17, 0), (20, 0), (56, 0), (57, 0), (58, 0), (59, 1), (100, 13), (512, 5)] {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            let magic = super::MAGIC.len();
            if let Some(head) = bytes.get_mut(..magic) {
                head.copy_from_slice(super::MAGIC);
            }
            prop_assert!(text(&bytes).is_some());
        }
    }
}
