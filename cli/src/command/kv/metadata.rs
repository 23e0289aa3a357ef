//! `turnlock kv metadata`: settings and history of a secret.

use serde_json::{Map, Value};
use turnlock_agent::{Client, Reply};

use super::mount::Place;
use super::{no_data, post};
use crate::failure::Failure;
use crate::output::{Format, Output, cell, members, warn};

/// Arguments of `kv metadata`.
#[derive(Debug, clap::Args)]
pub(super) struct MetadataArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show settings and versions
    #[command(after_help = "Examples:\n  turnlock kv metadata get secret/app/db")]
    Get {
        /// Path of the secret
        path: String,
    },
    /// Replace the settings
    #[command(
        after_help = "Examples:\n  turnlock kv metadata put -max-versions=5 -custom-metadata=owner=ops secret/app/db"
    )]
    Put(Settings),
    /// Change some settings
    #[command(
        after_help = "Examples:\n  turnlock kv metadata patch -delete-version-after=720h secret/app/db\n  turnlock kv metadata patch -remove-custom-metadata=owner secret/app/db"
    )]
    Patch {
        #[command(flatten)]
        settings: Settings,
        /// Take this entry of the custom metadata away
        #[arg(long, value_name = "KEY", value_delimiter = ',')]
        remove_custom_metadata: Vec<String>,
    },
    /// Remove a secret with all its versions for good
    #[command(after_help = "Examples:\n  turnlock kv metadata delete secret/app/db")]
    Delete {
        /// Path of the secret
        path: String,
    },
}

#[derive(Debug, clap::Args)]
struct Settings {
    /// Path of the secret
    path: String,
    /// Refuse writes without -cas
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "true|false", hide_possible_values = true, default_missing_value = "true")]
    cas_required: Option<bool>,
    /// How many versions are kept; 0 for the mount's number
    #[arg(long, value_name = "NUMBER")]
    max_versions: Option<u64>,
    /// Delete each version when it is this old; 0s for never
    #[arg(long, value_name = "DURATION")]
    delete_version_after: Option<String>,
    /// An entry of the custom metadata; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    custom_metadata: Vec<String>,
}

impl Settings {
    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        if let Some(required) = self.cas_required {
            body.insert("cas_required".to_owned(), required.into());
        }
        if let Some(number) = self.max_versions {
            body.insert("max_versions".to_owned(), number.into());
        }
        if let Some(age) = &self.delete_version_after {
            body.insert("delete_version_after".to_owned(), age.as_str().into());
        }
        if !self.custom_metadata.is_empty() {
            let mut custom = Map::new();
            for entry in &self.custom_metadata {
                let (key, value) =
                    entry.split_once('=').ok_or_else(|| Failure::local("-custom-metadata is not key=value"))?;
                custom.insert(key.to_owned(), value.into());
            }
            body.insert("custom_metadata".to_owned(), custom.into());
        }
        Ok(body)
    }
}

impl MetadataArgs {
    pub(super) async fn run(self, client: &Client, output: &Output, mount: Option<&str>) -> Result<(), Failure> {
        let find = async |path: &str| {
            let place = Place::of_secret(client, mount, path).await?;
            place.need_versions("metadata").map(|()| place)
        };
        match self.verb {
            Verb::Get { path } => {
                let place = find(&path).await?;
                show(output, &place, &client.read(&place.at("metadata")).await?)
            }
            Verb::Put(settings) => {
                let path = find(&settings.path).await?.at("metadata");
                let reply = post(client, path.clone(), &settings.body()?).await?;
                output.done(&reply, &format!("Success! Data written to: {path}"))
            }
            Verb::Patch { settings, remove_custom_metadata } => {
                let path = find(&settings.path).await?.at("metadata");
                let mut body = settings.body()?;
                if !remove_custom_metadata.is_empty() {
                    let custom = body.entry("custom_metadata").or_insert_with(|| Map::new().into());
                    if let Some(custom) = custom.as_object_mut() {
                        custom.extend(remove_custom_metadata.into_iter().map(|key| (key, Value::Null)));
                    }
                }
                let reply = client.patch(&path, &body).await?;
                output.done(&reply, &format!("Success! Data written to: {path}"))
            }
            Verb::Delete { path } => {
                let path = find(&path).await?.at("metadata");
                let reply = client.delete(&path).await?;
                output.done(&reply, &format!("Success! Data deleted (if it existed) at: {path}"))
            }
        }
    }
}

fn show(output: &Output, place: &Place, reply: &Reply) -> Result<(), Failure> {
    if output.format != Format::Table {
        return output.reply(reply);
    }
    warn(reply);
    let mut facts = members(reply.data().ok_or_else(no_data)?.get())?;
    let versions = facts.remove("versions").map(|raw| members(raw.get())).transpose()?.unwrap_or_default();
    let path = place.at("metadata");
    output.heading("Metadata Path", path.len())?;
    crate::output::line(&format!("{}\n", crate::output::printable(&path)))?;
    output.heading("Metadata", 30)?;
    output.table(&["Key", "Value"], facts.iter().map(|(key, value)| vec![key.clone(), cell(value)]).collect())?;
    let mut numbered: Vec<(u64, _)> =
        versions.into_iter().filter_map(|(number, raw)| Some((number.parse().ok()?, raw))).collect();
    numbered.sort_by_key(|(number, _)| *number);
    for (number, raw) in numbered {
        crate::output::line("")?;
        output.heading(&format!("Version {number}"), 22)?;
        output.object(raw.get())?;
    }
    Ok(())
}
