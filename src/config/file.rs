//! The configuration file's stanzas.

use std::path::PathBuf;
use std::time::Duration;

use turnlock_core::stanza::{self, Field, Value};

use super::field::{LEVELS, Stanza};
use super::{
    Bind, Config, ConfigError, ListenerConfig, LogLevel, NamedFile, SealSetting, StorageConfig, WithoutEffect,
};
use crate::audit::AuditConfig;
use crate::http::limits::Limits;
use crate::http::tls::TlsFiles;
use crate::store::COMPACT_BYTES;
use crate::token::Lifetimes;

/// Settings of existing files that ask for nothing this server would have to refuse: it has no cluster, no page and no
/// plugins, sends no telemetry, and logs to standard error.
const WITHOUT_EFFECT: &[&str] = &[
    "administrative_namespace_path",
    "cluster_addr",
    "disable_cache",
    "disable_clustering",
    "enable_response_header_hostname",
    "enable_response_header_raft_node_id",
    "log_file",
    "log_format",
    "log_rotate_bytes",
    "log_rotate_duration",
    "log_rotate_max_files",
    "pid_file",
    "plugin_directory",
    "plugin_tmpdir",
    "service_registration",
    "telemetry",
    "ui",
];

/// The same within a listener. What would narrow who may connect is not among them.
const WITHOUT_EFFECT_IN_LISTENER: &[&str] =
    &["cluster_address", "http_idle_timeout", "profiling", "telemetry", "tls_disable_client_certs"];

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    let mut root = Stanza::root(if text.trim_start().starts_with('{') { json(text)? } else { hcl(text)? })?;
    let mut without_effect = root.without_effect(WITHOUT_EFFECT);
    let config = Config {
        storage: storage(&mut root)?,
        listeners: listeners(&mut root, &mut without_effect)?,
        seal: seal(&mut root)?,
        audit: audit(&mut root)?,
        lifetimes: lifetimes(&mut root)?,
        api_addr: root.text("api_addr")?,
        cluster_name: root.text("cluster_name")?.unwrap_or_else(|| "turnlock".to_owned()),
        log_level: log_level(&mut root)?,
        target_dirs: target_dirs(&mut root)?,
        without_agent: false,
        open_generate_root: open_generate_root(&mut root)?,
        disable_mlock: root.flag("disable_mlock")?.unwrap_or(false),
        without_effect,
    };
    root.end()?;
    Ok(config)
}

fn hcl(text: &str) -> Result<Vec<Field>, ConfigError> {
    stanza::read(text).map_err(ConfigError::Hcl)
}

/// JSON by the reader that knows lines, where it can: it takes no null and nothing deep or long.
fn json(text: &str) -> Result<Vec<Field>, ConfigError> {
    use serde_json::Value as Json;
    fn fields(members: serde_json::Map<String, Json>) -> Vec<Field> {
        let known = members.into_iter().filter(|(_, member)| !member.is_null());
        known.map(|(name, member)| Field { name, labels: Vec::new(), value: value(member), line: 0 }).collect()
    }
    fn value(json: Json) -> Value {
        match json {
            Json::Null => Value::Object(Vec::new()),
            Json::Bool(flag) => Value::Bool(flag),
            Json::Number(number) => Value::Number(number.to_string()),
            Json::String(text) => Value::Text(text),
            Json::Array(items) => Value::List(items.into_iter().map(value).collect()),
            Json::Object(members) => Value::Object(fields(members)),
        }
    }
    let parsed = serde_json::from_str(text).map_err(|error| ConfigError::Json { line: error.line() })?;
    Ok(stanza::read(text).unwrap_or_else(|_| fields(parsed)))
}

fn log_level(root: &mut Stanza) -> Result<LogLevel, ConfigError> {
    let text = root.text("log_level")?.unwrap_or_default();
    LogLevel::parse(&text).ok_or_else(|| root.invalid("log_level", LEVELS))
}

/// What the agent inside the server may reach of the machine.
fn target_dirs(root: &mut Stanza) -> Result<Vec<PathBuf>, ConfigError> {
    let mut folders = Vec::new();
    for (_, mut stanza) in root.blocks("agent")? {
        for folder in stanza.list("target_dirs")?.into_iter().map(PathBuf::from) {
            let dotted = folder.components().any(|part| matches!(part, std::path::Component::ParentDir));
            if !folder.is_absolute() || dotted {
                return Err(stanza.invalid("target_dirs", "a list of absolute paths without \"..\""));
            }
            folders.push(folder);
        }
        stanza.end()?;
    }
    Ok(folders)
}

/// Which operations need no token. Others than these always need one.
fn open_generate_root(root: &mut Stanza) -> Result<bool, ConfigError> {
    const NAME: &str = "enable_unauthenticated_access";
    let named = root.list(NAME)?;
    match named.iter().all(|name| name == "generate-root") {
        true => Ok(!named.is_empty()),
        false => Err(root.invalid(NAME, "a list of nothing but \"generate-root\"")),
    }
}

fn lifetimes(root: &mut Stanza) -> Result<Lifetimes, ConfigError> {
    let standard = Lifetimes::default();
    let max = root.duration("max_lease_ttl")?.unwrap_or(standard.max);
    let default = root.duration("default_lease_ttl")?.unwrap_or(standard.default.min(max));
    if default > max || max.is_zero() {
        return Err(root.invalid("default_lease_ttl", "at most max_lease_ttl, and neither may be zero"));
    }
    Ok(Lifetimes { default, max })
}

fn storage(root: &mut Stanza) -> Result<StorageConfig, ConfigError> {
    let mut blocks = root.blocks("storage")?;
    blocks.extend(root.blocks("backend")?);
    let mut blocks = blocks.into_iter();
    let Some((label, mut stanza)) = blocks.next() else {
        return Err(root.missing("storage"));
    };
    if blocks.next().is_some() {
        return Err(root.invalid("storage", "one stanza"));
    }
    let storage = match label.as_deref() {
        Some("sled") => StorageConfig::Sled {
            path: PathBuf::from(stanza.required("path")?),
            compact_bytes: stanza.bytes("compact_bytes")?.unwrap_or(COMPACT_BYTES).max(64 << 10),
        },
        Some("inmem") => StorageConfig::Memory,
        _ => return Err(stanza.unsupported_kind("storage", label, "\"sled\" with a path and \"inmem\" for trials")),
    };
    stanza.end()?;
    Ok(storage)
}

fn listeners(root: &mut Stanza, without_effect: &mut Vec<WithoutEffect>) -> Result<Vec<ListenerConfig>, ConfigError> {
    let mut listeners = Vec::new();
    for (label, mut stanza) in root.blocks("listener")? {
        let limits = limits(&mut stanza)?;
        without_effect.extend(stanza.without_effect(WITHOUT_EFFECT_IN_LISTENER));
        let bind = match label.as_deref() {
            Some("tcp") => tcp(&mut stanza)?,
            Some("unix") => unix(&mut stanza)?,
            _ => return Err(stanza.unsupported_kind("listener", label, "\"tcp\" and \"unix\"")),
        };
        stanza.end()?;
        listeners.push(ListenerConfig { bind, limits });
    }
    if listeners.is_empty() {
        return Err(root.missing("listener"));
    }
    Ok(listeners)
}

fn tcp(stanza: &mut Stanza) -> Result<Bind, ConfigError> {
    let address = stanza.address("address", "127.0.0.1:8200")?;
    let disabled = stanza.flag("tls_disable")?.unwrap_or(false);
    let (certificate, key) = (stanza.file("tls_cert_file")?, stanza.file("tls_key_file")?);
    let only_tls13 = match stanza.text("tls_min_version")?.as_deref() {
        None | Some("tls12") => false,
        Some("tls13") => true,
        Some(_) => return Err(stanza.invalid("tls_min_version", "\"tls12\" or \"tls13\"")),
    };
    let tls = match (disabled, certificate, key) {
        (true, ..) => None,
        (false, Some(certificate), Some(key)) => Some(TlsFiles { certificate, key, only_tls13 }),
        (false, None, _) => return Err(stanza.missing("tls_cert_file")),
        (false, _, None) => return Err(stanza.missing("tls_key_file")),
    };
    Ok(Bind::Tcp(address, tls))
}

fn unix(stanza: &mut Stanza) -> Result<Bind, ConfigError> {
    let path = PathBuf::from(stanza.required("address")?);
    let mode = match stanza.text("socket_mode")? {
        None => 0o600,
        Some(text) => {
            let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
            mode.ok_or_else(|| stanza.invalid("socket_mode", "permissions in octal digits, as in \"660\""))?
        }
    };
    stanza.flag("tls_disable")?;
    Ok(Bind::Unix(path, mode))
}

fn limits(stanza: &mut Stanza) -> Result<Limits, ConfigError> {
    let mut limits = Limits::default();
    if let Some(bytes) = stanza.bytes("max_request_size")? {
        let bytes = usize::try_from(bytes).ok().filter(|bytes| (1024..=limits.in_flight_bytes).contains(bytes));
        limits.max_request_bytes =
            bytes.ok_or_else(|| stanza.invalid("max_request_size", "between 1 KiB and 64 MiB"))?;
    }
    for (name, target) in [
        ("http_read_header_timeout", &mut limits.head_timeout),
        ("http_read_timeout", &mut limits.body_timeout),
        ("http_write_timeout", &mut limits.stall_timeout),
    ] {
        if let Some(duration) = stanza.duration(name)? {
            if duration < Duration::from_secs(1) {
                return Err(stanza.invalid(name, "at least one second"));
            }
            *target = duration;
        }
    }
    for network in stanza.list("x_forwarded_for_authorized_addrs")? {
        let parsed = network.parse().ok().or_else(|| network.parse::<std::net::IpAddr>().ok().map(Into::into));
        let expected = "a list of IP addresses or networks";
        limits
            .trusted_proxies
            .push(parsed.ok_or_else(|| stanza.invalid("x_forwarded_for_authorized_addrs", expected))?);
    }
    Ok(limits)
}

fn seal(root: &mut Stanza) -> Result<SealSetting, ConfigError> {
    let mut blocks = root.blocks("seal")?.into_iter();
    let Some((label, mut stanza)) = blocks.next() else { return Ok(SealSetting::Shares) };
    if blocks.next().is_some() {
        return Err(root.invalid("seal", "one stanza"));
    }
    let setting = match label.as_deref() {
        Some("shamir") => SealSetting::Shares,
        Some("static") => {
            let text = stanza.required("current_key")?;
            let expected = "where the key is: \"file:///path\", \"env://NAME\" or \"credential://name\"";
            // Never the key itself: this file is read by more people than may have it.
            match text.split_once("://") {
                Some(("file", path)) if path.starts_with('/') => {
                    let line = stanza.line_of("current_key");
                    SealSetting::KeyFile(NamedFile { path: path.into(), setting: "current_key", line })
                }
                Some(("env", name)) if !name.is_empty() => SealSetting::KeyVariable(name.to_owned()),
                Some(("credential", name)) if !name.is_empty() && !name.contains('/') => {
                    SealSetting::KeyCredential(name.to_owned())
                }
                _ => return Err(stanza.invalid("current_key", expected)),
            }
        }
        _ => return Err(stanza.unsupported_kind("seal", label, "\"shamir\" and \"static\"")),
    };
    stanza.text("current_key_id")?;
    stanza.end()?;
    Ok(setting)
}

fn audit(root: &mut Stanza) -> Result<Option<AuditConfig>, ConfigError> {
    let mut blocks = root.blocks("audit")?.into_iter();
    let Some((label, mut stanza)) = blocks.next() else { return Ok(None) };
    if blocks.next().is_some() {
        return Err(root.invalid("audit", "one stanza"));
    }
    if label.as_deref() != Some("file") {
        return Err(stanza.unsupported_kind("audit", label, "\"file\""));
    }
    let path = match stanza.text("path")? {
        Some(path) => path,
        None => stanza.required("file_path")?,
    };
    let config = AuditConfig {
        name: "file".to_owned(),
        path: path.into(),
        rotate_bytes: stanza.bytes("rotate_bytes")?.unwrap_or(256 << 20).max(64 << 10),
        rotate_age: stanza.duration("rotate_duration")?.unwrap_or_default(),
        description: stanza.text("description")?.unwrap_or_default(),
    };
    stanza.end()?;
    Ok(Some(config))
}
