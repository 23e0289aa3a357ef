//! From fields to rules: which fields a policy knows and what each must be.

use std::collections::BTreeSet;
use std::time::Duration;

use super::parameter::{Parameters, Permissions};
use super::pattern::{Pattern, PatternError};
use super::template::Template;
use super::{BadPolicyName, Capabilities, Capability, PathRule, Written};
use crate::nearest;
use crate::stanza::{self, Field, StanzaError, Value};
use crate::ttl;

/// Why a policy was refused. The texts name lines and known fields, never what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Its name.
    #[error(transparent)]
    Name(#[from] BadPolicyName),
    /// The policy `root` is built in.
    #[error("the root policy cannot be changed")]
    Root,
    /// Neither HCL nor JSON.
    #[error(transparent)]
    Text(#[from] StanzaError),
    /// A pattern.
    #[error("line {line}: {reason}")]
    Pattern {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: PatternError,
    },
    /// A field that a policy does not have; a misspelt condition must not be a condition less.
    #[error("line {line}: unknown field{}; known are {known}", .meant.map(|meant| format!(", perhaps {meant}")).unwrap_or_default())]
    UnknownField {
        /// Counted from 1.
        line: usize,
        /// The known one that is much like it.
        meant: Option<&'static str>,
        /// The fields that may stand there.
        known: &'static str,
    },
    /// A field of Vault's that is not supported here.
    #[error("line {line}: {field} is not supported")]
    Unsupported {
        /// Counted from 1.
        line: usize,
        /// Its name.
        field: &'static str,
    },
    /// A field's value.
    #[error("line {line}: {field} must be {expected}")]
    Value {
        /// Counted from 1.
        line: usize,
        /// The field.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// One of two would be ignored.
    #[error("line {line}: a field stands twice")]
    Twice {
        /// Counted from 1.
        line: usize,
    },
}

const CAPABILITIES: &str = "a list of create, read, update, patch, delete, list, scan, sudo, deny";
const PARAMETERS: &str = "an object of lists of texts, numbers or booleans";
const RULE_FIELDS: &str = "capabilities, policy, allowed_parameters, denied_parameters, required_parameters, \
                           min_wrapping_ttl, max_wrapping_ttl, comment";
const UNSUPPORTED: [&str; 7] = [
    "mfa_methods",
    "control_group",
    "subscribe_event_types",
    "pagination_limit",
    "expiration",
    "list_scan_response_keys_filter_path",
    "response_keys_filter_path",
];

/// The rules of a policy's text, in the order written.
pub(super) fn rules(text: &str) -> Result<Vec<PathRule>, PolicyError> {
    let mut rules = Vec::new();
    for field in stanza::read(text)? {
        match (field.name.as_str(), field.labels.as_slice()) {
            ("path", [written]) => rules.push(rule(written, &field.value, field.line)?),
            ("path", []) => paths(&field.value, field.line, &mut rules)?,
            ("path", _) => return Err(value_error(field.line, "path", "followed by one text in quotes")),
            // Written by some generators beside the rules; the name comes from the request.
            ("name", []) if matches!(field.value, Value::Text(_)) => {}
            _ => return Err(unknown(&field, "path")),
        }
    }
    Ok(rules)
}

/// The rules of JSON: an object by pattern, or a list of such objects.
fn paths(value: &Value, line: usize, rules: &mut Vec<PathRule>) -> Result<(), PolicyError> {
    const EXPECTED: &str = "an object of rules by path";
    match value {
        Value::Object(fields) => {
            for field in fields {
                match (&field.value, field.labels.as_slice()) {
                    (Value::List(blocks), []) => {
                        for block in blocks {
                            rules.push(rule(&field.name, block, field.line)?);
                        }
                    }
                    (block, []) => rules.push(rule(&field.name, block, field.line)?),
                    _ => return Err(value_error(field.line, "path", EXPECTED)),
                }
            }
            Ok(())
        }
        Value::List(objects) => objects.iter().try_for_each(|object| match object {
            Value::Object(_) => paths(object, line, rules),
            _ => Err(value_error(line, "path", EXPECTED)),
        }),
        _ => Err(value_error(line, "path", EXPECTED)),
    }
}

fn rule(written: &str, value: &Value, line: usize) -> Result<PathRule, PolicyError> {
    let at_line = |reason| PolicyError::Pattern { line, reason };
    let Value::Object(fields) = value else { return Err(value_error(line, "path", "followed by a block")) };
    let templated = written.contains("{{") || written.contains("}}");
    let pattern = match templated {
        true => Written::Template(Template::parse(written).map_err(at_line)?),
        false => Written::Fixed(Pattern::parse(written).map_err(at_line)?),
    };
    let mut permissions = Permissions::default();
    let mut seen = BTreeSet::new();
    for field in fields {
        if !seen.insert(field.name.as_str()) {
            return Err(PolicyError::Twice { line: field.line });
        }
        apply(field, &mut permissions)?;
    }
    if let (Some(min), Some(max)) = (permissions.min_wrapping, permissions.max_wrapping)
        && min > max
    {
        return Err(value_error(line, "min_wrapping_ttl", "at most max_wrapping_ttl"));
    }
    Ok(PathRule { pattern, permissions })
}

fn apply(field: &Field, permissions: &mut Permissions) -> Result<(), PolicyError> {
    let (line, value) = (field.line, &field.value);
    if !field.labels.is_empty() {
        return Err(unknown(field, RULE_FIELDS));
    }
    match field.name.as_str() {
        "capabilities" => {
            let granted = texts(value).and_then(|words| {
                words
                    .into_iter()
                    .try_fold(Capabilities::default(), |set, word| Some(set.with(Capability::parse(word)?)))
            });
            let granted = granted.ok_or(value_error(line, "capabilities", CAPABILITIES))?;
            permissions.capabilities = permissions.capabilities.union(granted);
        }
        "policy" => {
            let granted = match value {
                Value::Text(word) => legacy(word),
                _ => None,
            };
            let granted = granted.ok_or(value_error(line, "policy", "\"read\", \"write\", \"sudo\" or \"deny\""))?;
            permissions.capabilities = permissions.capabilities.union(granted);
        }
        "allowed_parameters" => {
            permissions.allowed = parameters(value).ok_or(value_error(line, "allowed_parameters", PARAMETERS))?;
        }
        "denied_parameters" => {
            permissions.denied = parameters(value).ok_or(value_error(line, "denied_parameters", PARAMETERS))?;
        }
        "required_parameters" => {
            let names = texts(value).ok_or(value_error(line, "required_parameters", "a list of texts"))?;
            permissions.required = names.into_iter().map(str::to_lowercase).collect();
        }
        "min_wrapping_ttl" => permissions.min_wrapping = wrapping(field, "min_wrapping_ttl")?,
        "max_wrapping_ttl" => permissions.max_wrapping = wrapping(field, "max_wrapping_ttl")?,
        "comment" if matches!(value, Value::Text(_)) => {}
        name => {
            return Err(match UNSUPPORTED.into_iter().find(|unsupported| *unsupported == name) {
                Some(field) => PolicyError::Unsupported { line, field },
                None => unknown(field, RULE_FIELDS),
            });
        }
    }
    Ok(())
}

/// The words that came before capabilities.
fn legacy(word: &str) -> Option<Capabilities> {
    use Capability::{Create, Delete, Deny, List, Patch, Read, Sudo, Update};
    let granted: &[Capability] = match word {
        "read" => &[Read, List],
        "write" => &[Create, Read, Update, Patch, Delete, List],
        "sudo" => &[Create, Read, Update, Patch, Delete, List, Sudo],
        "deny" => &[Deny],
        _ => return None,
    };
    Some(granted.iter().fold(Capabilities::default(), |set, capability| set.with(*capability)))
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    let Value::List(items) = value else { return None };
    items
        .iter()
        .map(|item| match item {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

/// Names are lower-cased, as Vault compares them; one name in two spellings is one parameter with the values of both.
fn parameters(value: &Value) -> Option<Parameters> {
    let Value::Object(fields) = value else { return None };
    let mut parameters = Parameters::new();
    for field in fields {
        let Value::List(items) = &field.value else { return None };
        let values: Option<BTreeSet<_>> = items
            .iter()
            .map(|item| match item {
                Value::Text(text) | Value::Number(text) => Some(text.clone()),
                Value::Bool(truth) => Some(truth.to_string()),
                Value::List(_) | Value::Object(_) => None,
            })
            .collect();
        let name = field.name.to_lowercase();
        if !field.labels.is_empty() || parameters.insert(name, values?).is_some() {
            return None;
        }
    }
    Some(parameters)
}

/// A bound; zero is none, as in Vault.
fn wrapping(field: &Field, name: &'static str) -> Result<Option<Duration>, PolicyError> {
    let duration = match &field.value {
        Value::Text(text) | Value::Number(text) => ttl::parse(text).ok(),
        _ => None,
    };
    let duration = duration.ok_or(value_error(field.line, name, "a duration, as in \"90s\" or \"1h\""))?;
    Ok(Some(duration).filter(|duration| !duration.is_zero()))
}

/// `known`: names with commas between.
fn unknown(field: &Field, known: &'static str) -> PolicyError {
    let meant = nearest(&field.name, known.split(", ").filter(|name| *name != field.name));
    PolicyError::UnknownField { line: field.line, meant, known }
}

fn value_error(line: usize, field: &'static str, expected: &'static str) -> PolicyError {
    PolicyError::Value { line, field, expected }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use proptest::prelude::*;

    use super::{PolicyError, rules};

    #[test]
    fn hcl_and_json_say_the_same() {
        let hcl = r#"
            path "secret/data/app" {
              capabilities = ["read", "update"]
              allowed_parameters = { "data" = [], "Options" = ["a*", 1, true] }
              required_parameters = ["data"]
              min_wrapping_ttl = "1m"
              max_wrapping_ttl = 90
            }
            path "secret/*" { policy = "deny" }"#;
        let json = r#"{"path": {
            "secret/data/app": {
              "capabilities": ["read", "update"],
              "allowed_parameters": {"data": [], "options": ["a*", 1, true]},
              "required_parameters": ["data"], "min_wrapping_ttl": "60s", "max_wrapping_ttl": "90s"},
            "secret/*": {"capabilities": ["deny"]}}}"#;
        let listed = json.replace("{\"path\": {", "{\"path\": [{").replace("}}}", "}}]}");
        assert!(rules(hcl).is_ok());
        assert_eq!(rules(hcl), rules(json));
        assert_eq!(rules(hcl), rules(&listed));
    }

    #[test]
    fn what_is_not_known_is_refused_with_line_and_field() {
        for (text, message) in [
            (
                "path \"a\" {\n capabilties = [\"read\"] }",
                "line 2: unknown field, perhaps capabilities; known are capabilities, ",
            ),
            ("path \"a\" { mfa = 1 }", "line 1: unknown field; known are capabilities, "),
            ("path \"a\" { capabilities = [\"raed\"] }", "line 1: capabilities must be a list of create, "),
            ("path \"a\" { capabilities = \"read\" }", "line 1: capabilities must be a list of create, "),
            ("path \"a\" { pagination_limit = 5 }", "line 1: pagination_limit is not supported"),
            ("path \"a\" { policy = \"admin\" }", "line 1: policy must be \"read\", "),
            ("path \"a\" { capabilities = [] capabilities = [\"deny\"] }", "line 1: a field stands twice"),
            ("paht \"a\" { }", "line 1: unknown field, perhaps path; known are path"),
            ("path \"a\" \"b\" { }", "line 1: path must be followed by one text"),
            ("path \"a*b\" { }", "line 1: \"*\" stands only at the end"),
            ("path \"a\" { min_wrapping_ttl = \"soon\" }", "line 1: min_wrapping_ttl must be a duration"),
            ("path \"a\" { min_wrapping_ttl = 2 max_wrapping_ttl = 1 }", "line 1: min_wrapping_ttl must be at most"),
            ("path \"a\" { allowed_parameters = { x = \"1\" } }", "line 1: allowed_parameters must be an object"),
            ("path = [[]]", "line 1: path must be an object of rules"),
            ("secret", "line 1: expected \"=\" or \"{\""),
        ] {
            let error = rules(text).expect_err("must be refused").to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }

    #[test]
    fn an_error_never_repeats_the_text() {
        for text in [
            "path \"tlk_canary_a*b\" {}",
            "tlk_canary_a = 1",
            "path \"a\" { tlk_canary_a = 1 }",
            "path \"a\" { capabilities = [\"tlk_canary_a\"] }",
            "path \"{{tlk_canary_a}}\" {}",
            "path \"a\" { min_wrapping_ttl = \"tlk_canary_a\" }",
        ] {
            let error = rules(text).expect_err("must be refused");
            assert!(!error.to_string().contains("canary") && !format!("{error:?}").contains("canary"), "{error}");
        }
    }

    #[test]
    fn an_empty_policy_has_no_rules() {
        assert_eq!(rules(""), Ok(vec![]));
        assert_eq!(rules("{}"), Ok(vec![]));
        assert!(matches!(rules("null"), Err(PolicyError::Text(_))));
    }

    proptest! {
        #[test]
        fn any_text_is_answered_without_a_panic(text in "\\PC{0,80}") {
            let _ = rules(&text);
        }

        #[test]
        fn any_mix_of_a_policys_words_is_answered_without_a_panic(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "path ", "\"a/+/*\" ", "{ ", "} ", "capabilities ", "= ", "[ ", "] ", "\"read\", ", "\"{{identity.entity.id}}\" ",
                    "allowed_parameters ", "1 ", "min_wrapping_ttl ", "\"1h\" ", "true ", ": ", ", ", "\n",
                ]),
                0..30,
            )
        ) {
            let _ = rules(&words.concat());
        }
    }
}
