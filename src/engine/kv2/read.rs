//! Reading a version, and the names of its members.

use zeroize::Zeroizing;

use super::labels::{self, CURRENT};
use super::secrets::Which;
use super::{answer, json, path_of, secrets};
use crate::engine::Call;
use crate::error::Error;
use crate::response::Response;

pub(super) async fn read(call: &Call) -> Result<Response, Error> {
    let found = secrets(call).read(path_of(call)?, which(call)?).await?;
    Ok(answer::version(&found))
}

pub(super) async fn subkeys(call: &Call) -> Result<Response, Error> {
    let depth = call.request.query.number("depth")?.unwrap_or(0);
    let found = secrets(call).read(path_of(call)?, which(call)?).await?;
    let Some(data) = found.data() else {
        return Ok(
            Response::json(answer::with_metadata("subkeys", b"null", &found.secret, &found.version)).with_status(404)
        );
    };
    let text = std::str::from_utf8(data).map_err(Error::internal)?;
    // Each value that stands for another is at most three bytes longer.
    let mut names = Zeroizing::new(Vec::with_capacity(4 * text.len()));
    json::subkeys(text, depth, &mut names)?;
    Ok(Response::json(answer::with_metadata("subkeys", &names, &found.secret, &found.version)))
}

/// `?version=`, where 0 means the current one, or `?label=`.
fn which(call: &Call) -> Result<Which<'_>, Error> {
    let query = &call.request.query;
    match (query.number("version")?, query.value("label")) {
        (Some(1..), Some(_)) => Err(Error::invalid("name the version by its number or by a label, not both")),
        (_, Some(label)) => labels::check_name(label).map(|()| Which::Label(label)),
        (Some(0) | None, None) => Ok(Which::Label(CURRENT)),
        // A number beyond what any version can have.
        (Some(version), None) => u32::try_from(version).map(Which::Number).map_err(|_| Error::NotFound),
    }
}
