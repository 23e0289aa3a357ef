//! ACL policies: what a token may do to which path, as Vault users write them, in HCL or JSON.
//!
//! Of the patterns that match a path the most specific one decides, by Vault's order: an exact path, then the pattern
//! whose first wildcard stands latest, then one without `*` at its end, with fewer `+`, the longer one. Rules for the
//! same pattern in several policies are merged.
//!
//! One difference to Vault is deliberate: **deny always wins**. In Vault a more specific rule overrides a `deny`, and
//! whether it does depends on slashes, globs and the verb; several published bypasses of a deny (LIST through a more
//! specific glob, a folder's trailing slash) come from there. Here any matching rule with `deny`, in any policy, refuses.
//!
//! A path with and without trailing slash is one path. For LIST and SCAN of `a/b` the patterns `a/b`, `a/b/` and
//! `a/b/*` match; for other operations `a/b/` grants nothing (it names the folder's listing) but still denies.

pub mod acl;
mod parameter;
mod parse;
mod pattern;
mod template;
mod verdict;

#[cfg(test)]
mod examples;
#[cfg(test)]
mod laws;

use std::fmt;

pub use acl::{Acl, Question};
pub use parse::PolicyError;
pub use pattern::PatternError;
pub use template::TemplateValues;
pub use verdict::{Reason, RuleName, Verdict};

use crate::path::is_invisible;
use parameter::Permissions;
use pattern::Pattern;
use template::Template;

/// What every token may do unless it was created without the policy `default`: look after itself.
pub const DEFAULT_POLICY: &str = r#"# What a token may do for itself. Edit it freely; it is never overwritten.

# Look up, renew and give up itself, and ask what it may do.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
path "sys/capabilities-self" {
  capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}

# Renew and look up leases whose id it knows.
path "sys/renew" {
  capabilities = ["update"]
}
path "sys/leases/renew" {
  capabilities = ["update"]
}
path "sys/leases/lookup" {
  capabilities = ["update"]
}

# Keep things of its own.
path "cubbyhole/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list", "scan"]
}

# Pass things on in single-use wrappings.
path "sys/wrapping/wrap" {
  capabilities = ["update"]
}
path "sys/wrapping/lookup" {
  capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}

# Hash and draw random bytes.
path "sys/tools/hash" {
  capabilities = ["update"]
}
path "sys/tools/hash/*" {
  capabilities = ["update"]
}
path "sys/tools/random" {
  capabilities = ["update"]
}
path "sys/tools/random/*" {
  capabilities = ["update"]
}
"#;

/// Longest name of a policy in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// A policy's name in its one form: trimmed and lower-case, so that `Root` and ` root` are seen as what they mean.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyName(String);

/// A policy's name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a policy's name must be 1 to 128 bytes without slashes, commas, blanks or control characters")]
pub struct BadPolicyName;

impl PolicyName {
    /// Normalises and checks a name. `root` is a valid name here: what may not be done to it is decided by its users.
    pub fn parse(text: &str) -> Result<Self, BadPolicyName> {
        if text.len() > 4 * MAX_NAME_BYTES {
            return Err(BadPolicyName);
        }
        let name = text.trim().to_lowercase();
        let bad = |character: char| character.is_whitespace() || is_invisible(character) || "/\\,".contains(character);
        if name.is_empty() || name.len() > MAX_NAME_BYTES || matches!(name.as_str(), "." | "..") || name.contains(bad) {
            return Err(BadPolicyName);
        }
        Ok(Self(name))
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the name of the policy that allows everything and cannot be written.
    pub fn is_root(&self) -> bool {
        self.0 == "root"
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing that a rule may grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// Writes where nothing is yet.
    Create,
    /// Removes.
    Delete,
    /// Refuses everything, whatever else is granted.
    Deny,
    /// Names directly below a folder.
    List,
    /// Changes parts of what is there.
    Patch,
    /// Reads.
    Read,
    /// All names below a folder; `list` alone does not grant it.
    Scan,
    /// Besides another capability: opens paths that are guarded for operators.
    Sudo,
    /// Writes where something is.
    Update,
}

impl Capability {
    /// All, in the order of their names.
    pub const ALL: [Self; 9] = [
        Self::Create,
        Self::Delete,
        Self::Deny,
        Self::List,
        Self::Patch,
        Self::Read,
        Self::Scan,
        Self::Sudo,
        Self::Update,
    ];

    /// The word in policies and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Deny => "deny",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Read => "read",
            Self::Scan => "scan",
            Self::Sudo => "sudo",
            Self::Update => "update",
        }
    }

    /// The capability of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.as_str() == text)
    }

    /// Whether the operation shows names below a folder.
    fn is_listing(self) -> bool {
        matches!(self, Self::List | Self::Scan)
    }
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Capabilities(u16);

impl Capabilities {
    fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability as u16)
    }

    fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, capability: Capability) -> bool {
        self.0 & 1 << capability as u16 != 0
    }
}

/// Named rules, parsed from a text that is kept for reading back.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    name: PolicyName,
    text: String,
    rules: Vec<PathRule>,
}

/// A pattern and what it grants.
#[derive(Debug, Clone, PartialEq)]
struct PathRule {
    pattern: Written,
    permissions: Permissions,
}

/// A pattern as it stands in a policy.
#[derive(Debug, Clone, PartialEq)]
enum Written {
    Fixed(Pattern),
    Template(Template),
}

impl Policy {
    /// Parses a policy in HCL or JSON. Unknown fields and capabilities are refused, and so is the name `root`.
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyError> {
        let name = PolicyName::parse(name)?;
        if name.is_root() {
            return Err(PolicyError::Root);
        }
        Ok(Self { name, text: text.to_owned(), rules: parse::rules(text)? })
    }

    /// The normalised name.
    pub fn name(&self) -> &PolicyName {
        &self.name
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a rule depends on who asks, so that an [`Acl`] with this policy cannot be shared between identities.
    pub fn is_templated(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.pattern, Written::Template(_)))
    }

    /// The patterns as written, in order; for hints about patterns that can never match.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| match &rule.pattern {
            Written::Fixed(pattern) => pattern.as_str(),
            Written::Template(template) => template.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{DEFAULT_POLICY, Policy, PolicyError, PolicyName};

    #[test]
    fn a_name_has_one_form() {
        for written in ["root", "Root", " root", "ROOT\t", "\u{a0}rOOt "] {
            assert!(PolicyName::parse(written).unwrap().is_root(), "{written:?}");
            assert_eq!(Policy::parse(written, ""), Err(PolicyError::Root), "{written:?}");
        }
    }

    #[test]
    fn names_that_cannot_stand_in_a_path_or_list_are_refused() {
        for written in ["", " ", "a/b", "a,b", "a\nb", "a b", "..", "ro\u{200b}ot", "a\\b", &"a".repeat(129)] {
            assert!(PolicyName::parse(written).is_err(), "{written:?}");
        }
        assert_eq!(PolicyName::parse(" Team-A.read_only ").unwrap().as_str(), "team-a.read_only");
    }

    #[test]
    fn the_default_policy_parses_and_is_kept_as_written() {
        let policy = Policy::parse("default", DEFAULT_POLICY).unwrap();
        assert_eq!(policy.text(), DEFAULT_POLICY);
        assert!(!policy.is_templated());
        assert!(policy.patterns().any(|pattern| pattern == "cubbyhole/*"));
    }
}
