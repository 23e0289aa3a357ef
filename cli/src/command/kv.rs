//! `turnlock kv`: secrets with versions (and those of version 1 without).

mod metadata;
mod mount;
mod write;

use http::{Method, StatusCode};
use serde_json::json;
use turnlock_agent::{Call, Client, ClientError};

use self::mount::Place;
use super::Outcome;
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, Output, cell, members, warn};

/// Arguments of `turnlock kv`.
#[derive(Debug, clap::Args)]
pub(crate) struct KvArgs {
    #[command(flatten)]
    output: OutputArgs,
    /// Mount of the secret; otherwise the server tells it from the path
    #[arg(long, global = true, value_name = "PATH")]
    mount: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Read a secret
    #[command(
        after_help = "Examples:\n  turnlock kv get secret/app/db\n  turnlock kv get -mount=secret -field=password app/db\n  turnlock kv get -version=3 secret/app/db\n  turnlock kv get -label=previous secret/app/db"
    )]
    Get {
        /// Path of the secret
        path: String,
        /// Number of the version; the current one otherwise
        #[arg(long, conflicts_with = "label")]
        version: Option<u64>,
        /// Label of the version: current, previous, pending or one of your own
        #[arg(long)]
        label: Option<String>,
        /// Print this field only
        #[arg(long)]
        field: Option<String>,
        /// Ask for the answer wrapped in a single-use token that lives this long
        #[arg(long, value_name = "DURATION")]
        wrap_ttl: Option<String>,
    },
    /// Write a new version of a secret
    #[command(after_help = write::PUT_HELP)]
    Put(write::PutArgs),
    /// Change some fields of a secret, as a new version
    #[command(after_help = write::PATCH_HELP)]
    Patch(write::PatchArgs),
    /// Delete versions so that they can be restored
    #[command(
        after_help = "Examples:\n  turnlock kv delete secret/app/db\n  turnlock kv delete -versions=3,4 secret/app/db"
    )]
    Delete {
        /// Path of the secret
        path: String,
        /// Which versions; the current one otherwise
        #[arg(long, value_delimiter = ',', value_name = "N,…", value_parser = number)]
        versions: Vec<u64>,
    },
    /// Restore deleted versions
    #[command(after_help = "Examples:\n  turnlock kv undelete -versions=3 secret/app/db")]
    Undelete {
        /// Path of the secret
        path: String,
        /// Which versions
        #[arg(long, value_delimiter = ',', required = true, value_name = "N,…", value_parser = number)]
        versions: Vec<u64>,
    },
    /// Remove versions for good
    #[command(after_help = "Examples:\n  turnlock kv destroy -versions=1,2 secret/app/db")]
    Destroy {
        /// Path of the secret
        path: String,
        /// Which versions
        #[arg(long, value_delimiter = ',', required = true, value_name = "N,…", value_parser = number)]
        versions: Vec<u64>,
    },
    /// List the secrets below a path
    #[command(after_help = "Examples:\n  turnlock kv list secret\n  turnlock kv list -recursive secret/app")]
    List {
        /// Path of the folder; with -mount it may be left out
        path: Option<String>,
        /// Everything below, not only the next level
        #[arg(short, long)]
        recursive: bool,
    },
    /// Settings and history of a secret
    Metadata(metadata::MetadataArgs),
    /// Make an earlier version the newest again
    #[command(after_help = "Examples:\n  turnlock kv rollback -version=3 secret/app/db")]
    Rollback {
        /// Path of the secret
        path: String,
        /// Number of the version to bring back
        #[arg(long)]
        version: u64,
    },
    /// Give a mount of version 1 versions
    #[command(after_help = "Examples:\n  turnlock kv enable-versioning secret")]
    EnableVersioning {
        /// Path of the mount
        path: String,
    },
}

impl KvArgs {
    /// Does it.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        let client = at.client()?;
        let mount = self.mount.as_deref();
        let find = async |path: &str| Place::of_secret(&client, mount, path).await;
        match self.verb {
            Verb::Get { path, version, label, field, wrap_ttl } => {
                let output = Output { field, ..output };
                let place = find(&path).await?;
                let mut call = Call::get(place.data());
                if version.is_some() || label.is_some() {
                    place.need_versions("reading a version")?;
                }
                if let Some(version) = version.filter(|version| *version > 0) {
                    call = call.query("version", version.to_string());
                }
                if let Some(label) = label {
                    call = call.query("label", label);
                }
                let asked = version.filter(|version| *version > 0);
                get(&client, &output, &place, asked, super::generic::wrapped(call, wrap_ttl.as_deref())).await?;
            }
            Verb::Put(args) => args.run(&client, &output, mount).await?,
            Verb::Patch(args) => args.run(&client, &output, mount).await?,
            Verb::Delete { path, versions } => {
                let place = find(&path).await?;
                let reply = if versions.is_empty() {
                    client.delete(&place.data()).await?
                } else {
                    place.need_versions("deleting a version")?;
                    client.write(&place.at("delete"), &json!({"versions": versions})).await?
                };
                output.done(&reply, &format!("Success! Data deleted (if it existed) at: {}", place.data()))?;
            }
            Verb::Undelete { path, versions } => {
                let place = find(&path).await?;
                place.need_versions("restoring a version")?;
                let reply = client.write(&place.at("undelete"), &json!({"versions": versions})).await?;
                output.done(&reply, &format!("Success! Data written to: {}", place.at("undelete")))?;
            }
            Verb::Destroy { path, versions } => {
                let place = find(&path).await?;
                place.need_versions("destroying a version")?;
                let reply = client.write(&place.at("destroy"), &json!({"versions": versions})).await?;
                output.done(&reply, &format!("Success! Data written to: {}", place.at("destroy")))?;
            }
            Verb::List { path, recursive } => {
                let Some(path) = path.as_deref().or(mount) else {
                    return Err(Failure::local("there is neither a path nor -mount"));
                };
                let mount = mount.filter(|mount| *mount != path);
                let place = Place::find(&client, mount, path).await?;
                let folder = if place.versioned { place.at("metadata") } else { place.data() };
                let call = if recursive {
                    Call::get(folder.clone()).query("scan", "true")
                } else {
                    Call::list(folder.clone())
                };
                output.keys(&super::generic::names(at, call, &folder).await?)?;
            }
            Verb::Metadata(args) => args.run(&client, &output, mount).await?,
            Verb::Rollback { path, version } => {
                let place = find(&path).await?;
                place.need_versions("rolling back")?;
                write::rollback(&client, &output, &place, version).await?;
            }
            Verb::EnableVersioning { path } => {
                let path = super::trimmed(&path);
                let reply =
                    client.write(&format!("sys/mounts/{path}/tune"), &json!({"options": {"version": "2"}})).await?;
                output.done(&reply, &format!("Success! Tuned the secrets engine at: {path}/"))?;
            }
        }
        Ok(Exit::Done)
    }
}

async fn get(client: &Client, output: &Output, place: &Place, asked: Option<u64>, call: Call) -> Result<(), Failure> {
    let reply = client.execute(call).await?;
    if reply.status() == StatusCode::NOT_FOUND {
        return Err(not_there(place, asked, &reply));
    }
    if !reply.status().is_success() {
        return Err(client.failure_of(&reply, &place.shown()).into());
    }
    if !place.versioned || reply.wrap_info()?.is_some() {
        return match &output.field {
            None if output.format == Format::Table && reply.wrap_info()?.is_none() => {
                warn(&reply);
                output.object(reply.data().ok_or_else(no_data)?.get())
            }
            _ => output.reply(&reply),
        };
    }
    warn(&reply);
    let answer = members(reply.data().ok_or_else(no_data)?.get())?;
    let data = answer.get("data").filter(|data| data.get() != "null").ok_or_else(no_data)?;
    if let Some(field) = &output.field {
        return output.member(&members(data.get())?, field);
    }
    if output.format != Format::Table {
        return output.document(crate::output::text_of(reply.body())?);
    }
    let path = place.data();
    output.heading("Secret Path", path.len())?;
    crate::output::line(&format!("{}\n", crate::output::printable(&path)))?;
    if let Some(metadata) = answer.get("metadata") {
        output.heading("Metadata", 24)?;
        output.object(metadata.get())?;
        crate::output::line("")?;
    }
    output.heading("Data", 20)?;
    output.object(data.get())
}

/// `failure` of a request at `path` with the command that was meant, where that is a secret with versions.
pub(crate) async fn meant(client: &Client, path: &str, verb: &str, error: ClientError) -> Failure {
    let unknown = matches!(&error, ClientError::NotFound { errors } if !errors.is_empty());
    let denied = matches!(error, ClientError::Denied { anonymous: false, .. });
    let failure = Failure::from(error);
    if !unknown && !denied {
        return failure;
    }
    match Place::find(client, None, path).await {
        Ok(place) if place.needs_kv() => {
            let path = place.shown();
            failure.hint(format!("the mount of {path} has versions: `turnlock kv {verb} {path}`"))
        }
        _ => failure,
    }
}

/// What is known of a version that cannot be read: the answer says whether it was deleted, and when.
fn not_there(place: &Place, asked: Option<u64>, reply: &turnlock_agent::Reply) -> Failure {
    let path = place.shown();
    let version = (|| {
        let answer = members(reply.data()?.get()).ok()?;
        let metadata = members(answer.get("metadata")?.get()).ok()?;
        let number = cell(metadata.get("version")?);
        let destroyed = metadata.get("destroyed").is_some_and(|destroyed| destroyed.get() == "true");
        Some((number, destroyed))
    })();
    match (version, asked) {
        (Some((number, true)), _) => Failure::remote(format!("version {number} of {path} is destroyed"))
            .hint("`turnlock kv metadata get` shows the versions that are still there"),
        (Some((number, false)), _) => Failure::remote(format!("version {number} of {path} is deleted"))
            .hint(format!("`turnlock kv undelete -versions={number} {path}` restores it")),
        (None, Some(number)) => Failure::remote(format!("there is no version {number} of {path}"))
            .hint(format!("`turnlock kv metadata get {path}` shows the versions")),
        (None, None) => {
            Failure::remote(format!("no secret found at {path}")).hint("`turnlock kv list` shows what there is")
        }
    }
}

/// The number of a version.
fn number(text: &str) -> Result<u64, &'static str> {
    text.trim().parse().map_err(|_| "versions are numbers, as in 3,4")
}

fn no_data() -> Failure {
    Failure::remote("the server's answer holds no data")
}

/// Sends a `POST` and demands success.
async fn post(client: &Client, path: String, body: &impl serde::Serialize) -> Result<turnlock_agent::Reply, Failure> {
    Ok(client.send(Call::new(Method::POST, path).body(crate::fields::body(body)?)).await?)
}

/// Whether the server does not know the method: then the older way is taken.
fn is_unsupported(error: &ClientError) -> bool {
    matches!(error, ClientError::Api { status, .. } if *status == StatusCode::METHOD_NOT_ALLOWED)
}
