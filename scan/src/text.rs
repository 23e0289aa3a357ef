//! Bytes of a file as text to be searched, and positions in it.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr_iter, memrchr};
use turnlock_core::finding::Place;

/// A NUL within so many bytes tells a binary file: git's own rule.
const SNIFF_BYTES: usize = 8000;

/// Shortest run of characters in binary content that is read.
const MIN_WORD: usize = 8;

/// The text of a file: as it is, or out of UTF-16. `None` for a binary file.
///
/// Lines are those of the file; columns of UTF-16 count bytes of its UTF-8 form.
pub(crate) fn of(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    if let Some(text) = from_wide(bytes) {
        return Some(Cow::Owned(text));
    }
    let head = bytes.get(..SNIFF_BYTES).unwrap_or(bytes);
    if memchr(0, head).is_none() {
        return Some(Cow::Borrowed(bytes));
    }
    // Blanks keep everything else in its place.
    is_text_but_for_nul(head)
        .then(|| Cow::Owned(bytes.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect()))
}

/// Whether `head` is text into which very few NULs got: one byte must not hide what a file holds.
fn is_text_but_for_nul(head: &[u8]) -> bool {
    const LEAST_BYTES: usize = 16;
    const BYTES_PER_NUL: usize = 256;
    let is_control = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b | 0);
    let text = head.utf8_chunks().map(|chunk| chunk.valid().len()).sum::<usize>();
    head.len() >= LEAST_BYTES
        && memchr_iter(0, head).count() <= 1 + head.len() / BYTES_PER_NUL
        && !head.iter().any(is_control)
        // The end of what is looked at may cut a character.
        && head.len() - text <= 3
}

/// UTF-8 out of UTF-16, which a byte order mark tells, or zeros in nearly every second place.
pub(crate) fn from_wide(bytes: &[u8]) -> Option<Vec<u8>> {
    let little = u16::from_le_bytes as fn([u8; 2]) -> u16;
    let big = u16::from_be_bytes as fn([u8; 2]) -> u16;
    let (rest, number) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, little),
        [0xfe, 0xff, rest @ ..] => (rest, big),
        _ if memchr(0, bytes.get(..SNIFF_BYTES).unwrap_or(bytes)).is_none() => return None,
        _ => {
            let (pairs, _) = bytes.get(..SNIFF_BYTES).unwrap_or(bytes).as_chunks::<2>();
            let ascii = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
            let count = |is: fn([u8; 2]) -> [u8; 2]| {
                pairs.iter().map(|pair| is(*pair)).filter(|[zero, byte]| *zero == 0 && ascii(*byte)).count()
            };
            // A number in a binary file has zeros too, so nearly all must be plain characters.
            let most = pairs.len() - pairs.len() / 16;
            match (count(|pair| pair), count(|[a, b]| [b, a])) {
                _ if pairs.len() < 4 => return None,
                (_, swapped) if swapped >= most => (bytes, little),
                (straight, _) if straight >= most => (bytes, big),
                _ => return None,
            }
        }
    };
    let (pairs, _) = rest.as_chunks::<2>();
    let text: String = char::decode_utf16(pairs.iter().map(|pair| number(*pair)))
        .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    Some(text.into_bytes())
}

/// The words in binary content, as strings(1) shows them: whatever else there is becomes newlines, so that each word stays
/// in its place.
pub(crate) fn words(bytes: &[u8]) -> Vec<u8> {
    let is_plain = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    let mut words = vec![b'\n'; bytes.len()];
    let mut start = 0;
    for run in bytes.split(|byte| !is_plain(byte)) {
        let end = start + run.len();
        if run.len() >= MIN_WORD
            && let Some(word) = words.get_mut(start..end)
        {
            word.copy_from_slice(run);
        }
        start = end + 1;
    }
    words
}

/// Lines and columns of `span` in `text`, counted as [`Place`] says. The file's name stays empty.
pub(crate) fn place(text: &[u8], span: &Range<usize>) -> Place {
    let position = |at: usize| {
        let before = text.get(..at).unwrap_or_default();
        let line = memchr_iter(b'\n', before).count();
        let column = at - memrchr(b'\n', before).map_or(0, |newline| newline);
        (u32::try_from(line + 1).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    };
    let (start_line, start_column) = position(span.start);
    let last = span.end.max(span.start + 1) - 1;
    let (end_line, end_column) = position(last);
    Place {
        file: String::new(),
        start_line,
        start_column: start_column.saturating_add(1),
        end_line,
        end_column: end_column.saturating_add(1),
    }
}

/// Where the whole lines that `span` touches start and end.
pub(crate) fn line_bounds(text: &[u8], span: &Range<usize>) -> Range<usize> {
    let start = text.get(..span.start).and_then(|before| memrchr(b'\n', before)).map_or(0, |at| at + 1);
    let end = text.get(span.end..).and_then(|after| memchr(b'\n', after)).map_or(text.len(), |at| span.end + at);
    start..end
}

/// The whole lines that `span` touches.
pub(crate) fn lines<'a>(text: &'a [u8], span: &Range<usize>) -> &'a [u8] {
    text.get(line_bounds(text, span)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{lines, of, place, words};

    #[test]
    fn columns_count_from_one_in_the_first_line_and_from_two_later() {
        let text = b"token here\ntoken there\n";
        let first = place(text, &(0..5));
        assert_eq!((first.start_line, first.start_column, first.end_line, first.end_column), (1, 1, 1, 5));
        let second = place(text, &(11..16));
        assert_eq!((second.start_line, second.start_column, second.end_line, second.end_column), (2, 2, 2, 6));
        let both = place(text, &(6..16));
        assert_eq!((both.start_line, both.start_column, both.end_line, both.end_column), (1, 7, 2, 6));
    }

    #[test]
    fn lines_are_whole() {
        assert_eq!(lines(b"a\nbc\nd", &(2..3)), b"bc");
        assert_eq!(lines(b"a\nbc\nd", &(0..3)), b"a\nbc");
        assert_eq!(lines(b"abc", &(1..2)), b"abc");
    }

    #[test]
    fn words_stay_in_their_place() {
        assert_eq!(words(b"\x7fELF\0a longer word\0\xffshort\0"), b"\n\n\n\n\na longer word\n\n\n\n\n\n\n\n");
    }

    #[test]
    fn a_nul_in_a_text_is_a_blank_of_it() {
        assert_eq!(of(b"DB_HOST=db\0\nDB_PORT=5432\n").unwrap().as_ref(), b"DB_HOST=db \nDB_PORT=5432\n");
        assert!(of(b"DB_HOST=db\0\x01\nDB_PORT=5432\n").is_none(), "other control characters");
        assert!(of(b"DB_HOST=db\0\0\0\nDB_PORT=5432\n").is_none(), "several in a short one");
        assert!(of(b"\xca\xfe\xba\xbe, some words\0 and more").is_none(), "no UTF-8");
    }

    #[test]
    fn utf_16_is_text_and_nul_is_not() {
        assert_eq!(of(b"\xff\xfek\0e\0y\0").unwrap().as_ref(), b"key");
        assert_eq!(of(b"\xfe\xff\0k\0e\0y").unwrap().as_ref(), b"key");
        assert!(of(b"ELF\0\0").is_none());
        assert_eq!(of(b"k\0e\0y\0=\0").unwrap().as_ref(), b"key=", "no mark, little end first");
        assert_eq!(of(b"\0k\0e\0y\0=").unwrap().as_ref(), b"key=", "no mark, big end first");
        assert!(of(b"\x01\0\x02\0\x03\0\x04\0").is_none());
        assert!(of(b"plain").is_some());
    }
}
