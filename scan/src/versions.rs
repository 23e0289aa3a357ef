//! Looks at the versions of files in a history. Of a version that is a delta of one that was looked at only the lines
//! that are new are matched: what was found in the others was found before and is still there.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use gix::{ObjectId, oid};

use crate::coverage::{Coverage, Why};
use crate::delta::Copied;
use crate::forest::{Descent, Visit};
use crate::inspect::{Inspection, Inspector};
use crate::scanner::{Phase, Progress, Scanner};
use crate::seen::{Mark, Seen};
use crate::{inspect, text};

/// What lies around the start of a credential and may speak for it or against it: a name on one of the lines before, other
/// fields of a test vector on either side. So many whole lines, and so many bytes at least.
const AROUND_LINES: usize = 5;
const BEFORE_BYTES: usize = 256;
const AFTER_BYTES: usize = 384;

/// Bytes behind the lines that are matched which a match may reach into: the longest value of a name on them.
const BEYOND_BYTES: usize = 1536;

/// Looks at blobs.
pub(crate) struct Versions<'a> {
    scanner: &'a Scanner,
    seen: &'a Seen,
    /// Whether only new lines are matched. Without it every version is matched whole, which finds the same.
    reuse: bool,
    identity: turnlock_core::finding::FingerprintKey,
    done: AtomicU64,
    bytes: AtomicU64,
    total: u64,
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Sights {
    /// The blobs in which something was seen, with the numbers of what.
    pub(crate) blobs: Vec<(ObjectId, Box<[u32]>)>,
    /// The blobs that could not be looked at.
    pub(crate) missed: Vec<ObjectId>,
    pub(crate) coverage: Coverage,
}

/// What is known of a version that others are made from.
pub(crate) enum Trace {
    /// Its lines can be told apart from each other: the places where something was seen, in order.
    Lines(Vec<Spot>),
    /// A rule that looks beyond the line was tried, or it is no plain text: what is made from it is matched whole.
    Whole,
}

/// Whole lines in which something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    start: usize,
    end: usize,
    mark: u32,
}

impl<'a> Versions<'a> {
    pub(crate) fn new(scanner: &'a Scanner, seen: &'a Seen, total: u64) -> Self {
        let (done, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        // Which line a candidate stands in is not known.
        let reuse = scanner.options.reuse_lines && scanner.options.lookup.is_none();
        Self { scanner, seen, reuse, identity: inspect::identity(), done, bytes, total }
    }

    /// What is seen in a blob, and whether its lines can be told apart.
    fn look(
        &self,
        id: &oid,
        bytes: &[u8],
        from: Option<Descent<'_, Trace>>,
        coverage: &mut Coverage,
    ) -> (Vec<Spot>, bool) {
        let mut spots = Vec::new();
        if !self.scanner.is_plain(bytes) {
            let mut content = self.scanner.look_into(bytes, &HashMap::new());
            content.count(&format!("blob {id}"), coverage);
            self.note(&content.inspection, 0..bytes.len(), &mut spots, |_| Some(0..bytes.len()));
            return (spots, false);
        }
        if let Some(Descent { trace: Trace::Lines(known), base, copied }) = from
            && self.reuse
            && let Some(spots) = self.new_lines(bytes, known, base, copied)
        {
            return (spots, true);
        }
        let (beyond, gaps) = self.match_lines(bytes, 0..bytes.len(), &mut spots);
        for why in gaps {
            coverage.omit(format!("blob {id}"), why);
        }
        (spots, !beyond)
    }

    /// What stands in the lines of `text`: those copied from `base` have what was seen there, the others are matched.
    /// `None` when a rule looks beyond the line.
    fn new_lines(&self, text: &[u8], known: &[Spot], base: &[u8], copied: &[Copied]) -> Option<Vec<Spot>> {
        let mut spots = Vec::new();
        let mut matched = 0;
        for copy in copied.iter().filter_map(|copy| whole_lines(text, base, copy)) {
            if self.match_lines(text, matched..copy.version, &mut spots).0 {
                return None;
            }
            matched = copy.version + copy.length;
            let first = known.partition_point(|spot| spot.start < copy.base);
            let taken = known.get(first..).unwrap_or_default();
            spots.extend(taken.iter().take_while(|spot| spot.start < copy.base + copy.length).map(|spot| Spot {
                start: spot.start - copy.base + copy.version,
                end: spot.end - copy.base + copy.version,
                mark: spot.mark,
            }));
        }
        if self.match_lines(text, matched..text.len(), &mut spots).0 { None } else { Some(spots) }
    }

    /// Matches whole lines of `text`. Whether a rule looks further than matches usually depend on their surroundings,
    /// as it does wherever something is encoded; and whether not all of that was read.
    fn match_lines(&self, text: &[u8], lines: Range<usize>, spots: &mut Vec<Spot>) -> (bool, Vec<Why>) {
        if lines.is_empty() {
            return (false, Vec::new());
        }
        let start = back(text, lines.start).unwrap_or(0);
        let context = start..text::line_bounds(text, &(start..ahead(text, lines.end))).end;
        let part = text.get(context.clone()).unwrap_or_default();
        let end = lines.end - context.start;
        let look = |until| Inspector { until, ..self.scanner.inspector() }.look(part, None, &HashMap::new());
        // What leads to a credential stands in front of it or on its line.
        let mut inspection = look(end);
        if inspection.sightings.iter().any(|seen| seen.span.end > end) {
            // Of what overlaps only the more certain counts, and that may be led to by what stands behind these lines.
            inspection = look(end.saturating_add(BEYOND_BYTES));
        }
        self.note(&inspection, lines.clone(), spots, |span| {
            let span = text::line_bounds(part, span);
            let span = context.start + span.start..context.start + span.end;
            lines.contains(&span.start).then_some(span)
        });
        (inspection.beyond, inspection.gaps)
    }

    /// Adds what was found to `spots`, at the lines that `place` gives; what it gives none for belongs to others.
    fn note(
        &self,
        inspection: &Inspection,
        lines: Range<usize>,
        spots: &mut Vec<Spot>,
        place: impl Fn(&Range<usize>) -> Option<Range<usize>>,
    ) {
        let before = spots.len();
        for sighting in &inspection.sightings {
            if let (Some(rule), Some(span)) = (sighting.rule, place(&sighting.span)) {
                let mark = Mark::Hit(rule, sighting.identity(&self.identity));
                let Some(mark) = self.seen.number(mark, self.scanner.options.max_hits) else {
                    self.scanner.bounds.fill();
                    continue;
                };
                spots.push(Spot { start: span.start, end: span.end, mark });
            }
        }
        for candidate in &inspection.candidates {
            let Some(mark) = self.seen.number(Mark::Candidate(*candidate), u64::MAX) else { continue };
            spots.push(Spot { start: lines.start, end: lines.end, mark });
        }
        if let Some(new) = spots.get_mut(before..) {
            new.sort_unstable_by_key(|spot| (spot.start, spot.mark));
        }
    }

    fn progress(&self, size: usize) {
        let bytes = self.bytes.fetch_add(size as u64, Ordering::Relaxed) + size as u64;
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(256) || done == self.total {
            self.scanner.progress(Progress { phase: Phase::History, done, total: self.total, bytes });
        }
    }
}

impl Visit for Versions<'_> {
    type Trace = Trace;
    type Yield = Sights;

    fn max_bytes(&self) -> u64 {
        self.scanner.options.max_bytes
    }

    fn is_late(&self) -> bool {
        self.scanner.is_late()
    }

    fn visit(&self, id: &oid, bytes: &[u8], from: Option<Descent<'_, Trace>>, to: &mut Sights) -> Trace {
        to.coverage.blobs += 1;
        to.coverage.bytes += bytes.len() as u64;
        self.progress(bytes.len());
        let (spots, lines) = self.look(id, bytes, from, &mut to.coverage);
        if !spots.is_empty() {
            let mut marks: Vec<u32> = spots.iter().map(|spot| spot.mark).collect();
            marks.sort_unstable();
            marks.dedup();
            to.blobs.push((id.to_owned(), marks.into_boxed_slice()));
        }
        if lines { Trace::Lines(spots) } else { Trace::Whole }
    }

    fn miss(&self, id: &oid, why: Why, to: &mut Sights) {
        to.missed.push(id.to_owned());
        to.coverage.omit(format!("blob {id}"), why);
    }

    fn join(&self, earlier: &mut Sights, later: Sights) {
        earlier.blobs.extend(later.blobs);
        earlier.missed.extend(later.missed);
        earlier.coverage.absorb(later.coverage);
    }
}

/// The whole lines of what was copied that stand in the base between the same bytes as in the version, so far as matches
/// depend on their surroundings.
fn whole_lines(text: &[u8], base: &[u8], copy: &Copied) -> Option<Copied> {
    let bytes = text.get(copy.version..copy.version + copy.length)?;
    let start = match (copy.version, copy.base) {
        (0, 0) => 0,
        _ => {
            let ends = memchr::memchr_iter(b'\n', bytes);
            ends.enumerate().find(|(index, end)| *index >= AROUND_LINES && *end >= BEFORE_BYTES)?.1 + 1
        }
    };
    let end = if copy.version + copy.length == text.len() && copy.base + copy.length == base.len() {
        copy.length
    } else {
        let ends = memchr::memrchr_iter(b'\n', bytes);
        ends.enumerate().find(|(index, end)| *index >= AROUND_LINES && end + AFTER_BYTES <= copy.length)?.1 + 1
    };
    (start < end).then(|| Copied { base: copy.base + start, version: copy.version + start, length: end - start })
}

/// Where the lines start that may speak for what starts at `at` of `text`; `None`: with the text.
fn back(text: &[u8], at: usize) -> Option<usize> {
    let ends = memchr::memrchr_iter(b'\n', text.get(..at)?);
    Some(ends.enumerate().find(|(index, end)| *index >= AROUND_LINES && end + BEFORE_BYTES <= at)?.1 + 1)
}

/// Where that ends which may speak for what stands in front of `at`, the start of a line of `text`, or be reached from there.
fn ahead(text: &[u8], at: usize) -> usize {
    let mut ends = memchr::memchr_iter(b'\n', text.get(at..).unwrap_or_default());
    let lines = ends.nth(AROUND_LINES - 1).map_or(text.len(), |end| at + end + 1);
    lines.max(at.saturating_add(BEYOND_BYTES)).min(text.len())
}

#[cfg(test)]
#[path = "versions_tests.rs"]
mod tests;
