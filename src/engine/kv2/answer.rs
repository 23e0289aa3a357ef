//! The JSON that reads and writes of secrets answer, written once into one buffer.

use chrono::DateTime;
use turnlock_core::Protected;

use super::record::{Secret, Version};
use super::secrets::Found;
use crate::error::Error;
use crate::response::{Json, Response, rfc3339};

/// Room for the metadata of one version without its custom metadata.
const METADATA_BYTES: usize = 256;

/// 200 with data and metadata, or 404 with the metadata of a version that is deleted or destroyed.
pub(super) fn version(found: &Found) -> Response {
    match found.data() {
        Some(data) => Response::json(with_metadata("data", data, &found.secret, &found.version)),
        None => gone(&found.secret, &found.version),
    }
}

/// The answer for a version whose data is deleted or destroyed: clients read the metadata of this 404.
pub(super) fn gone(secret: &Secret, version: &Version) -> Response {
    Response::json(with_metadata("data", b"null", secret, version)).with_status(404)
}

/// 200 with the metadata of a version that was just written.
pub(super) fn written(secret: &Secret, version: &Version) -> Response {
    let mut out = Vec::with_capacity(METADATA_BYTES + custom_bytes(secret));
    push_metadata(&mut out, secret, version);
    Response::json(Json(Protected::new(out)))
}

/// `{"NAME":VALUE,"metadata":{…}}`.
pub(super) fn with_metadata(name: &str, value: &[u8], secret: &Secret, version: &Version) -> Json {
    // Reserved once: growing would leave a copy of the data behind in freed memory.
    let mut out = Vec::with_capacity(value.len() + METADATA_BYTES + custom_bytes(secret));
    out.extend(b"{\"");
    out.extend(name.as_bytes());
    out.extend(b"\":");
    out.extend(value);
    out.extend(b",\"metadata\":");
    push_metadata(&mut out, secret, version);
    out.push(b'}');
    Json(Protected::new(out))
}

/// The metadata of a secret and all its versions.
pub(super) fn metadata(secret: &Secret) -> Result<Response, Error> {
    let labels = serde_json::to_vec(&secret.labels).map_err(Error::internal)?;
    let mut out = Vec::with_capacity(512 + custom_bytes(secret) + labels.len() + secret.versions.len() * 128);
    let head = format!(
        "{{\"cas_required\":{},\"created_time\":\"{}\",\"current_version\":{},\"custom_metadata\":",
        secret.cas_required,
        time(secret.created),
        secret.current(),
    );
    out.extend(head.as_bytes());
    push_custom(&mut out, secret);
    let middle = format!(
        ",\"delete_version_after\":\"{}\",\"max_versions\":{},\"oldest_version\":{},\"updated_time\":\"{}\",\"labels\":",
        turnlock_core::ttl::format(secret.delete_version_after),
        secret.max_versions,
        secret.oldest,
        time(secret.updated),
    );
    out.extend(middle.as_bytes());
    out.extend(labels);
    out.extend(b",\"versions\":{");
    for (at, version) in secret.versions.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let entry = format!(
            "{comma}\"{}\":{{\"created_time\":\"{}\",\"deletion_time\":\"{}\",\"destroyed\":{}}}",
            version.number,
            time(version.created),
            deletion_time(version),
            version.destroyed
        );
        out.extend(entry.as_bytes());
    }
    out.extend(b"}}");
    Ok(Response::json(Json::from_text(out)))
}

fn push_metadata(out: &mut Vec<u8>, secret: &Secret, version: &Version) {
    out.extend(b"{\"created_time\":\"");
    out.extend(time(version.created).as_bytes());
    out.extend(b"\",\"custom_metadata\":");
    push_custom(out, secret);
    out.extend(b",\"deletion_time\":\"");
    out.extend(deletion_time(version).as_bytes());
    out.extend(if version.destroyed { b"\",\"destroyed\":true".as_slice() } else { b"\",\"destroyed\":false" });
    out.extend(b",\"version\":");
    out.extend(version.number.to_string().as_bytes());
    out.push(b'}');
}

fn push_custom(out: &mut Vec<u8>, secret: &Secret) {
    out.extend(secret.custom_metadata.as_deref().unwrap_or("null").as_bytes());
}

fn custom_bytes(secret: &Secret) -> usize {
    secret.custom_metadata.as_deref().map_or(4, str::len)
}

fn deletion_time(version: &Version) -> String {
    if version.deletion == 0 { String::new() } else { time(version.deletion) }
}

fn time(nanoseconds: i64) -> String {
    rfc3339(DateTime::from_timestamp_nanos(nanoseconds))
}
