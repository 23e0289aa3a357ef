//! `turnlock secrets`: engines for secrets and where they are mounted.

use serde_json::json;

use super::mount::{self, Settings, shown};
use super::{Outcome, trimmed};
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;

/// Arguments of `turnlock secrets`.
#[derive(Debug, clap::Args)]
pub(crate) struct SecretsArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Mount an engine
    #[command(
        mut_arg("token_type", |login| login.hide(true)),
        after_help = "Examples:\n  turnlock secrets enable -version=2 -path=secret kv\n  turnlock secrets enable kv-v2"
    )]
    Enable {
        /// Which engine: kv, or kv-v2 for one with versions
        #[arg(value_name = "TYPE")]
        kind: String,
        /// Where; named like the engine otherwise
        #[arg(long)]
        path: Option<String>,
        /// Accepted for Vault's sake
        #[arg(long, hide = true)]
        local: bool,
        /// Accepted for Vault's sake
        #[arg(long, hide = true)]
        seal_wrap: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Remove a mount with everything in it
    #[command(after_help = "Examples:\n  turnlock secrets disable secret")]
    Disable {
        /// The mount
        path: String,
    },
    /// List the mounts
    #[command(after_help = "Examples:\n  turnlock secrets list -detailed")]
    List {
        /// With everything about them
        #[arg(long)]
        detailed: bool,
    },
    /// Change settings of a mount
    #[command(mut_arg("token_type", |login| login.hide(true)), after_help = "Examples:\n  turnlock secrets tune -max-lease-ttl=72h secret")]
    Tune {
        /// The mount
        path: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Move a mount to another path
    #[command(after_help = "Examples:\n  turnlock secrets move secret team/secret")]
    Move {
        /// The mount
        from: String,
        /// Its new path
        to: String,
    },
}

impl SecretsArgs {
    /// Does it.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        let client = at.client()?;
        match self.verb {
            Verb::Enable { kind, path, local, seal_wrap, settings } => {
                let path = path.unwrap_or_else(|| kind.clone());
                let body = settings.enabling(&kind, local, seal_wrap)?;
                let reply = client.write(&format!("sys/mounts/{}", trimmed(&path)), &body).await?;
                output.done(&reply, &format!("Success! Enabled the {kind} secrets engine at: {}", shown(&path)))?;
            }
            Verb::Disable { path } => {
                let reply = client.delete(&format!("sys/mounts/{}", trimmed(&path))).await?;
                output.done(
                    &reply,
                    &format!("Success! Disabled the secrets engine (if it existed) at: {}", shown(&path)),
                )?;
            }
            Verb::List { detailed } => mount::list(&client, &output, "sys/mounts", detailed).await?,
            Verb::Tune { path, settings } => {
                let reply = client.write(&format!("sys/mounts/{}/tune", trimmed(&path)), &settings.tuning()?).await?;
                output.done(&reply, &format!("Success! Tuned the secrets engine at: {}", shown(&path)))?;
            }
            Verb::Move { from, to } => {
                let body = json!({"from": trimmed(&from), "to": trimmed(&to)});
                let reply = client.write("sys/remount", &body).await?;
                output.done(&reply, &format!("Success! Moved the mount {} to: {}", shown(&from), shown(&to)))?;
            }
        }
        Ok(Exit::Done)
    }
}
