//! The one canonical form of a request's path.
//!
//! A path is decoded and judged once, here. Everything behind (mount lookup, policy, engine, audit) works on the same
//! [`Path`], so that what was authorized is what is executed.

use std::fmt;

use percent_encoding::percent_decode;

/// Longest path in bytes, before decoding. Checked first: no work grows with what an anonymous client sends.
pub const MAX_PATH_BYTES: usize = 2048;

/// Most segments in one path.
pub const MAX_SEGMENTS: usize = 64;

/// A canonical path: segments joined by `/`, without a leading or trailing slash.
///
/// No segment is empty, `.` or `..`, and none holds a control character. A trailing slash of the input is remembered
/// in [`Path::is_folder`] and is not part of the text, so that `a/b` and `a/b/` are one path to a policy.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    text: String,
    folder: bool,
}

/// Why a path was refused. The texts never repeat the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// More than [`MAX_PATH_BYTES`] or [`MAX_SEGMENTS`].
    #[error("path is too long")]
    TooLong,
    /// The decoded bytes are not UTF-8.
    #[error("path is not valid UTF-8")]
    NotUtf8,
    /// A `.` or `..` segment.
    #[error("path must not contain relative segments")]
    Relative,
    /// Two slashes in a row, or one in front.
    #[error("path must not contain empty segments")]
    EmptySegment,
    /// A control or otherwise invisible character.
    #[error("path must not contain control characters")]
    Control,
}

impl Path {
    /// Parses the encoded path of a request, without its leading `/v1/`.
    ///
    /// Percent-encoding is undone exactly once (RFC 3986 §2.4); an encoded slash separates like a plain one, because
    /// generated clients encode the slashes of a path parameter. A stray `%` stays literal.
    pub fn from_encoded(raw: &str) -> Result<Self, PathError> {
        if raw.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let decoded = percent_decode(raw.as_bytes()).decode_utf8().map_err(|_| PathError::NotUtf8)?;
        Self::parse(&decoded)
    }

    /// Parses a path that is not percent-encoded, as in a JSON body or on a command line.
    pub fn parse(decoded: &str) -> Result<Self, PathError> {
        if decoded.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        if decoded.chars().any(is_invisible) {
            return Err(PathError::Control);
        }
        let (text, folder) = match decoded.strip_suffix('/') {
            Some(text) => (text, true),
            None => (decoded, decoded.is_empty()),
        };
        if !text.is_empty() {
            for (index, segment) in text.split('/').enumerate() {
                match segment {
                    "" => return Err(PathError::EmptySegment),
                    "." | ".." => return Err(PathError::Relative),
                    _ if index >= MAX_SEGMENTS => return Err(PathError::TooLong),
                    _ => {}
                }
            }
        } else if folder && !decoded.is_empty() {
            return Err(PathError::EmptySegment);
        }
        Ok(Self { text: text.to_owned(), folder })
    }

    /// The canonical text, without a trailing slash. Empty for the root.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the input ended with a slash (or was empty).
    pub fn is_folder(&self) -> bool {
        self.folder
    }

    /// The segments in order; none for the root.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').filter(|segment| !segment.is_empty())
    }

    /// What follows `prefix` when this path lies at or below it, compared by whole segments; `prefix` may end with a
    /// slash.
    pub fn below<'a>(&'a self, prefix: &str) -> Option<&'a str> {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if prefix.is_empty() {
            return Some(&self.text);
        }
        let rest = self.text.strip_prefix(prefix)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }
}

/// Characters that no name may hold: controls, and the format characters that hide or reorder what a person reads.
pub(crate) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{fffd}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({:?}{})", self.text, if self.folder { "/" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Path, PathError};

    fn text(raw: &str) -> Result<String, PathError> {
        Path::from_encoded(raw).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn encodings_of_one_path_are_one_path() {
        for raw in ["secret/data/a b", "secret/data/a%20b", "secret%2Fdata%2fa b", "secret/data/%61%20b/"] {
            assert_eq!(text(raw).as_deref(), Ok("secret/data/a b"), "{raw}");
        }
    }

    #[test]
    fn relative_and_empty_segments_are_refused_in_every_encoding() {
        for raw in ["a/../b", "a/%2e%2e/b", "a%2f..%2fb", "./a", "a/.", "a/%2e"] {
            assert_eq!(text(raw), Err(PathError::Relative), "{raw}");
        }
        for raw in ["a//b", "a/%2fb", "/a", "%2fa", "a//", "/"] {
            assert_eq!(text(raw), Err(PathError::EmptySegment), "{raw}");
        }
    }

    #[test]
    fn control_characters_and_bad_utf8_are_refused() {
        for raw in ["a%00b", "a%0d%0ab", "a%7fb", "a%e2%80%8bb", "a%c2%85"] {
            assert_eq!(text(raw), Err(PathError::Control), "{raw}");
        }
        assert_eq!(text("a%ff"), Err(PathError::NotUtf8));
    }

    #[test]
    fn decoding_happens_once() {
        assert_eq!(text("a%252e%252e").as_deref(), Ok("a%2e%2e"));
        assert_eq!(text("a%2").as_deref(), Ok("a%2"));
    }

    #[test]
    fn long_paths_are_refused_before_any_work() {
        assert_eq!(text(&"a".repeat(60_000)), Err(PathError::TooLong));
        assert_eq!(text(&"a/".repeat(200)), Err(PathError::TooLong));
    }

    #[test]
    fn below_compares_whole_segments() {
        let path = Path::parse("secret/data/app").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(path.below("secret/"), Some("data/app"));
        assert_eq!(path.below("secret/data/app"), Some(""));
        assert_eq!(path.below("sec"), None);
        assert_eq!(path.below(""), Some("secret/data/app"));
    }

    proptest! {
        #[test]
        fn a_canonical_path_parses_to_itself(raw in "\\PC{0,40}") {
            if let Ok(path) = Path::parse(&raw) {
                prop_assert_eq!(Path::parse(path.as_str()).map(|again| again.text), Ok(path.text.clone()));
                prop_assert!(!path.text.starts_with('/') && !path.text.ends_with('/') && !path.text.contains("//"));
            }
        }

        #[test]
        fn encoding_never_changes_what_is_parsed(raw in "[a-z./ %-]{0,30}") {
            let encoded = percent_encoding::utf8_percent_encode(&raw, percent_encoding::NON_ALPHANUMERIC).to_string();
            prop_assert_eq!(Path::from_encoded(&encoded), Path::parse(&raw));
        }
    }
}
