//! Values that the name of their provider tells: where such a value may stand around the name, and what delimits it.

use std::ops::Range;

use memchr::memchr;
use regex::bytes::Regex;

use crate::name;

/// A value on the name's own line starts at most so many bytes after the whole name.
const SAME_LINE_BYTES: usize = 40;

/// A value on the line after the name's starts at most so many bytes after the start of that line.
const NEXT_LINE_BYTES: usize = 120;

/// Longest value.
const MAX_VALUE_BYTES: usize = 2048;

/// Where values may start that belong to the name at `name` of `text`: on its line, and on the next one. None if what stands
/// there is merely a part of another word.
pub(crate) fn windows(text: &[u8], name: Range<usize>) -> [Option<Range<usize>>; 2] {
    if !is_word(text, &name) {
        return [None, None];
    }
    let after = name.end + name::at(text.get(name.end..).unwrap_or_default()).len();
    let near = (after + SAME_LINE_BYTES).min(text.len());
    let newline = |from: usize, to: usize| text.get(from..to).and_then(|part| memchr(b'\n', part)).map(|at| from + at);
    let end = newline(after, near);
    let same = (name.end < end.unwrap_or(near)).then_some(name.end..end.unwrap_or(near));
    let end = end.or_else(|| newline(near, (near + MAX_VALUE_BYTES).min(text.len())));
    let next = end.map(|end| {
        let far = (end + 1 + NEXT_LINE_BYTES).min(text.len());
        end..newline(end + 1, far).unwrap_or(far)
    });
    [same, next.filter(|range| range.len() > 1)]
}

/// Whether the letters at `name` are a word, or several, by themselves: `boxToken`, `BOX_KEY`, not `checkbox`; behind a
/// long name anything may follow.
fn is_word(text: &[u8], name: &Range<usize>) -> bool {
    const UNMISTAKABLE_BYTES: usize = 5;
    let byte = |at: Option<usize>| at.and_then(|at| text.get(at)).copied().unwrap_or(b' ');
    let (before, first) = (byte(name.start.checked_sub(1)), byte(Some(name.start)));
    let (last, after) = (byte(name.end.checked_sub(1)), byte(Some(name.end)));
    let starts = !before.is_ascii_alphabetic() || (before.is_ascii_lowercase() && first.is_ascii_uppercase());
    let ends = !after.is_ascii_alphabetic() || (last.is_ascii_lowercase() && after.is_ascii_uppercase());
    let continues = || name::starts_with_credential(text.get(name.end..).unwrap_or_default());
    starts && (name.len() >= UNMISTAKABLE_BYTES || ends || continues())
}

/// The values in `text` that start in `window` behind a delimiter and end before one. `regex` is the pattern of a rule in short form.
pub(crate) fn values(regex: &Regex, text: &[u8], window: Range<usize>) -> Vec<Range<usize>> {
    let mut values = Vec::new();
    // The delimiter counts as part of the window.
    let far = window.end.saturating_add(MAX_VALUE_BYTES).min(text.len());
    let Some(part) = text.get(window.start..far) else { return values };
    let mut from = 0;
    while let Some(group) = regex.captures_at(part, from).and_then(|captures| captures.get(1)) {
        let value = window.start + group.start()..window.start + group.end();
        if value.start >= window.end || value.is_empty() {
            break;
        }
        from = group.end();
        let is_digest = || name::is_of_digest(assigned_to(text, value.start)) || is_digest_by_place(text, &value);
        if ends_whole(text, value.end) && !is_digest() {
            values.push(value);
        }
    }
    values
}

/// Whether a value can end at `end` of `text`. A dot may end a sentence.
fn ends_whole(text: &[u8], end: usize) -> bool {
    let word = |at: usize| text.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    match text.get(end) {
        Some(b'+' | b'/' | b'=' | b'-') => false,
        Some(b'.') => !word(end + 1),
        _ => !word(end),
    }
}

/// Whether `value` stands where digests of files do: behind the `#` of an address, or before two blanks and a file's name.
fn is_digest_by_place(text: &[u8], value: &Range<usize>) -> bool {
    let bytes = text.get(value.clone()).unwrap_or_default();
    if !matches!(bytes.len(), 32 | 40 | 56 | 64 | 96 | 128) || !bytes.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    let before = text.get(value.start.saturating_sub(200)..value.start).unwrap_or_default();
    let address = before.strip_suffix(b"#").and_then(|before| before.rsplit(u8::is_ascii_whitespace).next());
    if address.is_some_and(|address| memchr::memmem::find(address, b"://").is_some()) {
        return true;
    }
    let after = text.get(value.end..).unwrap_or_default();
    let name = after.strip_prefix(b"  ").or_else(|| after.strip_prefix(b" *"));
    name.and_then(<[u8]>::first).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'_'))
}

/// The name that the value at `start` of `text` is directly assigned to; empty if there is none.
fn assigned_to(text: &[u8], start: usize) -> &[u8] {
    const OPERATORS: &[u8] = b" \t\"'`:=>";
    let before = text.get(start.saturating_sub(80)..start).unwrap_or_default();
    let end = before.iter().rposition(|byte| !OPERATORS.contains(byte)).map_or(0, |at| at + 1);
    let before = before.get(..end).unwrap_or_default();
    before.get(before.len() - name::before(before)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use crate::matcher::Matcher;
    use crate::rule;

    const KEY: &str = "3f0e9ab1c7d248561b0c9e8f7a6d5c4b";

    #[test]
    fn digests_of_files_are_no_credentials_of_what_the_files_are_called() {
        for text in [
            format!("{KEY}  adafruit-1.2.tar.gz"),
            format!("echo \"{KEY} *adafruit.zip\" | md5sum -c"),
            format!("resolved \"https://registry.test/adafruit/-/adafruit-1.2.tgz#{KEY}\""),
            format!("adafruit.test/io v1.2.3 h1:{KEY}"),
            format!("{{ \"repo\": \"adafruit\", \"rev\": \"{KEY}\" }}"),
        ] {
            assert_eq!(found(&text), [""; 0], "{text}");
        }
        for text in [format!("adafruit_key = {KEY} # of the board"), format!("adafruit: {KEY}")] {
            assert_eq!(found(&text), [KEY], "{text}");
        }
    }

    /// What a rule for 32 hexadecimal digits near `box` or `adafruit` finds.
    fn found(text: &str) -> Vec<String> {
        let rules = "[[assigned]]\nid = \"adafruit-key\"\ndescription = \"d\"\nnames = [\"adafruit\", \"box\"]\nvalue = '[0-9a-f]{32}'\n";
        let matcher = Matcher::new(rule::parse(rules).unwrap());
        matcher.hits(text.as_bytes()).into_iter().map(|hit| text[hit.secret].to_owned()).collect()
    }

    #[test]
    fn a_value_is_found_behind_the_name_that_it_is_assigned_to_and_near_the_name_alone() {
        for text in [
            "ADAFRUIT_IO_KEY=@",
            "adafruit.apiKey: '@'",
            "new Adafruit(\"user\", \"@\")",
            "# adafruit\nkey = @",
            "<id>{adafruit}</id>\n   <secret>{@}</secret>",
            "adafruit_a_very_long_name_of_a_setting_in_a_file_of_configuration = @.",
            "let boxToken = `@`;",
            "BOX_KEY=@\r\n",
            "boxtoken @",
            "adafruit-SECRET-@",
        ] {
            assert_eq!(found(&text.replace('@', KEY)), [KEY], "{text}");
        }
    }

    #[test]
    fn a_value_elsewhere_or_within_another_word_is_none() {
        for text in [
            "key = @",
            "adafruit\n\nkey = @",
            "@ adafruit",
            "adafruit@",
            "adafruit = a@",
            "adafruit = @0",
            "adafruit = @/x",
            "adafruit = lib/@",
            "adafruit: this text is longer than forty bytes: @",
            "checkbox = @",
            "boxes = @",
            "adafruit_sha256 = \"@\"",
            "adafruit-lib:\n  integrity: @",
        ] {
            assert!(found(&text.replace('@', KEY)).is_empty(), "{text}");
        }
        assert!(found(&format!("adafruit_key = {}", "0".repeat(32))).is_empty());
        assert!(found(&format!("uses: adafruit/action@{KEY}")).is_empty());
    }

    #[test]
    fn two_values_behind_one_name_are_two_findings() {
        assert_eq!(found(&format!("adafruit {KEY},{}", KEY.replace('3', "4"))).len(), 2);
    }
}
