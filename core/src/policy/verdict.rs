//! What an [`Acl`](super::Acl) answers, and why, in words for operators.

use std::fmt;

use super::{Capability, PolicyName};

/// The answer, and why. Holds nothing of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Whether the operation may be done.
    pub allowed: bool,
    /// Whether the deciding rule also has `sudo`.
    pub sudo: bool,
    /// Why. For operators and callers with a grant to ask, not for the refused.
    pub reason: Reason<'a>,
}

/// Why a verdict is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason<'a> {
    /// The policy `root`.
    Root,
    /// The rule grants it.
    Granted(RuleName<'a>),
    /// The rule denies it, whatever others grant.
    Denied(RuleName<'a>),
    /// No rule matches the path.
    NoRule,
    /// The deciding rule does not have the capability.
    MissingCapability(RuleName<'a>, Capability),
    /// The deciding rule requires this parameter.
    MissingParameter(RuleName<'a>, &'a str),
    /// The deciding rule denies a parameter or its value.
    DeniedParameter(RuleName<'a>),
    /// The deciding rule does not allow a parameter or its value.
    ParameterNotAllowed(RuleName<'a>),
    /// The deciding rule bounds the wrapping time, and the answer is not wrapped for a time within.
    WrappingTtl(RuleName<'a>),
}

/// A rule as people find it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleName<'a> {
    /// The pattern, with its templates replaced.
    pub pattern: &'a str,
    /// The policies in which it stands, in order of their names.
    pub policies: &'a [PolicyName],
}

impl fmt::Display for RuleName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "path {:?} of policy ", self.pattern)?;
        for (number, policy) in self.policies.iter().enumerate() {
            write!(f, "{}{policy}", if number == 0 { "" } else { " and " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => write!(f, "the root policy allows everything"),
            Self::Granted(rule) => write!(f, "granted by {rule}"),
            Self::Denied(rule) => write!(f, "denied by {rule}; a deny always wins"),
            Self::NoRule => write!(f, "no rule of the token's policies matches the path"),
            Self::MissingCapability(rule, capability) => {
                write!(f, "{rule} does not grant {}", capability.as_str())
            }
            Self::MissingParameter(rule, parameter) => write!(f, "{rule} requires the parameter {parameter:?}"),
            Self::DeniedParameter(rule) => write!(f, "{rule} denies a parameter or its value"),
            Self::ParameterNotAllowed(rule) => write!(f, "{rule} does not allow a parameter or its value"),
            Self::WrappingTtl(rule) => write!(f, "{rule} bounds the time for which the answer must be wrapped"),
        }
    }
}
