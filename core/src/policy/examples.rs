//! Verdicts that people rely on, one sentence each.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use super::{Acl, Capability, DEFAULT_POLICY, Policy, Question, Reason, TemplateValues, Verdict};
use crate::path::Path;

fn with_values(texts: &[&str], values: &TemplateValues) -> Acl {
    let policies: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| Arc::new(Policy::parse(&format!("p{number}"), text).unwrap()))
        .collect();
    Acl::new(&policies, values)
}

fn acl(texts: &[&str]) -> Acl {
    with_values(texts, &TemplateValues::default())
}

fn ask<'a>(acl: &'a Acl, operation: Capability, path: &str) -> Verdict<'a> {
    acl.evaluate(&Question { path: &Path::parse(path).unwrap(), operation, parameters: &[], wrap_ttl: None })
}

fn writes(acl: &Acl, parameters: &[(&str, &str)]) -> bool {
    let path = Path::parse("a").unwrap();
    acl.evaluate(&Question { path: &path, operation: Capability::Update, parameters, wrap_ttl: None }).allowed
}

#[test]
fn deny_wins_over_a_more_specific_allow() {
    let acl =
        acl(&[r#"path "secret/*" { capabilities = ["deny"] }"#, r#"path "secret/app" { capabilities = ["read"] }"#]);
    let verdict = ask(&acl, Capability::Read, "secret/app");
    assert!(!verdict.allowed);
    assert_eq!(verdict.reason.to_string(), "denied by path \"secret/*\" of policy p0; a deny always wins");
}

#[test]
fn listing_does_not_slip_past_a_deny_by_slash_or_glob() {
    let grants = r#"path "secret/foo/*" { capabilities = ["list", "scan", "delete"] }
                    path "secret/+/" { capabilities = ["list", "scan"] }"#;
    for denied in
        ["secret/foo", "secret/foo/", "secret/foo/*", "secret/+", "secret/+/", "secret/+/*", "sec*", "secret/fo*"]
    {
        let acl = acl(&[grants, &format!("path \"{denied}\" {{ policy = \"deny\" }}")]);
        for path in ["secret/foo", "secret/foo/"] {
            for operation in [Capability::List, Capability::Scan] {
                assert!(!ask(&acl, operation, path).allowed, "{denied} {path} {operation:?}");
            }
        }
    }
}

#[test]
fn a_deny_on_a_folder_denies_the_path_without_the_slash() {
    let acl = acl(&[
        r#"path "*" { capabilities = ["delete"] } path "no/" { policy = "deny" } path "off" { policy = "deny" }"#,
    ]);
    for path in ["no", "no/", "off", "off/"] {
        assert!(!ask(&acl, Capability::Delete, path).allowed, "{path}");
    }
    assert!(ask(&acl, Capability::Delete, "yes/").allowed);
}

#[test]
fn a_folder_is_listed_by_its_name_its_slash_or_its_glob() {
    for pattern in ["secret/foo", "secret/foo/", "secret/foo/*", "secret/+", "secret/+/", "secret/+/*"] {
        let acl = acl(&[&format!("path \"{pattern}\" {{ capabilities = [\"list\", \"read\"] }}")]);
        assert!(ask(&acl, Capability::List, "secret/foo/").allowed, "{pattern}");
        assert!(!ask(&acl, Capability::Scan, "secret/foo/").allowed, "{pattern}");
        // The folder's pattern does not grant the secret of the same name.
        assert_eq!(ask(&acl, Capability::Read, "secret/foo").allowed, !pattern.ends_with(['/', '*']), "{pattern}");
    }
}

#[test]
fn the_most_specific_rule_decides_alone() {
    let acl = acl(&[r#"path "secret/*" { capabilities = ["read", "update"] }
           path "secret/+/config" { capabilities = ["list"] }
           path "secret/app/config" { capabilities = ["read"] }"#]);
    assert!(ask(&acl, Capability::Update, "secret/app").allowed);
    assert!(!ask(&acl, Capability::Update, "secret/app/config").allowed);
    assert!(!ask(&acl, Capability::Read, "secret/other/config").allowed);
    assert!(matches!(
        ask(&acl, Capability::Update, "secret/app/config").reason,
        Reason::MissingCapability(rule, Capability::Update) if rule.pattern == "secret/app/config"
    ));
    assert_eq!(ask(&acl, Capability::Read, "sys/mounts").reason, Reason::NoRule);
}

#[test]
fn the_same_pattern_in_two_policies_grants_the_union() {
    let acl = acl(&[r#"path "a" { capabilities = ["read"] }"#, r#"path "a" { capabilities = ["update", "sudo"] }"#]);
    assert_eq!(acl.capabilities(&Path::parse("a/").unwrap(), None), ["read", "sudo", "update"]);
    let verdict = ask(&acl, Capability::Read, "a");
    assert!(verdict.allowed && verdict.sudo);
    assert_eq!(verdict.reason.to_string(), "granted by path \"a\" of policy p0 and p1");
}

#[test]
fn the_legacy_words_grant_what_they_did() {
    let acl = acl(&[r#"path "r" { policy = "read" } path "w" { policy = "write" } path "s" { policy = "sudo" }"#]);
    let capabilities = |path| acl.capabilities(&Path::parse(path).unwrap(), None).join(" ");
    assert_eq!(capabilities("r"), "list read");
    assert_eq!(capabilities("w"), "create delete list patch read update");
    assert_eq!(capabilities("s"), "create delete list patch read sudo update");
    assert_eq!(capabilities("x"), "deny");
}

#[test]
fn parameters_are_checked_on_writes() {
    let rule =
        |conditions: &str| acl(&[&format!("path \"a\" {{ capabilities = [\"update\", \"read\"] {conditions} }}")]);

    let required = rule("required_parameters = [\"Ttl\"]");
    assert!(writes(&required, &[("ttl", "1"), ("x", "2")]));
    assert!(!writes(&required, &[("x", "2")]) && !writes(&required, &[]));
    assert!(ask(&required, Capability::Read, "a").allowed);

    let allowed = rule("allowed_parameters = { \"name\" = [\"app-*\", \"x\"], \"any\" = [] }");
    assert!(writes(&allowed, &[("NAME", "\"app-1\""), ("any", "{}")]) && writes(&allowed, &[]));
    assert!(!writes(&allowed, &[("name", "\"y\"")]) && !writes(&allowed, &[("other", "1")]));

    let all_but = rule("allowed_parameters = { \"*\" = [], \"name\" = [\"x\"] }");
    assert!(writes(&all_but, &[("other", "1")]) && !writes(&all_but, &[("name", "\"y\"")]));

    let denied = rule("denied_parameters = { \"policies\" = [\"root\"], \"x\" = [] }");
    assert!(writes(&denied, &[("policies", "[\"app\"]")]));
    assert!(!writes(&denied, &[("Policies", "[\"app\", \"root\"]")]) && !writes(&denied, &[("x", "null")]));

    let none = rule("denied_parameters = { \"*\" = [] }");
    assert!(writes(&none, &[]) && !writes(&none, &[("anything", "1")]));
}

#[test]
fn conditions_of_two_policies_are_united() {
    let acl = acl(&[
        r#"path "a" { capabilities = ["update"] allowed_parameters = { "x" = ["1"], "y" = ["1"] } }"#,
        r#"path "a" { capabilities = ["update"] allowed_parameters = { "x" = ["2"], "y" = [] } required_parameters = ["x"] }"#,
    ]);
    assert!(writes(&acl, &[("x", "1"), ("y", "7")]) && writes(&acl, &[("x", "2")]));
    assert!(!writes(&acl, &[("x", "3")]) && !writes(&acl, &[("y", "1")]));
}

#[test]
fn wrapping_bounds_hold_and_the_smaller_ones_count() {
    let acl = acl(&[
        r#"path "a" { capabilities = ["read"] min_wrapping_ttl = "2m" max_wrapping_ttl = "10m" }"#,
        r#"path "a" { capabilities = ["read"] min_wrapping_ttl = "1m" max_wrapping_ttl = "5m" }"#,
    ]);
    let path = Path::parse("a").unwrap();
    let wrapped = |seconds: Option<u64>| {
        let wrap_ttl = seconds.map(Duration::from_secs);
        acl.evaluate(&Question { path: &path, operation: Capability::Read, parameters: &[], wrap_ttl }).allowed
    };
    assert!(wrapped(Some(60)) && wrapped(Some(300)));
    assert!(!wrapped(Some(59)) && !wrapped(Some(301)) && !wrapped(None));
}

#[test]
fn a_template_grants_only_the_callers_own_place() {
    let text = r#"path "home/{{identity.entity.name}}/*" { capabilities = ["read"] }"#;
    let anna = with_values(&[text], &TemplateValues::default().with("identity.entity.name", "anna"));
    assert!(ask(&anna, Capability::Read, "home/anna/key").allowed);
    assert!(!ask(&anna, Capability::Read, "home/bert/key").allowed);
}

#[test]
fn a_template_value_with_wildcards_grants_nothing() {
    let text = r#"path "home/{{identity.entity.name}}/*" { capabilities = ["read", "list"] }"#;
    for value in ["*", "+", "bert/..", "bert/x", "+/+", "", "b\u{0}"] {
        let acl = with_values(&[text], &TemplateValues::default().with("identity.entity.name", value));
        for path in ["home/bert/key", "home/bert/x/key", "home/+/key", "home/*/key", "home/key"] {
            assert_eq!(ask(&acl, Capability::Read, path).reason, Reason::NoRule, "{value:?} {path}");
        }
    }
}

#[test]
fn a_deny_whose_template_cannot_be_resolved_denies_its_whole_prefix() {
    let text = r#"path "home/*" { capabilities = ["read"] }
                  path "home/not-{{identity.entity.name}}/*" { capabilities = ["deny"] }"#;
    for values in [TemplateValues::default(), TemplateValues::default().with("identity.entity.name", "a/b")] {
        let acl = with_values(&[text], &values);
        assert!(!ask(&acl, Capability::Read, "home/not-bert/key").allowed);
        assert!(ask(&acl, Capability::Read, "home/bert/key").allowed);
    }
}

#[test]
fn root_may_everything_and_a_policy_cannot_be_called_root() {
    let acl = Acl::root();
    let verdict = ask(&acl, Capability::Sudo, "sys/raw");
    assert!(verdict.allowed && verdict.sudo);
    assert_eq!(acl.capabilities(&Path::parse("x").unwrap(), None), ["root"]);
}

#[test]
fn the_default_policy_lets_a_token_look_after_itself_and_nothing_else() {
    let acl = acl(&[DEFAULT_POLICY]);
    assert!(ask(&acl, Capability::Read, "auth/token/lookup-self").allowed);
    assert!(ask(&acl, Capability::Update, "sys/capabilities-self").allowed);
    assert!(ask(&acl, Capability::List, "cubbyhole/").allowed);
    for path in ["auth/token/create", "secret/data/app", "sys/policies/acl/default", "sys/mounts", "auth/token/lookup"]
    {
        assert_eq!(acl.capabilities(&Path::parse(path).unwrap(), None), ["deny"], "{path}");
    }
}
