//! `turnlock operator generate-root`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::Method;
use serde_json::json;
use turnlock_agent::{Call, Client, ClientError, Reply};
use zeroize::Zeroizing;

use crate::args::Connection;
use crate::failure::Failure;
use crate::fields;
use crate::output::{Format, Output, note, text_of};
use crate::terminal;

const ATTEMPT: &str = "sys/generate-root/attempt";
const GIVE_NONCE: &str = "give the one that -init showed: -nonce=NONCE";

pub(super) const HELP: &str = "\
Examples:
  turnlock operator generate-root -init             shows a nonce for who holds shares, and a password
  turnlock operator generate-root -nonce=NONCE      ask for a share; the last brings the encoded token
  turnlock operator generate-root -decode=ENCODED   ask for the password, show the token
  turnlock operator generate-root -status
  turnlock operator generate-root -cancel

It takes a token with `sudo` on sys/generate-root/*. Who has lost them all starts the server with
  enable_unauthenticated_access = [\"generate-root\"]
in its configuration until there is a token again. As long as that stands there, -nonce is needed,
also to give up.

A server that unseals itself (seal \"static\") has no shares and makes no root token this way: keep a token
with `sudo` there, as the loss of the last one is for good.";

/// Arguments of `operator generate-root`.
#[derive(Debug, clap::Args)]
pub(super) struct GenerateRootArgs {
    /// `-` for a share of the unseal key on standard input
    #[arg(value_name = "-")]
    key: Option<String>,
    /// Begin
    #[arg(long, conflicts_with_all = ["cancel", "status", "decode", "key"])]
    init: bool,
    /// Give up
    #[arg(long, conflicts_with_all = ["status", "decode", "key"])]
    cancel: bool,
    /// Show how far it is
    #[arg(long, conflicts_with_all = ["decode", "key"])]
    status: bool,
    /// Show the token in what the last share brought; `-` asks for that, or reads it as the first line of standard input
    #[arg(long, value_name = "ENCODED", conflicts_with = "key")]
    decode: Option<String>,
    /// `-` for the one-time password on standard input: with -init one of your own, else the server makes it
    #[arg(long, value_name = "-")]
    otp: Option<String>,
    /// The nonce that -init showed; asked of the server otherwise
    #[arg(long)]
    nonce: Option<String>,
}

#[derive(serde::Deserialize)]
struct Progress {
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    started: bool,
    #[serde(default)]
    complete: bool,
}

impl GenerateRootArgs {
    pub(super) async fn run(self, at: &Connection, output: &Output) -> Result<(), Failure> {
        terminal::only_dash(self.otp.as_deref(), "one-time password")?;
        if let Some(encoded) = &self.decode {
            return decode(encoded, output);
        }
        let client = at.client()?;
        if self.cancel {
            let call = Call::new(Method::DELETE, ATTEMPT);
            let call = match &self.nonce {
                Some(nonce) => call.query("nonce", nonce.as_str()),
                None => call,
            };
            let reply = send(&client, call).await.map_err(|error| match &error {
                ClientError::Api { .. } if self.nonce.is_none() => Failure::from(error).hint(GIVE_NONCE),
                _ => error.into(),
            })?;
            return output.done(&reply, "Success! Root token generation canceled (if it was started)");
        }
        if self.status {
            return output.object(text_of(send(&client, Call::get(ATTEMPT)).await?.body())?);
        }
        if self.init {
            let mut call = Call::new(Method::PUT, ATTEMPT).json(&json!({}))?;
            if self.otp.is_some() {
                let otp = terminal::secret("one-time password")?;
                let otp = otp.expose_str().ok_or_else(|| Failure::local("the one-time password is not text"))?;
                call = call.body(fields::body(&std::collections::BTreeMap::from([("otp", otp)]))?);
            }
            let reply = send(&client, call).await?;
            if output.format == Format::Table {
                note(
                    "turnlock: note: give the nonce to those who hold shares, and keep the password (otp) to yourself: it is not \
                     shown again and opens the token",
                );
            }
            return output.object(text_of(reply.body())?);
        }
        terminal::only_dash(self.key.as_deref(), "share of the unseal key")?;
        let nonce = match self.nonce {
            Some(nonce) => nonce,
            None => {
                let progress: Progress = send(&client, Call::get(ATTEMPT)).await?.body_as()?;
                if !progress.started {
                    return Err(Failure::remote("no root token generation has begun")
                        .hint("begin with `turnlock operator generate-root -init`"));
                }
                if progress.nonce.is_empty() {
                    return Err(Failure::remote("the server tells nobody without a token the nonce").hint(GIVE_NONCE));
                }
                progress.nonce
            }
        };
        let share = terminal::secret("unseal key")?;
        #[derive(serde::Serialize)]
        struct Body<'a> {
            key: &'a str,
            nonce: &'a str,
        }
        let key = share.expose_str().ok_or_else(|| Failure::local("the share is not text"))?;
        let body = fields::body(&Body { key, nonce: &nonce })?;
        let reply = send(&client, Call::new(Method::PUT, "sys/generate-root/update").body(body)).await?;
        output.object(text_of(reply.body())?)?;
        if output.format == Format::Table && reply.body_as::<Progress>()?.complete {
            note(
                "turnlock: note: `turnlock operator generate-root -decode=ENCODED` shows the token to who has the password",
            );
        }
        Ok(())
    }
}

/// Sends `call`, and once more without the token when that is refused: a dead one that was kept shuts nobody out whom the
/// configuration lets in without any.
async fn send(client: &Client, call: Call) -> Result<Reply, ClientError> {
    let again = client.has_token().then(|| call.clone());
    match (client.send(call).await, again) {
        (Err(refused @ ClientError::Denied { .. }), Some(again)) => {
            match client.clone().without_token().send(again).await {
                Err(ClientError::Denied { .. }) => Err(refused),
                answer => answer,
            }
        }
        (answer, _) => answer,
    }
}

/// XORs the two again.
fn decode(encoded: &str, output: &Output) -> Result<(), Failure> {
    let asked = if encoded == "-" { Some(terminal::secret("encoded token")?) } else { None };
    let encoded = asked.as_ref().map_or(Some(encoded), |asked| asked.expose_str()).unwrap_or_default();
    let otp = terminal::secret("one-time password")?;
    // Some write the padding that the server leaves out.
    let bytes = STANDARD_NO_PAD.decode(encoded.trim().trim_end_matches('=')).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| Failure::local("the encoded token is not base64"))?;
    if bytes.len() != otp.expose().len() {
        return Err(Failure::local("the one-time password is not as long as the token")
            .hint("it is the `otp` that -init showed, and the token what the last share brought"));
    }
    let token = Zeroizing::new(bytes.iter().zip(otp.expose()).map(|(one, other)| one ^ other).collect::<Vec<u8>>());
    // A wrong password makes bytes that mean something to a terminal.
    if !token.iter().all(u8::is_ascii_graphic) {
        return Err(Failure::local("the one-time password is not the one of this token"));
    }
    if output.format == Format::Table {
        output.raw(&token)?;
        return output.raw(b"\n");
    }
    let text = std::str::from_utf8(&token).unwrap_or_default();
    output.document(&Zeroizing::new(json!({"token": text}).to_string()))
}
