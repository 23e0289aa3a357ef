#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::{Bind, Config, LogLevel, NamedFile, Overrides, SealSetting, StorageConfig};

const FULL: &str = r#"
storage "sled" { path = "/var/lib/turnlock" }
listener "tcp" {
  address = "0.0.0.0:8200"
  tls_cert_file = "/etc/cert.pem"
  tls_key_file = "/etc/key.pem"
  tls_min_version = "tls13"
  max_request_size = "1MiB"
  x_forwarded_for_authorized_addrs = ["10.0.0.0/8", "192.0.2.1"]
}
listener "unix" { address = "/run/turnlock.sock" }
seal "static" { current_key = "file:///etc/unseal.key" }
audit "file" { path = "/var/log/audit.log" }
default_lease_ttl = "1h"
max_lease_ttl = "24h"
agent { target_dirs = ["/run/app", "/etc/app"] }
log_level = "warn"
"#;

#[test]
fn a_full_file_is_read_in_hcl() {
    let config = Config::parse(FULL).unwrap();
    let StorageConfig::Sled { path, compact_bytes } = config.storage else { panic!("{:?}", config.storage) };
    assert_eq!((path.to_str(), compact_bytes), (Some("/var/lib/turnlock"), 64 << 20));
    assert_eq!(config.listeners.len(), 2);
    assert!(matches!(&config.listeners[0].bind, Bind::Tcp(_, Some(tls)) if tls.only_tls13));
    assert_eq!(config.listeners[0].limits.max_request_bytes, 1 << 20);
    assert_eq!(config.listeners[0].limits.trusted_proxies.len(), 2);
    assert_eq!(config.listeners[1].bind, Bind::Unix("/run/turnlock.sock".into(), 0o600));
    assert_eq!(
        config.seal,
        SealSetting::KeyFile(NamedFile { path: "/etc/unseal.key".into(), setting: "current_key", line: Some(12) })
    );
    assert_eq!(config.lifetimes.default, Duration::from_secs(3600));
    assert!(config.audit.is_some());
    assert_eq!(config.target_dirs, [std::path::Path::new("/run/app"), std::path::Path::new("/etc/app")]);
}

#[test]
fn json_says_the_same() {
    let json = r#"{"storage": {"inmem": {}}, "listener": [{"tcp": {"address": "127.0.0.1:1", "tls_disable": 1}}, {"unix": {"address": "/s"}}]}"#;
    let config = Config::parse(json).unwrap();
    assert_eq!((config.storage, config.listeners.len()), (StorageConfig::Memory, 2));
}

#[test]
fn what_is_not_supported_is_named_with_its_place() {
    let base = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n";
    assert!(Config::parse(base).is_ok());
    for (more, text) in [
        ("ha_storage \"raft\" { path = \"/x\" }", "ha_storage is not supported"),
        ("listner \"tcp\" { tls_disable = true }", "listner is not supported: is listener meant?"),
        ("max_leas_ttl = 1", "max_leas_ttl is not supported: is max_lease_ttl meant?"),
        (
            "listener \"tcp\" { tls_cert = \"/x\" }",
            "tls_cert in listener \"tcp\" is not supported: is tls_cert_file meant?",
        ),
        (
            "listener \"tcp\" {\n tls_require_and_verify_client_cert = true\n tls_disable = true\n}",
            "tls_require_and_verify_client_cert in listener \"tcp\" is not supported",
        ),
        ("seal \"awskms\" { region = \"x\" }", "seal \"awskms\" is not supported, only \"shamir\" and \"static\""),
        (
            "seal \"static\" { current_key = \"tlk_canary_key\" }",
            "current_key in seal \"static\" must be where the key is",
        ),
        ("audit \"socket\" { address = \"x\" }", "audit \"socket\" is not supported"),
        ("listener \"tcp\" { address = \"x\" }", "address in listener \"tcp\" must be an IP address"),
        ("listener \"tcp\" { }", "tls_cert_file in listener \"tcp\" is missing"),
        (
            "listener \"tcp\" {\n proxy_protocol_behavior = \"x\"\n tls_disable = true\n}",
            "proxy_protocol_behavior in listener \"tcp\" is not supported",
        ),
        ("listener \"tcp\" { tls_min_version = \"tls10\" }", "tls_min_version in listener \"tcp\" must be"),
        ("listener \"unix\" { }", "address in listener \"unix\" is missing"),
        ("default_lease_ttl = \"soon\"", "default_lease_ttl must be a duration"),
        ("max_lease_ttl = \"1m\"\ndefault_lease_ttl = \"1h\"", "default_lease_ttl must be at most"),
        ("log_level = \"loud\"", "log_level must be"),
        ("agent { target_dirs = [\"run\"] }", "target_dirs in agent must be a list of absolute paths"),
        ("agent { target_dirs = [\"/run/..\"] }", "target_dirs in agent must be a list of absolute paths"),
        ("agent { pool = \"x\" }", "pool in agent is not supported"),
        ("enable_unauthenticated_access = [\"rekey\"]", "enable_unauthenticated_access must be a list of nothing but"),
        ("disable_mlock = \"maybe\"", "disable_mlock must be true or false"),
        ("storage \"sled\" { path = \"/x\" }", "storage must be one stanza"),
        ("listener \"tcp\" \"two\" { tls_disable = true }", "a second label of listener is not supported"),
        ("log_level \"x\" = \"warn\"", "log_level must be a text"),
        ("this is no HCL", "expected"),
        ("log_level = \"warn\"\nlog_level = \"info\"", "the same name for the second time"),
    ] {
        let error = Config::parse(&format!("{base}{more}")).unwrap_err().to_string();
        assert!(error.contains(text), "{more}: {error}");
        assert!(!error.contains("canary"));
    }
    for (text, missing) in [
        ("storage \"inmem\" {}", "listener is missing"),
        ("listener \"tcp\" { tls_disable = true }", "storage is missing"),
    ] {
        assert!(Config::parse(text).unwrap_err().to_string().contains(missing));
    }
    assert!(
        Config::parse("storage \"raft\" {}")
            .unwrap_err()
            .to_string()
            .contains("storage \"raft\" is not supported, only \"sled\" with a path and")
    );
}

#[test]
fn an_error_names_the_file_and_the_line_that_it_is_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.hcl");
    let listener = "listener \"tcp\" { tls_disable = true }\n";
    for (text, line, cause) in [
        ("storage \"inmem\" {}\n{".to_owned(), ":2", "expected a field's name"),
        ("{\n!".to_owned(), ":2", "not valid JSON"),
        ("ui = 1".to_owned(), "", "storage is missing"),
        (
            format!("# one\n\nlistner \"tcp\" {{}}\nstorage \"inmem\" {{}}\n{listener}"),
            ":3",
            "listner is not supported",
        ),
        (
            format!("storage \"inmem\" {{\n\n  path = 1\n}}\n{listener}"),
            ":3",
            "path in storage \"inmem\" is not supported",
        ),
        (format!("storage \"sled\" {{\n  paht = \"x\"\n}}\n{listener}"), ":2", "not supported: is path meant?"),
        (format!("storage \"sled\" {{\n  x = 1\n}}\n{listener}"), ":1", "path in storage \"sled\" is missing"),
        (format!("storage \"raft\" {{}}\n{listener}"), ":1", "storage \"raft\" is not supported"),
        (
            format!("storage \"inmem\" {{}}\n{listener}seal \"static\" {{\n  current_key = \"x\"\n}}"),
            ":4",
            "must be where",
        ),
        (
            format!("storage \"inmem\" {{}}\n{listener}{listener}storage \"inmem\" {{}}"),
            ":4",
            "storage must be one stanza",
        ),
        (
            format!("storage \"inmem\" {{}}\n{listener}listener \"tcp\" {{\n\n  address = \"x\" }}"),
            ":5",
            "must be an IP",
        ),
        (format!("storage \"inmem\" {{}}\n{listener}ui = true\nlog_level = \"x\""), ":4", "log_level must be"),
        (
            "{\"storage\": {\"inmem\": {}},\n\"listener\": [{\"tcp\":\n{\"x\": 1,\n\"tls_disable\": 1}}]}".to_owned(),
            ":3",
            "x in listener",
        ),
        ("{\"storage\": {\"inmem\": {}},\n\"ui\": 1,\n\"ui\": 2}".to_owned(), ":3", "for the second time"),
        // With null in it, no line is known.
        (
            "{\"storage\": {\"inmem\": {}}, \"ui\": null, \"x\": 1, \"listener\": {\"tcp\": {\"tls_disable\": 1}}}"
                .to_owned(),
            "",
            "x is not",
        ),
    ] {
        std::fs::write(&path, &text).unwrap();
        let error = Config::read(&path, Overrides::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("{}{line}", path.display()), "{text}");
        let told = std::error::Error::source(&error).unwrap().to_string();
        assert!(told.contains(cause), "{text}: {told}");
    }
}

#[test]
fn an_existing_file_works_and_what_has_no_effect_is_named() {
    let config = Config::parse(
        r#"
        ui            = true
        api_addr      = "https://vault.internal:8200"
        cluster_addr  = "https://vault.internal:8201"
        disable_mlock = true
        telemetry { prometheus_retention_time = "30s" }
        backend "sled" { path = "/opt/vault/data" }
        listener "tcp" {
          address         = "127.0.0.1:8200"
          cluster_address = "127.0.0.1:8201"
          tls_cert_file   = "/opt/vault/tls/tls.crt"
          tls_key_file    = "/opt/vault/tls/tls.key"
          telemetry { unauthenticated_metrics_access = true }
        }
        "#,
    )
    .unwrap();
    assert!(matches!(&config.storage, StorageConfig::Sled { path, .. } if path.ends_with("opt/vault/data")));
    let named =
        ["cluster_addr", "telemetry", "ui", "cluster_address in listener \"tcp\"", "telemetry in listener \"tcp\""];
    assert_eq!(config.without_effect.iter().map(|ignored| ignored.place.as_str()).collect::<Vec<_>>(), named);
    assert_eq!(config.without_effect[0].line, Some(4));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let environment = Overrides::from_environment(|name| match name {
        "VAULT_LOG_LEVEL" => Some("debug".to_owned()),
        "TURNLOCK_API_ADDR" => Some("https://a".to_owned()),
        "VAULT_API_ADDR" => Some("https://b".to_owned()),
        _ => None,
    })
    .unwrap();
    let config = Config::parse(FULL).unwrap().with(environment.clone());
    assert_eq!((config.log_level, config.api_addr.as_deref()), (LogLevel::Debug, Some("https://a")));
    let flags = Overrides { log_level: Some(LogLevel::Trace), ..Overrides::default() };
    assert_eq!(Config::parse(FULL).unwrap().with(flags.over(environment)).log_level, LogLevel::Trace);
}

proptest! {
    #[test]
    fn any_text_is_answered_without_a_panic(text in "\\PC{0,80}") {
        let _ = Config::parse(&text);
    }
}
