//! What a text says in base64, hex, percent or character escapes, compressed or not: the text once more with that in the
//! clear, and the way back to where it stands.

mod escapes;
mod packed;
mod runs;

use std::ops::Range;

use crate::bounds::Bounds;
use crate::text;
use packed::Room;

/// How many notations are taken off one another unless told otherwise.
pub const DEFAULT_DEPTH: usize = 5;

/// Of a long line so many bytes to both sides of what was decoded are kept.
const AROUND_BYTES: usize = 1 << 10;

/// What a text may be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notation {
    Base64,
    Hex,
    Percent,
    Unicode,
    /// Compressed, within one of the others.
    Packed,
}

impl Notation {
    const ALL: [Self; 5] = [Self::Base64, Self::Hex, Self::Percent, Self::Unicode, Self::Packed];

    fn tag(self) -> &'static str {
        match self {
            Self::Base64 => "decoded:base64",
            Self::Hex => "decoded:hex",
            Self::Percent => "decoded:percent",
            Self::Unicode => "decoded:unicode",
            Self::Packed => "decoded:packed",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A part of a text that says something readable in another notation.
#[derive(Debug, PartialEq, Eq)]
struct Encoded {
    span: Range<usize>,
    notation: Notation,
    /// Whether what it says was compressed as well.
    is_packed: bool,
    decoded: Vec<u8>,
}

/// The lines of a text in which something was decoded, with what it says in its place.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) text: Vec<u8>,
    /// They cover the text without gaps, in order.
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    start: usize,
    /// Where it stands in the text that the layer was made from.
    origin: Range<usize>,
    /// Bits of the notations that were taken off; none: copied as it was.
    notations: u8,
}

/// The notations that were taken off to reach something, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Decoding {
    notations: u8,
    depth: u8,
}

impl Decoding {
    /// As findings carry it.
    pub(crate) fn tags(self) -> impl Iterator<Item = String> {
        let notations = Notation::ALL.into_iter().filter(move |notation| self.notations & notation.bit() != 0);
        let depth = (self.depth > 0).then(|| format!("decode-depth:{}", self.depth));
        notations.map(|notation| notation.tag().to_owned()).chain(depth)
    }
}

impl Layer {
    /// Takes one notation off whatever `text` holds that starts before `until`. `None`: there is nothing to decode.
    ///
    /// The result is no longer than `text`, but for what was compressed in it, which takes of `room`.
    fn of(text: &[u8], until: usize, room: &mut Room<'_>) -> Option<Self> {
        let found = find(text, until, room);
        if found.is_empty() {
            return None;
        }
        let mut layer = Self { text: Vec::new(), pieces: Vec::new() };
        let mut window = 0..0;
        let mut at = 0;
        for Encoded { span, notation, is_packed, decoded } in found {
            if layer.pieces.is_empty() || span.start >= window.end {
                layer.copy(text, at..window.end);
                if !layer.pieces.is_empty() {
                    layer.push(b"\n", window.end..window.end, 0);
                }
                window = surroundings(text, &span, at.max(window.end));
                at = window.start;
            } else {
                window.end = window.end.max(surroundings(text, &span, at).end);
            }
            layer.copy(text, at..span.start);
            at = span.end;
            let packed = if is_packed { Notation::Packed.bit() } else { 0 };
            layer.push(&decoded, span, notation.bit() | packed);
        }
        layer.copy(text, at..window.end);
        Some(layer)
    }

    fn copy(&mut self, text: &[u8], span: Range<usize>) {
        self.push(text.get(span.clone()).unwrap_or_default(), span, 0);
    }

    fn push(&mut self, bytes: &[u8], origin: Range<usize>, notations: u8) {
        if !bytes.is_empty() {
            self.pieces.push(Piece { start: self.text.len(), origin, notations });
            self.text.extend_from_slice(bytes);
        }
    }

    /// Where `span` of this layer stands in the text below, and what was taken off it. A part of what was decoded stands
    /// where all of it does.
    fn below(&self, span: &Range<usize>, decoding: &mut Decoding) -> Option<Range<usize>> {
        let index = |at: usize| self.pieces.partition_point(|piece| piece.start <= at).checked_sub(1);
        let (first, last) = (index(span.start)?, index(span.end.checked_sub(1)?.max(span.start))?);
        let touched = self.pieces.get(first..=last)?;
        let (start, end) = (touched.first()?, touched.last()?);
        let notations = touched.iter().fold(0, |all, piece| all | piece.notations);
        decoding.notations |= notations;
        decoding.depth += u8::from(notations != 0);
        let offset = |piece: &Piece, at: usize| piece.origin.start + (at - piece.start);
        let from = if start.notations != 0 { start.origin.start } else { offset(start, span.start) };
        let to = if end.notations != 0 { end.origin.end } else { offset(end, span.end).min(end.origin.end) };
        Some(from..to.max(from))
    }
}

/// `text` with one notation after another taken off, at most `depth` of them, of what starts before `until`; and whether what is compressed in it expands to
/// too much, so that a part of it is missing.
pub(crate) fn layers(text: &[u8], until: usize, depth: usize, bounds: &Bounds) -> (Vec<Layer>, bool) {
    let mut layers: Vec<Layer> = Vec::new();
    let mut room = Room::of(text, bounds);
    while layers.len() < depth {
        let (below, until) = layers.last().map_or((text, until), |layer| (&layer.text, usize::MAX));
        let Some(layer) = Layer::of(below, until, &mut room) else { break };
        layers.push(layer);
    }
    (layers, room.is_exceeded)
}

/// Where `span` of the last of `layers` stands in each text below it, the nearest first and the first text of all last,
/// with what was taken off. `None` if nothing of it was decoded in the last layer: then it has been seen before.
pub(crate) fn trail(layers: &[Layer], span: &Range<usize>) -> Option<(Vec<Range<usize>>, Decoding)> {
    let mut decoding = Decoding::default();
    let mut trail = Vec::with_capacity(layers.len());
    let mut span = span.clone();
    for layer in layers.iter().rev() {
        span = layer.below(&span, &mut decoding)?;
        if decoding.depth == 0 {
            return None;
        }
        trail.push(span.clone());
    }
    Some((trail, decoding))
}

/// What can be decoded in `text` and starts before `until`, in order; none overlap.
fn find(text: &[u8], until: usize, room: &mut Room<'_>) -> Vec<Encoded> {
    let mut found = Vec::new();
    let mut escapes = escapes::find(text).into_iter().peekable();
    let mut before = None;
    runs::each(text, until, room, |run| {
        while let Some(escape) = escapes.next_if(|escape| escape.span.start < run.span.end) {
            before = Some(escape.span.end);
            found.push(escape);
        }
        // What touches an escape is only a part of what it will be without it.
        let after = escapes.peek().map(|escape| escape.span.start);
        if before < Some(run.span.start) && after != Some(run.span.end) {
            found.push(run);
        }
    });
    found.extend(escapes);
    found.retain(|encoded| encoded.span.start < until);
    found.sort_by_key(|encoded| encoded.span.start);
    found
}

/// Whether `bytes` are text, but for a few.
fn is_readable(bytes: &[u8]) -> bool {
    let bad = bytes.utf8_chunks().map(|chunk| chunk.invalid().len() + controls(chunk.valid())).sum::<usize>();
    !bytes.is_empty() && bad <= bytes.len() / 64
}

fn controls(text: &str) -> usize {
    text.bytes().filter(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace() && *byte != 0x1b).count()
}

/// The lines that `span` touches, from `from` on; of longer ones what lies near.
fn surroundings(text: &[u8], span: &Range<usize>, from: usize) -> Range<usize> {
    let near = span.start.saturating_sub(AROUND_BYTES).max(from)..span.end.saturating_add(AROUND_BYTES).min(text.len());
    let part = text.get(near.clone()).unwrap_or_default();
    let inner = span.start - near.start..span.end - near.start;
    let lines = text::line_bounds(part, &inner);
    near.start + lines.start..near.start + lines.end
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
