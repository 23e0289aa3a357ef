//! `turnlock auth`: ways to log in and where they are mounted.

use super::mount::{self, Settings, shown};
use super::{Outcome, trimmed};
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{line, printable};

/// Arguments of `turnlock auth`.
#[derive(Debug, clap::Args)]
pub(crate) struct AuthArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
#[command(disable_help_subcommand = true)]
enum Verb {
    /// Mount a way to log in
    #[command(
        mut_arg("version", |kv| kv.hide(true)),
        after_help = "Examples:\n  turnlock auth enable userpass\n  turnlock auth enable -path=workloads approle"
    )]
    Enable {
        /// Which: userpass or approle
        #[arg(value_name = "TYPE")]
        kind: String,
        /// Where; named like the method otherwise
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
    /// Remove a way to log in; its tokens end
    #[command(after_help = "Examples:\n  turnlock auth disable userpass")]
    Disable {
        /// The mount
        path: String,
    },
    /// List the ways to log in
    #[command(after_help = "Examples:\n  turnlock auth list")]
    List {
        /// With everything about them
        #[arg(long)]
        detailed: bool,
    },
    /// Change settings of a way to log in
    #[command(mut_arg("version", |kv| kv.hide(true)), after_help = "Examples:\n  turnlock auth tune -default-lease-ttl=30m approle")]
    Tune {
        /// The mount
        path: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Show how to log in by a method
    #[command(after_help = "Examples:\n  turnlock auth help userpass")]
    Help {
        /// Which: token, userpass or approle
        #[arg(value_name = "TYPE")]
        kind: String,
    },
}

impl AuthArgs {
    /// Does it.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        match self.verb {
            Verb::Enable { kind, path, local, seal_wrap, settings } => {
                let path = path.unwrap_or_else(|| kind.clone());
                let body = settings.enabling(&kind, local, seal_wrap)?;
                let reply = at.client()?.write(&format!("sys/auth/{}", trimmed(&path)), &body).await?;
                output.done(&reply, &format!("Success! Enabled {kind} auth method at: {}", shown(&path)))?;
            }
            Verb::Disable { path } => {
                let reply = at.client()?.delete(&format!("sys/auth/{}", trimmed(&path))).await?;
                output
                    .done(&reply, &format!("Success! Disabled the auth method (if it existed) at: {}", shown(&path)))?;
            }
            Verb::List { detailed } => mount::list(&at.client()?, &output, "sys/auth", detailed).await?,
            Verb::Tune { path, settings } => {
                let reply =
                    at.client()?.write(&format!("sys/auth/{}/tune", trimmed(&path)), &settings.tuning()?).await?;
                output.done(&reply, &format!("Success! Tuned the auth method at: {}", shown(&path)))?;
            }
            Verb::Help { kind } => line(&printable_help(trimmed(&kind))?)?,
        }
        Ok(Exit::Done)
    }
}

fn printable_help(kind: &str) -> Result<String, Failure> {
    let text = match kind {
        "token" => "Log in with a token that there is already:\n  turnlock login\n  turnlock login - < token",
        "userpass" => {
            "Log in with name and password:\n  turnlock login -method=userpass username=NAME\n\n\
             Create a user:\n  turnlock write auth/userpass/users/NAME password=- token_policies=POLICY"
        }
        "approle" => {
            "Log in with a role's ID and a secret ID:\n  turnlock login -method=approle role_id=ID secret_id=-\n\n\
             Create a role, its ID and a secret ID:\n  turnlock write auth/approle/role/NAME token_policies=POLICY\n  \
             turnlock read -field=role_id auth/approle/role/NAME/role-id\n  \
             turnlock write -f -field=secret_id auth/approle/role/NAME/secret-id"
        }
        _ => {
            return Err(Failure::local(format!("there is no help for the method {}", printable(kind)))
                .hint("there is for: token, userpass, approle"));
        }
    };
    Ok(text.to_owned())
}
