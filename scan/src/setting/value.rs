//! Where the value of a setting ends: in quotes, in an element, at the end of a line or of a word.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::{memchr, memrchr};
use regex::bytes::Regex;

use super::{Form, MAX_SEPARATOR_BYTES, MAX_VALUE_BYTES, compile};

/// Another pair of a line of them.
static PAIR: LazyLock<Option<Regex>> =
    LazyLock::new(|| compile(r#"(?:^|[ \t"'=])[A-Za-z][\w.-]{1,40}=[\w./:@+-]{1,80}(?:[ \t"']|$)"#));

/// What stands before a name that begins a line of configuration.
static LINE_START: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(
        r#"^[ \t]*(?:(?:#|//|;|-|export|ENV|ARG|set|setx|SET|declare -x|\$env:|env\.|[\w./-]+[:=][ \t]*["']?)[ \t]*)?$"#,
    )
});

/// The text of an XML element from `start`, without blanks and braces around it.
pub(super) fn element(text: &[u8], start: usize) -> Option<(Range<usize>, Form)> {
    let rest = text.get(start..(start + MAX_VALUE_BYTES).min(text.len()))?;
    let end = memchr(b'<', rest)?;
    let inner = rest.get(..end)?;
    let value = inner.trim_ascii_end();
    if value.starts_with(b"$") || is_property_name(rest.get(end..).unwrap_or_default()) {
        return None;
    }
    // Jenkins writes `{…}` around what it encrypted.
    if let [b'{', inside @ .., b'}'] = value {
        let inside = inside.trim_ascii_end();
        let lead = inside.iter().rposition(|byte| *byte == b' ').map_or(0, |at| at + 1);
        return Some((start + 1 + lead..start + 1 + inside.len(), Form::Quoted));
    }
    Some((start..start + value.len(), Form::Quoted))
}

/// Whether a name of a property list ends before `rest`: `</key> <true/>`.
fn is_property_name(rest: &[u8]) -> bool {
    const TYPES: &[&[u8]] =
        &[b"<true", b"<false", b"<string", b"<integer", b"<real", b"<date", b"<data", b"<array", b"<dict"];
    let Some(value) = rest.strip_prefix(b"</key>") else { return false };
    let value = value.trim_ascii_start();
    let ends = |rest: &[u8]| rest.first().is_some_and(|byte| matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace());
    TYPES.iter().any(|name| value.strip_prefix(*name).is_some_and(ends))
}

/// The content of the quotes that open at `start`, behind the prefix of a string literal and a scheme such as `Bearer`.
pub(super) fn quoted(text: &[u8], start: usize) -> Option<(Range<usize>, Form)> {
    let rest = text.get(start..(start + MAX_VALUE_BYTES).min(text.len()))?;
    let is_prefix =
        |byte: &&u8| matches!(byte, b'b' | b'r' | b'f' | b'u' | b'B' | b'R' | b'F' | b'U' | b'@' | b'$' | b'L' | b'N');
    let prefix = rest.iter().take(2).take_while(is_prefix).count();
    let escaped = rest.get(prefix) == Some(&b'\\');
    let open = prefix + usize::from(escaped);
    let quote = *rest.get(open).filter(|byte| matches!(byte, b'"' | b'\'' | b'`'))?;
    let triple = rest.get(open..open + 3).is_some_and(|three| three.iter().all(|byte| *byte == quote));
    let from = open + if triple { 3 } else { 1 };
    let content = rest.get(from..)?;
    let mut end = None;
    let mut skip = false;
    for (at, byte) in content.iter().enumerate() {
        match byte {
            b'\n' => break,
            _ if skip => skip = false,
            b'\\' if escaped && content.get(at + 1) == Some(&quote) => {
                end = Some(at);
                break;
            }
            b'\\' => skip = true,
            // A doubled quote is an escape in many languages.
            byte if *byte == quote && at > 0 && !triple && content.get(at + 1) == Some(&quote) => break,
            byte if *byte == quote => {
                end = Some(at);
                break;
            }
            _ => {}
        }
    }
    let whole = content.get(..end?)?;
    // Code that is made by code: `'"…"'`, `"\"…\""`.
    let content = without_inner_quotes(whole);
    let from = from + (whole.len() - content.len()) / 2;
    let scheme = scheme(content);
    let inner = content.get(scheme..)?;
    let value = inner.trim_ascii();
    let lead = inner.len() - inner.trim_ascii_start().len();
    let at = start + from + scheme + lead;
    Some((at..at + value.len(), Form::Quoted))
}

/// What stands between the quotes, escaped or not, that are the first and the last of `content`.
fn without_inner_quotes(content: &[u8]) -> &[u8] {
    [&b"\\\""[..], b"\"", b"\\'", b"'"]
        .iter()
        .find_map(|quote| content.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(content)
}

/// Length of the scheme of an authorization at the start of `value`.
fn scheme(value: &[u8]) -> usize {
    const SCHEMES: &[&[u8]] = &[b"bearer ", b"basic ", b"token ", b"apikey ", b"api-key ", b"key ", b"sso-key "];
    SCHEMES
        .iter()
        .find(|scheme| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map_or(0, |scheme| scheme.len())
}

/// A value without quotes: the rest of a line of configuration, or a word of code.
pub(super) fn bare(text: &[u8], name: &Range<usize>, start: usize) -> Option<(Range<usize>, Form)> {
    let line_start = text.get(..name.start).and_then(|before| memrchr(b'\n', before)).map_or(0, |at| at + 1);
    let line_end = text.get(start..).and_then(|rest| memchr(b'\n', rest)).map_or(text.len(), |at| start + at);
    let rest = text.get(start..line_end.min(start + MAX_VALUE_BYTES)).filter(|rest| !starts_with_quote(rest))?;
    let rest = rest.get(scheme(rest)..).map(|inner| (rest.len() - inner.len(), inner));
    let (skipped, rest) = rest?;
    let start = start + skipped;
    let begins = LINE_START.as_ref().is_some_and(|pattern| {
        text.get(line_start.max(name.start.saturating_sub(200))..name.start).is_some_and(|lead| pattern.is_match(lead))
    });
    let blank = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
    let tail = rest.get(blank..).unwrap_or_default().trim_ascii();
    let whole = tail.is_empty() || tail.starts_with(b"#") || tail.starts_with(b"//") || tail == b"\\";
    if begins && whole {
        let mut value = rest.get(..blank)?;
        // `Environment="NAME=value"`: the quote before the name ends behind the value.
        let quote = name.start.checked_sub(1).and_then(|at| text.get(at)).filter(|byte| matches!(byte, b'"' | b'\''));
        if let (Some(quote), Some((last, inner))) = (quote, value.split_last())
            && quote == last
        {
            value = inner;
        }
        if !value.ends_with(b";") && !value.ends_with(b",") && !is_call(value) {
            return Some((start..start + value.len(), Form::Line));
        }
    }
    let word = word_at(text, start);
    let form = if is_pair(text, name, &word) { Form::Line } else { Form::Bare };
    Some((word, form))
}

/// Whether a line of settings holds `NAME=value`, without blanks, between others such: a line of an inventory, of a unit of
/// systemd, of a connection string, or the environment in front of a command.
fn is_pair(text: &[u8], name: &Range<usize>, value: &Range<usize>) -> bool {
    let is_edge =
        |byte: Option<&u8>| byte.is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\''));
    let before = name.start.checked_sub(1).and_then(|at| text.get(at));
    let bytes = text.get(name.clone()).unwrap_or_default();
    let follows = text.get(value.end..(value.end + MAX_SEPARATOR_BYTES).min(text.len())).unwrap_or_default();
    let lead = text.get(name.start.saturating_sub(MAX_SEPARATOR_BYTES)..name.start).unwrap_or_default();
    let lead = lead.get(memrchr(b'\n', lead).map_or(0, |at| at + 1)..).unwrap_or_default();
    let rest = follows.get(..memchr(b'\n', follows).unwrap_or(follows.len())).unwrap_or_default();
    let of_command = lead.is_empty() && bytes.iter().all(|byte| !byte.is_ascii_lowercase());
    name.end + 1 == value.start
        && text.get(name.end) == Some(&b'=')
        && (is_edge(before) || before == Some(&b'='))
        && is_edge(text.get(value.end))
        && (of_command || PAIR.as_ref().is_some_and(|pair| pair.is_match(lead) || pair.is_match(rest)))
}

pub(super) fn starts_with_quote(text: &[u8]) -> bool {
    text.first().is_some_and(|byte| matches!(byte, b'"' | b'\'' | b'`' | b'('))
}

/// `getToken()`, `tokens[0]`, `f(x`: a word and an opening bracket, with the closing one at the end or without it.
fn is_call(value: &[u8]) -> bool {
    let Some(open) = value.iter().position(|byte| matches!(byte, b'(' | b'[' | b'{')) else { return false };
    let (word, rest) = value.split_at(open);
    let closes = rest.last().is_some_and(|byte| matches!(byte, b')' | b']' | b'}' | b'(' | b'[' | b'{' | b':'))
        || !rest.iter().any(|byte| matches!(byte, b')' | b']' | b'}'));
    closes
        && word
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'$' | b'-' | b'>'))
}

/// The word at `start`; empty if it goes on as an expression does.
pub(super) fn word_at(text: &[u8], start: usize) -> Range<usize> {
    let rest = text.get(start..(start + MAX_VALUE_BYTES).min(text.len())).unwrap_or_default();
    let ends = |byte: &u8| {
        byte.is_ascii_whitespace()
            || matches!(
                byte,
                b'"' | b'\''
                    | b'`'
                    | b','
                    | b';'
                    | b'<'
                    | b'>'
                    | b'('
                    | b')'
                    | b'['
                    | b']'
                    | b'{'
                    | b'}'
                    | b'|'
                    | b'&'
                    | b'\\'
            )
    };
    let end = rest.iter().position(ends).unwrap_or(rest.len());
    if rest.get(end).is_some_and(|byte| matches!(byte, b'(' | b'[' | b'{')) { start..start } else { start..start + end }
}
