//! Texts of any size in bounded memory: read piece by piece, each with enough of its neighbours that nothing is lost at the
//! seams.

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr_iter, memrchr};
use turnlock_core::finding::Place;

/// Bytes that are new in each window.
const STEP_BYTES: usize = 8 << 20;

/// Bytes at both ends of a window that the neighbour has too: more than any rule looks beyond a match.
const SEAM_BYTES: usize = 64 << 10;

/// A piece of a text.
pub(crate) struct Window<'a> {
    pub(crate) text: &'a [u8],
    /// What starts here belongs to this window, the rest of `text` to its neighbours.
    pub(crate) own: Range<usize>,
    /// Newlines before the window.
    lines: u32,
    /// Bytes of the first line that lie before the window, with the newline before it.
    column: u32,
}

impl Window<'_> {
    /// Turns a place in this window into one in the whole text.
    pub(crate) fn shift(&self, place: &mut Place) {
        for (line, column) in
            [(&mut place.start_line, &mut place.start_column), (&mut place.end_line, &mut place.end_column)]
        {
            if *line == 1 {
                *column = column.saturating_add(self.column);
            }
            *line = line.saturating_add(self.lines);
        }
    }
}

/// Calls `visit` with the windows of what `reader` gives, in order, and says how many bytes there were. Windows start at
/// lines unless a line is longer than a seam.
pub(crate) fn each(reader: &mut impl Read, mut visit: impl FnMut(&Window<'_>)) -> io::Result<u64> {
    let (mut text, mut own) = (Vec::with_capacity(STEP_BYTES + 2 * SEAM_BYTES), 0);
    let (mut lines, mut column, mut total) = (0u32, 0u32, 0u64);
    loop {
        let read = reader.by_ref().take(STEP_BYTES as u64).read_to_end(&mut text)?;
        total += read as u64;
        let is_last = read < STEP_BYTES;
        let end = if is_last { text.len() } else { text.len().saturating_sub(SEAM_BYTES).max(own) };
        visit(&Window { text: &text, own: own..end, lines, column });
        if is_last {
            return Ok(total);
        }
        // A name on the line before may speak for a value: a seam before, from the start of a line if there is one.
        let seam = end.saturating_sub(SEAM_BYTES);
        let kept = text.get(seam..end).unwrap_or_default();
        let from = seam + memchr_iter(b'\n', kept).next().map_or(0, |at| at + 1);
        let gone = text.get(..from).unwrap_or_default();
        lines = lines.saturating_add(count(memchr_iter(b'\n', gone).count()));
        column = match memrchr(b'\n', gone) {
            Some(newline) => count(gone.len() - newline),
            // Nothing but a part of the line that the window started in. The newline before it is counted already.
            None => column.saturating_add(count(gone.len())),
        };
        text.drain(..from);
        own = end - from;
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::{SEAM_BYTES, STEP_BYTES, each};
    use crate::text;

    /// Places of a word in a text, found window by window, are those in the whole.
    fn agrees(whole: &[u8]) {
        let places = |text: &[u8]| -> Vec<usize> { memchr::memmem::find_iter(text, b"needle").collect() };
        let mut found = Vec::new();
        let total = each(&mut &whole[..], |window| {
            assert!(window.text.len() <= STEP_BYTES + 2 * SEAM_BYTES);
            for at in places(window.text).into_iter().filter(|at| window.own.contains(at)) {
                let mut place = text::place(window.text, &(at..at + 6));
                window.shift(&mut place);
                found.push(place);
            }
        })
        .unwrap();
        assert_eq!(total, whole.len() as u64);
        let expected: Vec<_> = places(whole).into_iter().map(|at| text::place(whole, &(at..at + 6))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_is_lost_or_found_twice_at_the_seams() {
        for filler in [&b"some line of text\n"[..], b"no line at all "] {
            let mut text = filler.repeat(3 * STEP_BYTES / filler.len());
            for around in [0, STEP_BYTES - SEAM_BYTES, STEP_BYTES, 2 * STEP_BYTES - SEAM_BYTES] {
                for at in [around.saturating_sub(3), around, around + 40] {
                    text.splice(at..at, *b"needle");
                }
            }
            agrees(&text);
        }
        agrees(b"");
        agrees(b"needle");
        agrees(&vec![b'\n'; STEP_BYTES]);
    }
}
