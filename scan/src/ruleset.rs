//! The rules of a scan: those of the catalogue and those of the configuration, with what the configuration allows.

mod merge;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use regex::bytes::Regex;
use turnlock_core::finding::{Finding, LIVE_SECRET_RULE, Place};

use crate::config::allowlist::{Allowlist, Content, Whereabouts};
use crate::config::{Config, ConfigError, CustomRule};
use crate::custom::{self, CustomRules};
use crate::matcher::Matcher;
use crate::rule::Rule;
use crate::scanner::ScanError;
use crate::text;
use merge::Merged;

/// Certainty of a hit of a configuration's rule: whoever wrote it knows what it is for.
const CUSTOM_CERTAINTY: f32 = 0.8;

/// All rules of a scan. Those of the configuration follow after those of the catalogue in the count of indices.
#[derive(Debug)]
pub(crate) struct Ruleset {
    matcher: Matcher,
    custom: CustomRules,
    /// For every rule, or for those of these indices.
    allowlists: Vec<(Option<HashSet<usize>>, Allowlist)>,
    /// For one rule, by its index.
    of_rule: HashMap<usize, Vec<Arc<Allowlist>>>,
    /// Files in which a rule holds, by its index.
    paths: HashMap<usize, Regex>,
    index_of: HashMap<String, usize>,
    /// The only rules that are reported, if there is a choice.
    only: Option<HashSet<usize>>,
}

/// A hit of a rule in a text.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// Index of the rule.
    pub(crate) rule: usize,
    /// Lines and columns for the report.
    pub(crate) place: Place,
    /// Bytes of the match.
    pub(crate) span: Range<usize>,
    /// Bytes of the credential, within `span`.
    pub(crate) secret: Range<usize>,
    pub(crate) entropy: f32,
    pub(crate) certainty: f32,
    pub(crate) tag: Option<&'static str>,
}

/// The hits of a text.
#[derive(Debug)]
pub(crate) struct Hits {
    pub(crate) list: Vec<Hit>,
    /// Whether more than few bytes around each hit counted: a rule of a configuration sees the whole text.
    pub(crate) beyond: bool,
    /// Whether there were more than are told apart.
    pub(crate) is_full: bool,
}

impl Ruleset {
    /// Puts `config` over `catalogue`, and says what in it had no effect.
    ///
    /// `only`: ids of the only rules that run; all do when there are none.
    pub(crate) fn new(catalogue: Vec<Rule>, config: Config, only: &[String]) -> Result<(Self, Vec<String>), ScanError> {
        let mut merged = Merged::new(catalogue, config, only)?;
        let matcher = Matcher::new(std::mem::take(&mut merged.catalogue));
        let custom = CustomRules::new(std::mem::take(&mut merged.own))
            .map_err(|error| ConfigError::Keywords { cause: error.to_string() })?;
        let warnings = std::mem::take(&mut merged.warnings);
        let Merged { allowlists, of_rule, paths, index_of, only, .. } = merged;
        Ok((Self { matcher, custom, allowlists, of_rule, paths, index_of, only }, warnings))
    }

    /// Id, description and tags of a rule.
    pub(crate) fn describe(&self, rule: usize) -> (&str, &str, Vec<String>) {
        if let Some(rule) = self.matcher.rules().get(rule) {
            return (&rule.id, &rule.description, rule.tags.iter().map(|tag| tag.to_string()).collect());
        }
        self.custom_rule(rule).map_or(("", "", Vec::new()), |rule| (&rule.id, &rule.description, rule.tags.clone()))
    }

    /// Why the match of a rule is taken for a credential.
    pub(crate) fn reason(&self, rule: usize, matched: &[u8], tag: Option<&str>) -> String {
        match self.matcher.rules().get(rule) {
            Some(rule) => rule.reason(matched, tag),
            None => "has the form that the configuration gives".to_owned(),
        }
    }

    fn custom_rule(&self, rule: usize) -> Option<&CustomRule> {
        self.custom.rules().get(rule.checked_sub(self.matcher.rules().len())?)
    }

    /// Whether `id` is that of a rule.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.index_of.contains_key(id) || id == LIVE_SECRET_RULE
    }

    /// Ids and descriptions of all rules, in order of the ids.
    pub(crate) fn all(&self) -> Vec<(String, String)> {
        let custom = self.custom.rules().iter().map(|rule| (rule.id.clone(), rule.description.clone()));
        let built_in = self.matcher.rules().iter().map(|rule| (rule.id.to_string(), rule.description.to_string()));
        let mut all: Vec<_> = built_in.chain(custom).collect();
        all.sort();
        all
    }

    /// Ids of the rules that the configuration defined.
    pub(crate) fn own(&self) -> HashSet<String> {
        self.custom.rules().iter().map(|rule| rule.id.clone()).collect()
    }

    /// What the rules find in `text`, those of the catalogue by keywords before `until`. `excused` says of the bytes of a
    /// match whether the text itself allows them.
    pub(crate) fn hits(&self, text: &[u8], until: usize, excused: impl Fn(&Range<usize>) -> bool) -> Hits {
        let offset = self.matcher.rules().len();
        let found = self.matcher.find(text, until);
        let built_in = found.hits.into_iter().map(|hit| Hit {
            rule: hit.rule,
            place: text::place(text, &hit.span),
            span: hit.span,
            secret: hit.secret,
            entropy: hit.entropy,
            certainty: hit.certainty,
            tag: hit.tag,
        });
        let custom = self.custom.hits(text).into_iter().map(|hit| Hit {
            rule: offset + hit.rule,
            place: custom::place(text, &hit.reported),
            span: hit.span,
            secret: hit.secret,
            entropy: hit.entropy,
            certainty: CUSTOM_CERTAINTY,
            tag: None,
        });
        let mut hits: Vec<Hit> = built_in
            .chain(custom)
            .filter(|hit| !excused(&hit.span) && !self.allows(hit.rule, content(text, hit), None))
            .collect();
        if self.custom.reads_texts() {
            self.join(text, &mut hits);
        }
        hits.retain(|hit| self.is_reported(hit.rule));
        Hits { list: hits, beyond: found.beyond || self.custom.reads_texts(), is_full: found.is_full }
    }

    /// The rules that come with the program, as far as the configuration leaves them.
    pub(crate) fn catalogue(&self) -> &[Rule] {
        self.matcher.rules()
    }

    fn is_reported(&self, rule: usize) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&rule))
    }

    /// Whether files by their mere names are hits.
    pub(crate) fn names_files(&self) -> bool {
        self.custom.rules().iter().any(|rule| rule.regex.is_none())
    }

    /// The rules by which the mere name of a file is a hit.
    pub(crate) fn hits_of_name<'a>(&'a self, file: &'a str) -> impl Iterator<Item = usize> + 'a {
        let offset = self.matcher.rules().len();
        let rules = self.custom.rules().iter().enumerate();
        rules
            .filter(move |(_, rule)| {
                let matches = |path: &Regex| path.is_match(file.as_bytes());
                rule.regex.is_none() && !rule.skip_report && rule.path.as_ref().is_some_and(matches)
            })
            .map(move |(index, _)| offset + index)
            .filter(|rule| self.is_reported(*rule))
    }

    /// Whether no rule can find anything in `file`.
    pub(crate) fn covers_file(&self, file: &str) -> bool {
        self.allowlists.iter().any(|(_, allowlist)| allowlist.covers_file(file))
    }

    /// Whether a finding is none where it stands: the rule does not hold there, or an allowlist allows it.
    ///
    /// A confirmed value of the store is never excused: allowlists speak of what merely looks like a credential.
    pub(crate) fn excuses(&self, finding: &Finding) -> bool {
        let Some(rule) = self.index_of.get(&finding.rule).filter(|_| finding.rule != LIVE_SECRET_RULE) else {
            return false;
        };
        let file = &finding.place.file;
        if self.paths.get(rule).is_some_and(|path| !path.is_match(file.as_bytes())) {
            return true;
        }
        let content = Content {
            secret: finding.secret.expose(),
            matched: finding.matched.expose(),
            lines: finding.lines.expose(),
        };
        let commit = finding.commit.as_ref().map(|commit| commit.id.as_str());
        self.allows(*rule, content, Some(Whereabouts { file, commit }))
    }

    fn allows(&self, rule: usize, content: Content<'_>, whereabouts: Option<Whereabouts<'_>>) -> bool {
        let own = self.of_rule.get(&rule).into_iter().flatten().map(Arc::as_ref);
        let for_it = |targets: &Option<HashSet<usize>>| targets.as_ref().is_none_or(|targets| targets.contains(&rule));
        let of_all = self.allowlists.iter().filter(|(targets, _)| for_it(targets)).map(|(_, list)| list);
        own.chain(of_all).any(|allowlist| allowlist.allows(content, whereabouts))
    }

    /// Sees the hits of a text together: parts that a rule requires, rules that only serve as parts, and several hits
    /// of one credential.
    fn join(&self, text: &[u8], hits: &mut Vec<Hit>) {
        let custom = |hit: &Hit| self.custom_rule(hit.rule);
        let all = hits.clone();
        hits.retain(|hit| {
            custom(hit).is_none_or(|rule| {
                !rule.skip_report
                    && rule.required.iter().all(|part| {
                        let index = self.index_of.get(&part.id);
                        all.iter().filter(|other| Some(&other.rule) == index).any(|other| {
                            let near =
                                |limit: Option<u32>, a: u32, b: u32| limit.is_none_or(|most| a.abs_diff(b) <= most);
                            near(part.within_lines, hit.place.start_line, other.place.start_line)
                                && near(part.within_columns, hit.place.start_column, other.place.start_column)
                        })
                    })
            })
        });
        // A rule of the configuration knows better than the catalogue, and a named kind better than a generic one.
        let generic = |hit: &Hit| self.describe(hit.rule).0.contains("generic");
        let of = |hit: &Hit| text.get(hit.secret.clone()).unwrap_or_default();
        let all = hits.clone();
        hits.retain(|hit| {
            !all.iter().any(|other| match (custom(hit), custom(other)) {
                (None, None) => false,
                (None, Some(_)) => other.secret.start < hit.secret.end && hit.secret.start < other.secret.end,
                (Some(_), _) => {
                    generic(hit)
                        && !generic(other)
                        && hit.place.start_line == other.place.start_line
                        && memchr::memmem::find(of(other), of(hit)).is_some()
                }
            })
        });
    }
}

fn content<'a>(text: &'a [u8], hit: &Hit) -> Content<'a> {
    Content {
        secret: text.get(hit.secret.clone()).unwrap_or_default(),
        matched: text.get(hit.span.clone()).unwrap_or_default(),
        lines: text::lines(text, &hit.span),
    }
}
