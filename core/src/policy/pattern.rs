//! Path patterns: exact, `prefix*`, and `+` for one whole segment. Matching is linear in the path, without backtracking.

use std::cmp::Reverse;

use crate::path::Path;

/// Why a pattern was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing to match.
    #[error("a path is empty")]
    Empty,
    /// `*` in the middle would be read as a plain character, which nobody means.
    #[error("\"*\" stands only at the end of a path; \"+\" stands for one segment")]
    Star,
    /// `+*` has no meaning.
    #[error("\"+*\" is not a wildcard; use \"+/*\" or \"*\"")]
    PlusStar,
    /// No canonical path could ever match, so a deny would silently protect nothing.
    #[error("a path that no request can have: empty or relative segments, control characters, or too long")]
    Unreachable,
    /// `{{` without `}}` or the other way round.
    #[error("a template without its closing braces")]
    OpenTemplate,
    /// Not one of the values that a template can name.
    #[error(
        "an unknown template; known are identity.entity.*, identity.groups.*, token.display_name, token.metadata.*"
    )]
    UnknownTemplate,
}

/// A checked pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    pub(super) shape: Shape,
    /// Ends with a slash: names the listing of a folder.
    pub(super) folder: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// The path, without a trailing slash.
    Exact(String),
    /// What stands before the `*`.
    Prefix(String),
    /// Segment by segment; `tail` is what the segment before a final `*` begins with.
    Segments { segments: Vec<Segment>, tail: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Any,
    Is(String),
}

/// What makes a pattern more specific than another; the greater one decides.
pub(super) type Rank<'a> = (usize, bool, Reverse<usize>, usize, &'a str);

impl Pattern {
    /// Parses a pattern without templates. A leading slash is dropped: no path has one.
    pub(super) fn parse(written: &str) -> Result<Self, PatternError> {
        let text = written.strip_prefix('/').unwrap_or(written);
        let (body, glob) = match text.strip_suffix('*') {
            Some(body) => (body, true),
            None => (text, false),
        };
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if body.contains('*') {
            return Err(PatternError::Star);
        }
        if glob && (body == "+" || body.ends_with("/+")) {
            return Err(PatternError::PlusStar);
        }
        // A prefix may end within a segment: judge it as part of a path that it matches.
        let sample = if glob { format!("{body}x") } else { body.to_owned() };
        Path::parse(&sample).map_err(|_| PatternError::Unreachable)?;
        let bare = if glob { body } else { body.strip_suffix('/').unwrap_or(body) };
        let folder = !glob && bare.len() < body.len();
        let shape = if bare.split('/').any(|segment| segment == "+") {
            let mut segments: Vec<_> = bare.split('/').collect();
            let tail = if glob { segments.pop().map(str::to_owned) } else { None };
            let segments = segments
                .into_iter()
                .map(|segment| if segment == "+" { Segment::Any } else { Segment::Is(segment.to_owned()) })
                .collect();
            Shape::Segments { segments, tail }
        } else if glob {
            Shape::Prefix(bare.to_owned())
        } else {
            Shape::Exact(bare.to_owned())
        };
        Ok(Self { text: text.to_owned(), shape, folder })
    }

    /// The pattern `*`.
    pub(super) fn everything() -> Self {
        Self { text: "*".to_owned(), shape: Shape::Prefix(String::new()), folder: false }
    }

    /// The text, without a leading slash. Two patterns with the same text are one rule.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands in front in [`Pattern::rank`]: how specific a pattern is, whatever its text.
    pub(super) fn specificity(&self) -> (usize, bool, Reverse<usize>) {
        let (literal, whole, wildcards, ..) = self.rank();
        (literal, whole, wildcards)
    }

    /// Vault's order of the patterns with wildcards.
    pub(super) fn rank(&self) -> Rank<'_> {
        let body = self.text.strip_suffix('*').unwrap_or(&self.text);
        match &self.shape {
            Shape::Exact(_) => (usize::MAX, true, Reverse(0), body.len(), body),
            Shape::Prefix(prefix) => (prefix.len(), false, Reverse(0), body.len(), body),
            Shape::Segments { segments, tail } => {
                let literal = segments.iter().map_while(|segment| match segment {
                    Segment::Is(text) => Some(text.len() + 1),
                    Segment::Any => None,
                });
                let plus = segments.iter().filter(|segment| **segment == Segment::Any).count();
                (literal.sum(), tail.is_none(), Reverse(plus), body.len(), body)
            }
        }
    }
}

/// Whether segments match a path's text; with `listing`, a final `*` also matches the folder that it stands in.
pub(super) fn segments_match(segments: &[Segment], tail: Option<&str>, text: &str, listing: bool) -> bool {
    let mut parts = text.split('/');
    for segment in segments {
        let Some(part) = parts.next() else { return false };
        let fits = match segment {
            Segment::Any => !part.is_empty(),
            Segment::Is(text) => part == text,
        };
        if !fits {
            return false;
        }
    }
    match (tail, parts.next()) {
        (None, rest) => rest.is_none(),
        (Some(tail), Some(part)) => part.starts_with(tail),
        (Some(tail), None) => listing && tail.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Pattern, PatternError};

    #[test]
    fn patterns_that_could_never_match_are_refused() {
        for (written, error) in [
            ("", PatternError::Empty),
            ("/", PatternError::Empty),
            ("secret/*/key", PatternError::Star),
            ("secret/**", PatternError::Star),
            ("+*", PatternError::PlusStar),
            ("secret/+*", PatternError::PlusStar),
            ("secret//key", PatternError::Unreachable),
            ("secret/../key", PatternError::Unreachable),
            ("secret/..//*", PatternError::Unreachable),
            ("secret/\u{7}", PatternError::Unreachable),
        ] {
            assert_eq!(Pattern::parse(written), Err(error), "{written:?}");
        }
        for written in ["*", "secret/.*", "a+b/c+", "+", "+/+/*", "/secret/key", "secret/"] {
            assert!(Pattern::parse(written).is_ok(), "{written:?}");
        }
    }

    #[test]
    fn the_order_of_patterns_is_vaults() {
        // Each is more specific than the next; the pairs are those of Vault's documentation.
        let ordered =
            ["secret/a/b", "secret/a/*", "secret/+/b", "secret/+/+", "secret/*", "secret/+/b/*", "secret/+/*", "*"];
        let patterns: Vec<_> = ordered.iter().map(|written| Pattern::parse(written).unwrap()).collect();
        for pair in patterns.windows(2) {
            let [first, second] = pair else { continue };
            assert!(first.rank() > second.rank(), "{} {}", first.as_str(), second.as_str());
        }
    }
}
