//! `turnlock operator init`.

use http::Method;
use serde_json::json;
use turnlock_agent::Call;
use zeroize::Zeroizing;

use crate::args::Connection;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::output::{Format, Output, line, text_of};

pub(super) const HELP: &str = "\
Examples:
  turnlock operator init                                   five shares, three open it
  turnlock operator init -key-shares=1 -key-threshold=1 -format=json
  turnlock operator init -status                           exit code 0: initialized, 2: not";

/// Arguments of `operator init`.
#[derive(Debug, clap::Args)]
pub(super) struct InitArgs {
    /// Into how many shares the unseal key is split
    #[arg(short = 'n', long, default_value_t = 5, value_name = "NUMBER")]
    key_shares: u8,
    /// How many shares open it
    #[arg(short = 't', long, default_value_t = 3, value_name = "NUMBER")]
    key_threshold: u8,
    /// With a seal that opens itself: into how many shares the recovery key is split
    #[arg(long, value_name = "NUMBER")]
    recovery_shares: Option<u8>,
    /// With a seal that opens itself: how many shares make the recovery key
    #[arg(long, value_name = "NUMBER")]
    recovery_threshold: Option<u8>,
    /// Only say whether the server is initialized
    #[arg(long)]
    status: bool,
}

#[derive(serde::Deserialize)]
struct Answer {
    #[serde(default)]
    keys_base64: Vec<Zeroizing<String>>,
    #[serde(default)]
    recovery_keys_base64: Option<Vec<Zeroizing<String>>>,
    root_token: Zeroizing<String>,
}

impl InitArgs {
    pub(super) async fn run(self, at: &Connection, output: &Output) -> Outcome {
        let client = at.client_without_token()?;
        if self.status {
            #[derive(serde::Deserialize)]
            struct Status {
                initialized: bool,
            }
            let initialized = client.read("sys/init").await?.body_as::<Status>()?.initialized;
            if output.format == Format::Table {
                line(if initialized { "The server is initialized" } else { "The server is not initialized" })?;
            } else {
                output.document(&json!({"initialized": initialized}).to_string())?;
            }
            return Ok(if initialized { Exit::Done } else { Exit::Sealed });
        }
        let mut body = json!({"secret_shares": self.key_shares, "secret_threshold": self.key_threshold});
        if let Some(fields) = body.as_object_mut() {
            if let Some(shares) = self.recovery_shares {
                fields.insert("recovery_shares".to_owned(), shares.into());
            }
            if let Some(threshold) = self.recovery_threshold {
                fields.insert("recovery_threshold".to_owned(), threshold.into());
            }
        }
        let reply = client.send(Call::new(Method::PUT, "sys/init").json(&body)?).await?;
        if output.format != Format::Table {
            output.document(text_of(reply.body())?)?;
            return Ok(Exit::Done);
        }
        let answer: Answer = reply.body_as()?;
        for (number, key) in answer.keys_base64.iter().enumerate() {
            line(&format!("Unseal Key {}: {}", number + 1, **key))?;
        }
        for (number, key) in answer.recovery_keys_base64.iter().flatten().enumerate() {
            line(&format!("Recovery Key {}: {}", number + 1, **key))?;
        }
        line(&format!("\nInitial Root Token: {}\n", *answer.root_token))?;
        line(&if answer.keys_base64.is_empty() {
            "The server is initialized and unseals itself. Keep the recovery keys in safe places, apart from each other."
                .to_owned()
        } else {
            format!(
                "The server is initialized with {} unseal keys, {} of which open it. Keep them in safe places, apart from\n\
                 each other: they are shown only now, and without them what is stored cannot be read again.",
                self.key_shares, self.key_threshold,
            )
        })?;
        Ok(Exit::Done)
    }
}
