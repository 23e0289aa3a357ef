//! SQLite databases and their write-ahead logs: their rows as settings, so that a column's name, or that in the column before,
//! speaks for a value.

mod pages;
mod row;
mod table;
mod tables;

use crate::{keystore, name};
use pages::Pages;
use row::Value;
use tables::Tables;

/// So many bytes are read and written for each byte of a database, and some for a small one: pages may lead to each other and
/// rows share their bytes in a database that is made to harm.
pub const RATIO: usize = 8;
/// What may be read and written of the smallest database.
pub const FLOOR_BYTES: usize = 1 << 20;

/// Shortest value that can be a credential, or hold one.
const MIN_VALUE_BYTES: usize = 4;

/// What a database says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// `column = "value"` for each text in a table, as it is if it has several lines; an empty line behind each row.
    pub text: Vec<u8>,
    /// Whether that is too much for one of its size, so that a part of it is missing.
    pub is_cut: bool,
    /// Whether pages or rows of it could not be read.
    pub is_damaged: bool,
    /// Whether it is a log whose database is missing and has pages that the log does not, so that rows may have no names.
    pub lacks_database: bool,
}

/// What the database in `bytes`, or the write-ahead log of one, says. `None` if it is neither. Of a log that is what its own pages
/// say; its `database` makes its tables known, without which rows may have no names of columns.
pub fn rows(bytes: &[u8], database: &[u8]) -> Option<Rows> {
    let pages = Pages::of(bytes, database)?;
    let mut text = Vec::new();
    let mut write = |row: &[Value<'_>], columns: &[Vec<u8>]| {
        settings(row, columns, &mut |setting| {
            if pages.take(setting.len()) {
                text.extend_from_slice(setting);
            }
        });
    };
    let mut tables = Tables::default();
    // The first page holds the list of the tables: type, name, table, page and how it was made.
    pages.rows(1, &mut |row| {
        if let [Value::Text(kind), _, _, Value::Number(page), Value::Text(sql), ..] = row
            && kind.as_ref() == b"table"
        {
            tables.add(u32::try_from(*page).unwrap_or(u32::MAX), sql);
        }
    });
    // A table without a page is one that a module makes up, out of others.
    for (page, columns) in tables.known.iter().filter(|(page, _)| *page != 0) {
        pages.rows(*page, &mut |row| write(row, columns));
    }
    pages.rows_of_log(&mut |row| write(row, &[]));
    let (is_cut, is_damaged) = (pages.is_spent() || tables.is_cut, pages.is_damaged());
    Some(Rows { text, is_cut, is_damaged, lacks_database: pages.lacks_database() })
}

/// Hands out what a row says, a setting or a text at a time.
fn settings(row: &[Value<'_>], columns: &[Vec<u8>], to: &mut impl FnMut(&[u8])) {
    let mut before: Option<&[u8]> = None;
    for (index, value) in row.iter().enumerate() {
        let text = match value {
            Value::Text(text) => text.trim_ascii(),
            Value::Blob(bytes) => {
                keystore::text(bytes).iter().for_each(|said| to(said.as_bytes()));
                continue;
            }
            Value::Number(_) | Value::Other => continue,
        };
        if text.len() >= MIN_VALUE_BYTES {
            to(&setting(columns.get(index).map(Vec::as_slice).unwrap_or_default(), text));
            // A table of settings has the name in a column of its own.
            if let Some(name) = before.filter(|name| name::at(name).len() == name.len() && name::kind(name).is_some()) {
                to(&setting(name, text));
            }
        }
        before = Some(text);
    }
    to(b"\n");
}

fn setting(name: &[u8], value: &[u8]) -> Vec<u8> {
    let quote = [b"\"", b"'", b"`"].into_iter().find(|quote| !value.contains(&quote[0]));
    match quote.filter(|_| !value.contains(&b'\n')) {
        Some(quote) => [name, b" = ", quote, value, quote, b"\n"].concat(),
        // A text of several lines, which may hold settings itself.
        None => [value, b"\n"].concat(),
    }
}

/// Whether `bytes` are a write-ahead log.
pub(crate) fn is_log(bytes: &[u8]) -> bool {
    pages::size_of_log(bytes).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::{Rows, rows, setting};
    use proptest::prelude::*;

    #[test]
    fn a_value_stands_in_quotes_that_it_does_not_hold() {
        for (value, written) in [
            (&b"plain"[..], &b"a = \"plain\"\n"[..]),
            (b"with \" in it", b"a = 'with \" in it'\n"),
            (b"with \" and '", b"a = `with \" and '`\n"),
            (b"two\nlines", b"two\nlines\n"),
        ] {
            assert_eq!(setting(b"a", value), written);
        }
    }

    /// A list of one table whose only page leads to itself.
    #[test]
    fn pages_that_lead_to_each_other_come_to_an_end() {
        let mut bytes = vec![0; 1024];
        for (at, part) in [
            (0, super::pages::MAGIC),
            (16, &[2, 0]),
            (56, &[0, 0, 0, 1]),
            // The root: leads to itself by a hundred cells and at its end.
            (100, &[5, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 1]),
        ] {
            bytes.splice(at..at + part.len(), part.iter().copied());
        }
        for cell in 0..100 {
            bytes.splice(112 + 2 * cell..114 + 2 * cell, [1, 100]);
        }
        bytes.splice(356..360, [0, 0, 0, 1]);
        assert_eq!(
            rows(&bytes, b""),
            Some(Rows { text: Vec::new(), is_cut: true, is_damaged: true, lacks_database: false })
        );
    }

    /// A table with a row of one text, which goes on in a page that leads to itself.
    #[test]
    fn a_row_is_no_longer_than_the_pages_that_can_hold_it() {
        const PAGE: usize = 512;
        const PAGES: usize = 4;
        let mut bytes = vec![b'x'; PAGES * PAGE];
        bytes[..PAGE].fill(0);
        // The list: the types of type, name, table, page and SQL, then those.
        let listed = b"\x06\x17\x0f\x0f\x01\x2ftablett\x02CREATE TABLE t(a)";
        // A text of 4,000 bytes, of which the page keeps 449 bytes or fewer.
        let (header, length) = (b"\x03\xbe\x4d", 4003usize);
        let least = (PAGE - 12) * 32 / 255 - 23;
        let local = least + (length - least) % (PAGE - 4);
        let local = if local > PAGE - 35 { least } else { local };
        let mut row = [&[0x9f, 0x23, 1], &header[..], &vec![b'x'; local - 3]].concat();
        row.extend([0, 0, 0, 3]);
        for (at, part) in [
            (0, super::pages::MAGIC),
            (16, &[2, 0]),
            (56, &[0, 0, 0, 1]),
            (100, &[13, 0, 0, 0, 1, 0, 0, 0, 0, 200]),
            (200, &[&[u8::try_from(listed.len()).unwrap(), 1], &listed[..]].concat()),
            (PAGE, &[13, 0, 0, 0, 1, 0, 0, 0, 0, 20]),
            (PAGE + 20, &row),
            (2 * PAGE, &[0, 0, 0, 3]),
        ] {
            bytes.splice(at..at + part.len(), part.iter().copied());
        }
        let rows = rows(&bytes, b"").unwrap();
        assert!(rows.is_damaged);
        assert!(rows.text.starts_with(b"a = \"xxxx"));
        assert!((PAGE..=bytes.len() + PAGE).contains(&rows.text.len()), "{} bytes", rows.text.len());
    }

    proptest! {
        #[test]
        fn whatever_a_database_holds_is_an_answer(mut bytes in prop::collection::vec(any::<u8>(), 600..3000)) {
            for (at, byte) in [(16, 2), (17, 0), (20, 0), (56, 0), (57, 0), (58, 0), (59, 1), (100, 13), (512, 5)] {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            let magic = super::pages::MAGIC.len();
            if let Some(head) = bytes.get_mut(..magic) {
                head.copy_from_slice(super::pages::MAGIC);
            }
            prop_assert!(rows(&bytes, b"").is_some());
        }
    }
}
