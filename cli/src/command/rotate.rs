//! `turnlock rotate`: define rotations, run them, look at their history, decide about attempts that failed.

mod history;

use http::Method;
use serde_json::{Value, json};
use turnlock_agent::{Call, Client};

use super::{Outcome, trimmed};
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::fields::{Machine, Source as _};

/// Arguments of `turnlock rotate`.
#[derive(Debug, clap::Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// Mount and path of the secret, as in secret/app/api-key.
#[derive(Debug, clap::Args)]
struct Name {
    /// Mount and path of the secret, as in secret/app/api-key
    #[arg(value_name = "SECRET")]
    name: String,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Define how and when a secret is rotated
    #[command(after_help = "\
Examples:
  turnlock rotate set secret/app/api-key -field=key -schedule='0 3 * * 1' -zone=Europe/Berlin
  turnlock rotate set secret/app/api-key -field=key -prefix=app_ -targets=@targets.json

Targets are a JSON list:
  [{\"name\": \"app\", \"type\": \"webhook\", \"url\": \"https://app.example/new-key\", \"signing_key\": \"…\"},
   {\"name\": \"file\", \"type\": \"file\", \"path\": \"/run/app/key\", \"mode\": \"0600\", \"pid_file\": \"/run/app/pid\"}]
A file, a ca_file and plain HTTP lie on the agent's machine: a token that names one needs `sudo` on the definition. A file
and a pid_file lie in a folder that the agent was given: `turnlock agent -target-dir=/run/app`, or in the server's
configuration agent { target_dirs = [\"/run/app\"] }. Elsewhere the attempt ends as misconfigured.
A pid_file belongs to root, to the user of the agent or to that of the process; another signals nobody.")]
    Set {
        #[command(flatten)]
        name: Name,
        /// Field of the secret that changes
        #[arg(long, value_name = "NAME")]
        field: String,
        /// When: a cron expression of five fields, or of six with seconds first; without it only by hand
        #[arg(long, value_name = "CRON")]
        schedule: Option<String>,
        /// IANA time zone of the schedule [default: UTC]
        #[arg(long, value_name = "ZONE", requires = "schedule")]
        zone: Option<String>,
        /// Characters of the random part of a new value
        #[arg(long, value_name = "N", default_value_t = 32)]
        length: usize,
        /// Text in front of the random part
        #[arg(long, value_name = "TEXT", default_value = "")]
        prefix: String,
        /// Who is pushed to: a JSON list, or @FILE, or - for standard input
        #[arg(long, value_name = "JSON|@FILE|-", default_value = "[]")]
        targets: String,
        /// How long the replaced value stays valid
        #[arg(long, value_name = "DURATION")]
        grace: Option<String>,
        /// Which agents may work on it; all without it
        #[arg(long, value_name = "NAME")]
        pool: Option<String>,
    },
    /// Show a rotation, without signing keys
    #[command(after_help = "Examples:\n  turnlock rotate get secret/app/api-key")]
    Get(Name),
    /// List the secrets that are rotated
    #[command(after_help = "Examples:\n  turnlock rotate list\n  turnlock rotate list secret/app")]
    List {
        /// Only below this folder
        #[arg(default_value = "")]
        folder: String,
    },
    /// End a rotation; the secret stays
    #[command(after_help = "Examples:\n  turnlock rotate delete secret/app/api-key")]
    Delete(Name),
    /// Rotate now
    #[command(after_help = "Examples:\n  turnlock rotate run secret/app/api-key")]
    Run(Name),
    /// Show the open attempt and the last ones, newest first
    #[command(
        after_help = "Examples:\n  turnlock rotate history secret/app/api-key\n  turnlock rotate history -format=json secret/app/api-key"
    )]
    History(Name),
    /// Hold runs by schedule back
    #[command(after_help = "Examples:\n  turnlock rotate pause secret/app/api-key")]
    Pause(Name),
    /// Let runs by schedule go on
    #[command(after_help = "Examples:\n  turnlock rotate unpause secret/app/api-key")]
    Unpause(Name),
    /// Give the open attempt up
    #[command(after_help = "Examples:\n  turnlock rotate abort secret/app/api-key")]
    Abort(Name),
    /// Try the failed step of the open attempt again
    #[command(after_help = "Examples:\n  turnlock rotate resume secret/app/api-key")]
    Resume(Name),
}

impl RotateArgs {
    /// Does it.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        let client = at.client()?;
        match self.verb {
            Verb::Set { name, field, schedule, zone, length, prefix, targets, grace, pool } => {
                let targets = match targets.strip_prefix('@') {
                    Some(path) => Machine.file(path)?,
                    None if targets == "-" => Machine.input()?,
                    None => zeroize::Zeroizing::new(targets.into_bytes()),
                };
                let targets: Value =
                    serde_json::from_slice(&targets).map_err(|_| Failure::local("-targets is not a JSON list"))?;
                let body = json!({
                    "field": field, "schedule": schedule, "zone": zone, "grace": grace, "pool": pool, "targets": targets,
                    "rotator": {"type": "generate", "length": length, "prefix": prefix},
                });
                let reply = client.write(&path("definitions", &name), &body).await?;
                output.done(&reply, &format!("Success! {} is rotated", trimmed(&name.name)))?;
            }
            Verb::Get(name) => output.reply(&client.read(&path("definitions", &name)).await?)?,
            Verb::List { folder } => {
                let call = Call::get(format!("rotation/definitions/{}", trimmed(&folder))).query("scan", "true");
                let reply = client.execute(call).await?;
                let keys = if reply.status() == http::StatusCode::NOT_FOUND { Vec::new() } else { keys(&reply)? };
                output.keys(&keys)?;
            }
            Verb::Delete(name) => {
                let reply = client.delete(&path("definitions", &name)).await?;
                output.done(&reply, &format!("Success! {} is no longer rotated", trimmed(&name.name)))?;
            }
            Verb::Run(name) => {
                let reply = put(&client, "run", &name, &json!({})).await?;
                output.done(&reply, &format!("Success! An attempt for {} was started", trimmed(&name.name)))?;
            }
            Verb::Pause(name) => {
                let reply = put(&client, "pause", &name, &json!({"paused": true})).await?;
                output.done(&reply, &format!("Success! {} is rotated by hand only", trimmed(&name.name)))?;
            }
            Verb::Unpause(name) => {
                let reply = put(&client, "pause", &name, &json!({"paused": false})).await?;
                output.done(&reply, &format!("Success! {} is rotated by its schedule", trimmed(&name.name)))?;
            }
            Verb::Abort(name) => {
                let reply = put(&client, "abort", &name, &json!({})).await?;
                output.done(&reply, "Success! The attempt was given up")?;
            }
            Verb::Resume(name) => {
                let reply = put(&client, "resume", &name, &json!({})).await?;
                output.done(&reply, "Success! The attempt goes on")?;
            }
            Verb::History(name) => history::show(&client, trimmed(&name.name), &output).await?,
        }
        Ok(Exit::Done)
    }
}

fn path(noun: &str, name: &Name) -> String {
    format!("rotation/{noun}/{}", trimmed(&name.name))
}

async fn put(client: &Client, verb: &str, name: &Name, body: &Value) -> Result<turnlock_agent::Reply, Failure> {
    Ok(client.send(Call::new(Method::PUT, path(verb, name)).json(body)?).await?)
}

fn keys(reply: &turnlock_agent::Reply) -> Result<Vec<String>, Failure> {
    #[derive(serde::Deserialize)]
    struct Keys {
        keys: Vec<String>,
    }
    Ok(reply.data_as::<Keys>()?.keys)
}
