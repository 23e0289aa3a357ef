//! Keyed fingerprints of the stored values: what a leak scanner needs to recognise them, without the right to read them.
//!
//! `filter` answers short prefixes of fingerprints, so short that many strings share each: alone it confirms no guess.
//! `confirm` takes full fingerprints, answers what they are of, at a bounded pace, and is recorded by the audit like
//! everything else. Both are capabilities of their own. The fingerprints are made from the store when they are asked for:
//! nothing about a value is kept beside it.

mod pace;
mod values;

use std::collections::HashSet;

use turnlock_core::Protected;
use turnlock_core::finding::{ConfirmReply, Filter, Fingerprint, FingerprintKey, MAX_QUESTIONS};

pub use pace::Pace;

use crate::engine::{Access, Call, Route};
use crate::error::Error;
use crate::request::Operation;
use crate::response::Response;

/// Routes of the sys engine.
pub const ROUTES: &[Route] = &[
    Route {
        operations: &[Operation::Read],
        pattern: "fingerprints/filter",
        access: Access::Token,
        exists: None,
        handler: |call| Box::pin(filter(call)),
        doc: "A filter that passes every stored value, and one in 64 to 128 other strings.",
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
    values::visit(call, |value, _| fingerprints.push(key.fingerprint(value))).await?;
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
    let asked: Option<HashSet<Fingerprint>> = asked.iter().map(|text| Fingerprint::from_hex(text)).collect();
    let asked = asked.ok_or_else(|| Error::invalid("a fingerprint is 64 hexadecimal digits"))?;
    let who = pace::asker(call).await?;
    call.parts.pace.take(&who, asked.len(), call.parts.clock.now()).map_err(Error::Busy)?;
    let mut reply = ConfirmReply::default();
    values::visit(call, |value, secret| {
        let fingerprint = key.fingerprint(value);
        if asked.contains(&fingerprint) {
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
