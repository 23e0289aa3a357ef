//! An allowlist: conditions under which a hit of a rule is no leak.

use std::collections::HashSet;

use aho_corasick::AhoCorasick;
use regex::bytes::Regex;

use super::ConfigError;
use super::file::AllowlistTable;
use super::pattern;

/// Conditions under which a hit is no leak.
#[derive(Debug)]
pub(crate) struct Allowlist {
    condition: Condition,
    commits: HashSet<String>,
    paths: Option<Regex>,
    regexes: Option<Regex>,
    target: Target,
    stopwords: Option<AhoCorasick>,
    /// Ids of the rules that it is for; none: for all.
    pub(crate) target_rules: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Any,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Secret,
    Match,
    Line,
}

/// What conditions are about: a hit, by its text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    /// The credential.
    pub(crate) secret: &'a [u8],
    /// The whole match.
    pub(crate) matched: &'a [u8],
    /// The whole lines that the match touches.
    pub(crate) lines: &'a [u8],
}

/// What conditions are about as well: where the text was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whereabouts<'a> {
    pub(crate) file: &'a str,
    pub(crate) commit: Option<&'a str>,
}

impl Allowlist {
    /// Errors name `owner`, the rule or file that the allowlist belongs to.
    pub(super) fn new(table: AllowlistTable, owner: &str) -> Result<Self, ConfigError> {
        let shape = |cause: String| ConfigError::Shape { place: format!("an allowlist of {owner}"), cause };
        let condition = match table.condition.to_uppercase().as_str() {
            "" | "OR" | "||" => Condition::Any,
            "AND" | "&&" => Condition::All,
            _ => return Err(shape("has a condition that is neither OR nor AND".to_owned())),
        };
        let target = match table.regex_target.to_lowercase().as_str() {
            "" | "secret" => Target::Secret,
            "match" => Target::Match,
            "line" => Target::Line,
            _ => return Err(shape("has a regexTarget that is none of secret, match, line".to_owned())),
        };
        let words: Vec<String> = table.stopwords.0.into_iter().filter(|word| !word.is_empty()).collect();
        if [&table.commits.0, &table.paths.0, &table.regexes.0, &words].iter().all(|list| list.is_empty()) {
            return Err(shape("is empty: it needs commits, paths, regexes or stopwords".to_owned()));
        }
        let compiled = |patterns: &[String], key: &str| {
            pattern::compile_any(patterns).map_err(|error| shape(format!("has a bad pattern in {key}: {error}")))
        };
        let (paths, regexes) = (compiled(&table.paths.0, "paths")?, compiled(&table.regexes.0, "regexes")?);
        let stopwords = if words.is_empty() {
            None
        } else {
            let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(&words);
            Some(automaton.map_err(|error| shape(format!("has too many stopwords: {error}")))?)
        };
        let commits = table.commits.0.iter().map(|commit| commit.to_lowercase()).collect();
        Ok(Self { condition, commits, paths, regexes, target, stopwords, target_rules: table.target_rules.0 })
    }

    /// Whether a hit is allowed. Without `whereabouts` only what its text alone decides.
    pub(crate) fn allows(&self, content: Content<'_>, whereabouts: Option<Whereabouts<'_>>) -> bool {
        let by_regex = || {
            self.regexes.as_ref().map(|regex| {
                regex.is_match(match self.target {
                    Target::Secret => content.secret,
                    Target::Match => content.matched,
                    Target::Line => content.lines,
                })
            })
        };
        let by_word = || self.stopwords.as_ref().map(|words| words.is_match(content.secret));
        let by_path =
            || self.paths.as_ref().map(|regex| whereabouts.is_some_and(|at| regex.is_match(at.file.as_bytes())));
        let by_commit = || {
            (!self.commits.is_empty()).then(|| {
                let commit = whereabouts.and_then(|at| at.commit);
                commit.is_some_and(|commit| self.commits.contains(&commit.to_lowercase()))
            })
        };
        let declared: [&dyn Fn() -> Option<bool>; 4] = [&by_commit, &by_path, &by_word, &by_regex];
        match self.condition {
            Condition::Any => declared.iter().any(|holds| holds() == Some(true)),
            Condition::All => declared.iter().all(|holds| holds() != Some(false)),
        }
    }

    /// Whether nothing in `file` can be a leak for any rule, so that it need not be read.
    pub(crate) fn covers_file(&self, file: &str) -> bool {
        self.target_rules.is_empty()
            && self.condition == Condition::Any
            && self.paths.as_ref().is_some_and(|regex| regex.is_match(file.as_bytes()))
    }
}
