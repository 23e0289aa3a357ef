//! Keyed fingerprints of the stored values: what a leak scanner needs to recognise them, without the right to read them.
//!
//! `filter` answers short prefixes of fingerprints, so short that many strings share each: alone it confirms no guess.
//! `confirm` takes full fingerprints, answers what they are of, and is recorded by the audit like everything else. Both are
//! capabilities of their own. The fingerprints are made from the store when they are asked for: nothing about a value is kept
//! beside it.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;
use turnlock_core::Protected;
use turnlock_core::finding::{ConfirmReply, Filter, Fingerprint, FingerprintKey, LiveSecret, recognisable};
use zeroize::Zeroizing;

use crate::engine::kv2::{Secrets, Which};
use crate::engine::{Access, Call, EngineKind, Route};
use crate::error::Error;
use crate::request::Operation;
use crate::response::Response;

/// Most fingerprints in one question.
const MAX_QUESTIONS: usize = 4096;

/// Routes of the sys engine.
pub const ROUTES: &[Route] = &[
    Route {
        operations: &[Operation::Read],
        pattern: "fingerprints/filter",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(filter(call)),
        doc: "A filter that passes every stored value, and one in 64 other strings.",
    },
    Route {
        operations: &[Operation::Update],
        pattern: "fingerprints/confirm",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(confirm(call)),
        doc: "Which of these fingerprints are of stored values, and of which.",
    },
];

async fn filter(call: &Call) -> Result<Response, Error> {
    let key = key(call)?;
    let mut fingerprints = Vec::new();
    visit(call, |value, _| fingerprints.push(key.fingerprint(value))).await?;
    fingerprints.sort_unstable();
    fingerprints.dedup();
    Response::data(&Filter::reply(&key, &fingerprints))
}

async fn confirm(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    fields.only(&["key_id", "fingerprints"])?;
    let key = key(call)?;
    if fields.required_string("key_id")? != key.id {
        return Err(Error::invalid("the fingerprints were made with another key; fetch the filter again"));
    }
    let asked = fields.list("fingerprints")?.unwrap_or_default();
    if asked.len() > MAX_QUESTIONS {
        return Err(Error::invalid(format!("at most {MAX_QUESTIONS} fingerprints in one question")));
    }
    let asked: Option<HashMap<Fingerprint, ()>> =
        asked.iter().map(|text| Fingerprint::from_hex(text).map(|fingerprint| (fingerprint, ()))).collect();
    let asked = asked.ok_or_else(|| Error::invalid("a fingerprint is 64 hexadecimal digits"))?;
    let mut reply = ConfirmReply::default();
    visit(call, |value, secret| {
        let fingerprint = key.fingerprint(value);
        if asked.contains_key(&fingerprint) {
            // The newest version that holds the value is the one to name.
            let known = reply.matches.get(&fingerprint.to_hex()).is_some_and(|known| known.version >= secret.version);
            if !known {
                reply.matches.insert(fingerprint.to_hex(), secret.clone());
            }
        }
    })
    .await?;
    Response::data(&reply)
}

/// The store's fingerprint key. Its id is a hash of it, so that a scanner notices a filter of another store.
fn key(call: &Call) -> Result<FingerprintKey, Error> {
    let bytes = call.parts.barrier.derive("fingerprint").map_err(Error::from)?;
    let id = ring::digest::digest(&ring::digest::SHA256, &*bytes);
    let id = hex::encode(id.as_ref().get(..8).unwrap_or_default());
    Ok(FingerprintKey::new(id, Protected::copy_of(&*bytes)))
}

/// Shows every recognisable text of every version that is not gone.
async fn visit(call: &Call, mut see: impl FnMut(&[u8], &LiveSecret)) -> Result<(), Error> {
    let mounts: Vec<_> =
        call.parts.mounts.table().iter().filter(|mount| mount.entry.kind == EngineKind::Kv2).cloned().collect();
    for mount in mounts {
        let secrets = Secrets::new(&call.parts.barrier, &mount.view, call.parts.clock.now());
        let mut open = vec![String::new()];
        while let Some(folder) = open.pop() {
            for name in secrets.list(&folder).await? {
                let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                match path.strip_suffix('/') {
                    Some(below) => open.push(below.to_owned()),
                    None => one(&secrets, &mount.entry.path, &path, &mut see).await?,
                }
            }
        }
    }
    Ok(())
}

async fn one(
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
        let Ok(members) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(data) else { continue };
        for (field, value) in members {
            let Ok(text) = serde_json::from_str::<String>(value.get()).map(Zeroizing::new) else { continue };
            let labels = metadata.labels.iter().filter(|(_, number)| **number == version.number);
            let labels = labels.map(|(label, _)| label.clone()).collect();
            if let Some(value) = recognisable(text.as_bytes()) {
                let path = format!("{mount}/{path}");
                see(value, &LiveSecret { path, field, version: version.number.into(), labels });
            }
        }
    }
    Ok(())
}
