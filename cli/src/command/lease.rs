//! `turnlock lease`: renew, revoke and look up leases.

use http::Method;
use serde_json::json;
use turnlock_agent::Call;

use super::{Outcome, trimmed};
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;

/// Arguments of `turnlock lease`.
#[derive(Debug, clap::Args)]
pub(crate) struct LeaseArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Prolong a lease
    #[command(after_help = "Examples:\n  turnlock lease renew -increment=1h auth/approle/login/2f6a…")]
    Renew {
        /// The lease
        lease_id: String,
        /// For how long from now
        #[arg(long, value_name = "DURATION")]
        increment: Option<String>,
    },
    /// End a lease, or all below a prefix
    #[command(
        after_help = "Examples:\n  turnlock lease revoke auth/approle/login/2f6a…\n  turnlock lease revoke -prefix auth/approle/login"
    )]
    Revoke {
        /// The lease, or the prefix
        lease_id: String,
        /// Revoke all leases below the prefix
        #[arg(long)]
        prefix: bool,
        /// Forget the leases even when what they grant cannot be taken back
        #[arg(short, long, requires = "prefix")]
        force: bool,
        /// Wait until it is done
        #[arg(long)]
        sync: bool,
    },
    /// Show a lease
    #[command(after_help = "Examples:\n  turnlock lease lookup auth/approle/login/2f6a…")]
    Lookup {
        /// The lease
        lease_id: String,
    },
}

impl LeaseArgs {
    /// Does it.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        let client = at.client()?;
        let put = |path: String| Call::new(Method::PUT, path);
        match self.verb {
            Verb::Renew { lease_id, increment } => {
                let mut body = json!({"lease_id": trimmed(&lease_id)});
                if let (Some(increment), Some(fields)) = (increment, body.as_object_mut()) {
                    fields.insert("increment".to_owned(), increment.into());
                }
                output.reply(&client.send(put("sys/leases/renew".to_owned()).json(&body)?).await?)?;
            }
            Verb::Revoke { lease_id, prefix, force, sync } => {
                let lease_id = trimmed(&lease_id);
                let call = match (prefix, force) {
                    (true, true) => put(format!("sys/leases/revoke-force/{lease_id}")),
                    (true, false) => {
                        put(format!("sys/leases/revoke-prefix/{lease_id}")).json(&json!({"sync": sync}))?
                    }
                    _ => put("sys/leases/revoke".to_owned()).json(&json!({"lease_id": lease_id, "sync": sync}))?,
                };
                let reply = client.send(call).await?;
                output.done(&reply, "All revocation operations queued successfully!")?;
            }
            Verb::Lookup { lease_id } => {
                let call = put("sys/leases/lookup".to_owned()).json(&json!({"lease_id": trimmed(&lease_id)}))?;
                output.reply(&client.send(call).await?)?;
            }
        }
        Ok(Exit::Done)
    }
}
