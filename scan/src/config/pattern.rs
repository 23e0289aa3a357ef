//! Regular expressions of configurations: Go's syntax and meaning (RE2), written so that the `regex` crate takes them.
//!
//! What differs: `\w \d \s \b` know ASCII only; a `{` that starts no count is itself; brackets and `&&`, `--`, `~~` in a
//! class are themselves; any punctuation may be escaped; `\Q…\E` quotes.

use regex::bytes::{Regex, RegexBuilder};

/// Most memory that one compiled pattern may take.
const MAX_COMPILED_BYTES: usize = 16 << 20;

/// Longest pattern; lists of them are joined by `|` and may be longer.
const MAX_PATTERN_BYTES: usize = 256 << 10;

/// Compiles `pattern`, which is in Go's syntax.
pub(crate) fn compile(pattern: &str) -> Result<Regex, PatternError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(PatternError::TooLong);
    }
    RegexBuilder::new(&translate(pattern))
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES / 8)
        .build()
        .map_err(|error| PatternError::of(&error))
}

/// Compiles `patterns` to one that matches where any of them does; `None` without patterns.
pub(crate) fn compile_any(patterns: &[String]) -> Result<Option<Regex>, PatternError> {
    // Each by itself first: a fault is then not blamed on a neighbour, and no group can be closed by the next one.
    for pattern in patterns {
        compile(pattern)?;
    }
    match patterns {
        [] => Ok(None),
        [only] => compile(only).map(Some),
        several => {
            let joined: Vec<String> = several.iter().map(|pattern| format!("(?:{pattern})")).collect();
            compile(&joined.join("|")).map(Some)
        }
    }
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Longer than any pattern of a person.
    #[error("the pattern is longer than {MAX_PATTERN_BYTES} bytes")]
    TooLong,
    /// Takes too much memory when compiled: counts like `{1000}` within each other do.
    #[error("the pattern takes more than {MAX_COMPILED_BYTES} bytes when compiled: use smaller counts")]
    TooLarge,
    /// No regular expression, in one line.
    #[error("{0}")]
    Syntax(String),
}

impl PatternError {
    fn of(error: &regex::Error) -> Self {
        match error {
            regex::Error::CompiledTooBig(_) => Self::TooLarge,
            // Several lines that show the place in the pattern; the last one says what is wrong with it.
            error => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                Self::Syntax(last.trim_start_matches("error: ").to_owned())
            }
        }
    }
}

/// `pattern` in the syntax of the `regex` crate. What is wrong in Go's syntax stays wrong.
fn translate(pattern: &str) -> String {
    let mut to = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(char) = rest.chars().next() {
        match char {
            '\\' => rest = escape(rest, false, &mut to),
            '[' => rest = class(rest, &mut to),
            '{' if !starts_count(rest) => {
                to.push_str(r"\{");
                rest = after(rest, 1);
            }
            _ => {
                to.push(char);
                rest = after(rest, char.len_utf8());
            }
        }
    }
    to
}

/// Whether `rest` starts with a count such as `{3}`, `{3,}` or `{3,5}`.
fn starts_count(rest: &str) -> bool {
    let Some((inside, _)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { return false };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match inside.split_once(',') {
        None => number(inside),
        Some((from, to)) => number(from) && (to.is_empty() || number(to)),
    }
}

/// Translates the escape that `rest` starts with; returns what follows it.
fn escape<'a>(rest: &'a str, in_class: bool, to: &mut String) -> &'a str {
    let Some(char) = rest.chars().nth(1) else {
        to.push('\\');
        return "";
    };
    let body = match (char, in_class) {
        ('Q', false) => {
            let quoted = after(rest, 2);
            let (literal, rest) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            to.push_str(&regex::escape(literal));
            return rest;
        }
        ('w', false) => "[0-9A-Za-z_]",
        ('w', true) => "0-9A-Za-z_",
        ('W', _) => "[^0-9A-Za-z_]",
        ('d', false) => "[0-9]",
        ('d', true) => "0-9",
        ('D', _) => "[^0-9]",
        ('s', false) => r"[\t\n\x0C\r\x20]",
        ('s', true) => r"\t\n\x0C\r\x20",
        ('S', _) => r"[^\t\n\x0C\r\x20]",
        ('b', false) => r"(?-u:\b)",
        ('B', false) => r"(?-u:\B)",
        // To the `regex` crate these are the bounds of a word.
        ('<', _) => "<",
        ('>', _) => ">",
        // A number or a name of a class in braces goes with its letter.
        ('x' | 'p' | 'P', _) if after(rest, 2).starts_with('{') => {
            let end = rest.find('}').map_or(rest.len(), |at| at + 1);
            to.push_str(rest.get(..end).unwrap_or_default());
            return after(rest, end);
        }
        _ => {
            to.push('\\');
            to.push(char);
            return after(rest, 1 + char.len_utf8());
        }
    };
    to.push_str(body);
    after(rest, 2)
}

/// Translates the class that `rest` starts with; returns what follows it.
fn class<'a>(rest: &'a str, to: &mut String) -> &'a str {
    to.push('[');
    let mut rest = after(rest, 1);
    if let Some(inverted) = rest.strip_prefix('^') {
        to.push('^');
        rest = inverted;
    }
    let mut first = true;
    // Whether a `-` that comes next stands between the ends of a range.
    let mut after_item = false;
    while let Some(char) = rest.chars().next() {
        match char {
            ']' if !first => {
                to.push(']');
                return after(rest, 1);
            }
            '[' if rest.starts_with("[:") && rest.contains(":]") => {
                let end = rest.find(":]").map_or(rest.len(), |at| at + 2);
                to.push_str(rest.get(..end).unwrap_or_default());
                rest = after(rest, end);
                after_item = false;
            }
            '\\' => {
                rest = escape(rest, true, to);
                after_item = true;
            }
            '-' if after_item && !after(rest, 1).starts_with(']') => {
                to.push('-');
                rest = after(rest, 1);
                // The end of the range is an item; what follows it starts anew.
                if let Some(end) = rest.chars().next() {
                    if end == '\\' {
                        rest = escape(rest, true, to);
                    } else {
                        push_literal(end, to);
                        rest = after(rest, end.len_utf8());
                    }
                }
                after_item = false;
            }
            _ => {
                push_literal(char, to);
                rest = after(rest, char.len_utf8());
                after_item = true;
            }
        }
        first = false;
    }
    rest
}

/// A character of a class that stands for itself.
fn push_literal(char: char, to: &mut String) {
    if matches!(char, '[' | ']' | '&' | '~' | '-' | '^') {
        to.push('\\');
    }
    to.push(char);
}

fn after(text: &str, bytes: usize) -> &str {
    text.get(bytes..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn found<'a>(pattern: &str, text: &'a str) -> Option<&'a str> {
        let regex = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        regex.find(text.as_bytes()).map(|found| std::str::from_utf8(found.as_bytes()).unwrap())
    }

    #[test]
    fn what_go_takes_literally_is_literal() {
        for (pattern, text) in [
            (r"{{\w+}}", "{{name}}"),
            (r"\${[^}]+}", "${name}"),
            (r"a{,3}", "a{,3}"),
            (r"x{", "x{"),
            (r"[[]", "["),
            (r"[]a]+", "]a]"),
            (r"[a&&b]+", "a&&b"),
            (r"[~~]+", "~~"),
            (r"[--/]+", "-./"),
            (r"[+--]+", "+,-"),
            (r"[\w.-]+", "a-b.c"),
            (r"[a-]+", "a-"),
            (r"\<b\>", "<b>"),
            (r#"\"\'\-\/\_\@"#, "\"'-/_@"),
            (r"\Qa.b{\E+", "a.b{{"),
            (r"[[:alnum:]_]+", "ab_1"),
            (r"[[:^digit:]]+", "ab"),
            (r"(?i)(?-i:AKIA)[a-z]+", "AKIAxY"),
            (r"(?P<key>k)(?<value>v)", "kv"),
            (r"(?s).+", "a\nb"),
            (r".", "é"),
            (r"[é]", "é"),
            (r"\x41\x{1F600}", "A😀"),
        ] {
            assert_eq!(found(pattern, text), Some(text), "{pattern}");
        }
    }

    #[test]
    fn words_digits_and_blanks_are_those_of_ascii() {
        for (pattern, text) in
            [(r"^\w$", "é"), (r"^\d$", "٣"), (r"^\s$", "\u{a0}"), (r"^\s$", "\u{b}"), (r"^[\w]$", "é"), (r"^\W$", "_")]
        {
            assert_eq!(found(pattern, text), None, "{pattern}");
        }
        assert_eq!(found(r"\bx\b", "éxé"), Some("x"));
        assert_eq!(found(r"^[^\W]+$", "ab"), Some("ab"));
    }

    #[test]
    fn a_refusal_says_why_in_one_line() {
        for (pattern, says) in [
            ("(?=x)", "look-around"),
            (r"(a)\1", "backreference"),
            ("(", "unclosed group"),
            ("[z-a]", "invalid character class range"),
            ("*", "repetition operator missing expression"),
            ("(((a{1000}){1000}){1000})", "use smaller counts"),
        ] {
            let error = compile(pattern).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains('\n'), "{pattern}: {error}");
        }
        assert_eq!(compile(&"x".repeat(MAX_PATTERN_BYTES + 1)).unwrap_err(), PatternError::TooLong);
        assert!(compile_any(&["a)(b".to_owned(), "c".to_owned()]).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_a_refusal(text in r"[\[\](){}^$*+?|\\.a-cQEwdsb:&~é,0-9-]{0,24}") {
            let _ = compile(&text);
        }

        #[test]
        fn a_quoted_text_matches_itself(text in r"[ -~é]{1,20}") {
            prop_assume!(!text.contains(r"\E") && !text.ends_with('\\'));
            prop_assert_eq!(found(&format!(r"\Q{text}\E"), &text), Some(text.as_str()));
        }
    }
}
