//! Laws of policies, over generated policies and paths, against a matcher so plain that it is easy to believe.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;

use super::{Acl, Capability, Policy, Question, Reason, TemplateValues};
use crate::path::Path;

/// Pattern and capabilities, as written.
type Written = (String, Vec<Capability>);

fn segment() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "ab", "é b"]).prop_map(str::to_owned)
}

fn path_text() -> impl Strategy<Value = String> {
    prop::collection::vec(segment(), 1..5).prop_map(|segments| segments.join("/"))
}

fn pattern() -> impl Strategy<Value = String> {
    let segments = prop::collection::vec(prop_oneof![3 => segment(), 1 => Just("+".to_owned())], 0..4);
    let end = prop::sample::select(vec!["", "", "/", "*", "/*", "/a*"]);
    (segments, end).prop_filter_map("not a pattern", |(segments, end)| {
        let text = segments.join("/") + end;
        super::pattern::Pattern::parse(&text).ok().map(|_| text.trim_start_matches('/').to_owned())
    })
}

fn rule() -> impl Strategy<Value = Written> {
    let capability = prop::sample::select(Capability::ALL.to_vec());
    (pattern(), prop::collection::vec(capability, 0..4))
}

fn policies() -> impl Strategy<Value = Vec<Vec<Written>>> {
    prop::collection::vec(prop::collection::vec(rule(), 0..5), 0..4)
}

fn acl(policies: &[Vec<Written>]) -> Acl {
    let parsed: Vec<_> = policies
        .iter()
        .enumerate()
        .map(|(number, rules)| {
            let text: String = rules
                .iter()
                .map(|(pattern, capabilities)| {
                    let words: Vec<_> = capabilities.iter().map(|capability| capability.as_str()).collect();
                    format!("path {pattern:?} {{ capabilities = {words:?} }}\n")
                })
                .collect();
            Arc::new(Policy::parse(&format!("p{number}"), &text).unwrap())
        })
        .collect();
    Acl::new(&parsed, &TemplateValues::default())
}

fn allowed(acl: &Acl, path: &str, operation: Capability) -> bool {
    let path = Path::parse(path).unwrap();
    acl.evaluate(&Question { path: &path, operation, parameters: &[], wrap_ttl: None }).allowed
}

/// Whether a pattern matches, by the words of the module's first page.
fn matches(pattern: &str, path: &str, listing: bool, denies: bool) -> bool {
    let fits = |wanted: &str, part: &str| wanted == part || wanted == "+" && !part.is_empty();
    match pattern.strip_suffix('*') {
        Some(body) => {
            let mut views = vec![path.to_owned()];
            if listing {
                views.push(format!("{path}/"));
            }
            views.iter().any(|view| {
                let (wanted, parts): (Vec<_>, Vec<_>) = (body.split('/').collect(), view.split('/').collect());
                let last = wanted.len() - 1;
                parts.len() >= wanted.len()
                    && (0..last).all(|at| fits(wanted[at], parts[at]))
                    && parts[last].starts_with(wanted[last])
            })
        }
        None => {
            let bare = pattern.trim_end_matches('/');
            let (wanted, parts): (Vec<_>, Vec<_>) = (bare.split('/').collect(), path.split('/').collect());
            (bare == pattern || listing || denies)
                && wanted.len() == parts.len()
                && wanted.iter().zip(&parts).all(|(wanted, part)| fits(wanted, part))
        }
    }
}

/// Whether the first pattern is more specific than the second, by the order in Vault's documentation.
fn is_more_specific(one: &str, two: &str) -> bool {
    let wildcard = |text: &str| {
        let mut at = 0;
        for part in text.split('/') {
            if part == "+" {
                return at;
            }
            at += part.len() + 1;
        }
        if text.ends_with('*') { text.len() - 1 } else { usize::MAX }
    };
    let plus = |text: &str| text.split('/').filter(|part| *part == "+").count();
    if wildcard(one) != wildcard(two) {
        return wildcard(one) > wildcard(two);
    }
    if one.ends_with('*') != two.ends_with('*') {
        return two.ends_with('*');
    }
    if plus(one) != plus(two) {
        return plus(one) < plus(two);
    }
    (one.len(), one) > (two.len(), two)
}

/// The verdict by looking at every rule.
fn reference(policies: &[Vec<Written>], path: &str, operation: Capability) -> bool {
    let listing = matches!(operation, Capability::List | Capability::Scan);
    let rules: Vec<_> = policies.iter().flatten().collect();
    let denies = |pattern: &str| {
        rules.iter().any(|(other, capabilities)| other == pattern && capabilities.contains(&Capability::Deny))
    };
    let mut best: Option<&str> = None;
    for (pattern, _) in &rules {
        if !matches(pattern, path, listing, denies(pattern)) {
            continue;
        }
        if denies(pattern) {
            return false;
        }
        if best.is_none_or(|best| is_more_specific(pattern, best)) {
            best = Some(pattern);
        }
    }
    best.is_some_and(|best| {
        rules.iter().any(|(pattern, capabilities)| pattern == best && capabilities.contains(&operation))
    })
}

/// A path with some of its bytes percent-encoded, and perhaps a slash behind it.
fn encoded(path: &str, choices: &[bool], slash: bool) -> String {
    let mut text = String::new();
    for (byte, encode) in path.bytes().zip(choices.iter().cycle()) {
        match *encode || !byte.is_ascii() {
            true if byte % 2 == 0 => text.push_str(&format!("%{byte:02x}")),
            true => text.push_str(&format!("%{byte:02X}")),
            false => text.push(byte as char),
        }
    }
    text + if slash { "/" } else { "" }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_fast_matcher_agrees_with_the_plain_one(policies in policies(), path in path_text()) {
        let acl = acl(&policies);
        for operation in Capability::ALL {
            if operation != Capability::Deny {
                prop_assert_eq!(
                    allowed(&acl, &path, operation), reference(&policies, &path, operation),
                    "{:?} {}", operation, path
                );
            }
        }
    }

    #[test]
    fn deny_wins_over_every_policy_set_and_encoding(
        others in policies(), pattern in pattern(), path in path_text(),
        choices in prop::collection::vec(any::<bool>(), 1..12), slash in any::<bool>(),
    ) {
        let mut policies = others;
        policies.push(vec![(pattern.clone(), vec![Capability::Deny, Capability::Read, Capability::List])]);
        // Whatever is granted besides, on the very path.
        policies.push(vec![(path.clone(), Capability::ALL.into_iter().filter(|c| *c != Capability::Deny).collect())]);
        let acl = acl(&policies);
        let sent = Path::from_encoded(&encoded(&path, &choices, slash)).unwrap();
        for operation in Capability::ALL {
            let listing = matches!(operation, Capability::List | Capability::Scan);
            if matches(&pattern, &path, listing, true) {
                let verdict = acl.evaluate(&Question { path: &sent, operation, parameters: &[], wrap_ttl: None });
                prop_assert!(!verdict.allowed && !verdict.sudo, "{:?} {:?} {}", operation, sent, pattern);
            }
        }
    }

    #[test]
    fn every_encoding_of_a_path_gets_one_verdict(
        policies in policies(), path in path_text(),
        choices in prop::collection::vec(any::<bool>(), 1..12), slash in any::<bool>(),
    ) {
        let acl = acl(&policies);
        let (plain, sent) = (Path::parse(&path).unwrap(), Path::from_encoded(&encoded(&path, &choices, slash)).unwrap());
        for operation in Capability::ALL {
            let ask = |path| acl.evaluate(&Question { path, operation, parameters: &[], wrap_ttl: None });
            prop_assert_eq!(ask(&plain), ask(&sent));
        }
        prop_assert_eq!(acl.capabilities(&plain, None), acl.capabilities(&sent, None));
    }

    #[test]
    fn another_path_of_the_same_thing_only_takes_away(policies in policies(), sent in path_text(), other in path_text()) {
        let acl = acl(&policies);
        let (sent, other) = (Path::parse(&sent).unwrap(), Path::parse(&other).unwrap());
        for operation in Capability::ALL {
            let ask = |path| acl.evaluate(&Question { path, operation, parameters: &[], wrap_ttl: None });
            let both = acl.evaluate_with(&Question { path: &sent, operation, parameters: &[], wrap_ttl: None }, &other);
            prop_assert!(!both.allowed || ask(&sent).allowed);
            prop_assert!(!both.allowed || !matches!(ask(&other).reason, Reason::Denied(_)));
            if sent == other {
                prop_assert_eq!(both, ask(&sent));
            }
        }
    }

    #[test]
    fn capabilities_are_what_evaluate_grants(policies in policies(), sent in path_text(), other in path_text()) {
        let acl = acl(&policies);
        let (sent, other) = (Path::parse(&sent).unwrap(), Path::parse(&other).unwrap());
        for other in [None, Some(&other)] {
            let allowed = |operation: &Capability| {
                let question = Question { path: &sent, operation: *operation, parameters: &[], wrap_ttl: None };
                let verdict = other.map_or(acl.evaluate(&question), |other| acl.evaluate_with(&question, other));
                *operation != Capability::Deny && verdict.allowed
            };
            let granted: Vec<_> = Capability::ALL.into_iter().filter(allowed).map(Capability::as_str).collect();
            prop_assert_eq!(acl.capabilities(&sent, other), if granted.is_empty() { vec!["deny"] } else { granted });
        }
    }

    #[test]
    fn the_order_of_policies_makes_no_difference(
        (policies, shuffled) in policies().prop_flat_map(|policies| (Just(policies.clone()), Just(policies).prop_shuffle())),
        path in path_text(),
    ) {
        let (one, two) = (acl(&policies), acl(&shuffled));
        for operation in Capability::ALL {
            prop_assert_eq!(allowed(&one, &path, operation), allowed(&two, &path, operation));
        }
    }

    #[test]
    fn what_is_granted_below_a_folder_is_reached(policies in policies(), path in path_text(), folders in 0usize..4) {
        let acl = acl(&policies);
        let folder: Vec<_> = path.split('/').take(folders).collect();
        let reached = acl.reaches(&Path::parse(&folder.join("/")).unwrap());
        for operation in Capability::ALL {
            prop_assert!(reached || !allowed(&acl, &path, operation));
        }
    }
}
