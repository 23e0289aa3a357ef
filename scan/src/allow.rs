//! Comments by which people declare that what stands in a line is no leak: ours, and those of the scanners they used
//! before.

use std::ops::Range;

use memchr::memmem::{find, find_iter};
use memchr::memrchr;

use crate::text;

/// Texts that allow the line in which they stand. No comment syntax is asked for.
const COMMENTS: &[&[u8]] =
    &[b"turnlock:allow", b"gitleaks:allow", b"betterleaks:allow", b"trufflehog:ignore", b"kingfisher:ignore"];

/// Starts the comments of detect-secrets: `pragma: allowlist secret`, `pragma: allowlist nextline secret`.
const PRAGMA: &[u8] = b"pragma:";

/// Whether a comment allows the match at `span` of `text`: one in its lines, or one in the line before that is about the
/// next line.
pub(crate) fn has_comment(text: &[u8], span: &Range<usize>) -> bool {
    let lines = text::lines(text, span);
    if COMMENTS.iter().any(|comment| find(lines, comment).is_some()) || has_pragma(lines, b"secret") {
        return true;
    }
    let before = text.get(..span.start).unwrap_or_default();
    let Some(end) = memrchr(b'\n', before) else { return false };
    has_pragma(text::lines(text, &(end..end)), b"nextline secret")
}

/// Whether `lines` hold the pragma that allows `what`. Blanks may be dashes, and `allowlist` may have its old name.
fn has_pragma(lines: &[u8], what: &[u8]) -> bool {
    find_iter(lines, PRAGMA).any(|at| {
        let rest = lines.get(at + PRAGMA.len()..).unwrap_or_default().trim_ascii_start();
        let rest = rest.strip_prefix(b"allowlist").or_else(|| rest.strip_prefix(b"whitelist"));
        let Some(([separator, rest @ ..], wanted)) = rest.map(|rest| (rest, what)) else { return false };
        let same = |(have, want): (&u8, &u8)| have == want || (*want == b' ' && *have == b'-');
        matches!(separator, b' ' | b'-') && rest.len() >= wanted.len() && rest.iter().zip(wanted).all(same)
    })
}

#[cfg(test)]
mod tests {
    use super::has_comment;

    fn allowed(text: &str) -> bool {
        let at = text.find("KEY").unwrap_or_default();
        has_comment(text.as_bytes(), &(at..at + 3))
    }

    #[test]
    fn the_comments_of_other_scanners_count() {
        for comment in [
            "turnlock:allow",
            "gitleaks:allow",
            "betterleaks:allow",
            "trufflehog:ignore",
            "kingfisher:ignore",
            "pragma: allowlist secret",
            "pragma:allowlist-secret",
            "pragma: whitelist secret",
        ] {
            assert!(allowed(&format!("a\nx = KEY // {comment}\nb")), "{comment}");
            assert!(!allowed(&format!("// {comment}\nKEY\n// {comment}")), "{comment}");
        }
    }

    #[test]
    fn a_comment_may_be_about_the_next_line() {
        assert!(allowed("a\n# pragma: allowlist nextline secret\nKEY\n"));
        assert!(allowed("# pragma: allowlist nextline secret\nKEY"));
        assert!(!allowed("# pragma: allowlist nextline secret\n\nKEY"));
        assert!(!allowed("KEY # pragma: allowlist nextline secret"));
        assert!(!allowed("# pragma: allowlist\nKEY # pragma: allowlist"));
    }
}
