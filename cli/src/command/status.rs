//! `turnlock status`: whether the server is initialized and unsealed.

use serde_json::Value;
use turnlock_agent::{Call, Client};

use super::Outcome;
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, members, note, printable, text_of};

/// Shows whether the server is initialized and unsealed.
///
/// A warning tells of an audit that is hindered and of rotations that do not go on. Ends with 0 when it is unsealed, 2 when it is sealed, 1 when it cannot be asked.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  turnlock status\n  turnlock status -format=json | jq .sealed")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    output: OutputArgs,
}

impl StatusArgs {
    /// Asks and shows.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        // 2 says that the server is sealed and nothing else.
        let client = at.client_without_token()?;
        let asked = client.send(Call::get("sys/seal-status")).await;
        let reply = asked.map_err(|error| Failure::from(error).ending(Exit::Local))?;
        let body: Value = reply.body_as().map_err(|error| Failure::from(error).ending(Exit::Local))?;
        show(&output, text_of(reply.body())?)?;
        match body.get("sealed").and_then(Value::as_bool) {
            Some(false) => {
                if output.format == Format::Table {
                    tell_of_trouble(&client).await;
                }
                Ok(Exit::Done)
            }
            Some(true) => Ok(Exit::Sealed),
            None => Err(Failure::local("the server's answer does not say whether it is sealed")),
        }
    }
}

/// Says what of an unsealed server needs somebody to look at it, if it tells.
async fn tell_of_trouble(client: &Client) {
    let Ok(reply) = client.execute(Call::get("sys/health")).await else { return };
    let Ok(health) = reply.body_as::<Value>() else { return };
    for (what, trouble) in ["audit", "rotations"].map(|what| (what, health.get(what).and_then(Value::as_str))) {
        if let Some(trouble) = trouble {
            note(&format!("turnlock: warning: {what}: {}", printable(trouble)));
        }
    }
}

/// Shows a seal status: what matters first.
pub(crate) fn show(output: &crate::output::Output, json: &str) -> Result<(), Failure> {
    if output.format != Format::Table {
        return output.document(json);
    }
    let status = members(json)?;
    let words = [
        ("Seal Type", "type"),
        ("Initialized", "initialized"),
        ("Sealed", "sealed"),
        ("Total Shares", "n"),
        ("Threshold", "t"),
        ("Unseal Progress", "progress"),
        ("Unseal Nonce", "nonce"),
        ("Version", "version"),
        ("Build Date", "build_date"),
        ("Storage Type", "storage_type"),
        ("Cluster Name", "cluster_name"),
        ("Cluster ID", "cluster_id"),
    ];
    let sealed = status.get("sealed").is_some_and(|sealed| sealed.get() == "true");
    let rows = words.iter().filter_map(|(word, key)| {
        let value = status.get(*key)?;
        let shown = sealed || !matches!(*key, "progress" | "nonce");
        let mut cell = crate::output::cell(value);
        if *key == "version" && cell.ends_with("+turnlock") {
            cell.push_str(" (of the protocol; the program has its own, see `turnlock version`)");
        }
        (shown && value.get() != "\"\"").then(|| vec![(*word).to_owned(), cell])
    });
    output.table(&["Key", "Value"], rows.collect())
}
