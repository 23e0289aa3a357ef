//! `turnlock rotate`: define rotations, run them, look at their history, decide about attempts that failed.

mod history;
mod list;
mod set;

use http::Method;
use serde_json::{Value, json};
use turnlock_agent::{Call, Client, ClientError, Reply};

use super::{Outcome, trimmed};
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;

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
    /// Define how and when a secret is rotated, or change what is named of it
    Set(Box<set::SetArgs>),
    /// Show a rotation, without signing keys
    #[command(after_help = "Examples:\n  turnlock rotate get secret/app/api-key")]
    Get(Name),
    /// List the secrets that have a rotation, and how each stands
    List(list::ListArgs),
    /// End a rotation; the secret stays
    #[command(after_help = "Examples:\n  turnlock rotate delete secret/app/api-key")]
    Delete(Name),
    /// Rotate now
    #[command(visible_alias = "now", after_help = "Examples:\n  turnlock rotate run secret/app/api-key")]
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
            Verb::Set(set) => set.run(&client, &output).await?,
            Verb::Get(name) => {
                let reply = client.read(&path("definitions", &name)).await;
                output.reply(&found(reply, trimmed(&name.name))?)?;
            }
            Verb::List(list) => list.run(&client, &output).await?,
            Verb::Delete(name) => {
                // The server is content when there is none already. Who may only delete is not told.
                let known = client.read(&path("definitions", &name)).await;
                if matches!(known, Err(ClientError::NotFound { .. })) {
                    found(known, trimmed(&name.name))?;
                }
                let reply = client.delete(&path("definitions", &name)).await?;
                output.done(&reply, &format!("Success! {} has no rotation any more", trimmed(&name.name)))?;
            }
            Verb::Run(name) => {
                let reply = put(&client, "run", &name, &json!({})).await?;
                output.done(
                    &reply,
                    &format!(
                        "Success! An attempt was started; `turnlock rotate history {}` shows what becomes of it",
                        trimmed(&name.name)
                    ),
                )?;
            }
            Verb::Pause(name) => {
                let reply = put(&client, "pause", &name, &json!({"paused": true})).await?;
                output.done(&reply, &format!("Success! Runs of {} by schedule are held back", trimmed(&name.name)))?;
            }
            Verb::Unpause(name) => {
                let reply = put(&client, "pause", &name, &json!({"paused": false})).await?;
                output.done(&reply, &format!("Success! Runs of {} by schedule go on", trimmed(&name.name)))?;
            }
            Verb::Abort(name) => {
                let reply = put(&client, "abort", &name, &json!({})).await?;
                output.done(&reply, &history::given_up(&reply)?)?;
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

async fn put(client: &Client, verb: &str, name: &Name, body: &Value) -> Result<Reply, Failure> {
    found(client.send(Call::new(Method::PUT, path(verb, name)).json(body)?).await, trimmed(&name.name))
}

/// The reply, or that there is no rotation of that name.
fn found(reply: Result<Reply, ClientError>, name: &str) -> Result<Reply, Failure> {
    match reply {
        Err(ClientError::NotFound { errors }) if errors.is_empty() => {
            Err(Failure::remote(format!("no rotation is defined for {name}"))
                .hint("`turnlock rotate list` shows the rotations, `turnlock rotate set` defines one"))
        }
        reply => Ok(reply?),
    }
}
