//! The rules of a configuration at work: each over the whole text, as the format's users expect it.

use std::collections::HashMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, BuildError};
use memchr::{memchr_iter, memrchr};
use turnlock_core::finding::Place;

use crate::config::CustomRule;

/// More hits of one rule in one text than this are not told apart any more.
const MAX_HITS: usize = 10_000;

/// The rules of a configuration, ready to run.
#[derive(Debug)]
pub(crate) struct CustomRules {
    rules: Vec<CustomRule>,
    /// The keywords of all rules.
    keywords: AhoCorasick,
    /// Rules (by index) of each keyword (by index in the automaton).
    rules_of: Vec<Vec<usize>>,
    /// Rules without keywords.
    always: Vec<usize>,
}

/// A place of a text where a rule of a configuration found something.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CustomHit {
    /// Index of the rule.
    pub(crate) rule: usize,
    /// Bytes that the pattern matched, without newlines at the ends.
    pub(crate) span: Range<usize>,
    /// The same number of bytes from where the match started: reports give its lines and columns.
    pub(crate) reported: Range<usize>,
    /// Bytes of the credential, within `span`.
    pub(crate) secret: Range<usize>,
    /// Entropy of the credential.
    pub(crate) entropy: f32,
}

impl CustomRules {
    /// Errors: when the keywords of `rules` exceed what an automaton can hold.
    pub(crate) fn new(rules: Vec<CustomRule>) -> Result<Self, BuildError> {
        let mut index_of: HashMap<&str, usize> = HashMap::new();
        let (mut keywords, mut rules_of, mut always) = (Vec::new(), Vec::<Vec<usize>>::new(), Vec::new());
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.regex.is_some()) {
            if rule.keywords.iter().all(String::is_empty) {
                always.push(index);
            }
            for keyword in rule.keywords.iter().filter(|keyword| !keyword.is_empty()) {
                let place = *index_of.entry(keyword).or_insert_with(|| {
                    keywords.push(keyword.clone());
                    rules_of.push(Vec::new());
                    keywords.len() - 1
                });
                if let Some(of) = rules_of.get_mut(place) {
                    of.push(index);
                }
            }
        }
        let keywords = AhoCorasick::builder().ascii_case_insensitive(true).build(&keywords)?;
        Ok(Self { rules, keywords, rules_of, always })
    }

    /// The rules, by the index that hits name.
    pub(crate) fn rules(&self) -> &[CustomRule] {
        &self.rules
    }

    /// Whether any rule reads texts.
    pub(crate) fn reads_texts(&self) -> bool {
        !self.always.is_empty() || !self.rules_of.is_empty()
    }

    /// What the rules with a regex find in `text`, by rule and place.
    pub(crate) fn hits(&self, text: &[u8]) -> Vec<CustomHit> {
        if !self.reads_texts() {
            return Vec::new();
        }
        let mut wanted = vec![false; self.rules.len()];
        let mut missing = self.rules_of.len();
        let mut seen = vec![false; missing];
        let of_keywords = self.keywords.find_overlapping_iter(text).map(|found| found.pattern().as_usize());
        for keyword in of_keywords {
            if seen.get(keyword) != Some(&false) {
                continue;
            }
            if let Some(seen) = seen.get_mut(keyword) {
                *seen = true;
            }
            for rule in self.rules_of.get(keyword).into_iter().flatten() {
                if let Some(wanted) = wanted.get_mut(*rule) {
                    *wanted = true;
                }
            }
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
        for rule in &self.always {
            if let Some(wanted) = wanted.get_mut(*rule) {
                *wanted = true;
            }
        }
        let rules = self.rules.iter().enumerate().zip(wanted).filter(|(_, wanted)| *wanted);
        rules.flat_map(|((index, rule), _)| apply(index, rule, text)).collect()
    }
}

fn apply(index: usize, rule: &CustomRule, text: &[u8]) -> Vec<CustomHit> {
    let Some(regex) = &rule.regex else { return Vec::new() };
    let mut hits = Vec::new();
    for whole in regex.find_iter(text) {
        let span = trimmed(text, whole.range());
        if span.is_empty() {
            continue;
        }
        let matched = text.get(span.clone()).unwrap_or_default();
        // The groups are those of the match by itself, so that what surrounds it plays no part.
        let group = regex.captures(matched).and_then(|captures| match rule.secret_group {
            0 => captures.iter().skip(1).flatten().find(|group| !group.is_empty()).map(|group| group.range()),
            group => Some(captures.get(group).map_or(0..0, |group| group.range())),
        });
        let secret = group.map_or(span.clone(), |group| span.start + group.start..span.start + group.end);
        let entropy = entropy(text.get(secret.clone()).unwrap_or_default());
        if rule.entropy != 0.0 && entropy <= rule.entropy {
            continue;
        }
        let reported = whole.start()..whole.start() + span.len();
        hits.push(CustomHit { rule: index, span, reported, secret, entropy: entropy as f32 });
        if hits.len() >= MAX_HITS {
            break;
        }
    }
    hits
}

/// `span` without newlines at its ends.
fn trimmed(text: &[u8], span: Range<usize>) -> Range<usize> {
    let bytes = text.get(span.clone()).unwrap_or_default();
    let from = bytes.iter().position(|byte| *byte != b'\n').unwrap_or(bytes.len());
    let to = bytes.iter().rposition(|byte| *byte != b'\n').map_or(from, |at| at + 1);
    span.start + from..span.start + to
}

/// Entropy by characters over the number of bytes, as the format's thresholds are meant.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts: HashMap<char, u32> = HashMap::new();
    for char in String::from_utf8_lossy(bytes).chars() {
        *counts.entry(char).or_default() += 1;
    }
    // In a fixed order: sums of floating-point numbers depend on it.
    let mut counts: Vec<u32> = counts.into_values().collect();
    counts.sort_unstable();
    let total = bytes.len() as f64;
    counts.into_iter().map(|count| f64::from(count) / total).map(|share| -share * share.log2()).sum::<f64>().abs()
}

/// Lines and columns of `span` in `text` as the format's reports have them: a newline belongs to the line that it starts.
pub(crate) fn place(text: &[u8], span: &Range<usize>) -> Place {
    let (start_line, start_column) = position(text, span.start);
    let (end_line, end_column) = position(text, span.end.saturating_sub(1));
    Place { file: String::new(), start_line, start_column, end_line, end_column }
}

fn position(text: &[u8], at: usize) -> (u32, u32) {
    let before = text.get(..=at).unwrap_or(text);
    let line = memchr_iter(b'\n', before).count();
    let column = match memrchr(b'\n', before) {
        Some(newline) => at - newline + 1,
        None => at + 1,
    };
    (u32::try_from(line + 1).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}
