//! `turnlock operator generate-root`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::Method;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use turnlock_agent::{Call, Client, ClientError, Reply};
use turnlock_core::Protected;
use turnlock_core::token::base62_of;
use zeroize::Zeroizing;

use super::Pgp;
use super::share::{GIVE_NONCE, Taker};
use crate::args::Connection;
use crate::failure::Failure;
use crate::fields;
use crate::output::{Format, Output, line, note, text_of};
use crate::terminal;

const ATTEMPT: &str = "sys/generate-root/attempt";
/// What a server may ask for.
const MOST_OTP_CHARS: usize = 1024;
const TAKER: Taker = Taker {
    what: "root token generation",
    begin: "generate-root -init",
    progress: ATTEMPT,
    submit: "sys/generate-root/update",
};

const REFUSED: &str = "permission denied: it takes a token with `sudo` on sys/generate-root/*";
const LET_IN: &str = "who has none left puts enable_unauthenticated_access = [\"generate-root\"] into the server's \
                      configuration, restarts and unseals the server, and takes it out again once there is a token";

pub(super) const HELP: &str = "\
Examples:
  turnlock operator generate-root -init            a nonce for who holds shares, and a password
  turnlock operator generate-root -nonce=NONCE     ask for a share; the last brings a token
  turnlock operator generate-root -decode=ENCODED  ask for the password, decode the token
  turnlock operator generate-root -status
  turnlock operator generate-root -cancel
With a password that the server did not make:
  turnlock operator generate-root -generate-otp > otp
  turnlock operator generate-root -init -otp=- < otp

It takes a token with `sudo` on sys/generate-root/*. Who has lost them all starts the server with
  enable_unauthenticated_access = [\"generate-root\"]
in its configuration until there is a token again. As long as that stands there, -nonce is needed,
also to give up.

A server that unseals itself (seal \"static\") has no shares and makes no root token this way: keep a
token with `sudo` there, as the loss of the last one is for good. There is no PGP: only the password
keeps the token from who sees it on its way.";

/// Arguments of `operator generate-root`.
#[derive(Debug, clap::Args)]
pub(super) struct GenerateRootArgs {
    /// `-` for a share of the unseal key on standard input
    #[arg(value_name = "-")]
    key: Option<String>,
    /// Begin
    #[arg(long, conflicts_with_all = ["cancel", "status", "decode", "generate_otp", "key"])]
    init: bool,
    /// Give up
    #[arg(long, conflicts_with_all = ["status", "decode", "generate_otp", "key"])]
    cancel: bool,
    /// Show how far it is
    #[arg(long, conflicts_with_all = ["decode", "generate_otp", "key"])]
    status: bool,
    /// Show the token in what the last share brought; `-` asks for that, or reads it as the first line of standard input
    #[arg(long, value_name = "ENCODED", conflicts_with_all = ["generate_otp", "key"])]
    decode: Option<String>,
    /// Make a one-time password for -init -otp=-, as long as the server wants it
    #[arg(long, conflicts_with_all = ["otp", "key", "nonce"])]
    generate_otp: bool,
    /// `-` for the one-time password on standard input: with -init one of your own, else the server makes it
    #[arg(long, value_name = "-")]
    otp: Option<String>,
    /// The nonce that -init showed; asked of the server otherwise
    #[arg(long)]
    nonce: Option<String>,
    #[command(flatten)]
    _pgp: Pgp,
}

#[derive(serde::Deserialize)]
struct Status {
    #[serde(default)]
    complete: bool,
    #[serde(default)]
    otp_length: usize,
}

#[derive(serde::Serialize)]
struct Begin<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    otp: Option<&'a str>,
}

impl GenerateRootArgs {
    /// Does it. A refusal is never laid to the token that is there: who comes here has none of use.
    pub(super) async fn run(self, at: &Connection, output: &Output) -> Result<(), Failure> {
        self.ask(at, output).await.map_err(|failure| match failure.is_refused() {
            true => Failure::remote(REFUSED).hint(LET_IN),
            false => failure,
        })
    }

    async fn ask(self, at: &Connection, output: &Output) -> Result<(), Failure> {
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
        if self.generate_otp {
            let chars = send(&client, Call::get(ATTEMPT)).await?.body_as::<Status>()?.otp_length;
            return generate_otp(chars, output);
        }
        if self.init {
            let otp = self.otp.as_ref().map(|_| terminal::secret("one-time password")).transpose()?;
            let body = fields::body(&Begin { otp: otp.as_ref().map(one_time_password).transpose()? })?;
            let reply = send(&client, Call::new(Method::PUT, ATTEMPT).body(body)).await?;
            if output.format == Format::Table {
                note(
                    "turnlock: note: give the nonce to those who hold shares, and keep the password (otp) to yourself: it is not \
                     shown again and opens the token",
                );
            }
            return output.object(text_of(reply.body())?);
        }
        let reply = TAKER.take(self.key.as_deref(), self.nonce, async |call| send(&client, call).await).await?;
        output.object(text_of(reply.body())?)?;
        if output.format == Format::Table && reply.body_as::<Status>()?.complete {
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
        // Not told to log in: who has lost the last token cannot.
        (Err(ClientError::Denied { errors, path, .. }), None) => {
            Err(ClientError::Denied { errors, anonymous: false, path })
        }
        (answer, _) => answer,
    }
}

fn one_time_password(given: &Protected) -> Result<&str, Failure> {
    given.expose_str().ok_or_else(|| Failure::local("the one-time password is not text"))
}

/// Shows a new password of `chars` characters, drawn on this machine.
fn generate_otp(chars: usize, output: &Output) -> Result<(), Failure> {
    if !(1..=MOST_OTP_CHARS).contains(&chars) {
        return Err(Failure::remote("the server does not tell how long a one-time password is"));
    }
    // More than enough for rejection sampling.
    let mut random = Zeroizing::new(vec![0; 4 * chars + 64]);
    let drawn = SystemRandom::new().fill(&mut random).ok().and_then(|()| base62_of(&random, chars));
    let otp = drawn.ok_or_else(|| Failure::local("the system gives no random bytes"))?;
    match output.format {
        Format::Table => line(&otp),
        _ => output.document(&Zeroizing::new(json!({"otp": *otp, "otp_length": chars}).to_string())),
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
    let text = std::str::from_utf8(&token).unwrap_or_default();
    if output.format == Format::Table {
        return line(text);
    }
    output.document(&Zeroizing::new(json!({"token": text}).to_string()))
}
