//! What one text holds: hits of the rules with their positions, and strings that the store may know.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use turnlock_core::Protected;
use turnlock_core::finding::{CommitMark, Finding, Fingerprint, FingerprintKey, LIVE_SECRET_RULE, LiveSecret, Place};

use crate::allow;
use crate::entropy;
use crate::lookup::StoreLookup;
use crate::ruleset::Ruleset;
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
    /// The lines that the match touches, or what surrounds it in longer ones.
    lines: Protected,
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
    pub(crate) rules: &'a Ruleset,
    pub(crate) lookup: Option<&'a StoreLookup>,
    /// Whether comments in the text may allow what it holds.
    pub(crate) comments: bool,
}

impl Inspector<'_> {
    /// Applies the rules, and collects what the store has to be asked about.
    pub(crate) fn inspect(&self, text: &[u8]) -> Inspection {
        let hits = self.rules.hits(text, |span| self.is_allowed(text, span));
        let sightings = hits
            .into_iter()
            .map(|hit| Sighting {
                rule: Some(hit.rule),
                place: hit.place,
                matched: cut(text, &hit.span),
                secret: cut(text, &hit.secret),
                lines: lines(text, &hit.span),
                span: hit.secret,
                entropy: hit.entropy,
                certainty: hit.certainty,
                tag: hit.tag,
                live: None,
            })
            .collect();
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
                lines: lines(text, &span),
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
        let (rule, description, tags) = sighting.rule.map(|index| self.rules.describe(index)).unwrap_or((
            LIVE_SECRET_RULE,
            "Value of the live store",
            Vec::new(),
        ));
        let tags = tags.into_iter().chain(sighting.tag.map(str::to_owned)).collect();
        let reason = match sighting.rule {
            Some(index) => self.rules.reason(index, sighting.matched.expose(), sighting.tag),
            None => "equals a value of the live store".to_owned(),
        };
        Finding {
            rule: rule.to_owned(),
            description: description.to_owned(),
            certainty: sighting.certainty,
            place: Place { file: file.to_owned(), ..sighting.place.clone() },
            matched: sighting.matched.duplicate(),
            secret: sighting.secret.duplicate(),
            reason,
            lines: sighting.lines.duplicate(),
            entropy: sighting.entropy,
            commit,
            tags,
            live: sighting.live.clone(),
            secret_name: None,
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
            }
        };
        self.rules.hits_of_name(file).map(found).collect()
    }

    fn is_allowed(&self, text: &[u8], span: &Range<usize>) -> bool {
        self.comments && allow::has_comment(text, span)
    }
}

/// Tells credentials apart within one run without further copies of them: its fingerprints leave the process nowhere.
pub(crate) fn identity() -> FingerprintKey {
    FingerprintKey::new("", Protected::new(vec![0; 32]))
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
