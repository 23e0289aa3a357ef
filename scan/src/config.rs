//! The configuration of a scan: rules, allowlists and what is left out of the catalogue, in the format that gitleaks
//! defined, merged from several files.
//!
//! Of two files the one that extends the other has the last word: what it says of a rule replaces what the other says,
//! lists grow, and allowlists of both hold. An organisation's file is extended by the repository's in the same way.

pub(crate) mod allowlist;
mod file;
mod nested;
pub(crate) mod pattern;
pub mod source;

use std::collections::BTreeMap;

use regex::bytes::Regex;

use crate::report::printable;
use allowlist::Allowlist;
use file::{File, RuleTable};
pub(crate) use nested::Nested;
pub use pattern::PatternError;

/// How often one file may extend the next.
const MAX_EXTENDS: usize = 2;

/// Most rules of a configuration.
const MAX_RULES: usize = 10_000;

/// The release of gitleaks whose format this is; a file may ask for at least some release.
const FORMAT_RELEASE: (u32, u32) = (8, 30);

/// Reads the file that `[extend]` names.
pub type ReadExtended<'a> = &'a dyn Fn(&str) -> Result<String, std::io::Error>;

/// Rules and allowlists beside the catalogue, or in its place.
#[derive(Debug)]
pub struct Config {
    /// Whether the catalogue takes part.
    pub(crate) built_in: bool,
    /// By id.
    pub(crate) rules: BTreeMap<String, CustomRule>,
    pub(crate) allowlists: Vec<Allowlist>,
    /// Ids of the catalogue's rules that shall not run.
    pub(crate) disabled: Vec<String>,
    warnings: Vec<String>,
}

/// The catalogue and nothing else.
impl Default for Config {
    fn default() -> Self {
        Self {
            built_in: true,
            rules: BTreeMap::new(),
            allowlists: Vec::new(),
            disabled: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// A rule of a configuration. Without regex and path it changes the rule of the catalogue that has its id.
#[derive(Debug, Default)]
pub(crate) struct CustomRule {
    pub(crate) id: String,
    pub(crate) description: String,
    pub(crate) regex: Option<Regex>,
    pub(crate) path: Option<Regex>,
    /// 0: the first group that is not empty, or the whole match.
    pub(crate) secret_group: usize,
    /// A credential with no more entropy is none; 0.0 asks nothing.
    pub(crate) entropy: f64,
    /// In lower case; without any the rule always runs.
    pub(crate) keywords: Vec<String>,
    pub(crate) tags: Vec<String>,
    /// Whether its hits only count as a part that other rules require.
    pub(crate) skip_report: bool,
    pub(crate) required: Vec<Required>,
    pub(crate) allowlists: Vec<Allowlist>,
}

/// Another rule that must hit in the same text, near enough.
#[derive(Debug)]
pub(crate) struct Required {
    pub(crate) id: String,
    pub(crate) within_lines: Option<u32>,
    pub(crate) within_columns: Option<u32>,
}

impl Config {
    /// Reads a configuration called `name`; files that it extends are asked of `read`.
    pub fn parse(text: &str, name: &str, read: ReadExtended<'_>) -> Result<Self, ConfigError> {
        let config = Self::parse_part(text, name, read)?;
        config.verify().map_err(|error| error.within(name))?;
        Ok(config)
    }

    /// The same for a file that adds to a configuration, so that its rules need not be whole.
    pub(crate) fn parse_part(text: &str, name: &str, read: ReadExtended<'_>) -> Result<Self, ConfigError> {
        let config = Self::layer(text, name, read, 0).map_err(|error| error.within(name))?;
        if config.rules.len() > MAX_RULES {
            return Err(ConfigError::TooManyRules.within(name));
        }
        Ok(config)
    }

    /// This configuration, extending `base`.
    #[must_use]
    pub fn over(mut self, mut base: Self) -> Self {
        for id in &self.disabled {
            base.rules.remove(id);
        }
        for (id, rule) in self.rules {
            let merged = match base.rules.remove(&id) {
                Some(below) => rule.over(below),
                None => rule,
            };
            base.rules.insert(id, merged);
        }
        self.allowlists.append(&mut base.allowlists);
        base.disabled.append(&mut self.disabled);
        base.warnings.append(&mut self.warnings);
        Self { built_in: self.built_in || base.built_in, allowlists: self.allowlists, ..base }
    }

    /// What the files say that has no effect here.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn layer(text: &str, name: &str, read: ReadExtended<'_>, depth: usize) -> Result<Self, ConfigError> {
        let File { min_version, extend, rules, allowlists } = file::read(text)?;
        let mut config = Self {
            built_in: extend.use_default,
            rules: BTreeMap::new(),
            allowlists: allowlists
                .into_iter()
                .map(|table| Allowlist::new(table, "the file"))
                .collect::<Result<_, _>>()?,
            disabled: extend.disabled_rules.0,
            warnings: Vec::new(),
        };
        config.warn_of_release(min_version.as_deref(), name);
        for table in rules {
            if !table.without_meaning.is_empty() {
                let keys = table.without_meaning.join(", ");
                config.warn(name, format_args!("rule {}: {keys} has no effect", table.id));
            }
            let rule = CustomRule::new(table)?;
            // Of two rules with one id the later one counts.
            config.rules.insert(rule.id.clone(), rule);
        }
        if !extend.url.is_empty() {
            config.warn(name, format_args!("extend.url has no effect: nothing is fetched"));
        }
        if extend.path.is_empty() {
            return Ok(config);
        }
        if extend.use_default {
            return Err(ConfigError::Shape {
                place: "[extend]".to_owned(),
                cause: "has both useDefault and path: choose one".to_owned(),
            });
        }
        if depth >= MAX_EXTENDS {
            config.warn(name, format_args!("extends {}, one file too deep: it was not read", extend.path));
            return Ok(config);
        }
        let text = read(&extend.path)
            .map_err(|source| ConfigError::Extended { path: extend.path.clone(), cause: source.to_string() })?;
        let base = Self::layer(&text, &extend.path, read, depth + 1).map_err(|error| error.within(&extend.path))?;
        Ok(config.over(base))
    }

    /// What must hold when everything is merged. What refers to the catalogue is checked where the catalogue is known.
    fn verify(&self) -> Result<(), ConfigError> {
        for rule in self.rules.values() {
            let wrong = |cause: &str| Err(ConfigError::Rule { rule: rule.id.clone(), cause: cause.to_owned() });
            if rule.regex.is_none() && rule.path.is_none() && !self.built_in {
                return wrong("has neither a regex nor a path");
            }
            if rule.regex.as_ref().is_some_and(|regex| rule.secret_group >= regex.captures_len()) {
                return wrong("has a secretGroup that its regex does not have");
            }
        }
        Ok(())
    }

    fn warn(&mut self, name: &str, text: std::fmt::Arguments<'_>) {
        self.warnings.push(format!("{name}: {text}"));
    }

    fn warn_of_release(&mut self, asked: Option<&str>, name: &str) {
        let Some(asked) = asked else { return };
        let mut numbers = asked.trim_start_matches('v').split(['.', '-']).map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if (major, minor) <= FORMAT_RELEASE => {}
            (Some(Ok(_)), Some(Ok(_))) => self.warn(
                name,
                format_args!(
                    "asks for release {asked} of the format; known is {}.{}",
                    FORMAT_RELEASE.0, FORMAT_RELEASE.1
                ),
            ),
            _ => self.warn(name, format_args!("minVersion is no release such as 8.25.0")),
        }
    }
}

/// Whether a configuration that says `id` means `rule` of the catalogue: the rule of this id, and for the one generic rule
/// that others have all of ours.
pub(crate) fn means(id: &str, rule: &str) -> bool {
    id == rule || (id == "generic-api-key" && rule.starts_with("generic-"))
}

impl CustomRule {
    fn new(table: RuleTable) -> Result<Self, ConfigError> {
        if table.id.trim().is_empty() {
            return Err(ConfigError::Unnamed { description: table.description });
        }
        let wrong = |cause: String| ConfigError::Rule { rule: table.id.clone(), cause };
        let compiled = |pattern: &str, key: &str| {
            let compile = |pattern| pattern::compile(pattern).map(Some);
            if pattern.is_empty() { Ok(None) } else { compile(pattern) }
                .map_err(|error| wrong(format!("has a bad {key}: {error}")))
        };
        let owner = format!("rule {}", table.id);
        Ok(Self {
            regex: compiled(&table.regex, "regex")?,
            path: compiled(&table.path, "path")?,
            description: table.description,
            secret_group: table.secret_group.0 as usize,
            entropy: table.entropy.0,
            keywords: table.keywords.0.iter().map(|keyword| keyword.to_lowercase()).collect(),
            tags: table.tags.0,
            skip_report: table.skip_report,
            required: table
                .required
                .into_iter()
                .map(|part| Required {
                    id: part.id,
                    within_lines: part.within_lines,
                    within_columns: part.within_columns,
                })
                .collect(),
            allowlists: table
                .allowlists
                .into_iter()
                .map(|list| Allowlist::new(list, &owner))
                .collect::<Result<_, _>>()?,
            id: table.id,
        })
    }

    /// This rule, extending `base` of the same id. What is empty or zero here says nothing; `required` and `skipReport`
    /// stay those of the base: the format has it so.
    fn over(self, mut base: Self) -> Self {
        let either = |own: String, below: String| if own.is_empty() { below } else { own };
        base.tags.extend(self.tags);
        base.keywords.extend(self.keywords);
        base.allowlists.extend(self.allowlists);
        Self {
            id: self.id,
            description: either(self.description, base.description),
            regex: self.regex.or(base.regex),
            path: self.path.or(base.path),
            secret_group: if self.secret_group == 0 { base.secret_group } else { self.secret_group },
            entropy: if self.entropy == 0.0 { base.entropy } else { self.entropy },
            ..base
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No TOML.
    #[error("is no TOML: {cause}")]
    Syntax {
        /// Where and why.
        cause: String,
    },
    /// A table that does not have the form that it must have.
    #[error("{}: {}", printable(.place), printable(.cause))]
    Shape {
        /// Which.
        place: String,
        /// What is wrong.
        cause: String,
    },
    /// A rule without an id.
    #[error("a rule has no id{}", if description.is_empty() { String::new() } else { format!(" (described as {description:?})") })]
    Unnamed {
        /// What it says of itself.
        description: String,
    },
    /// A rule that cannot be used.
    #[error("rule {} {}", printable(.rule), printable(.cause))]
    Rule {
        /// Its id.
        rule: String,
        /// What is wrong.
        cause: String,
    },
    /// A rule is named that does not exist.
    #[error("{} names rule {}, which does not exist", printable(.place), printable(.rule))]
    UnknownRule {
        /// Who names it.
        place: String,
        /// The id.
        rule: String,
    },
    /// A file that cannot be read.
    #[error("cannot be read: {cause}")]
    Unreadable {
        /// Why.
        cause: String,
    },
    /// A variable of the environment that is no text.
    #[error("is no UTF-8")]
    NotText,
    /// The keywords of its rules exceed what can be looked for at once.
    #[error("the keywords of the configuration's rules cannot be used together: {cause}")]
    Keywords {
        /// Why.
        cause: String,
    },
    /// More rules than anybody writes.
    #[error("has more than {MAX_RULES} rules")]
    TooManyRules,
    /// The file that `[extend]` names cannot be read.
    #[error("extends {}, which cannot be read: {cause}", printable(.path))]
    Extended {
        /// Its path.
        path: String,
        /// Why.
        cause: String,
    },
    /// An error in the file of this name.
    #[error("{}: {error}", printable(.name))]
    In {
        /// Name of the file.
        name: String,
        /// What is wrong in it.
        error: Box<ConfigError>,
    },
}

impl ConfigError {
    /// The error with the innermost file's name before it.
    pub(crate) fn within(self, name: &str) -> Self {
        match self {
            Self::In { .. } => self,
            error => Self::In { name: name.to_owned(), error: Box::new(error) },
        }
    }
}
