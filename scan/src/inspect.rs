//! What one text holds: hits of the rules with their positions, and strings that the store may know.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use turnlock_core::Protected;
use turnlock_core::finding::{CommitMark, Finding, Fingerprint, FingerprintKey, LIVE_SECRET_RULE, LiveSecret, Place};
use zeroize::Zeroizing;

use crate::allow;
use crate::archive;
use crate::bounds::{Bounds, Room};
use crate::coverage::Why;
use crate::decode::{self, Decoding, Layer};
use crate::entropy;
use crate::lookup::StoreLookup;
use crate::ruleset::{Hit, Hits, Ruleset};
use crate::text;
use crate::windows::Window;

/// Longest match that a finding carries whole; of a longer one the start.
const MAX_MATCH_BYTES: usize = 16 << 10;

/// What one text holds.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    pub(crate) sightings: Vec<Sighting>,
    /// Fingerprints of strings that the store may hold.
    pub(crate) candidates: HashSet<Fingerprint>,
    /// Whether what was found depends on more than few bytes around it.
    pub(crate) beyond: bool,
    /// What of it was not read, or not kept.
    pub(crate) gaps: Vec<Why>,
}

impl Inspection {
    pub(crate) fn is_empty(&self) -> bool {
        self.sightings.is_empty() && self.candidates.is_empty()
    }
}

/// A credential in a text, before it is known whose text that is.
#[derive(Debug)]
pub(crate) struct Sighting {
    /// Index of the rule; `None` for a value of the store.
    pub(crate) rule: Option<usize>,
    /// Its file is that within an archive, else empty.
    pub(crate) place: Place,
    pub(crate) matched: Protected,
    pub(crate) secret: Protected,
    /// The lines that the match touches, or what surrounds it in longer ones.
    lines: Protected,
    /// Bytes of the credential in the text.
    pub(crate) span: Range<usize>,
    entropy: f32,
    pub(crate) certainty: f32,
    tag: Option<&'static str>,
    /// What was taken off to read it.
    decoding: Decoding,
    live: Option<LiveSecret>,
}

impl Sighting {
    /// What a rule found in `text`. `place` and `span`: where that stands in the text that is reported, if that is another.
    fn of_rule(text: &[u8], hit: Hit, place: Option<Place>, span: Range<usize>, decoding: Decoding) -> Self {
        Self {
            rule: Some(hit.rule),
            matched: cut(text, &hit.span),
            secret: cut(text, &hit.secret),
            lines: lines(text, &hit.span),
            place: place.unwrap_or(hit.place),
            span,
            entropy: hit.entropy,
            certainty: hit.certainty,
            tag: hit.tag,
            decoding,
            live: None,
        }
    }

    /// The value of `live` at `found` of `text`. `place` and `span`: where that stands in the text that is reported.
    fn of_store(
        text: &[u8],
        found: &Range<usize>,
        live: &LiveSecret,
        place: Place,
        span: Range<usize>,
        decoding: Decoding,
    ) -> Self {
        Self {
            rule: None,
            matched: cut(text, found),
            secret: cut(text, found),
            lines: lines(text, found),
            place,
            span,
            entropy: entropy::of(text.get(found.clone()).unwrap_or_default()),
            certainty: 1.0,
            tag: None,
            decoding,
            live: Some(live.clone()),
        }
    }

    /// Bytes that it holds of the text.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.matched.expose().len() + self.secret.expose().len() + self.lines.expose().len()
    }

    /// Tells the credential from others of the same rule, and from the same one elsewhere in an archive.
    pub(crate) fn identity(&self, key: &FingerprintKey) -> Fingerprint {
        let inner = self.place.file.as_bytes();
        if inner.is_empty() {
            return key.fingerprint(self.secret.expose());
        }
        let both = Zeroizing::new([inner, b"\0", self.secret.expose()].concat());
        key.fingerprint(&both)
    }
}

/// How texts are inspected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inspector<'a> {
    pub(crate) rules: &'a Ruleset,
    pub(crate) lookup: Option<&'a StoreLookup>,
    pub(crate) bounds: &'a Bounds,
    /// Whether comments in the text may allow what it holds.
    pub(crate) comments: bool,
    /// How many notations are taken off one another.
    pub(crate) decode_depth: usize,
    /// Bytes of a text in which keywords and what is encoded are looked for. What is found by them may lie behind.
    pub(crate) until: usize,
}

/// Credentials of one text, by their place in it: of those that overlap another only the more certain stay.
struct Level(Vec<(Range<usize>, f32, usize)>);

impl Inspector<'_> {
    /// What `text` holds: what rules find, what the store has to be asked about, and values of the store that are
    /// `confirmed`. Places are those in `source` if there is one: `text` is its readable form, byte for byte.
    pub(crate) fn look(
        &self,
        text: &[u8],
        source: Option<&[u8]>,
        confirmed: &HashMap<Fingerprint, LiveSecret>,
    ) -> Inspection {
        let mut inspection = self.inspect(text, source);
        if !confirmed.is_empty() {
            self.name_live_secrets(text, source, confirmed, &mut inspection.sightings);
        }
        inspection
    }

    /// The same for one window of a text: what starts in it, at its place in the whole.
    pub(crate) fn look_at(&self, window: &Window<'_>, confirmed: &HashMap<Fingerprint, LiveSecret>) -> Inspection {
        let mut inspection = self.look(window.text, None, confirmed);
        inspection.sightings.retain(|sighting| window.own.contains(&sighting.span.start));
        inspection.sightings.iter_mut().for_each(|sighting| window.shift(&mut sighting.place));
        inspection
    }

    /// Applies the rules, and collects what the store has to be asked about.
    fn inspect(&self, text: &[u8], source: Option<&[u8]>) -> Inspection {
        let Hits { list, beyond, is_full } =
            self.rules.hits(text, self.until.min(text.len()), |span| self.is_allowed(text, span));
        let found = list.len();
        let mut room = Room::of_text();
        let sightings: Vec<Sighting> = list
            .into_iter()
            .map(|hit| {
                let (place, span) = (source.map(|source| text::place(source, &hit.span)), hit.secret.clone());
                Sighting::of_rule(text, hit, place, span, Decoding::default())
            })
            .take_while(|sighting| room.keep(sighting))
            .collect();
        let limit = sightings.len() as u64;
        let gaps = if is_full || sightings.len() < found { vec![Why::TooManyHits { limit }] } else { Vec::new() };
        let candidates = self.lookup.map(|lookup| lookup.candidates(text)).unwrap_or_default();
        let mut inspection = Inspection { sightings, candidates, beyond, gaps };
        self.inspect_encoded(text, source, &mut inspection);
        inspection
    }

    /// Puts the values of the store that `text` holds into `sightings`, in place of what rules found there.
    fn name_live_secrets(
        &self,
        text: &[u8],
        source: Option<&[u8]>,
        confirmed: &HashMap<Fingerprint, LiveSecret>,
        sightings: &mut Vec<Sighting>,
    ) {
        let Some(lookup) = self.lookup else { return };
        for (span, secret) in lookup.locate(text, confirmed) {
            if self.is_allowed(text, &span) {
                continue;
            }
            sightings.retain(|sighting| sighting.span.end <= span.start || span.end <= sighting.span.start);
            let place = text::place(source.unwrap_or(text), &span);
            sightings.push(Sighting::of_store(text, &span, secret, place, span.clone(), Decoding::default()));
        }
        self.name_encoded_secrets(text, source, confirmed, sightings);
    }

    /// Adds what `text` says in other notations. One credential that is found in two of them is one sighting, that of the
    /// more certain rule, or that in the clear when both are alike.
    fn inspect_encoded(&self, text: &[u8], source: Option<&[u8]>, inspection: &mut Inspection) {
        let plain = inspection.sightings.iter().enumerate();
        let mut levels = vec![Level(plain.map(|(index, seen)| (seen.span.clone(), seen.certainty, index)).collect())];
        let mut gone = HashSet::new();
        let (layers, is_cut) = decode::layers(text, self.until, self.decode_depth, self.bounds);
        inspection.gaps.extend(is_cut.then_some(Why::ExpandsWithin));
        // What is written in another notation may go on for many lines.
        inspection.beyond |= is_cut || !layers.is_empty();
        for (layers, layer) in each_with_those_below(&layers) {
            let mut level = Level(Vec::new());
            let excused = |span: &Range<usize>| {
                self.is_allowed(&layer.text, span)
                    || decode::trail(layers, span)
                        .is_some_and(|(trail, _)| trail.last().is_some_and(|whole| self.is_allowed(text, whole)))
            };
            for hit in self.rules.hits(&layer.text, layer.text.len(), excused).list {
                let Some((trail, decoding)) = decode::trail(layers, &hit.span) else { continue };
                let Some((secrets, _)) = decode::trail(layers, &hit.secret) else { continue };
                let (Some(whole), Some(secret)) = (trail.last(), secrets.last()) else { continue };
                let overlapped = || secrets.iter().rev().zip(&levels).flat_map(|(span, level)| level.at(span));
                if overlapped().any(|(certainty, _)| certainty > hit.certainty) {
                    continue;
                }
                gone.extend(overlapped().map(|(_, index)| index));
                level.0.push((hit.secret.clone(), hit.certainty, inspection.sightings.len()));
                let place = Some(text::place(source.unwrap_or(text), whole));
                inspection.sightings.push(Sighting::of_rule(&layer.text, hit, place, secret.clone(), decoding));
            }
            levels.push(level);
            if let Some(lookup) = self.lookup {
                inspection.candidates.extend(lookup.candidates(&layer.text));
            }
        }
        let mut index = 0..;
        inspection.sightings.retain(|_| index.next().is_none_or(|index| !gone.contains(&index)));
    }

    /// Puts the values of the store that `text` holds in other notations into `sightings`.
    fn name_encoded_secrets(
        &self,
        text: &[u8],
        source: Option<&[u8]>,
        confirmed: &HashMap<Fingerprint, LiveSecret>,
        sightings: &mut Vec<Sighting>,
    ) {
        let Some(lookup) = self.lookup else { return };
        let (layers, _) = decode::layers(text, self.until, self.decode_depth, self.bounds);
        for (layers, layer) in each_with_those_below(&layers) {
            for (span, live) in lookup.locate(&layer.text, confirmed) {
                let Some((trail, decoding)) = decode::trail(layers, &span) else { continue };
                let Some(whole) = trail.last() else { continue };
                if self.is_allowed(text, whole) || self.is_allowed(&layer.text, &span) {
                    continue;
                }
                let secret = cut(&layer.text, &span);
                let is_within = |a: &Protected, b: &Protected| memchr::memmem::find(b.expose(), a.expose()).is_some();
                // Several credentials may stand at one place, so the place alone does not tell that two are one.
                sightings.retain(|seen| {
                    let apart = seen.span.end <= whole.start || whole.end <= seen.span.start;
                    apart || !(is_within(&seen.secret, &secret) || is_within(&secret, &seen.secret))
                });
                let place = text::place(source.unwrap_or(text), whole);
                sightings.push(Sighting::of_store(&layer.text, &span, live, place, whole.clone(), decoding));
            }
        }
    }

    /// A finding out of a sighting in the file `file`.
    pub(crate) fn finding(&self, sighting: &Sighting, file: &str, commit: Option<CommitMark>) -> Finding {
        let (rule, description, tags) = sighting.rule.map(|index| self.rules.describe(index)).unwrap_or((
            LIVE_SECRET_RULE,
            "Value of the live store",
            Vec::new(),
        ));
        let tags = tags.into_iter().chain(sighting.tag.map(str::to_owned)).chain(sighting.decoding.tags()).collect();
        let reason = match sighting.rule {
            Some(index) => self.rules.reason(index, sighting.matched.expose(), sighting.tag),
            None => "equals a value of the live store".to_owned(),
        };
        Finding {
            rule: rule.to_owned(),
            description: description.to_owned(),
            certainty: sighting.certainty,
            place: Place { file: archive::name(file, &sighting.place.file), ..sighting.place.clone() },
            matched: sighting.matched.duplicate(),
            secret: sighting.secret.duplicate(),
            reason,
            lines: sighting.lines.duplicate(),
            entropy: sighting.entropy,
            commit,
            tags,
            live: sighting.live.clone(),
            secret_name: None,
            symlink: String::new(),
            verdict: None,
        }
    }

    /// The findings that `file` is by its mere name.
    pub(crate) fn findings_of_name(&self, file: &str, commit: Option<&CommitMark>) -> Vec<Finding> {
        let found = |rule| {
            let (id, description, tags) = self.rules.describe(rule);
            Finding {
                rule: id.to_owned(),
                description: description.to_owned(),
                certainty: 1.0,
                place: Place { file: file.to_owned(), ..Place::default() },
                matched: Protected::copy_of(format!("file detected: {file}").as_bytes()),
                secret: Protected::copy_of(b""),
                lines: Protected::copy_of(b""),
                reason: "has the name of a file with credentials".to_owned(),
                entropy: 0.0,
                commit: commit.cloned(),
                tags,
                live: None,
                secret_name: None,
                symlink: String::new(),
                verdict: None,
            }
        };
        self.rules.hits_of_name(file).map(found).collect()
    }

    fn is_allowed(&self, text: &[u8], span: &Range<usize>) -> bool {
        self.comments && allow::has_comment(text, span)
    }
}

impl Level {
    /// Certainty and number of those that overlap `span`.
    fn at(&self, span: &Range<usize>) -> impl Iterator<Item = (f32, usize)> {
        let first = self.0.partition_point(|(known, ..)| known.end <= span.start);
        let rest = self.0.get(first..).unwrap_or_default();
        rest.iter().take_while(|(known, ..)| known.start < span.end).map(|(_, certainty, index)| (*certainty, *index))
    }
}

/// Tells credentials apart within one run without further copies of them: its fingerprints leave the process nowhere.
pub(crate) fn identity() -> FingerprintKey {
    FingerprintKey::new("", Protected::new(vec![0; 32]))
}

/// Each layer, and all up to it as [`decode::trail`] wants them.
fn each_with_those_below(layers: &[Layer]) -> impl Iterator<Item = (&[Layer], &Layer)> {
    layers.iter().enumerate().map(|(index, layer)| (layers.get(..=index).unwrap_or_default(), layer))
}

/// The whole lines that `span` touches; of longer ones what surrounds it.
fn lines(text: &[u8], span: &Range<usize>) -> Protected {
    let whole = text::lines(text, span);
    if whole.len() <= MAX_MATCH_BYTES {
        return Protected::copy_of(whole);
    }
    let (from, to) = (span.start.saturating_sub(MAX_MATCH_BYTES / 4), span.start.saturating_add(MAX_MATCH_BYTES / 2));
    Protected::copy_of(text.get(from..to.min(text.len())).unwrap_or_default())
}

/// The bytes of `span` without newlines at the ends.
fn cut(text: &[u8], span: &Range<usize>) -> Protected {
    let bytes = text.get(span.clone()).unwrap_or_default();
    let bytes = bytes.get(..MAX_MATCH_BYTES).unwrap_or(bytes);
    let from = bytes.iter().position(|byte| *byte != b'\n').unwrap_or(bytes.len());
    let to = bytes.iter().rposition(|byte| *byte != b'\n').map_or(from, |at| at + 1);
    Protected::copy_of(bytes.get(from..to).unwrap_or_default())
}
