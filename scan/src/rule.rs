//! A rule: the format of one kind of credential, and the catalogue of them in `rules/`.
//!
//! The files of the catalogue are written from what the providers document; the build script gathers all that lie there.
//! Each sample in them is cut into parts, which a test joins: they shall look like no leak to any scanner. All values are
//! made up. A pattern is over bytes; every match of it holds at least one of the keywords.

use std::borrow::Cow;
use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::built_in;
pub use crate::catalogue::Reach;
use crate::catalogue::{Catalogue, Written};
use crate::check::Check;
use crate::entropy;
use crate::name::{self, Kind};

/// Most memory that one compiled rule may take; a pattern that exceeds it is refused when it is first used.
const MAX_PATTERN_BYTES: usize = 16 << 20;

/// The format of one kind of credential.
#[derive(Debug)]
pub struct Rule {
    /// Names the rule in reports and ignore files. NEVER CHANGE: ignore files hold it.
    pub id: Cow<'static, str>,
    /// What it finds, for people.
    pub description: Cow<'static, str>,
    /// Texts of which each match holds at least one, in lower case. Case does not matter when they are looked for.
    pub keywords: Cow<'static, [Cow<'static, str>]>,
    /// Regular expression over bytes. `.` does not match a newline.
    pub pattern: Cow<'static, str>,
    /// The group that holds the credential; 0 is the first group that took part, or the whole match without groups.
    pub group: usize,
    /// A credential whose entropy in bits per byte does not exceed this is none; below zero: see [`Rule::is_random`].
    pub entropy: f32,
    /// What a match says by itself: 0.0 to 1.0. Of two that overlap the more certain one stays.
    pub certainty: f32,
    /// Bytes around a keyword that are searched; without it the keyword's line.
    pub reach: Option<Reach>,
    /// Instead of a pattern: the keywords are words of names, and of a name that says this of its value the value is judged.
    pub setting: Option<Kind>,
    /// Whether `keywords` are names, and the pattern is a whole value near one of them: the short form `[[assigned]]`.
    pub assigned: bool,
    /// What is computed over the match after the pattern.
    pub check: Check,
    /// Texts of which each, in a name or in a value, says that the value has the form of this rule or is none, in lower
    /// case: [`Matcher`](crate::matcher::Matcher) judges no such value by its name alone.
    pub only: Cow<'static, [Cow<'static, str>]>,
    /// Facts for the report.
    pub tags: Cow<'static, [Cow<'static, str>]>,
    compiled: OnceLock<Option<Regex>>,
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

    /// Why a match is taken for a credential, for people. `tag` is what the check said.
    pub fn reason(&self, matched: &[u8], tag: Option<&str>) -> String {
        let name = String::from_utf8_lossy(name::at(matched));
        match (self.setting, tag) {
            (Some(Kind::Password), _) => format!("can be a password and is given to \"{name}\""),
            (Some(Kind::Secret), Some("example")) => {
                format!("is given to \"{name}\", but looks typed rather than random")
            }
            (Some(Kind::Secret), _) => format!("looks random and is given to \"{name}\""),
            (None, Some("example")) if self.assigned => {
                "has the form beside the provider's name, but looks typed rather than random".to_owned()
            }
            (None, Some("example")) => "has the form, but looks typed rather than random".to_owned(),
            (None, Some("cut")) => "begins as a private key, but is not whole".to_owned(),
            (None, Some("algorithm:missing")) => "is built as a token, but names no algorithm".to_owned(),
            (None, Some("checksum:passed")) => "has the form, and its checksum holds".to_owned(),
            (None, Some("checksum:failed")) => "has the form, but its checksum does not hold".to_owned(),
            (None, _) if self.assigned => "has the form and stands beside the provider's name".to_owned(),
            (None, _) => "has the form".to_owned(),
        }
    }

    /// Compiles the pattern and checks that the group exists.
    pub fn verify(&self) -> Result<(), RuleError> {
        let regex = self
            .compile()
            .map_err(|source| RuleError::Pattern { rule: self.id.to_string(), source: Box::new(source) })?;
        if self.group >= regex.captures_len() {
            return Err(RuleError::Group { rule: self.id.to_string() });
        }
        if self.keywords.is_empty() || self.keywords.iter().any(|keyword| keyword.is_empty() || keyword.contains('\n'))
        {
            return Err(RuleError::Keywords { rule: self.id.to_string() });
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

impl From<Written> for Rule {
    fn from(written: Written) -> Self {
        Self {
            id: written.id,
            description: written.description,
            keywords: written.keywords,
            pattern: written.pattern,
            group: written.group,
            entropy: written.entropy,
            certainty: written.certainty,
            reach: written.reach,
            setting: written.setting,
            assigned: written.assigned,
            check: written.check,
            only: written.only,
            tags: written.tags,
            compiled: OnceLock::new(),
        }
    }
}

/// The rules that come with the crate.
pub fn built_in() -> Vec<Rule> {
    built_in::rules().map(Rule::from).collect()
}

/// Reads a catalogue: TOML lists of `[[rule]]` and `[[assigned]]`.
pub fn parse(text: &str) -> Result<Vec<Rule>, RuleError> {
    let catalogue: Catalogue = toml::from_str(text).map_err(|source| RuleError::Syntax { source: Box::new(source) })?;
    Ok(catalogue.rules().map(Rule::from).collect())
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
