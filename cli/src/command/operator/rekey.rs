//! `turnlock operator rekey`.

use http::Method;
use serde_json::json;
use turnlock_agent::Call;
use zeroize::Zeroizing;

use super::Pgp;
use super::share::Taker;
use crate::args::Connection;
use crate::failure::Failure;
use crate::output::{Format, Output, line, members, note, text_of};

pub(super) const HELP: &str = "\
Examples:
  turnlock operator rekey -init -key-shares=5 -key-threshold=3
  turnlock operator rekey                 ask for a share of the old key; the last brings new ones
  turnlock operator rekey -init -verify   new shares take effect once they are submitted
  turnlock operator rekey -verify         ask for a share of the new key
  turnlock operator rekey -status
  turnlock operator rekey -cancel";

/// Arguments of `operator rekey`.
#[derive(Debug, clap::Args)]
pub(super) struct RekeyArgs {
    /// `-` for a share of the old key on standard input
    #[arg(value_name = "-")]
    key: Option<String>,
    /// Begin
    #[arg(long, conflicts_with_all = ["cancel", "status", "key"])]
    init: bool,
    /// Give up
    #[arg(long, conflicts_with_all = ["status", "key"])]
    cancel: bool,
    /// Show how far it is
    #[arg(long, conflicts_with = "key")]
    status: bool,
    /// With -init: require that the new shares are submitted before they take effect. Else: about these submissions
    #[arg(long)]
    verify: bool,
    /// Into how many shares the new key is split
    #[arg(short = 'n', long, default_value_t = 5, value_name = "NUMBER")]
    key_shares: u8,
    /// How many shares open it [default: 3, or all when there are fewer]
    #[arg(short = 't', long, value_name = "NUMBER")]
    key_threshold: Option<u8>,
    /// The nonce that began it; asked of the server otherwise
    #[arg(long)]
    nonce: Option<String>,
    #[command(flatten)]
    _pgp: Pgp,
}

impl RekeyArgs {
    pub(super) async fn run(self, at: &Connection, output: &Output) -> Result<(), Failure> {
        let client = at.client()?;
        let begin = if self.verify && !self.init { "sys/rekey/verify" } else { "sys/rekey/init" };
        if self.cancel {
            let reply = client.delete(begin).await?;
            return output.done(
                &reply,
                match self.verify {
                    true => {
                        "Success! What was submitted of the new shares is forgotten: submit them from the first. The rekeying \
                         itself goes on; `turnlock operator rekey -cancel` gives it up"
                    }
                    false => "Success! Canceled rekeying (if it was started)",
                },
            );
        }
        if self.status {
            return output.object(text_of(client.read(begin).await?.body())?);
        }
        if self.init {
            let body = json!({
                "secret_shares": self.key_shares,
                "secret_threshold": self.key_threshold.unwrap_or(self.key_shares.min(3)),
                "require_verification": self.verify,
            });
            let reply = client.send(Call::new(Method::PUT, begin).json(&body)?).await?;
            if output.format == Format::Table {
                note(
                    "turnlock: note: who holds a share of the old key gives it by `turnlock operator rekey`, until there are enough",
                );
            }
            if reply.body().is_empty() {
                return output.object(text_of(client.read(begin).await?.body())?);
            }
            return output.object(text_of(reply.body())?);
        }
        let taker = Taker {
            what: "rekeying",
            begin: "rekey -init",
            progress: begin,
            submit: if self.verify { "sys/rekey/verify" } else { "sys/rekey/update" },
        };
        let reply = taker.take(self.key.as_deref(), self.nonce, async |call| client.send(call).await).await?;
        let answer = text_of(reply.body())?;
        let members = members(answer)?;
        let to_verify = members.get("verification_required").is_some_and(|flag| flag.get() == "true");
        let keys =
            members.get("keys_base64").and_then(|raw| serde_json::from_str::<Vec<Zeroizing<String>>>(raw.get()).ok());
        match keys.filter(|keys| !keys.is_empty() && output.format == Format::Table) {
            Some(keys) => {
                for (number, key) in keys.iter().enumerate() {
                    line(&Zeroizing::new(format!("Key {}: {}", number + 1, **key)))?;
                }
                line(match to_verify {
                    true => {
                        "\nThe old shares stay in force until the new ones are submitted: `turnlock operator rekey -verify`"
                    }
                    false => {
                        "\nThe shares are new, and the old ones open nothing any more. Keep them in safe places, apart from each other."
                    }
                })
            }
            None => output.object(answer),
        }
    }
}
