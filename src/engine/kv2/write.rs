//! Writing and patching a secret.

use turnlock_core::Protected;

use super::config::Config;
use super::labels::{self, CURRENT};
use super::secrets::WriteOptions;
use super::{answer, path_of, secrets};
use crate::engine::Call;
use crate::error::Error;
use crate::request::Fields;
use crate::response::Response;

pub(super) async fn write(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let data = data_of(fields)?;
    let options = options_of(fields)?;
    let label = options.string("label")?.unwrap_or_else(|| CURRENT.to_owned());
    labels::check_name(&label)?;
    let config = Config::read(&call.mount.view).await?;
    let options = WriteOptions { cas: options.number("cas")?, label: &label };
    let (secret, version) = secrets(call).write(path_of(call)?, data, options, &config).await?;
    Ok(answer::written(&secret, &version))
}

pub(super) async fn patch(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let data = data_of(fields)?;
    let cas = options_of(fields)?.number("cas")?;
    let config = Config::read(&call.mount.view).await?;
    match secrets(call).patch(path_of(call)?, data, cas, &config).await? {
        Ok((secret, version)) => Ok(answer::written(&secret, &version)),
        Err((secret, version)) => Ok(answer::gone(&secret, &version)),
    }
}

/// The member `data`, as it was sent.
fn data_of(fields: &Fields) -> Result<&str, Error> {
    fields.raw("data").filter(|data| *data != "null").ok_or_else(|| Error::invalid("no data provided"))
}

fn options_of(fields: &Fields) -> Result<Fields, Error> {
    match fields.raw("options") {
        None | Some("null") => Ok(Fields::empty()),
        Some(text) => Fields::parse(Protected::copy_of(text.as_bytes()))
            .map_err(|_| Error::invalid("field \"options\" must be a JSON object")),
    }
}
