//! What several policies allow together: one lookup structure, one function that decides and explains.
//!
//! A lookup allocates nothing: one hash for the exact path, one binary search for all prefixes, and one pass over the
//! patterns with `+`. Its cost is linear in the path's length, whatever the patterns.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::parameter::{Permissions, Unmet};
use super::pattern::{Pattern, Shape, segments_match};
use super::template::{Resolved, TemplateValues};
use super::verdict::{Reason, RuleName, Verdict};
use super::{Capabilities, Capability, Policy, PolicyName, Written};
use crate::path::Path;

/// What is asked of an [`Acl`].
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Where. A trailing slash makes no difference.
    pub path: &'a Path,
    /// What: any capability but [`Capability::Deny`], which is never granted.
    pub operation: Capability,
    /// Name and JSON text of each field of the body; judged on create, update and patch.
    pub parameters: &'a [(&'a str, &'a str)],
    /// How long the answer is to be wrapped, if it is.
    pub wrap_ttl: Option<Duration>,
}

/// The merged rules of a token's policies.
#[derive(Debug, Clone, Default)]
pub struct Acl {
    root: bool,
    rules: Vec<Rule>,
    exact: HashMap<String, Exact>,
    prefixes: Vec<Prefix>,
    /// Rules with `+` that deny.
    segment_denies: Vec<usize>,
    /// Rules with `+` that grant, the most specific first.
    segment_grants: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: Pattern,
    policies: Vec<PolicyName>,
    permissions: Permissions,
}

/// The rules for one path without wildcards.
#[derive(Debug, Clone, Default)]
struct Exact {
    denied: Option<usize>,
    plain: Option<usize>,
    folder: Option<usize>,
}

/// One prefix of the sorted list.
#[derive(Debug, Clone)]
struct Prefix {
    text: String,
    rule: usize,
    /// The longest other prefix that this one begins with.
    parent: Option<usize>,
    /// The rule that denies this prefix: its own or that of a shorter one.
    denied: Option<usize>,
}

/// What a path's rules come to, before capabilities are looked at.
enum Decisive<'a> {
    Denied(&'a Rule),
    Rule(&'a Rule),
    Nothing,
}

impl Acl {
    /// Everything is allowed: the policy `root`.
    pub fn root() -> Self {
        Self { root: true, ..Self::default() }
    }

    /// Merges policies. A rule whose template cannot be resolved safely is dropped, unless it denies: then it denies
    /// everything below the part of its pattern that is known. The order of `policies` makes no difference.
    pub fn new(policies: &[Arc<Policy>], values: &TemplateValues) -> Self {
        let mut merged: BTreeMap<String, Rule> = BTreeMap::new();
        for policy in policies {
            for rule in &policy.rules {
                let pattern = match &rule.pattern {
                    Written::Fixed(pattern) => pattern.clone(),
                    Written::Template(template) => match template.resolve(values) {
                        Resolved::Whole(pattern) => pattern,
                        Resolved::Partial(known) if rule.permissions.capabilities.has(Capability::Deny) => known,
                        Resolved::Partial(_) => continue,
                    },
                };
                let entry = merged.entry(pattern.as_str().to_owned()).or_insert_with(|| Rule {
                    pattern,
                    policies: Vec::new(),
                    permissions: Permissions::default(),
                });
                entry.permissions.merge(&rule.permissions);
                if let Err(place) = entry.policies.binary_search(&policy.name) {
                    entry.policies.insert(place, policy.name.clone());
                }
            }
        }
        let mut acl = Self { rules: merged.into_values().collect(), ..Self::default() };
        acl.index();
        acl
    }

    /// Whether everything is allowed.
    pub fn is_root(&self) -> bool {
        self.root
    }

    fn index(&mut self) {
        for (number, rule) in self.rules.iter().enumerate() {
            let deny = rule.denies();
            match &rule.pattern.shape {
                Shape::Exact(path) => {
                    let exact = self.exact.entry(path.clone()).or_default();
                    match (deny, rule.pattern.folder) {
                        (true, _) => exact.denied = Some(number),
                        (false, true) => exact.folder = Some(number),
                        (false, false) => exact.plain = Some(number),
                    }
                }
                Shape::Prefix(text) => {
                    let denied = deny.then_some(number);
                    self.prefixes.push(Prefix { text: text.clone(), rule: number, parent: None, denied });
                }
                Shape::Segments { .. } if deny => self.segment_denies.push(number),
                Shape::Segments { .. } => self.segment_grants.push(number),
            }
        }
        let rules = &self.rules;
        let rank = |number: &usize| rules.get(*number).map(|rule| rule.pattern.rank());
        self.segment_grants.sort_by(|one, two| rank(two).cmp(&rank(one)));
        self.prefixes.sort_by(|one, two| one.text.cmp(&two.text));
        // In sorted order the prefixes of a text come before it, the longest last: a stack of open ones is enough.
        let mut open: Vec<usize> = Vec::new();
        for number in 0..self.prefixes.len() {
            let Some(text) = self.prefixes.get(number).map(|prefix| prefix.text.clone()) else { continue };
            while open
                .last()
                .and_then(|last| self.prefixes.get(*last))
                .is_some_and(|last| !text.starts_with(&last.text))
            {
                open.pop();
            }
            let parent = open.last().copied();
            let inherited = parent.and_then(|parent| self.prefixes.get(parent)).and_then(|parent| parent.denied);
            if let Some(prefix) = self.prefixes.get_mut(number) {
                prefix.parent = parent;
                prefix.denied = prefix.denied.or(inherited);
            }
            open.push(number);
        }
    }

    /// Decides and says why. Allocates nothing unless the deciding rule has conditions on parameters.
    pub fn evaluate(&self, question: &Question<'_>) -> Verdict<'_> {
        if self.root {
            return Verdict { allowed: true, sudo: true, reason: Reason::Root };
        }
        let refused = |reason| Verdict { allowed: false, sudo: false, reason };
        let rule = match self.decisive(question.path.as_str(), question.operation.is_listing()) {
            Decisive::Denied(rule) => return refused(Reason::Denied(rule.name())),
            Decisive::Nothing => return refused(Reason::NoRule),
            Decisive::Rule(rule) => rule,
        };
        let (name, permissions) = (rule.name(), &rule.permissions);
        if !permissions.capabilities.has(question.operation) {
            return refused(Reason::MissingCapability(name, question.operation));
        }
        match permissions.check(question.operation, question.parameters, question.wrap_ttl) {
            Ok(()) => Verdict {
                allowed: true,
                sudo: permissions.capabilities.has(Capability::Sudo),
                reason: Reason::Granted(name),
            },
            Err(Unmet::Required(parameter)) => refused(Reason::MissingParameter(name, parameter)),
            Err(Unmet::Denied) => refused(Reason::DeniedParameter(name)),
            Err(Unmet::NotAllowed) => refused(Reason::ParameterNotAllowed(name)),
            Err(Unmet::WrappingTtl) => refused(Reason::WrappingTtl(name)),
        }
    }

    /// As [`Acl::evaluate`], for a thing that also has the path `other`: the one form of a name that was spelled otherwise,
    /// or the newer one of two paths. The path that was sent must be granted; besides, a deny of the other wins, and so
    /// does a rule for it that is at least as specific. So a rule for a name holds for every spelling of it.
    pub fn evaluate_with(&self, question: &Question<'_>, other: &Path) -> Verdict<'_> {
        let verdict = self.evaluate(question);
        if self.root || !verdict.allowed {
            return verdict;
        }
        let decides = self.decides(other, question.path, question.operation.is_listing());
        if decides { self.evaluate(&Question { path: other, ..*question }) } else { verdict }
    }

    /// Whether the rules for `other` count besides those for `sent`; see [`Acl::evaluate_with`].
    fn decides(&self, other: &Path, sent: &Path, listing: bool) -> bool {
        match (self.decisive(other.as_str(), listing), self.decisive(sent.as_str(), listing)) {
            (Decisive::Denied(_), _) => true,
            (Decisive::Rule(other), Decisive::Rule(sent)) => other.pattern.specificity() >= sent.pattern.specificity(),
            _ => false,
        }
    }

    /// What is granted on a path, sorted, as `sys/capabilities` answers: `["root"]` for root, `["deny"]` for nothing.
    /// `other`: as for [`Acl::evaluate_with`]. Conditions on parameters and wrapping are not looked at: they depend on the
    /// request.
    pub fn capabilities(&self, path: &Path, other: Option<&Path>) -> Vec<&'static str> {
        if self.root {
            return vec!["root"];
        }
        let of = |path: &Path, listing| match self.decisive(path.as_str(), listing) {
            Decisive::Rule(rule) => rule.permissions.capabilities,
            Decisive::Denied(_) | Decisive::Nothing => Capabilities::default(),
        };
        let granted = |listing| {
            let sent = of(path, listing);
            let other = other.filter(|other| self.decides(other, path, listing));
            (sent, other.map_or(sent, |other| of(other, listing)))
        };
        let (plain, listing) = (granted(false), granted(true));
        named(|capability| {
            let (sent, other) = if capability.is_listing() { listing } else { plain };
            sent.has(capability) && other.has(capability)
        })
    }

    /// The merged rules, by pattern: whether it stands for one path only, and what it grants, as for
    /// [`Acl::capabilities`]. None for root, which needs none.
    pub fn rules(&self) -> impl Iterator<Item = (&str, bool, Vec<&'static str>)> {
        self.rules.iter().map(|rule| {
            let exact = matches!(rule.pattern.shape, Shape::Exact(_));
            let granted = rule.permissions.capabilities;
            (rule.pattern.as_str(), exact, named(|capability| !rule.denies() && granted.has(capability)))
        })
    }

    /// Whether anything at all is granted at or below `path`: what may be seen of a mount by those who use it.
    pub fn reaches(&self, path: &Path) -> bool {
        if self.root {
            return true;
        }
        let text = path.as_str();
        let granting = |rule: &&Rule| {
            let Permissions { capabilities, .. } = rule.permissions;
            capabilities != Capabilities::default() && !rule.denies()
        };
        self.rules.iter().filter(granting).any(|rule| match &rule.pattern.shape {
            Shape::Exact(exact) => is_at_or_below(exact, text),
            Shape::Prefix(prefix) => text.starts_with(prefix.as_str()) || is_at_or_below(prefix, text),
            Shape::Segments { segments, tail } => {
                let wanted = text.split('/').filter(|part| !part.is_empty());
                let known = segments.iter().map(Some).chain(std::iter::repeat(None));
                let enough = tail.is_some() || text.split('/').count() <= segments.len();
                enough
                    && wanted.zip(known).all(|(part, segment)| match segment {
                        Some(super::pattern::Segment::Is(text)) => part == text,
                        Some(super::pattern::Segment::Any) | None => true,
                    })
            }
        })
    }

    /// The one rule that decides about a path, or the one that denies it. A `listing` also sees the rules of the folder
    /// below the path.
    fn decisive(&self, text: &str, listing: bool) -> Decisive<'_> {
        let rule = |number: usize| self.rules.get(number);
        let exact = self.exact.get(text);
        let prefix = self.longest_prefix(text, listing);
        let denied =
            exact.and_then(|exact| exact.denied).or_else(|| prefix.and_then(|prefix| prefix.denied)).or_else(|| {
                // A deny of the listing `a/+/` denies the folder itself too: `no/` and `no` are one path.
                self.segment_denies
                    .iter()
                    .copied()
                    .find(|number| rule(*number).is_some_and(|rule| rule.fits(text, listing)))
            });
        if let Some(rule) = denied.and_then(rule) {
            return Decisive::Denied(rule);
        }
        let named = exact.and_then(|exact| if listing { exact.folder.or(exact.plain) } else { exact.plain });
        if let Some(rule) = named.and_then(rule) {
            return Decisive::Rule(rule);
        }
        let by_prefix = prefix.and_then(|prefix| rule(prefix.rule));
        let by_segments = self
            .segment_grants
            .iter()
            .filter_map(|number| rule(*number))
            .find(|rule| (listing || !rule.pattern.folder) && rule.fits(text, listing));
        match (by_prefix, by_segments) {
            (Some(one), Some(two)) if one.pattern.rank() > two.pattern.rank() => Decisive::Rule(one),
            (_, Some(rule)) | (Some(rule), None) => Decisive::Rule(rule),
            (None, None) => Decisive::Nothing,
        }
    }

    /// The longest prefix of the path's text, or for a listing of the text with a slash behind it.
    fn longest_prefix(&self, text: &str, listing: bool) -> Option<&Prefix> {
        let slash: &[u8] = if listing && !text.is_empty() { b"/" } else { b"" };
        let after = self.prefixes.partition_point(|prefix| compare(&prefix.text, text, slash) != Ordering::Greater);
        // Every prefix of the text sorts before it and begins with no other text than the nearest entry does.
        let mut candidate = self.prefixes.get(after.checked_sub(1)?)?;
        let wanted = text.bytes().chain(slash.iter().copied());
        let common = candidate.text.bytes().zip(wanted).take_while(|(one, two)| one == two).count();
        while candidate.text.len() > common {
            candidate = self.prefixes.get(candidate.parent?)?;
        }
        Some(candidate)
    }
}

impl Rule {
    fn denies(&self) -> bool {
        self.permissions.capabilities.has(Capability::Deny)
    }

    fn name(&self) -> RuleName<'_> {
        RuleName { pattern: self.pattern.as_str(), policies: &self.policies }
    }

    /// Whether a rule with `+` matches.
    fn fits(&self, text: &str, listing: bool) -> bool {
        match &self.pattern.shape {
            Shape::Segments { segments, tail } => segments_match(segments, tail.as_deref(), text, listing),
            Shape::Exact(_) | Shape::Prefix(_) => false,
        }
    }
}

/// The words of what is granted, sorted.
fn named(granted: impl Fn(Capability) -> bool) -> Vec<&'static str> {
    let capabilities = Capability::ALL.into_iter().filter(|capability| *capability != Capability::Deny);
    let names: Vec<_> = capabilities.filter(|capability| granted(*capability)).map(Capability::as_str).collect();
    if names.is_empty() { vec![Capability::Deny.as_str()] } else { names }
}

/// Compares a prefix with a path's text, to which a slash may be appended, without building it.
fn compare(prefix: &str, text: &str, slash: &[u8]) -> Ordering {
    let (prefix, text) = (prefix.as_bytes(), text.as_bytes());
    let (head, rest) = prefix.split_at(prefix.len().min(text.len()));
    match text.split_at_checked(head.len()) {
        Some((start, [])) => head.cmp(start).then_with(|| rest.cmp(slash)),
        Some((start, _)) => head.cmp(start).then(Ordering::Less),
        None => Ordering::Less,
    }
}

fn is_at_or_below(text: &str, folder: &str) -> bool {
    folder.is_empty() || text.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
