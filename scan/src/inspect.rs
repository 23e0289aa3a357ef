//! What one text holds: hits of the rules with their positions, and strings that the store may know.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use turnlock_core::Protected;
use turnlock_core::finding::{CommitMark, Finding, Fingerprint, FingerprintKey, LIVE_SECRET_RULE, LiveSecret, Place};

use crate::allow;
use crate::entropy;
use crate::lookup::StoreLookup;
use crate::matcher::Matcher;
use crate::text;

/// Longest match that a finding carries whole; of a longer one the start.
const MAX_MATCH_BYTES: usize = 16 << 10;

/// What one text holds.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    pub(crate) sightings: Vec<Sighting>,
    /// Fingerprints of strings that the store may hold.
    pub(crate) candidates: HashSet<Fingerprint>,
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
    pub(crate) place: Place,
    pub(crate) matched: Protected,
    pub(crate) secret: Protected,
    /// Bytes of the credential in the text.
    span: Range<usize>,
    entropy: f32,
    certainty: f32,
    tag: Option<&'static str>,
    live: Option<LiveSecret>,
}

/// How texts are inspected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inspector<'a> {
    pub(crate) matcher: &'a Matcher,
    pub(crate) lookup: Option<&'a StoreLookup>,
    /// Whether comments in the text may allow what it holds.
    pub(crate) comments: bool,
}

impl Inspector<'_> {
    /// Applies the rules, and collects what the store has to be asked about.
    pub(crate) fn inspect(&self, text: &[u8]) -> Inspection {
        let mut sightings = Vec::new();
        for hit in self.matcher.hits(text) {
            if self.is_allowed(text, &hit.span) {
                continue;
            }
            sightings.push(Sighting {
                rule: Some(hit.rule),
                place: text::place(text, &hit.span),
                matched: cut(text, &hit.span),
                secret: cut(text, &hit.secret),
                span: hit.secret,
                entropy: hit.entropy,
                certainty: hit.certainty,
                tag: hit.tag,
                live: None,
            });
        }
        let candidates = self.lookup.map(|lookup| lookup.candidates(text)).unwrap_or_default();
        Inspection { sightings, candidates }
    }

    /// Puts the values of the store that `text` holds into `sightings`, in place of what rules found there.
    pub(crate) fn name_live_secrets(
        &self,
        text: &[u8],
        confirmed: &HashMap<Fingerprint, LiveSecret>,
        sightings: &mut Vec<Sighting>,
    ) {
        let Some(lookup) = self.lookup else { return };
        for (span, secret) in lookup.locate(text, confirmed) {
            if self.is_allowed(text, &span) {
                continue;
            }
            sightings.retain(|sighting| sighting.span.end <= span.start || span.end <= sighting.span.start);
            sightings.push(Sighting {
                rule: None,
                place: text::place(text, &span),
                matched: cut(text, &span),
                secret: cut(text, &span),
                entropy: entropy::of(text.get(span.clone()).unwrap_or_default()),
                span,
                certainty: 1.0,
                tag: None,
                live: Some(secret.clone()),
            });
        }
    }

    /// A finding out of a sighting in the file `file`.
    pub(crate) fn finding(&self, sighting: &Sighting, file: &str, commit: Option<CommitMark>) -> Finding {
        let rule = sighting.rule.and_then(|index| self.matcher.rules().get(index));
        let mut tags: Vec<String> = rule.iter().flat_map(|rule| rule.tags.iter().map(|tag| tag.to_string())).collect();
        tags.extend(sighting.tag.map(str::to_owned));
        Finding {
            rule: rule.map_or(LIVE_SECRET_RULE, |rule| &rule.id).to_owned(),
            description: rule.map_or("Value of the live store", |rule| &rule.description).to_owned(),
            certainty: sighting.certainty,
            place: Place { file: file.to_owned(), ..sighting.place.clone() },
            matched: sighting.matched.duplicate(),
            secret: sighting.secret.duplicate(),
            reason: rule.map_or("equals a value of the live store".to_owned(), |rule| {
                rule.reason(sighting.matched.expose(), sighting.tag)
            }),
            entropy: sighting.entropy,
            commit,
            tags,
            live: sighting.live.clone(),
        }
    }

    fn is_allowed(&self, text: &[u8], span: &Range<usize>) -> bool {
        self.comments && allow::has_comment(text::lines(text, span))
    }
}

/// Tells credentials apart within one run without further copies of them: its fingerprints leave the process nowhere.
pub(crate) fn identity() -> FingerprintKey {
    FingerprintKey::new("", Protected::new(vec![0; 32]))
}

/// The bytes of `span` without newlines at the ends.
fn cut(text: &[u8], span: &Range<usize>) -> Protected {
    let bytes = text.get(span.clone()).unwrap_or_default();
    let bytes = bytes.get(..MAX_MATCH_BYTES).unwrap_or(bytes);
    let from = bytes.iter().position(|byte| *byte != b'\n').unwrap_or(bytes.len());
    let to = bytes.iter().rposition(|byte| *byte != b'\n').map_or(from, |at| at + 1);
    Protected::copy_of(bytes.get(from..to).unwrap_or_default())
}
