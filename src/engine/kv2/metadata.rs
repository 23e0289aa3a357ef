//! The metadata of a secret: settings, custom texts and labels.

use std::collections::BTreeMap;

use serde::Serialize;

use super::config::{delete_version_after, max_versions};
use super::record::Secret;
use super::{answer, labels, path_of, secrets};
use crate::engine::Call;
use crate::error::Error;
use crate::request::Fields;
use crate::response::Response;

const MAX_KEYS: usize = 64;
const MAX_KEY_BYTES: usize = 128;
const MAX_VALUE_BYTES: usize = 512;

pub(super) async fn read(call: &Call) -> Result<Response, Error> {
    answer::metadata(&secrets(call).metadata(path_of(call)?).await?)
}

/// Sets the fields that were sent; makes a secret without versions when there is none.
pub(super) async fn write(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let custom = match fields.raw("custom_metadata") {
        None | Some("null") => None,
        Some(text) => Some(custom_metadata(text)?.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()),
    };
    secrets(call)
        .change(path_of(call)?, |draft| {
            set(&mut draft.secret, fields)?;
            if let Some(custom) = &custom {
                draft.secret.custom_metadata = encode(custom)?;
            }
            draft.touch();
            Ok(Response::done())
        })
        .await
}

/// Merges (RFC 7396): `null` takes a setting back to its default and a custom text away.
pub(super) async fn patch(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let custom = match fields.raw("custom_metadata") {
        None | Some("null") => BTreeMap::new(),
        Some(text) => custom_metadata(text)?,
    };
    let cleared = |name| fields.raw(name) == Some("null");
    secrets(call)
        .change(path_of(call)?, |draft| {
            if !draft.existed {
                return Err(Error::NotFound);
            }
            let secret = &mut draft.secret;
            set(secret, fields)?;
            if cleared("max_versions") {
                secret.max_versions = 0;
            }
            if cleared("cas_required") {
                secret.cas_required = false;
            }
            if cleared("delete_version_after") {
                secret.delete_version_after = std::time::Duration::ZERO;
            }
            let mut merged: BTreeMap<String, String> = match &secret.custom_metadata {
                Some(text) if !cleared("custom_metadata") => serde_json::from_str(text).map_err(Error::internal)?,
                _ => BTreeMap::new(),
            };
            for (key, value) in &custom {
                match value {
                    Some(value) => merged.insert(key.clone(), value.clone()),
                    None => merged.remove(key),
                };
            }
            secret.custom_metadata = encode(&merged)?;
            draft.touch();
            Ok(Response::done())
        })
        .await
}

pub(super) async fn delete(call: &Call) -> Result<Response, Error> {
    secrets(call).remove(path_of(call)?).await?;
    Ok(Response::done())
}

pub(super) async fn read_labels(call: &Call) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Answer<'a> {
        labels: &'a labels::Labels,
    }
    let secret = secrets(call).metadata(path_of(call)?).await?;
    Response::data(&Answer { labels: &secret.labels })
}

pub(super) async fn set_label(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    fields.only(&["label", "version"])?;
    let label = fields.required_string("label")?;
    let number = fields.number("version")?.ok_or_else(|| Error::missing("version"))?;
    let number = u32::try_from(number).map_err(|_| Error::invalid("the secret has no such version"))?;
    secrets(call).set_label(path_of(call)?, &label, number).await?;
    Ok(Response::done())
}

/// The label is named in the body or, for clients whose DELETE has none, in the query.
pub(super) async fn remove_label(call: &Call) -> Result<Response, Error> {
    let label = match call.request.query.value("label") {
        Some(label) => label.to_owned(),
        None => call.request.fields.required_string("label")?,
    };
    labels::check_name(&label)?;
    secrets(call)
        .change(path_of(call)?, |draft| {
            if !draft.existed {
                return Err(Error::NotFound);
            }
            draft.remove_label(&label).map(|()| Response::done())
        })
        .await
}

fn set(secret: &mut Secret, fields: &Fields) -> Result<(), Error> {
    if let Some(number) = max_versions(fields)? {
        secret.max_versions = number;
    }
    if let Some(required) = fields.flag("cas_required")? {
        secret.cas_required = required;
    }
    if let Some(duration) = delete_version_after(fields)? {
        secret.delete_version_after = duration;
    }
    Ok(())
}

/// An object of texts; `null` is for merging.
fn custom_metadata(text: &str) -> Result<BTreeMap<String, Option<String>>, Error> {
    let wrong = |_| Error::invalid("field \"custom_metadata\" must be a JSON object of texts");
    serde_json::from_str(text).map_err(wrong)
}

/// The stored form, within the limits; `None` for no texts.
fn encode(custom: &BTreeMap<String, String>) -> Result<Option<String>, Error> {
    if custom.is_empty() {
        return Ok(None);
    }
    if custom.len() > MAX_KEYS {
        return Err(Error::invalid(format!("field \"custom_metadata\" has more than {MAX_KEYS} keys")));
    }
    for (key, value) in custom {
        if key.is_empty() || key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
            return Err(Error::invalid(format!(
                "a key of field \"custom_metadata\" has 1 to {MAX_KEY_BYTES} bytes and a value at most {MAX_VALUE_BYTES}"
            )));
        }
        if key.chars().chain(value.chars()).any(char::is_control) {
            return Err(Error::invalid("field \"custom_metadata\" must not hold control characters"));
        }
    }
    serde_json::to_string(custom).map(Some).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::{custom_metadata, encode};

    #[test]
    fn custom_metadata_stays_within_its_limits() {
        let of = |count: usize, key: usize, value: usize| {
            let custom: BTreeMap<_, _> = (0..count).map(|at| (format!("{at:0key$}"), "v".repeat(value))).collect();
            encode(&custom)
        };
        assert!(of(64, 128, 512).unwrap().is_some());
        assert!(of(0, 1, 1).unwrap().is_none());
        for (count, key, value) in [(65, 2, 1), (1, 129, 1), (1, 1, 513)] {
            assert_eq!(of(count, key, value).unwrap_err().status(), 400);
        }
    }

    #[test]
    fn custom_metadata_holds_texts_only() {
        for text in [r#"{"a":1}"#, r#"{"a":{}}"#, "[]", "\"a\"", r#"{"a":["b"]}"#] {
            assert_eq!(custom_metadata(text).unwrap_err().status(), 400, "{text}");
        }
    }
}
