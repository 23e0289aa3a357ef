//! `turnlock kv put`, `patch` and `rollback`: new versions.

use http::Method;
use serde_json::{Map, Value, json};
use turnlock_agent::{Call, Client, ClientError, Reply};

use super::mount::Place;
use super::{is_unsupported, no_data, post};
use crate::failure::Failure;
use crate::fields::{self, Machine};
use crate::output::{Format, Output, warn};

pub(super) const PUT_HELP: &str = "\
Arguments can be read by other users of the machine: give secret values on standard input (key=-)
or in a file (key=@FILE).

Examples:
  turnlock kv put secret/app/db user=app password=-     the password on standard input
  turnlock kv put secret/app/tls key=@tls.key cert=@tls.crt
  turnlock kv put secret/app/db @db.json                all fields from a file
  turnlock kv put -cas=0 secret/app/db password=-       only if there is none yet";

pub(super) const PATCH_HELP: &str = "\
Examples:
  turnlock kv patch secret/app/db password=-            change one field, keep the others
  turnlock kv patch -remove-data=old secret/app/db      take a field away";

/// Arguments of `kv put`.
#[derive(Debug, clap::Args)]
pub(super) struct PutArgs {
    /// Path of the secret
    path: String,
    /// key=value, key=@FILE, key=-, @FILE.json or -
    #[arg(value_name = "FIELD", required = true)]
    fields: Vec<String>,
    /// Write only when this is the current version; 0 when there must be none
    #[arg(long, value_name = "VERSION")]
    cas: Option<u64>,
    /// Print this field of the answer only
    #[arg(long)]
    field: Option<String>,
}

impl PutArgs {
    pub(super) async fn run(self, client: &Client, output: &Output, mount: Option<&str>) -> Result<(), Failure> {
        let output = Output { field: self.field, ..output.clone() };
        let place = Place::of_secret(client, mount, &self.path).await?;
        if self.cas.is_some() {
            place.need_versions("-cas")?;
        }
        let data = fields::parse(&self.fields, &mut Machine)?;
        if place.versioned {
            let reply = post(client, place.data(), &body(&data, self.cas)).await?;
            return written(&output, &place, &reply);
        }
        let reply = client.send(Call::new(Method::PUT, place.data()).body(fields::body(&data)?)).await?;
        output.done(&reply, &format!("Success! Data written to: {}", place.data()))
    }
}

/// Arguments of `kv patch`.
#[derive(Debug, clap::Args)]
pub(super) struct PatchArgs {
    /// Path of the secret
    path: String,
    /// key=value, key=@FILE, key=-, @FILE.json or -
    #[arg(value_name = "FIELD", required_unless_present = "remove_data")]
    fields: Vec<String>,
    /// Write only when this is the current version
    #[arg(long, value_name = "VERSION")]
    cas: Option<u64>,
    /// Take this field away
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    remove_data: Vec<String>,
    /// How: `patch` in one step on the server, `rw` by reading and writing; what the server can do otherwise
    #[arg(long, value_parser = ["patch", "rw"])]
    method: Option<String>,
}

impl PatchArgs {
    pub(super) async fn run(self, client: &Client, output: &Output, mount: Option<&str>) -> Result<(), Failure> {
        let place = Place::of_secret(client, mount, &self.path).await?;
        place.need_versions("patching")?;
        let mut change = fields::parse(&self.fields, &mut Machine)?;
        for key in self.remove_data {
            change.insert(key, Value::Null);
        }
        if self.method.as_deref() != Some("rw") {
            let body = fields::body(&body(&change, self.cas))?;
            let call = Call::new(Method::PATCH, place.data()).content_type("application/merge-patch+json").body(body);
            match client.send(call).await {
                Ok(reply) => return written(output, &place, &reply),
                Err(error) if self.method.is_none() && is_unsupported(&error) => {}
                Err(error) => return Err(absent(error, &place, None)),
            }
        }
        let (mut data, version) = read(client, &place, None).await?;
        if self.cas.is_some_and(|expected| expected != version) {
            return Err(Failure::remote(format!("version {version} is the current one, not the one that -cas names")));
        }
        for (key, value) in change {
            if value.is_null() {
                data.remove(&key)
            } else {
                data.insert(key, value)
            };
        }
        written(output, &place, &post(client, place.data(), &body(&data, Some(version))).await?)
    }
}

/// Writes what `version` holds as the newest version, unless another writer comes first.
pub(super) async fn rollback(client: &Client, output: &Output, place: &Place, version: u64) -> Result<(), Failure> {
    #[derive(serde::Deserialize)]
    struct Metadata {
        current_version: u64,
    }
    let metadata = client.read(&place.at("metadata")).await.map_err(|error| absent(error, place, None))?;
    let metadata: Metadata = metadata.data_as()?;
    let (data, _) = read(client, place, Some(version)).await?;
    written(output, place, &post(client, place.data(), &body(&data, Some(metadata.current_version))).await?)
}

/// The failure of what needs something to be there.
fn absent(error: ClientError, place: &Place, version: Option<u64>) -> Failure {
    let path = place.shown();
    match (&error, version) {
        (ClientError::NotFound { errors }, version) if errors.is_empty() => match version {
            Some(number) => Failure::remote(format!("there is no version {number} of {path}, or it is deleted")),
            None => Failure::remote(format!("there is no secret at {path}, or its current version is deleted")),
        }
        .hint(format!("`turnlock kv metadata get {path}` shows the versions, `turnlock kv put` writes one")),
        _ => error.into(),
    }
}

async fn read(client: &Client, place: &Place, version: Option<u64>) -> Result<(Map<String, Value>, u64), Failure> {
    #[derive(serde::Deserialize)]
    struct Answer {
        data: Option<Map<String, Value>>,
        metadata: Number,
    }
    #[derive(serde::Deserialize)]
    struct Number {
        version: u64,
    }
    let mut call = Call::get(place.data());
    if let Some(version) = version {
        call = call.query("version", version.to_string());
    }
    let answer = client.send(call).await.map_err(|error| absent(error, place, version))?;
    let answer: Answer = answer.data_as()?;
    Ok((answer.data.ok_or_else(no_data)?, answer.metadata.version))
}

fn body<'a>(data: &'a Map<String, Value>, cas: Option<u64>) -> impl serde::Serialize + use<'a> {
    #[derive(serde::Serialize)]
    struct Body<'a> {
        data: &'a Map<String, Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        options: Option<Value>,
    }
    Body { data, options: cas.map(|cas| json!({"cas": cas})) }
}

fn written(output: &Output, place: &Place, reply: &Reply) -> Result<(), Failure> {
    if output.format != Format::Table || output.field.is_some() {
        return output.reply(reply);
    }
    warn(reply);
    let path = place.data();
    output.heading("Secret Path", path.len())?;
    crate::output::line(&format!("{}\n", crate::output::printable(&path)))?;
    output.heading("Metadata", 24)?;
    output.object(reply.data().ok_or_else(no_data)?.get())
}
