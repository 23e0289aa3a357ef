//! Long runs of letters and digits that are base64 or hex of text.

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::packed::Room;
use super::{Encoded, Notation, is_readable, packed};
use crate::text;

/// Shortest run that is tried. What is shorter says less than twelve bytes.
const MIN_RUN: usize = 16;

/// Fewest digits that are taken for hex of text.
const MIN_HEX: usize = 32;

/// Shortest line of base64 that may go on in the next one.
const MIN_WRAPPED: usize = 60;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Calls `visit` with each run of `text` that starts before `until` and says something readable, in order.
pub(super) fn each(text: &[u8], until: usize, room: &mut Room<'_>, mut visit: impl FnMut(Encoded)) {
    let mut at = 0;
    // Lines before this place were tried together.
    let mut tried = 0;
    // A run of sixteen has a byte at every sixteenth place: most of a text is passed over without being looked at.
    while let Some(byte) = text.get(at + MIN_RUN - 1).filter(|_| at < until) {
        let probe = at + MIN_RUN - 1;
        if !is_of_run(byte) {
            at = probe + 1;
            continue;
        }
        let before = text.get(at..probe).unwrap_or_default();
        let start = before.iter().rposition(|byte| !is_of_run(byte)).map_or(at, |last| at + last + 1);
        let run = start..probe + length(text.get(probe..).unwrap_or_default());
        at = run.end;
        if run.len() < MIN_RUN {
            continue;
        }
        let lines = if run.start >= tried { wrapped(text, &run) } else { run.clone() };
        if lines.end > run.end {
            tried = lines.end;
            let joined: Vec<u8> = text
                .get(lines.clone())
                .unwrap_or_default()
                .iter()
                .copied()
                .filter(|byte| !byte.is_ascii_whitespace())
                .collect();
            if let Some((decoded, is_packed)) = base64_of(&joined, room) {
                at = lines.end;
                visit(Encoded { span: padded(text, lines), notation: Notation::Base64, is_packed, decoded });
                continue;
            }
        }
        if let Some(encoded) = decode(text, &run, room) {
            visit(encoded);
            continue;
        }
        // A name before it, or a path that it is part of.
        let mut from = run.start;
        for piece in text.get(run.clone()).unwrap_or_default().split(|byte| !byte.is_ascii_alphanumeric()) {
            let span = from..from + piece.len();
            from = span.end + 1;
            if span.len() >= MIN_RUN
                && span != run
                && let Some(encoded) = decode(text, &span, room)
            {
                visit(encoded);
            }
        }
    }
}

fn is_of_run(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// How many bytes at the start of `text` are of a run.
fn length(text: &[u8]) -> usize {
    text.iter().position(|byte| !is_of_run(byte)).unwrap_or(text.len())
}

/// `run` with the lines below it that go on where it ends: all as long as it is but the last.
fn wrapped(text: &[u8], run: &Range<usize>) -> Range<usize> {
    let mut end = run.end;
    if run.len() < MIN_WRAPPED || !run.len().is_multiple_of(4) {
        return run.clone();
    }
    loop {
        let rest = text.get(end..).unwrap_or_default();
        let rest = rest.strip_prefix(b"\r").unwrap_or(rest);
        let Some(line) = rest.strip_prefix(b"\n") else { break };
        let line = line.get(line.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(line.len())..);
        let line = line.unwrap_or_default();
        let more = length(line);
        if more == 0 || more > run.len() {
            break;
        }
        end = text.len() - line.len() + more;
        if more < run.len() {
            break;
        }
    }
    run.start..end
}

/// `run` with the padding after it.
fn padded(text: &[u8], run: Range<usize>) -> Range<usize> {
    let padding = text.get(run.end..).unwrap_or_default().iter().take(2).take_while(|byte| **byte == b'=').count();
    run.start..run.end + padding
}

fn decode(text: &[u8], run: &Range<usize>, room: &mut Room<'_>) -> Option<Encoded> {
    let bytes = text.get(run.clone())?;
    let digits = bytes.strip_prefix(b"0x").unwrap_or(bytes);
    if digits.len() >= MIN_HEX
        && digits.len().is_multiple_of(2)
        && digits.iter().all(u8::is_ascii_hexdigit)
        && let Some((decoded, is_packed)) = hex::decode(digits).ok().and_then(|bytes| readable(bytes, room))
    {
        return Some(Encoded { span: run.clone(), notation: Notation::Hex, is_packed, decoded });
    }
    let (decoded, is_packed) = base64_of(bytes, room)?;
    Some(Encoded { span: padded(text, run.clone()), notation: Notation::Base64, is_packed, decoded })
}

/// What a run without padding says in base64, if that is text, and whether it was compressed.
fn base64_of(run: &[u8], room: &mut Room<'_>) -> Option<(Vec<u8>, bool)> {
    let engine = if run.iter().any(|byte| matches!(byte, b'-' | b'_')) { &URL_SAFE } else { &STANDARD };
    // Nearly all runs are words or numbers, which a look at the first bytes tells.
    let mut head = [0; 12];
    engine.decode_slice(run.get(..MIN_RUN)?, &mut head).ok()?;
    let likely = head.iter().filter(|byte| matches!(byte, 0 | b'\t' | b'\n' | b'\r' | b' '..=b'~')).count();
    if likely < 9 && !packed::is_packed(&head) {
        return None;
    }
    // A single character more cannot be the whole of anything.
    let whole = run.len() - usize::from(run.len() % 4 == 1);
    readable(engine.decode(run.get(..whole)?).ok()?, room)
}

/// `bytes` as text, out of compressed data and from UTF-16 if they are that; and whether they were compressed.
fn readable(bytes: Vec<u8>, room: &mut Room<'_>) -> Option<(Vec<u8>, bool)> {
    let is_packed = packed::is_packed(&bytes);
    let bytes = if is_packed { packed::unpack(&bytes, room) } else { bytes };
    let text = match text::from_wide(&bytes) {
        Some(text) => text,
        None => bytes,
    };
    is_readable(&text).then_some((text, is_packed))
}
