//! What `turnlock secrets` and `turnlock auth` have in common: the table of mounts and the settings of one.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use turnlock_agent::Client;

use super::trimmed;
use crate::failure::Failure;
use crate::output::{Format, Output, duration};

/// Settings of a mount.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Settings {
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Lifetime of leases and tokens that ask for none
    #[arg(long, value_name = "DURATION")]
    default_lease_ttl: Option<String>,
    /// Longest lifetime of leases and tokens
    #[arg(long, value_name = "DURATION")]
    max_lease_ttl: Option<String>,
    /// Whether the mount shows to those without a token: hidden or unauth
    #[arg(long, value_parser = ["hidden", "unauth"])]
    listing_visibility: Option<String>,
    /// An option of the engine; may be given several times
    #[arg(long = "options", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Version of the engine `kv`
    #[arg(long, value_name = "NUMBER")]
    version: Option<u8>,
    /// Kind of the tokens that logins get: service, batch, default-service or default-batch
    #[arg(long, value_parser = ["service", "batch", "default-service", "default-batch"])]
    token_type: Option<String>,
}

impl Settings {
    /// The body of `tune`.
    pub(crate) fn tuning(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = self.config();
        self.add_common(&mut body)?;
        Ok(body)
    }

    /// The body of `enable`.
    pub(crate) fn enabling(&self, kind: &str, local: bool, seal_wrap: bool) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        body.insert("type".to_owned(), kind.into());
        body.insert("config".to_owned(), self.config().into());
        if local {
            body.insert("local".to_owned(), true.into());
        }
        if seal_wrap {
            body.insert("seal_wrap".to_owned(), true.into());
        }
        self.add_common(&mut body)?;
        Ok(body)
    }

    fn config(&self) -> Map<String, Value> {
        let pairs = [
            ("default_lease_ttl", &self.default_lease_ttl),
            ("max_lease_ttl", &self.max_lease_ttl),
            ("listing_visibility", &self.listing_visibility),
            ("token_type", &self.token_type),
        ];
        let given = pairs.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.as_deref()?.into())));
        given.collect()
    }

    fn add_common(&self, body: &mut Map<String, Value>) -> Result<(), Failure> {
        if let Some(description) = &self.description {
            body.insert("description".to_owned(), description.as_str().into());
        }
        let mut options = Map::new();
        for option in &self.options {
            let (key, value) = option.split_once('=').ok_or_else(|| Failure::local("-options is not key=value"))?;
            options.insert(key.to_owned(), value.into());
        }
        if let Some(version) = self.version {
            options.insert("version".to_owned(), version.to_string().into());
        }
        if !options.is_empty() {
            body.insert("options".to_owned(), options.into());
        }
        Ok(())
    }
}

/// Shows the mounts of `endpoint`; `detailed` with everything about them.
pub(crate) async fn list(client: &Client, output: &Output, endpoint: &str, detailed: bool) -> Result<(), Failure> {
    #[derive(serde::Deserialize)]
    struct Mount {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        accessor: String,
        #[serde(default)]
        description: String,
        #[serde(default)]
        config: Option<Config>,
        #[serde(default)]
        options: Option<BTreeMap<String, String>>,
        #[serde(default)]
        uuid: String,
        #[serde(default)]
        local: bool,
    }
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(default)]
        default_lease_ttl: u64,
        #[serde(default)]
        max_lease_ttl: u64,
        #[serde(default)]
        token_type: Option<String>,
    }
    let reply = client.read(endpoint).await?;
    crate::output::warn(&reply);
    if output.format != Format::Table {
        return output.document(reply.data_as::<&RawValue>()?.get());
    }
    let mounts: BTreeMap<String, Mount> = reply.data_as()?;
    let rows = mounts.into_iter().map(|(path, mount)| {
        let or_na = |text: String| if text.is_empty() { "n/a".to_owned() } else { text };
        let mut row = vec![path, mount.kind, mount.accessor];
        if detailed {
            let ttl = |seconds: Option<u64>| {
                seconds.filter(|seconds| *seconds > 0).map_or_else(|| "system".to_owned(), duration)
            };
            let config = mount.config.as_ref();
            row.push(ttl(config.map(|config| config.default_lease_ttl)));
            row.push(ttl(config.map(|config| config.max_lease_ttl)));
            row.push(or_na(config.and_then(|config| config.token_type.clone()).unwrap_or_default()));
            let options = mount.options.unwrap_or_default();
            row.push(format!(
                "map[{}]",
                options.iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>().join(" ")
            ));
            row.push(mount.local.to_string());
            row.push(mount.uuid);
        }
        row.push(or_na(mount.description));
        row
    });
    let header: &[&str] = if detailed {
        &["Path", "Type", "Accessor", "Default TTL", "Max TTL", "Token Type", "Options", "Local", "UUID", "Description"]
    } else {
        &["Path", "Type", "Accessor", "Description"]
    };
    output.table(header, rows.collect())
}

/// A mount's path as it is shown: with a slash at its end.
pub(crate) fn shown(path: &str) -> String {
    format!("{}/", trimmed(path))
}
