//! `turnlock audit`: the server's audit devices, and how a value looks in their records.

use serde_json::json;

use super::{Outcome, trimmed};
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, cell, members};
use crate::terminal;

/// Arguments of `turnlock audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the audit devices
    #[command(after_help = "Examples:\n  turnlock audit list")]
    List,
    /// Show the keyed hash by which a value appears in the audit
    #[command(
        after_help = "Examples:\n  turnlock audit hash file < value     then look for the hash in the audit file"
    )]
    Hash {
        /// The audit device
        device: String,
        /// `-`: the value is read from standard input anyhow
        #[arg(value_name = "-")]
        value: Option<String>,
    },
}

impl AuditArgs {
    /// Does it.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        match self.verb {
            Verb::List => {
                let reply = at.client()?.read("sys/audit").await?;
                let Some(data) = reply.data() else {
                    return Err(Failure::remote("the server's answer holds no data"));
                };
                if output.format != Format::Table {
                    output.document(data.get())?;
                } else {
                    let rows = members(data.get())?.into_iter().map(|(path, raw)| {
                        let facts = members(raw.get())?;
                        let fact = |name: &str| facts.get(name).map_or_else(|| "n/a".to_owned(), |raw| cell(raw));
                        Ok(vec![path, fact("type"), fact("description")])
                    });
                    output.table(&["Path", "Type", "Description"], rows.collect::<Result<_, Failure>>()?)?;
                }
            }
            Verb::Hash { device, value } => {
                terminal::only_dash(value.as_deref(), "value")?;
                let value = terminal::secret("value")?;
                let text = value.expose_str().ok_or_else(|| Failure::local("the value is not UTF-8 text"))?;
                let path = format!("sys/audit-hash/{}", trimmed(&device));
                output.reply(&at.client()?.write(&path, &json!({"input": text})).await?)?;
            }
        }
        Ok(Exit::Done)
    }
}
