//! References to secrets, as they stand in files that may be committed: `turnlock://MOUNT/PATH#FIELD`, with
//! `?version=N` or `?label=NAME` behind. Parsing them, and reading what they name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;
use turnlock_core::Protected;
use zeroize::Zeroizing;

use crate::client::{Call, Client, ClientError, Reply};

/// What every reference begins with.
pub const SCHEME: &str = "turnlock://";

/// What means something in a reference, or to the shells and files it stands in.
const RESERVED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'%').add(b'#').add(b'?').add(b'"').add(b'\'').add(b'$').add(b'\\').add(b'`');

/// A place in the store: path, field, and which version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Mount and path below it.
    pub path: String,
    /// Member of the secret's data.
    pub field: String,
    /// Which version.
    pub stage: Stage,
}

/// Which version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Stage {
    /// The newest one in force.
    #[default]
    Current,
    /// The one with this number.
    Version(u64),
    /// The one with this label.
    Label(String),
}

/// Why a text is no reference. The text itself is not repeated: it may be a value by mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Does not begin with [`SCHEME`].
    #[error("reference does not begin with {SCHEME}")]
    Scheme,
    /// No mount or no path.
    #[error("reference names no path below a mount")]
    Path,
    /// No `#FIELD`.
    #[error("reference names no field: add #FIELD")]
    Field,
    /// The version or the label before the field.
    #[error("reference has ?version or ?label before its field: write ?version= behind #FIELD")]
    Order,
    /// Something other than a version or a label.
    #[error("reference ends in something other than ?version=NUMBER or ?label=NAME")]
    Stage,
}

/// Why a reference has no value.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Nothing there, or the version is deleted.
    #[error("{reference} names nothing that can be read")]
    Missing {
        /// Which reference.
        reference: Reference,
    },
    /// The secret has no such field.
    #[error("{reference} names a field that the secret does not have")]
    NoField {
        /// Which reference.
        reference: Reference,
    },
    /// The first version of KV keeps one version only.
    #[error("{reference} names a version, and its mount keeps none")]
    Unversioned {
        /// Which reference.
        reference: Reference,
    },
    /// The server did not answer as it should.
    #[error("{reference} cannot be read: {source}")]
    Client {
        /// Which reference.
        reference: Reference,
        /// Why.
        source: ClientError,
    },
}

impl ResolveError {
    /// What to try, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } => {
                Some("`turnlock kv list` shows what there is, `turnlock kv metadata get` its versions")
            }
            Self::NoField { .. } => Some("`turnlock kv get -format=json` shows the fields"),
            Self::Unversioned { .. } => Some("leave ?version and ?label out"),
            Self::Client { source, .. } => source.hint(),
        }
    }
}

impl Reference {
    /// Parses `MOUNT/PATH#FIELD` without the scheme, as it is written on a command line; with it is right too.
    pub fn parse_short(text: &str) -> Result<Self, ReferenceError> {
        let text = text.strip_prefix(SCHEME).unwrap_or(text);
        let (path, rest) = text.split_once('#').ok_or(ReferenceError::Field)?;
        // A path may hold a question mark; one that is meant so can be written %3F.
        if ["?version=", "?label="].iter().any(|stage| path.contains(stage)) {
            return Err(ReferenceError::Order);
        }
        let (field, stage) = match rest.split_once('?') {
            Some((field, stage)) => (field, stage.parse()?),
            None => (rest, Stage::Current),
        };
        let decoded = |text| percent_decode_str(text).decode_utf8().map(String::from);
        let path = decoded(path).map_err(|_| ReferenceError::Path)?;
        let field = decoded(field).map_err(|_| ReferenceError::Field)?;
        let mut segments = 0;
        for segment in path.split('/') {
            if matches!(segment, "" | "." | "..") || segment.chars().any(char::is_control) {
                return Err(ReferenceError::Path);
            }
            segments += 1;
        }
        if segments < 2 {
            return Err(ReferenceError::Path);
        }
        if field.is_empty() || field.chars().any(char::is_control) {
            return Err(ReferenceError::Field);
        }
        Ok(Self { path, field, stage })
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if !text.starts_with(SCHEME) {
            return Err(ReferenceError::Scheme);
        }
        Self::parse_short(text)
    }
}

impl FromStr for Stage {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        match text.split_once('=') {
            Some(("version", digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let number = digits.parse().ok().filter(|number| *number > 0);
                Ok(Self::Version(number.ok_or(ReferenceError::Stage)?))
            }
            Some(("label", name)) => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
                let valid = !name.is_empty() && name.bytes().all(fits);
                valid.then(|| Self::Label(name.to_owned())).ok_or(ReferenceError::Stage)
            }
            _ => Err(ReferenceError::Stage),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = utf8_percent_encode(&self.path, RESERVED);
        let field = utf8_percent_encode(&self.field, RESERVED);
        write!(f, "{SCHEME}{path}#{field}")?;
        match &self.stage {
            Stage::Current => Ok(()),
            Stage::Version(number) => write!(f, "?version={number}"),
            Stage::Label(name) => write!(f, "?label={name}"),
        }
    }
}

/// Where a path's mount ends, and whether it keeps versions.
struct Mounted {
    prefix: String,
    versioned: bool,
}

/// The values of `references`, in their order. Reads each secret once, however many of its fields are named.
///
/// Texts are taken as they are; any other JSON value as its JSON.
pub async fn resolve(client: &Client, references: &[Reference]) -> Result<Vec<Protected>, ResolveError> {
    let mut mounts: Vec<Mounted> = Vec::new();
    let mut replies: HashMap<(&str, &Stage), (Reply, bool)> = HashMap::new();
    let mut values = Vec::with_capacity(references.len());
    for reference in references {
        let failed = |source| match source {
            ClientError::NotFound { .. } => ResolveError::Missing { reference: reference.clone() },
            source => ResolveError::Client { reference: reference.clone(), source },
        };
        let key = (reference.path.as_str(), &reference.stage);
        let (reply, versioned) = match replies.entry(key) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => {
                let known = mounts.iter().position(|mount| reference.path.starts_with(&mount.prefix));
                let mounted = match known {
                    Some(index) => mounts.swap_remove(index),
                    None => mount_of(client, &reference.path).await.map_err(failed)?,
                };
                let call = call_of(reference, &mounted)?;
                let reply = client.send(call).await.map_err(failed)?;
                let versioned = mounted.versioned;
                mounts.push(mounted);
                unread.insert((reply, versioned))
            }
        };
        let field = field_of(reply, *versioned, &reference.field).map_err(failed)?;
        values.push(field.ok_or_else(|| ResolveError::NoField { reference: reference.clone() })?);
    }
    Ok(values)
}

fn call_of(reference: &Reference, mounted: &Mounted) -> Result<Call, ResolveError> {
    let below = reference.path.strip_prefix(&mounted.prefix).unwrap_or(&reference.path);
    let versioned = || Call::get(format!("{}data/{below}", mounted.prefix));
    match &reference.stage {
        Stage::Current if mounted.versioned => Ok(versioned()),
        Stage::Current => Ok(Call::get(&reference.path)),
        _ if !mounted.versioned => Err(ResolveError::Unversioned { reference: reference.clone() }),
        Stage::Version(number) => Ok(versioned().query("version", number.to_string())),
        Stage::Label(name) => Ok(versioned().query("label", name)),
    }
}

/// Asks which mount holds `path`. A server that does not know the question is taken to have one-version mounts with
/// names of one segment, as Vault's own client does.
async fn mount_of(client: &Client, path: &str) -> Result<Mounted, ClientError> {
    #[derive(Deserialize)]
    struct Facts {
        path: String,
        #[serde(default)]
        options: Option<HashMap<String, String>>,
    }
    match client.read(&format!("sys/internal/ui/mounts/{path}")).await {
        Ok(reply) => {
            let facts: Facts = reply.data_as()?;
            let version = facts.options.and_then(|options| options.get("version").cloned());
            if !path.starts_with(&facts.path) || !facts.path.ends_with('/') {
                return Err(ClientError::Malformed { what: "mount" });
            }
            Ok(Mounted { prefix: facts.path, versioned: version.as_deref() == Some("2") })
        }
        Err(ClientError::NotFound { .. }) => {
            let (mount, _) = path.split_once('/').ok_or(ClientError::Path)?;
            Ok(Mounted { prefix: format!("{mount}/"), versioned: false })
        }
        Err(error) => Err(error),
    }
}

fn field_of(reply: &Reply, versioned: bool, field: &str) -> Result<Option<Protected>, ClientError> {
    #[derive(Deserialize)]
    struct Versioned<'a> {
        #[serde(borrow)]
        data: HashMap<String, &'a RawValue>,
    }
    let members: HashMap<String, &RawValue> =
        if versioned { reply.data_as::<Versioned<'_>>()?.data } else { reply.data_as()? };
    let Some(raw) = members.get(field).map(|raw| raw.get()).filter(|raw| *raw != "null") else {
        return Ok(None);
    };
    if raw.starts_with('"') {
        let text: Zeroizing<String> =
            serde_json::from_str(raw).map_err(|_| ClientError::Malformed { what: "reply" })?;
        return Ok(Some(Protected::copy_of(text.as_bytes())));
    }
    Ok(Some(Protected::copy_of(raw.as_bytes())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::routing::get;
    use http::{StatusCode, Uri};
    use proptest::prelude::*;

    use super::{Reference, ReferenceError, ResolveError, Stage, resolve};
    use crate::client::Client;

    fn server(reads: &Arc<AtomicUsize>) -> Client {
        let reads = reads.clone();
        let preflight = |version: &'static str, mount: &'static str| {
            move || async move {
                format!(r#"{{"data":{{"path":"{mount}/","type":"kv","options":{{"version":"{version}"}}}}}}"#)
            }
        };
        let router = Router::new()
            .route("/v1/sys/internal/ui/mounts/team/kv/{*path}", get(preflight("2", "team/kv")))
            .route("/v1/sys/internal/ui/mounts/old/{*path}", get(preflight("1", "old")))
            .route(
                "/v1/team/kv/data/app/db",
                get(move |uri: Uri| {
                    reads.fetch_add(1, Ordering::SeqCst);
                    let version = uri.query().unwrap_or("newest").to_owned();
                    async move {
                        format!(
                            r#"{{"data":{{"data":{{"user":"u","port":5432,"from":"{version}"}},"metadata":{{}}}}}}"#
                        )
                    }
                }),
            )
            .route("/v1/old/app", get(|| async { r#"{"data":{"user":"plain \"quoted\""}}"# }))
            .fallback(|| async { (StatusCode::NOT_FOUND, r#"{"errors":[]}"#) });
        Client::local(router)
    }

    fn references(texts: &[&str]) -> Vec<Reference> {
        texts.iter().map(|text| Reference::parse_short(text).unwrap()).collect()
    }

    #[tokio::test]
    async fn each_secret_is_read_once_and_both_kinds_of_mount_are_told_apart() {
        let reads = Arc::new(AtomicUsize::new(0));
        let names =
            ["team/kv/app/db#user", "team/kv/app/db#port", "old/app#user", "team/kv/app/db#from?label=previous"];
        let values = resolve(&server(&reads), &references(&names)).await.unwrap();
        let texts: Vec<_> = values.iter().map(|value| value.expose_str().unwrap()).collect();
        assert_eq!(texts, ["u", "5432", "plain \"quoted\"", "label=previous"]);
        assert_eq!(reads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let client = server(&Arc::default());
        let missing = resolve(&client, &references(&["team/kv/app/none#user"])).await.unwrap_err();
        assert_eq!(missing.to_string(), "turnlock://team/kv/app/none#user names nothing that can be read");
        let no_field = resolve(&client, &references(&["old/app#password"])).await;
        assert!(matches!(no_field, Err(ResolveError::NoField { .. })));
        let unversioned = resolve(&client, &references(&["old/app#user?version=1"])).await;
        assert!(matches!(unversioned, Err(ResolveError::Unversioned { .. })));
    }

    #[test]
    fn texts_that_are_no_reference_are_refused_with_the_reason() {
        for (text, error) in [
            ("secret/a#b", ReferenceError::Scheme),
            ("turnlock://secret/a", ReferenceError::Field),
            ("turnlock://secret/a#", ReferenceError::Field),
            ("turnlock://secret#b", ReferenceError::Path),
            ("turnlock://secret//a#b", ReferenceError::Path),
            ("turnlock://secret/%2e%2e/sys#b", ReferenceError::Path),
            ("turnlock://secret/a?version=2#b", ReferenceError::Order),
            ("turnlock://secret/a?label=previous#b", ReferenceError::Order),
            ("turnlock://secret/a#b?version=0", ReferenceError::Stage),
            ("turnlock://secret/a#b?version=+1", ReferenceError::Stage),
            ("turnlock://secret/a#b?label=", ReferenceError::Stage),
        ] {
            assert_eq!(text.parse::<Reference>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            path in "[a-z]{1,5}(/[a-zA-Z0-9 #?%äö$'\"-]{1,8}){1,3}",
            field in "[a-zA-Z0-9 #?%/ü=]{1,9}",
            stage in prop_oneof![
                Just(Stage::Current),
                (1u64..).prop_map(Stage::Version),
                "[a-z_.-]{1,9}".prop_map(Stage::Label),
            ],
        ) {
            let reference = Reference { path, field, stage };
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
            let _ = Reference::parse_short(&text);
            let _ = format!("turnlock://{text}").parse::<Reference>();
        }
    }
}
