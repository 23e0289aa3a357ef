//! `turnlock rotate list`: the secrets that have a rotation, and how each of them stands.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use turnlock_agent::{Call, Client, ClientError};

use super::history::seconds;
use crate::failure::Failure;
use crate::output::{Format, Output, line};

/// Arguments of `turnlock rotate list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  turnlock rotate list
  turnlock rotate list secret/app
  turnlock rotate list -detailed -format=json | jq '.key_info | map_values(.state)'

States: idle; due, when no agent has taken it yet; running; hindered, when something is in the way
and it is tried again and again; failed, when no other try mends it: `turnlock rotate history` says
what to do; paused. All but the name is shown to who may also read rotation/history/SECRET.")]
pub(super) struct ListArgs {
    /// Only below this folder
    #[arg(default_value = "", hide_default_value = true)]
    folder: String,
    /// With -format=json or yaml: how each stands, and not only the names
    #[arg(long)]
    detailed: bool,
}

#[derive(Default, serde::Deserialize)]
struct Listed {
    keys: Vec<String>,
    #[serde(default)]
    key_info: BTreeMap<String, Standing>,
}

/// How a rotation stands.
#[derive(serde::Deserialize)]
struct Standing {
    state: String,
    last_success: Option<DateTime<Utc>>,
    next_run: Option<DateTime<Utc>>,
    next_try: Option<DateTime<Utc>>,
    tries: u32,
    reasons: Vec<String>,
}

impl ListArgs {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let call = Call::get(format!("rotation/definitions/{}", super::trimmed(&self.folder))).query("scan", "true");
        let reply = match client.send(call).await {
            Ok(reply) => Some(reply),
            Err(ClientError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if let (Some(reply), true) = (&reply, self.detailed && output.format != Format::Table) {
            let data = reply.data().ok_or_else(|| Failure::remote("the server's answer holds no data"))?;
            return output.document(data.get());
        }
        let listed: Listed = reply.map(|reply| reply.data_as()).transpose()?.unwrap_or_default();
        if output.format != Format::Table {
            return output.keys(&listed.keys);
        }
        if listed.keys.is_empty() {
            return line("There is no rotation; `turnlock rotate set` defines one");
        }
        let rows = listed.keys.iter().map(|name| row(name, listed.key_info.get(name))).collect();
        output.table(&["Secret", "State", "Last success", "Next", "Tries", "In the way"], rows)
    }
}

fn row(name: &str, standing: Option<&Standing>) -> Vec<String> {
    let cells = standing.map(|standing| {
        let time = |time: Option<DateTime<Utc>>| time.map_or_else(|| "-".to_owned(), seconds);
        let in_the_way = match standing.reasons.split_first() {
            None => "-".to_owned(),
            Some((reason, [])) => reason.clone(),
            Some((reason, others)) => format!("{reason} (and {} more)", others.len()),
        };
        [
            standing.state.clone(),
            time(standing.last_success),
            time(standing.next_try.or(standing.next_run)),
            if standing.tries == 0 { "-".to_owned() } else { standing.tries.to_string() },
            in_the_way,
        ]
    });
    let cells = cells.unwrap_or_else(|| ["-"; 5].map(str::to_owned));
    std::iter::once(name.to_owned()).chain(cells).collect()
}
