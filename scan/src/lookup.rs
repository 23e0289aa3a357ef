//! Recognises values of the live store in text: every token-like string is tried against the store's filter, and the
//! few that pass are confirmed by whoever holds the store.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use turnlock_core::finding::{Filter, Fingerprint, LiveSecret, MAX_QUESTIONS, MAX_VALUE_BYTES, MIN_VALUE_BYTES};

/// Answers which of the fingerprints are of values of the store. The error is a text for people, without a value.
pub type Confirm = Box<dyn Fn(&[Fingerprint]) -> Result<HashMap<Fingerprint, LiveSecret>, String> + Send + Sync>;

/// The store as the scanner sees it: its filter, and the way to ask.
pub struct StoreLookup {
    filter: Filter,
    confirm: Confirm,
}

impl fmt::Debug for StoreLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLookup").field("filter", &self.filter).finish_non_exhaustive()
    }
}

impl StoreLookup {
    /// `confirm` is called after the content was read, with at most [`MAX_QUESTIONS`] fingerprints at a time, never the same twice.
    pub fn new(filter: Filter, confirm: Confirm) -> Self {
        Self { filter, confirm }
    }

    /// Fingerprints of the strings in `text` that the store may hold.
    pub(crate) fn candidates(&self, text: &[u8]) -> HashSet<Fingerprint> {
        let mut found = HashSet::new();
        strings(text, |span| {
            if let Some(fingerprint) = text.get(span).and_then(|value| self.filter.candidate(value)) {
                found.insert(fingerprint);
            }
        });
        found
    }

    /// The fingerprint of a value that was located.
    pub(crate) fn fingerprint(&self, value: &[u8]) -> Fingerprint {
        self.filter.fingerprint(value)
    }

    /// The secrets among `candidates`.
    pub(crate) fn confirmed(
        &self,
        candidates: HashSet<Fingerprint>,
    ) -> Result<HashMap<Fingerprint, LiveSecret>, String> {
        let mut candidates: Vec<Fingerprint> = candidates.into_iter().collect();
        candidates.sort_unstable();
        let mut confirmed = HashMap::new();
        for batch in candidates.chunks(MAX_QUESTIONS) {
            confirmed.extend((self.confirm)(batch)?);
        }
        Ok(confirmed)
    }

    /// Places in `text` of the values that were `confirmed`; no two overlap.
    pub(crate) fn locate<'a>(
        &self,
        text: &[u8],
        confirmed: &'a HashMap<Fingerprint, LiveSecret>,
    ) -> Vec<(Range<usize>, &'a LiveSecret)> {
        let mut places: Vec<(Range<usize>, &LiveSecret)> = Vec::new();
        strings(text, |span| {
            let fingerprint = text.get(span.clone()).and_then(|value| self.filter.candidate(value));
            if let Some(secret) = fingerprint.and_then(|fingerprint| confirmed.get(&fingerprint)) {
                places.push((span, secret));
            }
        });
        places.sort_by(|(a, _), (b, _)| (a.start, b.end).cmp(&(b.start, a.end)));
        places.dedup_by(|(next, _), (known, _)| next.start < known.end);
        places
    }
}

/// Calls `visit` with each string of `text` that could be a value somebody stored, of 8 to 4,096 bytes: what stands in
/// quotes, what follows the first `=` or `:` of a line, what stands between blanks and quotes, and the pieces of that
/// between delimiters. A string may be visited more than once.
fn strings(text: &[u8], mut visit: impl FnMut(Range<usize>)) {
    let mut offer = |span: Range<usize>| {
        if (MIN_VALUE_BYTES..=MAX_VALUE_BYTES).contains(&span.len()) {
            visit(span);
        }
    };
    let mut start = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let span = start..start + line.len();
        start = span.end + 1;
        strings_of_line(text, span, &mut offer);
    }
}

fn strings_of_line(text: &[u8], line: Range<usize>, offer: &mut impl FnMut(Range<usize>)) {
    let bytes = text.get(line.clone()).unwrap_or_default();
    let trimmed = |from: usize, to: usize| {
        let part = bytes.get(from..to).unwrap_or_default();
        let lead = part.len() - part.trim_ascii_start().len();
        let length = part.trim_ascii().len();
        line.start + from + lead..line.start + from + lead + length
    };
    offer(trimmed(0, bytes.len()));
    // What follows the first sign of assignment, blanks included: passphrases.
    if let Some(at) = bytes.iter().position(|byte| matches!(byte, b'=' | b':')) {
        let value = trimmed(at + 1, bytes.len());
        if let Some(b',' | b';') = value.end.checked_sub(1).and_then(|last| text.get(last)) {
            offer(value.start..value.end - 1);
        }
        offer(value);
    }
    // What stands between two equal quotes.
    for quote in *b"\"'`" {
        let mut open = None;
        for at in memchr::memchr_iter(quote, bytes) {
            if let Some(from) = open {
                offer(line.start + from..line.start + at);
            }
            open = Some(at + 1);
        }
    }
    // What stands between blanks and quotes, then its pieces.
    let mut from = 0;
    for word in bytes.split(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`')) {
        let span = line.start + from..line.start + from + word.len();
        from += word.len() + 1;
        if word.len() >= MIN_VALUE_BYTES {
            pieces(text, span, offer);
        }
    }
}

/// A word, what remains of it without punctuation at its ends, what follows each `=` and `:` in it, the password of a
/// URL, and its pieces between delimiters.
fn pieces(text: &[u8], word: Range<usize>, offer: &mut impl FnMut(Range<usize>)) {
    /// Suffixes of one word that are tried: a long word of nothing but delimiters would take quadratic time.
    const SUFFIXES: usize = 4;
    offer(word.clone());
    let bytes = text.get(word.clone()).unwrap_or_default();
    let is_bracket =
        |byte: &u8| matches!(byte, b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' | b',' | b';' | b'.');
    let lead = bytes.iter().position(|byte| !is_bracket(byte)).unwrap_or(0);
    let tail = bytes.iter().rposition(|byte| !is_bracket(byte)).map_or(bytes.len(), |at| at + 1);
    if (lead, tail) != (0, bytes.len()) {
        offer(word.start + lead..word.start + tail);
    }
    let signs = bytes.iter().enumerate().filter(|(_, byte)| matches!(byte, b'=' | b':')).take(SUFFIXES);
    let last_at = memchr::memrchr(b'@', bytes);
    for (sign, _) in signs {
        offer(word.start + sign + 1..word.end);
        if sign + 1 < tail && tail < bytes.len() {
            offer(word.start + sign + 1..word.start + tail);
        }
        if let Some(at) = last_at.filter(|at| *at > sign) {
            offer(word.start + sign + 1..word.start + at);
        }
    }
    for is_delimiter in [is_separator as fn(&u8) -> bool, is_mark] {
        let mut from = 0;
        for piece in bytes.split(is_delimiter) {
            let span = word.start + from..word.start + from + piece.len();
            from += piece.len() + 1;
            if span != word {
                offer(span);
            }
        }
    }
}

/// Parts the members of lists, calls and queries.
fn is_separator(byte: &u8) -> bool {
    matches!(byte, b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' | b',' | b';' | b'&' | b'|' | b'=' | b':')
}

/// Whatever tokens do not hold.
fn is_mark(byte: &u8) -> bool {
    !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'+' | b'/' | b'=' | b'~') || *byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::strings;

    fn all(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        strings(text.as_bytes(), |span| found.push(text.get(span).unwrap_or_default()));
        found
    }

    #[test]
    fn a_value_is_offered_wherever_people_write_it() {
        let value = "p@ss:w0rd/=&x!y";
        for text in [
            format!("password = \"{value}\""),
            format!("PASSWORD={value}"),
            format!("  password: {value}  "),
            format!("'password' => '{value}',"),
            format!("{value}\n"),
            format!("postgres://user:{value}@host:5432/db"),
            format!("connect('db', '{value}')"),
            format!("a,b;password={value};"),
        ] {
            assert!(all(&text).contains(&value), "{text}");
        }
        for text in [
            "curl -u user:k9dJ2mPqLx host",
            "f(a,k9dJ2mPqLx)",
            "https://h/?token=k9dJ2mPqLx&a=b",
            "{\"a\":{\"b\":\"k9dJ2mPqLx\"}}",
            "export X=k9dJ2mPqLx;",
            "<p>k9dJ2mPqLx</p>",
        ] {
            assert!(all(text).contains(&"k9dJ2mPqLx"), "{text}");
        }
        assert!(all("passphrase: correct horse battery staple").contains(&"correct horse battery staple"));
    }

    #[test]
    fn short_and_endless_strings_are_not_offered() {
        assert!(all("a=b c:d \"e\"").iter().all(|string| string.len() >= 8));
        assert!(all(&"x".repeat(5000)).is_empty());
    }
}
