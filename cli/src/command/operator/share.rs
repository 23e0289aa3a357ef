//! A share of the unseal key on its way: asked for, put into a request, and handed to what has begun and takes shares.

use turnlock_agent::{Call, ClientError, Reply};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::fields;
use crate::terminal;

/// Something that was begun and takes shares until there are enough.
pub(super) struct Taker {
    /// What has begun, for people.
    pub(super) what: &'static str,
    /// The command that begins it.
    pub(super) begin: &'static str,
    /// The path that tells how far it is.
    pub(super) progress: &'static str,
    /// The path that takes a share.
    pub(super) submit: &'static str,
}

#[derive(serde::Deserialize)]
struct Progress {
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    started: bool,
}

impl Taker {
    /// Asks for a share and submits it under `nonce`, for which the server is asked where it was not given.
    pub(super) async fn take(
        &self,
        argument: Option<&str>,
        nonce: Option<String>,
        send: impl AsyncFn(Call) -> Result<Reply, ClientError>,
    ) -> Result<Reply, Failure> {
        terminal::only_dash(argument, "share of the unseal key")?;
        let nonce = match nonce {
            Some(nonce) => nonce,
            None => self.nonce_of(send(Call::get(self.progress)).await?.body_as()?)?,
        };
        let body = body(Some(&nonce))?;
        Ok(send(Call::new(http::Method::PUT, self.submit).body(body)).await?)
    }

    fn nonce_of(&self, progress: Progress) -> Result<String, Failure> {
        if !progress.started {
            return Err(Failure::remote(format!("no {} has begun", self.what))
                .hint(format!("begin with `turnlock operator {}`", self.begin)));
        }
        if progress.nonce.is_empty() {
            return Err(Failure::remote("the server tells nobody without a token the nonce").hint(GIVE_NONCE));
        }
        Ok(progress.nonce)
    }
}

/// What to do where the server does not tell the nonce.
pub(super) const GIVE_NONCE: &str = "give the one that -init showed: -nonce=NONCE";

/// A request with a share, for which the terminal or standard input is asked.
pub(super) fn body(nonce: Option<&str>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    #[derive(serde::Serialize)]
    struct Body<'a> {
        key: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
    }
    let share = terminal::secret("unseal key")?;
    let key = share.expose_str().ok_or_else(|| Failure::local("the share is not text"))?;
    fields::body(&Body { key, nonce })
}
