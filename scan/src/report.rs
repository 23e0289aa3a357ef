//! The result of a scan, and its forms in the files of `report/`. Redacted unless told.

mod csv;
mod full;
mod group;
mod html;
mod json;
mod junit;
mod sarif;
mod text;

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;
use turnlock_core::finding::{CommitMark, Finding, Place, Verdict};

use crate::coverage::Coverage;
pub use csv::write_csv;
pub use full::write_full_json;
pub use html::write_html;
pub use json::write_json;
pub use junit::write_junit;
pub use sarif::write_sarif;
pub use text::{write_remarks, write_summary, write_text};

/// The result of a scan.
#[derive(Debug, Default)]
pub struct Report {
    /// In order of file, place, rule and commit.
    pub findings: Vec<Finding>,
    /// What was read and what was not.
    pub coverage: Coverage,
    /// Ids and descriptions of the rules that ran, in order of the ids.
    pub rules: Vec<(String, String)>,
    /// Ids of those among them that a configuration defined.
    pub own_rules: HashSet<String>,
    /// Entries of ignore files that named no finding, with their places.
    pub unused_ignores: Vec<String>,
    /// Entries of ignore files that do not count, with their places and why.
    pub void_ignores: Vec<String>,
    /// What configurations of folders say without effect.
    pub warnings: Vec<String>,
}

/// What a report says as a whole. The caller turns it into an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was read and nothing found.
    Clean,
    /// Something was found.
    Leaks,
    /// Nothing was found, but not everything could be read.
    Partial,
}

impl Report {
    /// The report as a whole; findings weigh more than omissions.
    pub fn outcome(&self) -> Outcome {
        match (self.findings.is_empty(), self.coverage.is_partial()) {
            (false, _) => Outcome::Leaks,
            (true, true) => Outcome::Partial,
            (true, false) => Outcome::Clean,
        }
    }

    /// Takes the rules off that found nothing: a catalogue of hundreds is longer than most reports.
    pub fn name_only_rules_that_found(&mut self) {
        let found: HashSet<&str> = self.findings.iter().map(|finding| finding.rule.as_str()).collect();
        self.rules.retain(|(id, _)| found.contains(id.as_str()));
    }
}

/// Stands for a message that holds a credential.
const WITHHELD: &str = "(withheld: it holds a credential)";

/// How much of a credential is hidden, in percent: 100 leaves nothing, 0 shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redaction(u8);

impl Redaction {
    /// Nothing is shown.
    pub const FULL: Self = Self(100);

    /// `percent` above 100 counts as 100.
    pub fn percent(percent: u8) -> Self {
        Self(percent.min(100))
    }

    /// `secret` as it may be shown.
    fn of(self, secret: &str) -> Cow<'_, str> {
        match self.0 {
            0 => Cow::Borrowed(secret),
            100 => Cow::Borrowed("REDACTED"),
            percent => {
                // Halves go to the even neighbour; a character is never cut.
                let exact = secret.len() as f64 * f64::from(100 - percent) / 100.0;
                let mut kept = exact.round_ties_even() as usize;
                while !secret.is_char_boundary(kept) {
                    kept -= 1;
                }
                Cow::Owned(format!("{}...", secret.get(..kept).unwrap_or_default()))
            }
        }
    }

    /// `text` with each appearance of `secret` as it may be shown.
    fn within(self, text: &str, secret: &str) -> String {
        if self.0 == 0 || secret.is_empty() { text.to_owned() } else { text.replace(secret, &self.of(secret)) }
    }

    /// The message of `commit`, as it may be shown beside `secret`. One that holds a credential is withheld whole: what it
    /// says may be encoded, or reported elsewhere, or not at all.
    fn message(self, commit: &CommitMark, secret: &str) -> String {
        if self.0 > 0 && commit.tells {
            return WITHHELD.to_owned();
        }
        self.within(&commit.message, secret)
    }
}

/// A finding with the fields that gitleaks gives it, in its order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row<'a> {
    #[serde(rename = "RuleID")]
    rule_id: &'a str,
    description: &'a str,
    start_line: u32,
    end_line: u32,
    start_column: u32,
    end_column: u32,
    r#match: String,
    secret: String,
    file: &'a str,
    symlink_file: &'a str,
    commit: &'a str,
    entropy: f32,
    author: &'a str,
    email: &'a str,
    date: &'a str,
    message: String,
    tags: &'a [String],
    fingerprint: String,
}

impl<'a> Row<'a> {
    fn new(finding: &'a Finding, redaction: Redaction) -> Self {
        let commit = finding.commit.as_ref();
        let secret = String::from_utf8_lossy(finding.secret.expose());
        let matched = String::from_utf8_lossy(finding.matched.expose());
        Self {
            rule_id: &finding.rule,
            description: &finding.description,
            start_line: finding.place.start_line,
            end_line: finding.place.end_line,
            start_column: finding.place.start_column,
            end_column: finding.place.end_column,
            r#match: redaction.within(&matched, &secret),
            secret: redaction.of(&secret).into_owned(),
            file: &finding.place.file,
            symlink_file: &finding.symlink,
            commit: commit.map(|commit| commit.id.as_str()).unwrap_or_default(),
            // Nothing less than zero: one repeated byte makes a zero with a sign.
            entropy: finding.entropy.abs(),
            author: commit.map(|commit| commit.author.as_str()).unwrap_or_default(),
            email: commit.map(|commit| commit.email.as_str()).unwrap_or_default(),
            date: commit.map(|commit| commit.date.as_str()).unwrap_or_default(),
            message: commit.map(|commit| redaction.message(commit, &secret)).unwrap_or_default(),
            tags: &finding.tags,
            fingerprint: finding.ignore_name(),
        }
    }
}

/// What a provider said of a credential, for programs.
#[derive(Serialize)]
struct Said<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> From<&'a Verdict> for Said<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        let reason = match verdict {
            Verdict::Unknown(why) => Some(why.as_str()),
            Verdict::Live | Verdict::Dead => None,
        };
        Self { status: verdict.word(), reason }
    }
}

/// A place for people: file and line. Control characters are kept.
pub fn where_found(place: &Place) -> String {
    let file = if place.file.is_empty() { "stdin" } else { &place.file };
    match place.start_line {
        0 => file.to_owned(),
        line => format!("{file}:{line}"),
    }
}

/// Characters that act on a terminal or disguise text: controls, and those that change the direction of writing.
fn is_hostile(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` with every hostile character written as its number.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|char| if is_hostile(char) { char.escape_unicode().to_string() } else { char.to_string() })
            .collect(),
    )
}

/// `matched` without a quote at its end that opens before it: the format of a rule may look at what follows the credential.
fn without_last_quote(matched: &str) -> &str {
    let quote = matched.chars().next_back().filter(|last| matches!(last, '"' | '\'' | '`'));
    let is_alone = |quote: char| matched.matches(quote).count() % 2 == 1;
    quote.filter(|quote| is_alone(*quote)).and_then(|quote| matched.strip_suffix(quote)).unwrap_or(matched)
}

#[cfg(test)]
mod tests {
    use super::without_last_quote;

    #[test]
    fn a_quote_that_opens_before_the_match_is_not_shown() {
        for (matched, shown) in
            [("REDACTED\"", "REDACTED"), ("\"REDACTED\"", "\"REDACTED\""), ("k='REDACTED'", "k='REDACTED'"), ("", "")]
        {
            assert_eq!(without_last_quote(matched), shown);
        }
    }
}
