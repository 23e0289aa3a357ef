//! `sys/mounts` and `sys/auth`: where engines are attached.

use std::collections::BTreeMap;

use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use turnlock_core::Path;
use uuid::Uuid;

use crate::engine::{Access, Call, EngineKind, Route};
use crate::error::Error;
use crate::mount::{MountConfig, MountEntry};
use crate::request::{Fields, Operation};
use crate::response::Response;

/// Longest path of a mount in bytes.
const MAX_MOUNT_PATH_BYTES: usize = 256;
/// Most mounts of one server: the table is one record.
const MAX_MOUNTS: usize = 2000;

pub(super) const ROUTES: &[Route] = &[
    Route {
        operations: &[Operation::Read],
        pattern: "mounts",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(list(call, Side::Secret)),
        doc: "All mounts of secret engines.",
    },
    Route {
        operations: &[Operation::Read],
        pattern: "auth",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(list(call, Side::Auth)),
        doc: "All mounts of auth engines.",
    },
    Route {
        operations: &[Operation::Read, Operation::Update, Operation::Delete],
        pattern: "mounts/{path*}",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(one(call, Side::Secret)),
        doc: "One mount: read, enable, disable; its settings are below tune.",
    },
    Route {
        operations: &[Operation::Read, Operation::Update, Operation::Delete],
        pattern: "auth/{path*}",
        access: Access::Sudo,
        exists: None,
        handler: |call| Box::pin(one(call, Side::Auth)),
        doc: "One auth mount: read, enable, disable; its settings are below tune.",
    },
];

/// Which half of the table a route shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Auth,
    Secret,
}

/// The mounts of a new server.
pub(crate) fn default_mounts() -> Vec<MountEntry> {
    let mount = |path: &str, kind, description: &str| MountEntry {
        path: path.to_owned(),
        kind,
        uuid: Uuid::new_v4().to_string(),
        accessor: accessor(kind),
        description: description.to_owned(),
        local: kind == EngineKind::Cubbyhole,
        seal_wrap: kind == EngineKind::System,
        external_entropy_access: false,
        options: None,
        config: MountConfig {
            token_type: (kind == EngineKind::Token).then(|| "default-service".to_owned()),
            ..MountConfig::default()
        },
    };
    vec![
        mount("auth/token", EngineKind::Token, "token based credentials"),
        mount("cubbyhole", EngineKind::Cubbyhole, "per-token private secret storage"),
        mount("identity", EngineKind::Identity, "identity store"),
        mount("rotation", EngineKind::Rotation, "rotations of secrets and their attempts"),
        mount("sys", EngineKind::System, "system endpoints used for control, policy and debugging"),
    ]
}

/// A mount as clients see it.
pub(crate) fn shown(entry: &MountEntry) -> Value {
    let mut config = json!({
        "default_lease_ttl": entry.config.default_lease_ttl,
        "max_lease_ttl": entry.config.max_lease_ttl,
        "force_no_cache": entry.config.force_no_cache,
    });
    if let Some(config) = config.as_object_mut() {
        let optional =
            [("token_type", &entry.config.token_type), ("listing_visibility", &entry.config.listing_visibility)];
        for (name, value) in optional.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            config.insert(name.to_owned(), json!(value));
        }
    }
    json!({
        "accessor": entry.accessor,
        "config": config,
        "deprecation_status": "supported",
        "description": entry.description,
        "external_entropy_access": entry.external_entropy_access,
        "local": entry.local,
        "options": entry.options,
        "plugin_version": "",
        "running_plugin_version": format!("v{}", env!("CARGO_PKG_VERSION")),
        "running_sha256": "",
        "seal_wrap": entry.seal_wrap,
        "type": entry.kind.as_str(),
        "uuid": entry.uuid,
    })
}

async fn list(call: &Call, side: Side) -> Result<Response, Error> {
    let table = call.parts.mounts.table();
    let mounts: BTreeMap<String, Value> = table
        .iter()
        .filter(|mount| mount.is_auth() == (side == Side::Auth))
        .map(|mount| {
            let path =
                mount.entry.path.strip_prefix("auth/").filter(|_| side == Side::Auth).unwrap_or(&mount.entry.path);
            (format!("{path}/"), shown(&mount.entry))
        })
        .collect();
    Response::data_at_top(&mounts)
}

async fn one(call: &Call, side: Side) -> Result<Response, Error> {
    let below = call.parameter("path");
    if below.is_empty() {
        return Err(Error::Unsupported);
    }
    let (path, tune) = match below.strip_suffix("/tune") {
        Some(path) => (path, true),
        None => (below, false),
    };
    let path = match side {
        Side::Auth => format!("auth/{path}"),
        // Clients tune auth mounts here, where no sudo is asked for; all else of them is below sys/auth only.
        Side::Secret if !tune && (path == "auth" || path.starts_with("auth/")) => {
            return Err(Error::invalid("auth mounts are enabled, shown and disabled at sys/auth"));
        }
        Side::Secret => path.to_owned(),
    };
    match (call.request.operation, tune) {
        (Operation::Read, false) => read(call, &path),
        (Operation::Read, true) => read_tune(call, &path),
        (Operation::Update, false) => enable(call, path, side).await,
        (Operation::Update, true) => write_tune(call, &path).await,
        (Operation::Delete, false) => disable(call, &path).await,
        _ => Err(Error::Unsupported),
    }
}

fn no_mount() -> Error {
    Error::invalid("no mount at this path")
}

fn read(call: &Call, path: &str) -> Result<Response, Error> {
    let table = call.parts.mounts.table();
    Response::data_at_top(&shown(&table.at(path).ok_or_else(no_mount)?.entry))
}

fn read_tune(call: &Call, path: &str) -> Result<Response, Error> {
    let table = call.parts.mounts.table();
    let entry = &table.at(path).ok_or_else(no_mount)?.entry;
    let or = |seconds: u64, server: std::time::Duration| if seconds > 0 { seconds } else { server.as_secs() };
    let lifetimes = call.parts.tokens.lifetimes();
    let mut tune = json!({
        "default_lease_ttl": or(entry.config.default_lease_ttl, lifetimes.default),
        "max_lease_ttl": or(entry.config.max_lease_ttl, lifetimes.max),
        "description": entry.description,
        "force_no_cache": entry.config.force_no_cache,
    });
    if let Some(tune) = tune.as_object_mut() {
        if let Some(options) = &entry.options {
            tune.insert("options".to_owned(), json!(options));
        }
        if let Some(token_type) = &entry.config.token_type {
            tune.insert("token_type".to_owned(), json!(token_type));
        }
        if let Some(visibility) = &entry.config.listing_visibility {
            tune.insert("listing_visibility".to_owned(), json!(visibility));
        }
    }
    Response::data_at_top(&tune)
}

async fn enable(call: &Call, path: String, side: Side) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let path = mount_path(&path)?;
    let options = fields.map("options")?;
    let version = options.as_ref().and_then(|options| options.get("version")).map(String::as_str);
    let kind = kind_of(&fields.required_string("type")?, version, side)?;
    let auth = side == Side::Auth;
    let options = match (kind, options) {
        (EngineKind::Kv1, options) => Some(with_version(options, "1")),
        (EngineKind::Kv2, options) => Some(with_version(options, "2")),
        (_, None) if auth => Some(BTreeMap::new()),
        (_, options) => options,
    };
    let nested: Option<BTreeMap<String, Value>> = fields.typed("config")?;
    let mut entry = MountEntry {
        path,
        kind,
        uuid: Uuid::new_v4().to_string(),
        accessor: if auth { format!("auth_{}", accessor(kind)) } else { accessor(kind) },
        description: fields.string("description")?.unwrap_or_default(),
        local: fields.flag("local")?.unwrap_or(false),
        seal_wrap: fields.flag("seal_wrap")?.unwrap_or(false),
        external_entropy_access: fields.flag("external_entropy_access")?.unwrap_or(false),
        options,
        config: MountConfig { token_type: auth.then(|| "default-service".to_owned()), ..MountConfig::default() },
    };
    if let Some(nested) = nested {
        configure(&mut entry.config, &Fields::of(&nested)?, auth)?;
    }
    let table = call.parts.mounts.table();
    if table.iter().count() >= MAX_MOUNTS {
        return Err(Error::invalid(format!("there are {MAX_MOUNTS} mounts already, which is the most")));
    }
    drop(table);
    call.parts
        .mounts
        .change(|entries| {
            if overlaps(entries, &entry.path) {
                return Err(Error::invalid("path is already in use, or lies above or below a mount"));
            }
            entries.insert(entry.path.clone(), entry.clone());
            Ok(())
        })
        .await?;
    Ok(Response::done())
}

pub(super) fn overlaps(entries: &BTreeMap<String, MountEntry>, path: &str) -> bool {
    let inside = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    entries.keys().any(|existing| inside(existing, path) || inside(path, existing))
}

/// A path where something may be mounted.
pub(super) fn mount_path(path: &str) -> Result<String, Error> {
    let path = Path::parse(path).map_err(|reason| Error::invalid(reason.to_string()))?;
    let text = path.as_str();
    if text.is_empty() || text == "auth" || text.len() > MAX_MOUNT_PATH_BYTES {
        return Err(Error::invalid("a mount's path must have between 1 and 256 bytes and must not be \"auth\""));
    }
    // A policy reads these as wildcards, so nobody could write a rule for such a mount alone.
    if text.contains(['*', '+']) {
        return Err(Error::invalid("a mount's path must not contain \"*\" or \"+\""));
    }
    if text.split('/').next_back() == Some("tune") {
        return Err(Error::invalid("a mount's path must not end with \"tune\": its settings would be unreachable"));
    }
    Ok(text.to_owned())
}

fn kind_of(name: &str, version: Option<&str>, side: Side) -> Result<EngineKind, Error> {
    match (side, name, version) {
        (Side::Secret, "kv" | "generic", None | Some("1" | "")) => Ok(EngineKind::Kv1),
        (Side::Secret, "kv", Some("2")) | (Side::Secret, "kv-v2", _) => Ok(EngineKind::Kv2),
        (Side::Secret, "kv-v1", _) => Ok(EngineKind::Kv1),
        (Side::Secret, "kv", _) => Err(Error::invalid("option \"version\" must be \"1\" or \"2\"")),
        (Side::Auth, "approle", _) => Ok(EngineKind::AppRole),
        (Side::Auth, "userpass", _) => Ok(EngineKind::Userpass),
        (Side::Secret, ..) => Err(Error::invalid("no engine of this type; there is \"kv\" with version 1 or 2")),
        (Side::Auth, ..) => Err(Error::invalid("no auth engine of this type; there are \"approle\" and \"userpass\"")),
    }
}

fn with_version(options: Option<BTreeMap<String, String>>, version: &str) -> BTreeMap<String, String> {
    let mut options = options.unwrap_or_default();
    options.insert("version".to_owned(), version.to_owned());
    options
}

/// The name of the engine and eight random digits.
fn accessor(kind: EngineKind) -> String {
    let mut random = [0; 4];
    if SystemRandom::new().fill(&mut random).is_err() {
        random.copy_from_slice(Uuid::new_v4().as_bytes().first_chunk().unwrap_or(&[0; 4]));
    }
    let prefix = if kind == EngineKind::Token { "auth_" } else { "" };
    format!("{prefix}{}_{}", kind.as_str(), hex::encode(random))
}

fn configure(config: &mut MountConfig, fields: &Fields, auth: bool) -> Result<(), Error> {
    if let Some(ttl) = fields.duration("default_lease_ttl")? {
        config.default_lease_ttl = ttl.as_secs();
    }
    if let Some(ttl) = fields.duration("max_lease_ttl")? {
        config.max_lease_ttl = ttl.as_secs();
    }
    if config.max_lease_ttl > 0 && config.default_lease_ttl > config.max_lease_ttl {
        return Err(Error::invalid("default_lease_ttl must not exceed max_lease_ttl"));
    }
    if let Some(force_no_cache) = fields.flag("force_no_cache")? {
        config.force_no_cache = force_no_cache;
    }
    if let Some(visibility) = fields.string("listing_visibility")? {
        if !matches!(visibility.as_str(), "" | "hidden" | "unauth") {
            return Err(Error::invalid("listing_visibility must be \"hidden\", \"unauth\" or empty"));
        }
        config.listing_visibility = Some(visibility).filter(|text| !text.is_empty());
    }
    if let Some(token_type) = fields.string("token_type")? {
        if !auth || !matches!(token_type.as_str(), "default-service" | "default-batch" | "service" | "batch") {
            return Err(Error::invalid(
                "token_type must be \"default-service\", \"default-batch\", \"service\" or \"batch\", on auth mounts",
            ));
        }
        config.token_type = Some(token_type);
    }
    Ok(())
}

async fn write_tune(call: &Call, path: &str) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let description = fields.string("description")?;
    let options = fields.map("options")?;
    call.parts
        .mounts
        .change(|entries| {
            let entry = entries.get_mut(path).ok_or_else(no_mount)?;
            configure(&mut entry.config, fields, path.starts_with("auth/"))?;
            if let Some(description) = &description {
                entry.description.clone_from(description);
            }
            match options.as_ref().and_then(|options| options.get("version")).map(String::as_str) {
                None => {}
                Some("1") if entry.kind == EngineKind::Kv1 => {}
                Some("2") if entry.kind == EngineKind::Kv2 => {}
                Some(_) => return Err(Error::invalid("the version of a kv mount cannot be changed; mount a new one")),
            }
            Ok(())
        })
        .await?;
    Ok(Response::done())
}

async fn disable(call: &Call, path: &str) -> Result<Response, Error> {
    let mut removed = None;
    call.parts
        .mounts
        .change(|entries| {
            removed = entries.remove(path);
            match removed.as_ref().map(|entry| entry.kind) {
                Some(kind) if !kind.is_replaceable() => Err(Error::invalid("this mount cannot be disabled")),
                _ => Ok(()),
            }
        })
        .await?;
    if let Some(entry) = removed {
        // The mount is gone with its commit; what it stored is unreachable from there on and removed behind the answer.
        let view = call.parts.barrier.view(&format!("mount/{}", entry.uuid));
        tokio::spawn(async move {
            while let Ok(purged) = view.purge(256).await {
                if purged < 256 {
                    break;
                }
            }
        });
    }
    Ok(Response::done())
}
