//! The forms in which programs print a value: as it is, by line, Base64, percent-encoded, hexadecimal, escaped for
//! JSON and for shells.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use zeroize::{Zeroize as _, Zeroizing};

use super::SHORTEST;

type Form = Zeroizing<Vec<u8>>;

/// RFC 3986's unreserved characters stay.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What JavaScript's `encodeURIComponent` leaves as it is stays too.
const COMPONENT: &AsciiSet = &STRICT.remove(b'!').remove(b'\'').remove(b'(').remove(b')').remove(b'*');

/// What a path keeps stays too.
const PATH: &AsciiSet = &STRICT.remove(b'/');

/// Columns at which tools break Base64: coreutils and MIME, PEM.
const WRAPS: [usize; 2] = [76, 64];

/// All forms of `value`. None is shorter than [`SHORTEST`].
pub(super) fn of(value: &[u8]) -> Vec<Form> {
    let mut forms: Vec<Form> = vec![Zeroizing::new(value.to_vec())];
    lines(value, &mut forms);
    base64(value, &mut forms);
    percent(value, &mut forms);
    let lower = Zeroizing::new(hex::encode(value).into_bytes());
    forms.push(Zeroizing::new(lower.to_ascii_uppercase()));
    forms.push(lower);
    if let Ok(text) = std::str::from_utf8(value) {
        json(text, &mut forms);
        shell(text, &mut forms);
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// Each line of a value of several, and the whole with the line ends that a terminal makes.
fn lines(value: &[u8], forms: &mut Vec<Form>) {
    if !value.contains(&b'\n') {
        return;
    }
    for line in value.split(|byte| *byte == b'\n') {
        forms.push(Zeroizing::new(line.trim_ascii().to_vec()));
    }
    let mut returned = Zeroizing::new(Vec::with_capacity(value.len() * 2));
    for byte in value {
        if *byte == b'\n' {
            returned.push(b'\r');
        }
        returned.push(*byte);
    }
    forms.push(returned);
}

/// Base64 in both alphabets, for a value at any place of what was encoded.
///
/// Three bytes become four characters, so there are three alignments. The characters at the ends that also depend on
/// neighbouring bytes are in the form only where the value ends the text: there its last character is known.
fn base64(value: &[u8], forms: &mut Vec<Form>) {
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for alignment in 0..3_usize {
            let mut shifted = Zeroizing::new(vec![0; alignment]);
            shifted.reserve_exact(value.len());
            shifted.extend_from_slice(value);
            let encoded = Zeroizing::new(engine.encode(&*shifted).into_bytes());
            let first = (alignment * 8).div_ceil(6);
            let certain = shifted.len() * 8 / 6;
            forms.extend(encoded.get(first..certain).map(|core| Zeroizing::new(core.to_vec())));
            let Some(whole) = encoded.get(first..) else { continue };
            forms.push(Zeroizing::new(whole.to_vec()));
            let mut padded = Zeroizing::new(whole.to_vec());
            padded.resize(whole.len() + (4 - encoded.len() % 4) % 4, b'=');
            for columns in WRAPS.into_iter().filter(|columns| alignment == 0 && certain > *columns) {
                let core = whole.get(..certain).unwrap_or(whole);
                forms.push(Zeroizing::new(core.chunks(columns).collect::<Vec<_>>().join(&b'\n')));
                forms.push(Zeroizing::new(padded.chunks(columns).collect::<Vec<_>>().join(&b'\n')));
                forms.push(Zeroizing::new(core.chunks(columns).collect::<Vec<_>>().join(&b"\r\n"[..])));
            }
            forms.push(padded);
        }
    }
}

fn percent(value: &[u8], forms: &mut Vec<Form>) {
    for set in [STRICT, COMPONENT, PATH] {
        let upper: Form = Zeroizing::new(percent_encode(value, set).to_string().into_bytes());
        let mut lower = upper.clone();
        let mut digits = 0;
        for byte in lower.iter_mut() {
            if *byte == b'%' {
                digits = 2;
            } else if digits > 0 {
                digits -= 1;
                byte.make_ascii_lowercase();
            }
        }
        for form in [upper, lower] {
            let mut plus = Zeroizing::new(Vec::with_capacity(form.len()));
            let mut rest = form.as_slice();
            while let Some((byte, after)) = rest.split_first() {
                let space = rest.strip_prefix(b"%20");
                plus.push(if space.is_some() { b'+' } else { *byte });
                rest = space.unwrap_or(after);
            }
            forms.push(plus);
            forms.push(form);
        }
    }
}

/// Inside of a JSON string: as short as can be, with `/` escaped, in ASCII, and safe for HTML, with digits of both cases.
fn json(text: &str, forms: &mut Vec<Form>) {
    for (slash, ascii, html) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (true, true, false),
        (false, false, true),
        (false, true, true),
    ] {
        for upper in [false, true] {
            let mut escaped = Zeroizing::new(String::with_capacity(text.len() * 6));
            for character in text.chars() {
                match character {
                    '"' => escaped.push_str("\\\""),
                    '\\' => escaped.push_str("\\\\"),
                    '\n' => escaped.push_str("\\n"),
                    '\r' => escaped.push_str("\\r"),
                    '\t' => escaped.push_str("\\t"),
                    '\u{8}' => escaped.push_str("\\b"),
                    '\u{c}' => escaped.push_str("\\f"),
                    '/' if slash => escaped.push_str("\\/"),
                    '<' | '>' | '&' if html => push_unit(&mut escaped, character as u16, upper),
                    '\u{2028}' | '\u{2029}' if html => push_unit(&mut escaped, character as u16, upper),
                    '\0'..='\u{1f}' => push_unit(&mut escaped, character as u16, upper),
                    '\u{7f}'.. if ascii => {
                        for unit in character.encode_utf16(&mut [0; 2]) {
                            push_unit(&mut escaped, *unit, upper);
                        }
                    }
                    _ => escaped.push(character),
                }
            }
            forms.push(Zeroizing::new(escaped.as_bytes().to_vec()));
        }
    }
}

fn push_unit(escaped: &mut String, unit: u16, upper: bool) {
    let mut digits = if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
    escaped.push_str(&digits);
    digits.zeroize();
}

/// As `set -x` and `printf %q` print it: inside single quotes, and with a backslash before what a shell would read.
fn shell(text: &str, forms: &mut Vec<Form>) {
    if text.contains('\'') {
        forms.push(Zeroizing::new(text.replace('\'', "'\\''").into_bytes()));
    }
    let mut escaped = Zeroizing::new(String::with_capacity(text.len() * 2));
    for character in text.chars() {
        if character.is_ascii() && !character.is_ascii_alphanumeric() && !"-_./:=+@%,\n".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    forms.push(Zeroizing::new(escaped.as_bytes().to_vec()));
}
