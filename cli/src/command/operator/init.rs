//! `turnlock operator init`.

use http::Method;
use serde_json::json;
use turnlock_agent::Call;
use zeroize::Zeroizing;

use super::Pgp;
use crate::args::Connection;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::output::{Format, Output, line};

pub(super) const HELP: &str = "\
Examples:
  turnlock operator init                                   five shares, three open it
  turnlock operator init -key-shares=1 -format=json        one share, for a test
  turnlock operator init -status                           exit code 0: initialized, 2: not";

/// Arguments of `operator init`.
#[derive(Debug, clap::Args)]
pub(super) struct InitArgs {
    /// Into how many shares the unseal key is split
    #[arg(short = 'n', long, default_value_t = 5, value_name = "NUMBER")]
    key_shares: u8,
    /// How many shares open it [default: 3, or all when there are fewer]
    #[arg(short = 't', long, value_name = "NUMBER")]
    key_threshold: Option<u8>,
    /// Refused by the server: a seal that opens itself has no recovery key here
    #[arg(long, value_name = "NUMBER", hide = true)]
    recovery_shares: Option<u8>,
    /// As `recovery_shares`
    #[arg(long, value_name = "NUMBER", hide = true)]
    recovery_threshold: Option<u8>,
    /// Only say whether the server is initialized
    #[arg(long)]
    status: bool,
    #[command(flatten)]
    _pgp: Pgp,
}

#[derive(serde::Deserialize)]
struct Answer {
    #[serde(default)]
    keys: Vec<Zeroizing<String>>,
    #[serde(default)]
    keys_base64: Vec<Zeroizing<String>>,
    root_token: Zeroizing<String>,
}

/// The answer by the names that Vault's command gives it, which scripts know.
#[derive(serde::Serialize)]
struct Document<'a> {
    unseal_keys_b64: &'a [Zeroizing<String>],
    unseal_keys_hex: &'a [Zeroizing<String>],
    unseal_shares: u8,
    unseal_threshold: u8,
    recovery_keys_b64: [&'a str; 0],
    recovery_keys_hex: [&'a str; 0],
    recovery_keys_shares: u8,
    recovery_keys_threshold: u8,
    root_token: &'a Zeroizing<String>,
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
        let mut body = json!({"secret_shares": self.key_shares, "secret_threshold": self.threshold()});
        if let Some(fields) = body.as_object_mut() {
            if let Some(shares) = self.recovery_shares {
                fields.insert("recovery_shares".to_owned(), shares.into());
            }
            if let Some(threshold) = self.recovery_threshold {
                fields.insert("recovery_threshold".to_owned(), threshold.into());
            }
        }
        let reply = client.send(Call::new(Method::PUT, "sys/init").json(&body)?).await?;
        let answer: Answer = reply.body_as()?;
        if output.format != Format::Table {
            return self.document(&answer, output);
        }
        for (number, key) in answer.keys_base64.iter().enumerate() {
            line(&Zeroizing::new(format!("Unseal Key {}: {}", number + 1, **key)))?;
        }
        if !answer.keys_base64.is_empty() {
            line("")?;
        }
        line(&Zeroizing::new(format!("Initial Root Token: {}\n", *answer.root_token)))?;
        line(&if answer.keys_base64.is_empty() {
            "The server is initialized and unseals itself with the key that its seal names. Keep a copy of that key in a safe\n\
             place: without it what is stored cannot be read again. There are no shares to make another root token with: revoke\n\
             this one only once a login of yours has `sudo` in its policies, as whoever loses that too is locked out for good."
                .to_owned()
        } else if self.key_shares == 1 {
            "The server is initialized with one unseal key. Keep it in a safe place: it is shown only now, and without it what\n\
             is stored cannot be read again."
                .to_owned()
        } else {
            format!(
                "The server is initialized with {} unseal keys, {} of which must be given to open it. Keep them in safe places, apart\n\
                 from each other: they are shown only now, and without them what is stored cannot be read again.",
                self.key_shares,
                self.threshold(),
            )
        })?;
        Ok(Exit::Done)
    }

    fn threshold(&self) -> u8 {
        self.key_threshold.unwrap_or(self.key_shares.min(3))
    }

    fn document(&self, answer: &Answer, output: &Output) -> Outcome {
        let own = |number: u8| if answer.keys_base64.is_empty() { 0 } else { number };
        let document = Document {
            unseal_keys_b64: &answer.keys_base64,
            unseal_keys_hex: &answer.keys,
            unseal_shares: own(self.key_shares),
            unseal_threshold: own(self.threshold()),
            recovery_keys_b64: [],
            recovery_keys_hex: [],
            recovery_keys_shares: 0,
            recovery_keys_threshold: 0,
            root_token: &answer.root_token,
        };
        let text = Zeroizing::new(serde_json::to_string(&document).unwrap_or_default());
        output.document(&text)?;
        Ok(Exit::Done)
    }
}
