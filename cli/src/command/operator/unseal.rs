//! `turnlock operator unseal`.

use http::Method;
use serde_json::json;
use turnlock_agent::Call;

use super::share;
use crate::args::Connection;
use crate::command::status;
use crate::failure::Failure;
use crate::fields;
use crate::output::{Output, note, text_of};
use crate::terminal;

pub(super) const HELP: &str = "\
Examples:
  turnlock operator unseal              ask for a share
  turnlock operator unseal - < share
  turnlock operator unseal -reset       forget the shares given so far";

/// Arguments of `operator unseal`.
#[derive(Debug, clap::Args)]
pub(super) struct UnsealArgs {
    /// `-` for a share on standard input
    #[arg(value_name = "-")]
    key: Option<String>,
    /// Forget the shares given so far
    #[arg(long, conflicts_with = "key")]
    reset: bool,
}

impl UnsealArgs {
    pub(super) async fn run(self, at: &Connection, output: &Output) -> Result<(), Failure> {
        terminal::only_dash(self.key.as_deref(), "share of the unseal key")?;
        let body = if self.reset { fields::body(&json!({"reset": true}))? } else { share::body(None)? };
        let client = at.client_without_token()?;
        let before: Progress = client.send(Call::get("sys/seal-status")).await?.body_as()?;
        let reply = client.send(Call::new(Method::PUT, "sys/unseal").body(body)).await?;
        status::show(output, text_of(reply.body())?)?;
        let after: Progress = reply.body_as()?;
        if !self.reset && after.is_where(&before) {
            note(&format!(
                "turnlock: warning: this share was given already: {} of the {} shares that it takes are there, give another",
                after.progress, after.t
            ));
        }
        Ok(())
    }
}

/// How far the unsealing is.
#[derive(serde::Deserialize)]
struct Progress {
    sealed: bool,
    t: u64,
    progress: u64,
    /// Names the round; empty before the first share.
    #[serde(default)]
    nonce: String,
}

impl Progress {
    /// Whether nothing was added since `before`: the server counts a share once, and refuses one that is none.
    fn is_where(&self, before: &Self) -> bool {
        self.sealed && self.progress > 0 && self.progress == before.progress && self.nonce == before.nonce
    }
}
