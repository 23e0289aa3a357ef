//! The mount's defaults for its secrets.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use turnlock_core::ttl;

use super::draft::MAX_VERSIONS;
use crate::barrier::{Changes, View};
use crate::engine::Call;
use crate::error::Error;
use crate::request::Fields;
use crate::response::Response;

const RECORD: &str = "config";

/// Defaults that hold where a secret says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// How many versions are kept; 0 for ten.
    pub max_versions: u32,
    /// Whether each write must name the version that it replaces.
    pub cas_required: bool,
    /// How long a version lasts; zero for ever.
    pub delete_version_after: Duration,
}

impl Config {
    /// The defaults stored in a mount's part of the barrier.
    pub async fn read(view: &View) -> Result<Self, Error> {
        match view.get(RECORD).await? {
            Some(record) => serde_json::from_slice(record.value.expose()).map_err(Error::internal),
            None => Ok(Self::default()),
        }
    }
}

pub(super) async fn read(call: &Call) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Answer {
        cas_required: bool,
        delete_version_after: String,
        max_versions: u32,
    }
    let config = Config::read(&call.mount.view).await?;
    Response::data(&Answer {
        cas_required: config.cas_required,
        delete_version_after: ttl::format(config.delete_version_after),
        max_versions: config.max_versions,
    })
}

pub(super) async fn write(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let mut config = Config::read(&call.mount.view).await?;
    if let Some(number) = max_versions(fields)? {
        config.max_versions = number;
    }
    if let Some(required) = fields.flag("cas_required")? {
        config.cas_required = required;
    }
    if let Some(duration) = delete_version_after(fields)? {
        config.delete_version_after = duration;
    }
    let mut changes = Changes::new();
    changes.put(&call.mount.view, RECORD, &serde_json::to_vec(&config).map_err(Error::internal)?);
    call.parts.barrier.commit(changes).await?;
    Ok(Response::done())
}

/// The field `max_versions`.
pub(super) fn max_versions(fields: &Fields) -> Result<Option<u32>, Error> {
    let too_many = || Error::invalid(format!("field \"max_versions\" must be at most {MAX_VERSIONS}"));
    let small = |number: u64| u32::try_from(number).ok().filter(|number| *number <= MAX_VERSIONS).ok_or_else(too_many);
    fields.number("max_versions")?.map(small).transpose()
}

/// The field `delete_version_after` in whole seconds; negative ones switch it off, as in Vault.
pub(super) fn delete_version_after(fields: &Fields) -> Result<Option<Duration>, Error> {
    let raw = fields.raw("delete_version_after").unwrap_or_default();
    let negative = |number: &str| number.strip_prefix('-').is_some_and(|rest| ttl::parse(rest).is_ok());
    if negative(raw.trim_matches('"')) {
        return Ok(Some(Duration::ZERO));
    }
    let seconds = |time: Duration| Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0));
    Ok(fields.duration("delete_version_after")?.map(seconds))
}
