//! `turnlock operator`: what is done to the server itself.

mod generate_root;
mod init;
mod rekey;
mod share;
mod snapshot;
mod unseal;

use http::Method;
use turnlock_agent::{Call, Reply};

use super::Outcome;
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, Output, cell, members, text_of};

/// Arguments of `turnlock operator`.
#[derive(Debug, clap::Args)]
pub(crate) struct OperatorArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Initialize a new server: make its keys and the first token
    #[command(after_help = init::HELP)]
    Init(init::InitArgs),
    /// Give one share of the unseal key
    #[command(after_help = unseal::HELP)]
    Unseal(unseal::UnsealArgs),
    /// Seal the server: it forgets its keys
    #[command(after_help = "Examples:\n  turnlock operator seal")]
    Seal,
    /// Start a new encryption key; what is stored stays readable
    #[command(after_help = "Examples:\n  turnlock operator rotate")]
    Rotate,
    /// Show which encryption key is in use
    #[command(after_help = "Examples:\n  turnlock operator key-status")]
    KeyStatus,
    /// Make new unseal shares
    #[command(after_help = rekey::HELP)]
    Rekey(rekey::RekeyArgs),
    /// Make another root token with the unseal shares
    #[command(after_help = generate_root::HELP)]
    GenerateRoot(generate_root::GenerateRootArgs),
    /// Back up and restore
    Snapshot(snapshot::SnapshotArgs),
}

/// Flags of Vault's command that are refused with the reason, because scripts have them.
#[derive(Debug, clap::Args)]
struct Pgp {
    /// Refused
    #[arg(long, aliases = ["pgp-key", "root-token-pgp-key"], hide = true, value_name = "KEYS", value_parser = no_pgp)]
    pgp_keys: Option<String>,
}

fn no_pgp(_: &str) -> Result<String, &'static str> {
    Err("there is no PGP here: encrypt what comes out yourself, for example `| gpg --encrypt`")
}

impl OperatorArgs {
    /// Does it.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        match self.verb {
            Verb::Init(args) => return args.run(at, &output).await,
            Verb::Unseal(args) => args.run(at, &output).await?,
            Verb::Seal => {
                let reply = at.client()?.send(Call::new(Method::PUT, "sys/seal")).await?;
                output.done(&reply, "Success! The server is sealed.")?;
            }
            Verb::Rotate => {
                let client = at.client()?;
                client.send(Call::new(Method::PUT, "sys/rotate")).await?;
                key_status(&client.read("sys/key-status").await?, &output)?;
            }
            Verb::KeyStatus => key_status(&at.client()?.read("sys/key-status").await?, &output)?,
            Verb::Rekey(args) => args.run(at, &output).await?,
            Verb::GenerateRoot(args) => args.run(at, &output).await?,
            Verb::Snapshot(args) => args.run(at, &output).await?,
        }
        Ok(Exit::Done)
    }
}

/// The term in force. Encryptions are counted in blocks that are reserved ahead, so that a crash forgets none: people are told
/// what the number is.
fn key_status(reply: &Reply, output: &Output) -> Result<(), Failure> {
    if output.format != Format::Table {
        return output.reply(reply);
    }
    let rows = members(text_of(reply.body())?)?;
    let shown = [("term", "Key Term"), ("install_time", "Install Time"), ("encryptions", "Encryptions, at most")];
    let shown = shown.into_iter().filter_map(|(name, title)| Some(vec![title.to_owned(), cell(rows.get(name)?)]));
    output.table(&["Key", "Value"], shown.collect())
}
