//! Runs the rules over one text: prefilter, patterns near keywords, entropy, checks, then one hit for each place.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use crate::assigned;
use crate::check::{TYPED, Verdict};
use crate::code;
use crate::drawn;
use crate::entropy;
use crate::name::{self, Kind};
use crate::prefilter::Prefilter;
use crate::rule::Rule;
use crate::setting::{self, Form, Setting};
use crate::shape;
use crate::surroundings;
use crate::thing;

/// Certainty of a match whose checksum holds.
const PROVEN: f32 = 0.99;

/// Certainty of a match whose checksum does not hold, or that looks typed rather than drawn.
const DOUBTFUL: f32 = 0.3;

/// More hits in one text than this are not told apart any more: the text is a list of tokens or an attack.
const MAX_HITS: usize = 10_000;

/// All rules, ready to run.
#[derive(Debug)]
pub struct Matcher {
    rules: Vec<Rule>,
    prefilter: Prefilter,
    /// What the credentials of some rules start with, in lower case.
    prefixes: HashSet<String>,
    /// [`Rule::only`] of all rules.
    only: Vec<String>,
}

/// A place of a text where a rule found a credential.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Index of the rule.
    pub rule: usize,
    /// Bytes that the pattern matched.
    pub span: Range<usize>,
    /// Bytes of the credential, within `span`.
    pub secret: Range<usize>,
    /// Entropy of the credential.
    pub entropy: f32,
    /// 0.0 to 1.0.
    pub certainty: f32,
    /// What a checksum said.
    pub tag: Option<&'static str>,
}

/// What was found in a text.
pub(crate) struct Found {
    pub(crate) hits: Vec<Hit>,
    /// Whether a rule with a reach of its own was tried. If none was, matches depend on few bytes around them.
    pub(crate) beyond: bool,
    /// Whether there were more than are told apart.
    pub(crate) is_full: bool,
}

impl Matcher {
    /// Prepares `rules`.
    pub fn new(rules: Vec<Rule>) -> Self {
        let prefilter = Prefilter::new(&rules);
        let prefixes = rules
            .iter()
            .filter(|rule| !rule.assigned && rule.setting.is_none())
            .flat_map(|rule| rule.keywords.iter())
            .filter(|keyword| keyword.ends_with(['_', '-']))
            .map(|keyword| keyword.to_string())
            .collect();
        let only = rules.iter().flat_map(|rule| rule.only.iter()).map(|text| text.to_string()).collect();
        Self { rules, prefilter, prefixes, only }
    }

    /// The rules, by the index that hits name.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The credentials in `text`, in order of their place; no two overlap. Equal texts give equal answers.
    pub fn hits(&self, text: &[u8]) -> Vec<Hit> {
        self.find(text, text.len()).hits
    }

    /// The same as far as keywords before `until` lead to them, with what the scan of other texts has to know of it.
    pub(crate) fn find(&self, text: &[u8], until: usize) -> Found {
        let (mut hits, mut beyond) = (Vec::new(), false);
        for (index, window) in self.prefilter.windows(&self.rules, text, until) {
            if let Some(rule) = self.rules.get(index) {
                beyond |= rule.reach.is_some();
                apply(index, rule, text, window, &mut hits);
            }
        }
        let is_full = hits.len() >= MAX_HITS;
        hits.retain(|hit| !self.lacks_format(text, hit));
        Found { hits: self.settle(hits), beyond, is_full }
    }

    /// Whether only the name speaks for `hit`, but a format is known that its value should have. A hit of the rule for
    /// that format does not depend on this.
    fn lacks_format(&self, text: &[u8], hit: &Hit) -> bool {
        if self.rules.get(hit.rule).and_then(|rule| rule.setting) != Some(Kind::Secret) {
            return false;
        }
        let setting = text.get(hit.span.clone()).unwrap_or_default().to_ascii_lowercase();
        let holds = |part: &String| memchr::memmem::find(&setting, part.as_bytes()).is_some();
        self.only.iter().any(holds) || self.is_example_of_format(text, hit)
    }

    /// Whether the value of `hit` starts as one of a known format and was typed.
    fn is_example_of_format(&self, text: &[u8], hit: &Hit) -> bool {
        let by_name = hit.tag == Some(TYPED);
        let value = text.get(hit.secret.clone()).filter(|_| by_name).unwrap_or_default().to_ascii_lowercase();
        let ends = value.iter().enumerate().filter(|(_, byte)| matches!(byte, b'_' | b'-'));
        ends.filter_map(|(end, _)| std::str::from_utf8(value.get(..=end)?).ok())
            .any(|start| self.prefixes.contains(start))
    }

    /// Of hits whose credentials overlap the one of the most certain rule stays, then the longest, then the first.
    fn settle(&self, mut hits: Vec<Hit>) -> Vec<Hit> {
        let rank = |hit: &Hit| self.rules.get(hit.rule).map_or(0.0, |rule| rule.certainty);
        hits.sort_by(|a, b| {
            rank(b)
                .total_cmp(&rank(a))
                .then(b.secret.len().cmp(&a.secret.len()))
                .then(a.secret.start.cmp(&b.secret.start))
                .then(a.rule.cmp(&b.rule))
                .then(a.span.start.cmp(&b.span.start))
        });
        let mut kept = BTreeMap::<usize, Hit>::new();
        for hit in hits {
            // Those kept do not overlap each other, so only the last that starts before this one's end can reach into it.
            let free =
                kept.range(..hit.secret.end).next_back().is_none_or(|(_, known)| known.secret.end <= hit.secret.start);
            if free {
                kept.insert(hit.secret.start, hit);
            }
        }
        kept.into_values().collect()
    }

    /// The same without the prefilter: every rule over every line, or over the whole text if it spans lines. What
    /// [`Matcher::hits`] must agree with.
    #[cfg(test)]
    fn hits_by_brute_force(&self, text: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.assigned || rule.setting.is_some() {
                let mut windows = Vec::new();
                for keyword in rule.keywords.iter() {
                    for start in 0..text.len() {
                        let span = start..start + keyword.len();
                        if text.get(span.clone()).is_some_and(|part| part.eq_ignore_ascii_case(keyword.as_bytes())) {
                            let near = match rule.setting {
                                Some(_) => [Some(setting::name_around(text, &span)), None],
                                None => assigned::windows(text, span),
                            };
                            windows.extend(near.into_iter().flatten().map(|window| (index, window)));
                        }
                    }
                }
                crate::prefilter::merge(&mut windows);
                windows.into_iter().for_each(|(_, window)| apply(index, rule, text, window, &mut hits));
                continue;
            }
            if rule.reach.is_some() {
                apply(index, rule, text, 0..text.len(), &mut hits);
                continue;
            }
            let mut start = 0;
            for line in text.split(|byte| *byte == b'\n') {
                apply(index, rule, text, start..start + line.len(), &mut hits);
                start += line.len() + 1;
            }
        }
        hits.retain(|hit| !self.lacks_format(text, hit));
        self.settle(hits)
    }
}

fn apply(index: usize, rule: &Rule, text: &[u8], window: Range<usize>, hits: &mut Vec<Hit>) {
    if let Some(kind) = rule.setting {
        setting_at(index, rule, kind, text, window, hits);
        return;
    }
    let (Some(regex), Some(part)) = (rule.regex(), text.get(window.clone())) else { return };
    if rule.assigned {
        for secret in assigned::values(regex, text, window) {
            judge(index, rule, text, secret.clone(), secret, hits);
        }
        return;
    }
    for captures in regex.captures_iter(part) {
        if hits.len() >= MAX_HITS {
            return;
        }
        let Some(whole) = captures.get(0) else { continue };
        let group = match rule.group {
            0 => captures.iter().skip(1).flatten().find(|group| !group.is_empty()).unwrap_or(whole),
            group => captures.get(group).unwrap_or(whole),
        };
        let span = window.start + whole.start()..window.start + whole.end();
        judge(index, rule, text, span, window.start + group.start()..window.start + group.end(), hits);
    }
}

/// Adds the value of the setting with the name at `name`, if both look like a credential.
fn setting_at(index: usize, rule: &Rule, kind: Kind, text: &[u8], name: Range<usize>, hits: &mut Vec<Hit>) {
    if name::kind(text.get(name.clone()).unwrap_or_default()) != Some(kind) {
        return;
    }
    let Some(Setting { value, form }) = setting::of(text, &name) else { return };
    let bytes = text.get(value.clone()).unwrap_or_default();
    let whole = text.get(name.clone()).unwrap_or_default();
    let is_told = form == Form::Word || whole.starts_with(b"-");
    let between = text.get(name.end..value.start).unwrap_or_default();
    if code::is_code(between, bytes, form)
        || code::repeats(whole, bytes)
        || (form == Form::Word && name::ends_with_verb(whole))
        || (name::denies(whole) && !drawn::is_drawn(bytes))
        || (thing::is_key_id(bytes) && (is_told || bytes.starts_with(b"0x")))
    {
        return;
    }
    let is_compared = || surroundings::is_compared(text, &name, &value);
    let good = match kind {
        Kind::Password => {
            let is_data = || {
                setting::is_of_environment(whole, form) || surroundings::is_beside_user(text, &name) || is_compared()
            };
            let is_data = || match form {
                Form::Quoted | Form::Line => is_data(),
                Form::Bare => setting::is_bare_word(text, &name) && surroundings::is_beside_user(text, &name),
                Form::Word => false,
            };
            shape::is_password(bytes, form) || (shape::is_word_password(bytes) && is_data())
        }
        Kind::Secret => {
            let is_chosen = || {
                name::ends_with_secret(whole)
                    && (shape::is_password(bytes, form) || (shape::is_word_password(bytes) && is_compared()))
            };
            shape::is_secret(bytes, form) || (shape::is_data(form) && is_chosen())
        }
    };
    if good && !surroundings::guards_nothing(text, &name, &value) {
        judge(index, rule, text, name.start..value.end, value, hits);
    }
}

/// Adds the credential at `secret` in the match at `span` to `hits`, if it is random enough and passes the rule's check.
fn judge(index: usize, rule: &Rule, text: &[u8], span: Range<usize>, secret: Range<usize>, hits: &mut Vec<Hit>) {
    let value = text.get(secret.clone()).unwrap_or_default();
    let entropy = entropy::of(value);
    if hits.len() >= MAX_HITS || value.is_empty() || !rule.is_random(value, entropy) {
        return;
    }
    // Text that was drawn may hold by chance what checks take for an example.
    let is_plain = rule.setting.is_some() && drawn::is_drawn(value);
    let verdict = if is_plain { Verdict::Keep } else { rule.check.judge(text, &span, &secret) };
    let (certainty, tag) = match verdict {
        Verdict::Drop => return,
        Verdict::Keep => (rule.certainty, None),
        Verdict::Proven => (PROVEN, Some("checksum:passed")),
        Verdict::Doubtful(tag) => (rule.certainty.min(DOUBTFUL), Some(tag)),
        Verdict::Several(values) => {
            hits.extend(values.into_iter().map(|value| Hit {
                rule: index,
                entropy: entropy::of(text.get(value.clone()).unwrap_or_default()),
                span: value.clone(),
                secret: value,
                certainty: rule.certainty,
                tag: None,
            }));
            return;
        }
    };
    hits.push(Hit { rule: index, span, secret, entropy, certainty, tag });
}

#[cfg(test)]
#[path = "matcher_tests.rs"]
mod tests;
