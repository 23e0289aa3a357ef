//! The values of the store that can be recognised in a text, one after another.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use turnlock_core::finding::{LiveSecret, is_looked_for, recognisable};
use zeroize::Zeroizing;

use crate::engine::kv2::{Secrets, Which};
use crate::engine::{Call, EngineKind, kv1};
use crate::error::Error;
use crate::mount::Mount;

/// Deepest object or list within a secret that is looked into.
const MAX_DEPTH: usize = 16;

/// Shows every recognisable value of every version that is not gone.
///
/// One walk over the store at a time: it is long, and many at once would starve who reads.
pub(super) async fn visit(call: &Call, mut see: impl FnMut(&[u8], &LiveSecret)) -> Result<(), Error> {
    let _alone = call.parts.pace.walk().await;
    for mount in call.parts.mounts.table().iter() {
        let secrets = Secrets::new(&call.parts.barrier, &mount.view, call.parts.clock.now());
        match mount.entry.kind {
            EngineKind::Kv2 => {
                let mut open = vec![String::new()];
                while let Some(folder) = open.pop() {
                    for name in secrets.list(&folder).await? {
                        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                        match path.strip_suffix('/') {
                            Some(below) => open.push(below.to_owned()),
                            None => versions(&secrets, &mount.entry.path, &path, &mut see).await?,
                        }
                    }
                }
            }
            EngineKind::Kv1 => unversioned(mount, &mut see).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn versions(
    secrets: &Secrets<'_>,
    mount: &str,
    path: &str,
    see: &mut impl FnMut(&[u8], &LiveSecret),
) -> Result<(), Error> {
    let metadata = match secrets.metadata(path).await {
        Err(Error::NotFound) => return Ok(()),
        other => other?,
    };
    for version in metadata.versions.iter().filter(|version| !version.is_gone(secrets.now())) {
        let found = match secrets.read(path, Which::Number(version.number)).await {
            Err(Error::NotFound) => continue,
            other => other?,
        };
        let Some(data) = found.data() else { continue };
        let labels = metadata.labels.iter().filter(|(_, number)| **number == version.number);
        let mut secret = LiveSecret {
            path: format!("{mount}/{path}"),
            field: String::new(),
            version: version.number.into(),
            labels: labels.map(|(label, _)| label.clone()).collect(),
        };
        texts(data, &mut secret, MAX_DEPTH, see);
    }
    Ok(())
}

async fn unversioned(mount: &Mount, see: &mut impl FnMut(&[u8], &LiveSecret)) -> Result<(), Error> {
    for path in mount.view.list_all("", usize::MAX).await? {
        let data = match kv1::fetch(&mount.view, &path).await {
            Err(Error::NotFound) => continue,
            other => other?.1,
        };
        let path = format!("{}/{path}", mount.entry.path);
        let mut secret = LiveSecret { path, field: String::new(), version: 0, labels: Vec::new() };
        texts(data.expose(), &mut secret, MAX_DEPTH, see);
    }
    Ok(())
}

/// Shows the texts in `json`. Members of members are named with dots between.
fn texts(json: &[u8], secret: &mut LiveSecret, depth: usize, see: &mut impl FnMut(&[u8], &LiveSecret)) {
    if depth == 0 {
        return;
    }
    match json.trim_ascii_start().first() {
        Some(b'"') => {
            let Ok(text) = serde_json::from_slice::<String>(json).map(Zeroizing::new) else { return };
            if let Some(value) = recognisable(text.as_bytes()).filter(|value| is_looked_for(&secret.field, value)) {
                see(value, secret);
            }
        }
        Some(b'{') => {
            let Ok(members) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(json) else { return };
            let above = secret.field.len();
            for (name, value) in members {
                if above > 0 {
                    secret.field.push('.');
                }
                secret.field.push_str(&name);
                texts(value.get().as_bytes(), secret, depth - 1, see);
                secret.field.truncate(above);
            }
        }
        Some(b'[') => {
            let Ok(items) = serde_json::from_slice::<Vec<&RawValue>>(json) else { return };
            for value in items {
                texts(value.get().as_bytes(), secret, depth - 1, see);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shown_with_the_names_that_lead_to_them() {
        let mut secret = LiveSecret { path: "secret/app".into(), field: String::new(), version: 1, labels: Vec::new() };
        let json = br#"{"password": "tlk_canary_a", "host": "db.internal.example", "port": 5432,
            "nested": {"key": "tlk_canary_b"}, "many": ["tlk_canary_c", "short"]}"#;
        let mut seen = Vec::new();
        texts(json, &mut secret, MAX_DEPTH, &mut |value, secret| {
            seen.push((String::from_utf8_lossy(value).into_owned(), secret.field.clone()));
        });
        let seen: Vec<_> = seen.iter().map(|(value, field)| (value.as_str(), field.as_str())).collect();
        let expected = [("tlk_canary_c", "many"), ("tlk_canary_b", "nested.key"), ("tlk_canary_a", "password")];
        assert_eq!(seen, expected);
    }
}
