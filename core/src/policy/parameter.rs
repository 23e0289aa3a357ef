//! What a rule grants besides its pattern: capabilities, and conditions on a write's parameters and on wrapping.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{Capabilities, Capability};

/// Deepest list of lists that is compared; what lies deeper matches nothing.
const MAX_LIST_DEPTH: usize = 4;

/// Values by parameter name (lower case, or `*` for any); no values at all mean any value.
pub(super) type Parameters = BTreeMap<String, BTreeSet<String>>;

/// What one pattern grants.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Permissions {
    pub(super) capabilities: Capabilities,
    pub(super) allowed: Parameters,
    pub(super) denied: Parameters,
    pub(super) required: BTreeSet<String>,
    pub(super) min_wrapping: Option<Duration>,
    pub(super) max_wrapping: Option<Duration>,
}

/// Which condition was not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmet<'a> {
    Required(&'a str),
    Denied,
    NotAllowed,
    WrappingTtl,
}

impl Permissions {
    /// Merges what another policy says of the same pattern, as Vault does: capabilities and parameters are united (no
    /// values, that is any value, wins over a list), the smaller of two bounds counts. A deny leaves nothing else.
    pub(super) fn merge(&mut self, other: &Self) {
        self.capabilities = self.capabilities.union(other.capabilities);
        unite(&mut self.allowed, &other.allowed);
        unite(&mut self.denied, &other.denied);
        self.required.extend(other.required.iter().cloned());
        let smaller = |one: Option<Duration>, two: Option<Duration>| one.into_iter().chain(two).min();
        self.min_wrapping = smaller(self.min_wrapping, other.min_wrapping);
        self.max_wrapping = smaller(self.max_wrapping, other.max_wrapping);
    }

    /// Whether a request fulfils the conditions. `parameters`: name and JSON text of each field of the body.
    pub(super) fn check(
        &self,
        capability: Capability,
        parameters: &[(&str, &str)],
        wrap_ttl: Option<Duration>,
    ) -> Result<(), Unmet<'_>> {
        let too_long = self.max_wrapping.is_some_and(|max| wrap_ttl.is_none_or(|ttl| ttl > max));
        let too_short = self.min_wrapping.is_some_and(|min| wrap_ttl.is_none_or(|ttl| ttl < min));
        if too_long || too_short {
            return Err(Unmet::WrappingTtl);
        }
        if !matches!(capability, Capability::Create | Capability::Update | Capability::Patch) {
            return Ok(());
        }
        if let Some(missing) = self.required.iter().find(|name| !parameters.iter().any(|(sent, _)| sent == name)) {
            return Err(Unmet::Required(missing));
        }
        if !self.denied.is_empty() {
            for (name, value) in parameters {
                let listed = self.denied.get(lower(name).as_ref());
                if self.denied.contains_key("*") || listed.is_some_and(|values| is_denied(values, value)) {
                    return Err(Unmet::Denied);
                }
            }
        }
        if !self.allowed.is_empty() {
            let any_name = self.allowed.contains_key("*");
            for (name, value) in parameters {
                let fits = match self.allowed.get(lower(name).as_ref()) {
                    Some(values) => is_allowed(values, value),
                    None => any_name,
                };
                if !fits {
                    return Err(Unmet::NotAllowed);
                }
            }
        }
        Ok(())
    }
}

fn unite(into: &mut Parameters, from: &Parameters) {
    for (name, values) in from {
        match into.get_mut(name) {
            None => {
                into.insert(name.clone(), values.clone());
            }
            Some(known) if known.is_empty() || values.is_empty() => known.clear(),
            Some(known) => known.extend(values.iter().cloned()),
        }
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.chars().any(char::is_uppercase) { Cow::Owned(name.to_lowercase()) } else { Cow::Borrowed(name) }
}

/// Every element of a list must be allowed; `"5"` and `5` are the same value, as they are to the API.
fn is_allowed(values: &BTreeSet<String>, json: &str) -> bool {
    values.is_empty()
        || judge(json, 0, &mut |scalar| scalar.is_some_and(|text| values.iter().any(|value| glob(value, text))))
}

/// One denied element is enough, in any form in which the API takes it: in a list, in a text with commas, with blanks
/// around it, in another case. Numbers are compared as numbers, so that `1e2` does not pass a denied `100`.
fn is_denied(values: &BTreeSet<String>, json: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let denied = |text: &str| {
        let text = text.trim();
        values.iter().any(|value| {
            glob(value, text)
                || glob(&value.to_lowercase(), &text.to_lowercase())
                || number(text).is_some_and(|sent| number(value) == Some(sent))
        })
    };
    values.is_empty()
        || !judge(json, 0, &mut |scalar| scalar.is_none_or(|text| !denied(text) && !text.split(',').any(denied)))
}

/// Asks `fits` about each scalar of a value, in lists too; all must fit. `None` is what cannot be compared: an object, a
/// list in too many lists.
fn judge(json: &str, depth: usize, fits: &mut dyn FnMut(Option<&str>) -> bool) -> bool {
    let json = json.trim();
    match json.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<&str>(json) {
            Ok(text) => fits(Some(text)),
            Err(_) => match serde_json::from_str::<String>(json).map(Zeroizing::new) {
                Ok(text) => fits(Some(&text)),
                Err(_) => fits(None),
            },
        },
        Some(b'[') if depth < MAX_LIST_DEPTH => match serde_json::from_str::<Vec<&RawValue>>(json) {
            Ok(elements) => elements.into_iter().all(|element| judge(element.get(), depth + 1, fits)),
            Err(_) => fits(None),
        },
        Some(b'[' | b'{') | None => fits(None),
        Some(_) => fits(Some(json)),
    }
}

/// Whether `text` fits a pattern in which `*` stands for any text. Linear: each part is searched once, leftmost first.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_suffix(last) else { return false };
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{glob, is_allowed, is_denied};

    fn values(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("a", "a", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*b*", "abc", true),
            ("a*c", "ac", true),
            ("ab*bc", "abc", false),
            ("*", "", true),
            ("a*b*a", "aba", true),
            ("a*b*a", "aa", false),
            ("A", "a", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_denied_value_is_found_in_every_form() {
        let denied = values(&["100", "root*", "true"]);
        for json in [
            "100",
            "\"100\"",
            "1e2",
            "100.0",
            " 100 ",
            "\"rooted\"",
            "\"\\u0072oot\"",
            "[1, \"root\"]",
            "true",
            "[[100]]",
            "\"x, root\"",
            "\" ROOT \"",
            "\"a,+100\"",
            "[\"Root\"]",
        ] {
            assert!(is_denied(&denied, json), "{json}");
        }
        for json in ["101", "\"aroot\"", "[]", "{}", "false", "null"] {
            assert!(!is_denied(&denied, json), "{json}");
        }
        assert!(is_denied(&values(&[]), "{}"));
    }

    #[test]
    fn an_allowed_list_allows_nothing_else() {
        let allowed = values(&["100", "app-*"]);
        for json in ["100", "\"100\"", "\"app-1\"", "[100, \"app-2\"]", "[]"] {
            assert!(is_allowed(&allowed, json), "{json}");
        }
        for json in ["1e2", "{}", "[\"app-1\", 7]", "null", "\"\"", "[[[[[[100]]]]]]", "", "[1"] {
            assert!(!is_allowed(&allowed, json), "{json}");
        }
        assert!(is_allowed(&values(&[]), "{}"));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(json in "[\\[\\]{}\",:a1*\\\\ ]{0,20}", value in "[a*1]{0,4}") {
            let _ = (is_allowed(&values(&[&value]), &json), is_denied(&values(&[&value]), &json));
        }

        #[test]
        fn glob_agrees_with_a_backtracking_matcher(pattern in "[ab*]{0,7}", text in "[ab]{0,8}") {
            fn slow(pattern: &[u8], text: &[u8]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some((b'*', rest)) => (0..=text.len()).any(|skipped| slow(rest, &text[skipped..])),
                    Some((byte, rest)) => text.split_first().is_some_and(|(head, tail)| head == byte && slow(rest, tail)),
                }
            }
            prop_assert_eq!(glob(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
