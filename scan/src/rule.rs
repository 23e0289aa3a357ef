//! A rule: the format of one kind of credential, and the catalogue of them in `rules/`.
//!
//! The files of the catalogue are written from what the providers document. Each sample in them is cut into parts, which
//! a test joins: they shall look like no leak to any scanner. All values are made up. A pattern is over bytes; every match
//! of it holds at least one of the keywords.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;

use crate::assigned;
use crate::check::Check;
use crate::entropy;
use crate::name::Kind;

/// The catalogue, by what the credentials open.
const BUILT_IN: &[&str] = &[
    include_str!("rules/clouds.toml"),
    include_str!("rules/code.toml"),
    include_str!("rules/data.toml"),
    include_str!("rules/finance.toml"),
    include_str!("rules/frameworks.toml"),
    include_str!("rules/generic.toml"),
    include_str!("rules/geo.toml"),
    include_str!("rules/identity.toml"),
    include_str!("rules/keys.toml"),
    include_str!("rules/marketing.toml"),
    include_str!("rules/media.toml"),
    include_str!("rules/messages.toml"),
    include_str!("rules/models.toml"),
    include_str!("rules/money.toml"),
    include_str!("rules/monitoring.toml"),
    include_str!("rules/network.toml"),
    include_str!("rules/security.toml"),
    include_str!("rules/services.toml"),
    include_str!("rules/turnlock.toml"),
    include_str!("rules/work.toml"),
];

/// Most memory that one compiled rule may take; a pattern that exceeds it is refused when it is first used.
const MAX_PATTERN_BYTES: usize = 16 << 20;

/// The format of one kind of credential.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names the rule in reports and ignore files. NEVER CHANGE: ignore files hold it.
    pub id: String,
    /// What it finds, for people.
    pub description: String,
    /// Texts of which each match holds at least one, in lower case. Case does not matter when they are looked for.
    pub keywords: Vec<String>,
    /// Regular expression over bytes. `.` does not match a newline.
    #[serde(default)]
    pub pattern: String,
    /// The group that holds the credential; 0 is the first group that took part, or the whole match without groups.
    #[serde(default)]
    pub group: usize,
    /// A credential whose entropy in bits per byte does not exceed this is none; below zero: see [`Rule::is_random`].
    #[serde(default)]
    pub entropy: f32,
    /// What a match says by itself: 0.0 to 1.0. Of two that overlap the more certain one stays.
    pub certainty: f32,
    /// Bytes around a keyword that are searched; without it the keyword's line.
    #[serde(default)]
    pub reach: Option<Reach>,
    /// Instead of a pattern: the keywords are words of names, and of a name that says this of its value the value is judged.
    #[serde(default)]
    pub setting: Option<Kind>,
    /// Whether `keywords` are names, and the pattern is a whole value near one of them: the short form `[[assigned]]`.
    #[serde(skip)]
    pub assigned: bool,
    /// What is computed over the match after the pattern.
    #[serde(default)]
    pub check: Check,
    /// Facts for the report.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Texts that it must find, each cut into parts so that no scanner takes this file for a leak.
    #[serde(default)]
    pub positive: Vec<Vec<String>>,
    /// Texts that it must not find, cut likewise.
    #[serde(default)]
    pub negative: Vec<Vec<String>>,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

/// How far a match may lie from its keyword, for rules that span lines.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Bytes before the keyword; extended to the start of the line.
    pub before: usize,
    /// Bytes after the keyword; extended to the end of the line.
    pub after: usize,
}

/// The short form, for credentials that only the name of their provider tells: a value near one of `names`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Assigned {
    id: String,
    description: String,
    names: Vec<String>,
    value: String,
    #[serde(default = "unset_entropy")]
    entropy: f32,
    #[serde(default = "usual_certainty")]
    certainty: f32,
    #[serde(default = "usual_check")]
    check: Check,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    positive: Vec<Vec<String>>,
    #[serde(default)]
    negative: Vec<Vec<String>>,
}

/// An entropy below zero stands for the least that a random value of this length and alphabet has.
fn unset_entropy() -> f32 {
    -1.0
}

fn usual_certainty() -> f32 {
    0.75
}

fn usual_check() -> Check {
    Check::Example
}

impl From<Assigned> for Rule {
    fn from(short: Assigned) -> Self {
        Self {
            id: short.id,
            description: short.description,
            keywords: short.names,
            pattern: assigned::pattern(&short.value),
            group: 1,
            entropy: short.entropy,
            certainty: short.certainty,
            reach: None,
            setting: None,
            assigned: true,
            check: short.check,
            tags: short.tags,
            positive: short.positive,
            negative: short.negative,
            compiled: OnceLock::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    #[serde(default)]
    rule: Vec<Rule>,
    #[serde(default)]
    assigned: Vec<Assigned>,
}

impl Rule {
    /// The compiled pattern; `None` when it cannot be compiled, which [`Rule::verify`] tells beforehand.
    ///
    /// Compiled at the first use: most scans never need most rules.
    pub fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| self.compile().ok()).as_ref()
    }

    /// Whether `value`, of this entropy, is as random as this rule asks.
    pub(crate) fn is_random(&self, value: &[u8], entropy: f32) -> bool {
        let least = if self.entropy < 0.0 { entropy::least_of_random(value) } else { self.entropy };
        least == 0.0 || entropy > least
    }

    /// Compiles the pattern and checks that the group exists.
    pub fn verify(&self) -> Result<(), RuleError> {
        let regex =
            self.compile().map_err(|source| RuleError::Pattern { rule: self.id.clone(), source: Box::new(source) })?;
        if self.group >= regex.captures_len() {
            return Err(RuleError::Group { rule: self.id.clone() });
        }
        if self.keywords.is_empty() || self.keywords.iter().any(|keyword| keyword.is_empty() || keyword.contains('\n'))
        {
            return Err(RuleError::Keywords { rule: self.id.clone() });
        }
        Ok(())
    }

    fn compile(&self) -> Result<Regex, regex::Error> {
        RegexBuilder::new(&self.pattern)
            .unicode(false)
            .size_limit(MAX_PATTERN_BYTES)
            .dfa_size_limit(MAX_PATTERN_BYTES / 8)
            .build()
    }
}

/// The rules that come with the crate.
pub fn built_in() -> Result<Vec<Rule>, RuleError> {
    BUILT_IN.iter().try_fold(Vec::new(), |mut rules, text| {
        rules.extend(parse(text)?);
        Ok(rules)
    })
}

/// Reads a catalogue: TOML lists of `[[rule]]` and `[[assigned]]`.
pub fn parse(text: &str) -> Result<Vec<Rule>, RuleError> {
    let catalogue: Catalogue = toml::from_str(text).map_err(|source| RuleError::Syntax { source: Box::new(source) })?;
    Ok(catalogue.rule.into_iter().chain(catalogue.assigned.into_iter().map(Rule::from)).collect())
}

/// Why a rule cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The catalogue is not TOML of the expected shape.
    #[error("the rules are malformed")]
    Syntax {
        /// Where.
        source: Box<toml::de::Error>,
    },
    /// The pattern is not a regular expression, or too large.
    #[error("rule {rule}: the pattern cannot be compiled")]
    Pattern {
        /// Id of the rule.
        rule: String,
        /// Why.
        source: Box<regex::Error>,
    },
    /// The group of the credential does not exist.
    #[error("rule {rule}: the pattern has no such group")]
    Group {
        /// Id of the rule.
        rule: String,
    },
    /// No keywords, or one that cannot occur in a line.
    #[error("rule {rule}: keywords are missing or malformed")]
    Keywords {
        /// Id of the rule.
        rule: String,
    },
}
