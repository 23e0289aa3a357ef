//! One pass over a text that tells which rules can match where.

use std::collections::HashMap;
use std::ops::Range;

use memchr::{memchr, memrchr};

use crate::assigned;
use crate::keywords::Keywords;
use crate::rule::Rule;
use crate::setting;

/// A longer line is searched only around the keyword: minified code has lines of megabytes.
const LONG_LINE_BYTES: usize = 8 << 10;

/// Bytes to both sides of a keyword in a long line.
const AROUND_BYTES: usize = 1 << 10;

/// The keywords of all rules, to be looked for in one pass.
#[derive(Debug)]
pub struct Prefilter {
    keywords: Keywords,
    /// Rules (by index) of each keyword (by index).
    rules_of: Vec<Vec<usize>>,
}

impl Prefilter {
    /// Prepares the keywords of `rules`.
    pub fn new(rules: &[Rule]) -> Self {
        let mut keywords: Vec<&str> = Vec::new();
        let mut rules_of: Vec<Vec<usize>> = Vec::new();
        let mut known = HashMap::new();
        for (index, rule) in rules.iter().enumerate() {
            for keyword in rule.keywords.iter() {
                let at = *known.entry(keyword.as_ref()).or_insert(keywords.len());
                match rules_of.get_mut(at) {
                    Some(of) => of.push(index),
                    None => {
                        keywords.push(keyword);
                        rules_of.push(vec![index]);
                    }
                }
            }
        }
        Self { keywords: Keywords::new(&keywords), rules_of }
    }

    /// The windows of `text` in which each rule must be tried because of a keyword before `until`: ordered by rule, then
    /// place; none overlap.
    pub fn windows(&self, rules: &[Rule], text: &[u8], until: usize) -> Vec<(usize, Range<usize>)> {
        let mut windows: Vec<(usize, Range<usize>)> = Vec::new();
        // A keyword often occurs many times in one line; its bounds are looked up once.
        let mut line = 0..0;
        self.keywords.find(text.get(..until).unwrap_or(text), |keyword, hit| {
            if !(line.start <= hit.start && hit.end <= line.end && !line.is_empty()) {
                line = line_of(text, hit.clone());
            }
            for index in self.rules_of.get(keyword).into_iter().flatten() {
                let Some(rule) = rules.get(*index) else { continue };
                if rule.assigned {
                    let near = assigned::windows(text, hit.clone());
                    windows.extend(near.into_iter().flatten().map(|window| (*index, window)));
                    continue;
                }
                if rule.setting.is_some() {
                    windows.push((*index, setting::name_around(text, &hit)));
                    continue;
                }
                let window = match rule.reach {
                    Some(reach) => {
                        let wide =
                            hit.start.saturating_sub(reach.before)..hit.end.saturating_add(reach.after).min(text.len());
                        let bounds = line_of(text, wide.clone());
                        bounds.start.max(wide.start.saturating_sub(LONG_LINE_BYTES))
                            ..bounds.end.min(wide.end.saturating_add(LONG_LINE_BYTES))
                    }
                    None if line.len() <= LONG_LINE_BYTES => line.clone(),
                    None => around(text, &line, hit.clone()),
                };
                match windows.last_mut() {
                    Some((last, known))
                        if last == index && known.start <= window.start && window.start <= known.end =>
                    {
                        known.end = known.end.max(window.end);
                    }
                    _ => windows.push((*index, window)),
                }
            }
        });
        merge(&mut windows);
        windows
    }
}

/// Brings windows into order and joins those of a rule that overlap.
pub(crate) fn merge(windows: &mut Vec<(usize, Range<usize>)>) {
    windows.sort_unstable_by(|(a, x), (b, y)| (a, x.start, x.end).cmp(&(b, y.start, y.end)));
    windows.dedup_by(|(next, window), (rule, known)| {
        // Windows that merely touch stay apart: each is a line, or a piece cut at a delimiter.
        let same = rule == next && (window.start < known.end || *window == *known);
        if same {
            known.end = known.end.max(window.end);
        }
        same
    });
}

/// The line or lines that hold `span`, without the newline at the end.
fn line_of(text: &[u8], span: Range<usize>) -> Range<usize> {
    let start = text.get(..span.start).and_then(|before| memrchr(b'\n', before)).map_or(0, |at| at + 1);
    let end = text.get(span.end..).and_then(|after| memchr(b'\n', after)).map_or(text.len(), |at| span.end + at);
    start..end
}

/// The surroundings of `hit` within a long `line`, widened to the next blank or quote so that no token is cut.
fn around(text: &[u8], line: &Range<usize>, hit: Range<usize>) -> Range<usize> {
    let is_edge = |byte: &u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b',' | b';');
    let near =
        line.start.max(hit.start.saturating_sub(AROUND_BYTES))..line.end.min(hit.end.saturating_add(AROUND_BYTES));
    let far =
        line.start.max(near.start.saturating_sub(AROUND_BYTES))..line.end.min(near.end.saturating_add(AROUND_BYTES));
    let start = text
        .get(far.start..near.start)
        .and_then(|bytes| bytes.iter().rposition(is_edge))
        .map_or(near.start, |at| far.start + at + 1);
    let end = text
        .get(near.end..far.end)
        .and_then(|bytes| bytes.iter().position(is_edge))
        .map_or(near.end, |at| near.end + at);
    start..end
}
