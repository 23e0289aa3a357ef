//! `turnlock read`, `write`, `patch`, `delete` and `list`: any path of the API.

use http::Method;
use turnlock_agent::{Call, ClientError};

use super::{Outcome, kv, trimmed};
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::fields::{self, Machine};

/// Reads what is at a path.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  turnlock read auth/token/lookup-self\n  turnlock read -field=role_id auth/approle/role/app/role-id\n  turnlock read secret/data/app/db version=2"
)]
pub(crate) struct ReadArgs {
    /// Path, without v1/
    path: String,
    /// Parameters of the query
    #[arg(value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    /// Print this field only
    #[arg(long)]
    field: Option<String>,
    /// Ask for the answer wrapped in a single-use token that lives this long
    #[arg(long, value_name = "DURATION")]
    wrap_ttl: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl ReadArgs {
    /// Reads and shows.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.with_field(self.field.as_ref())?;
        let mut call = wrapped(Call::get(trimmed(&self.path)), self.wrap_ttl.as_deref());
        for (key, value) in fields::parse(&self.parameters, &mut Machine)? {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            call = call.query(key, value);
        }
        let client = at.client()?;
        match client.send(call).await {
            Ok(reply) => output.reply(&reply)?,
            Err(error) => return Err(kv::meant(&client, trimmed(&self.path), "get", error).await),
        }
        Ok(Exit::Done)
    }
}

/// Writes fields to a path.
///
/// A value may be `-` (standard input) or `@FILE`: arguments can be read by other users of the machine.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  turnlock write auth/approle/role/app token_policies=app token_ttl=1h\n  turnlock write -f auth/approle/role/app/secret-id\n  turnlock write auth/userpass/users/ada password=-\n  turnlock write cubbyhole/note @note.json"
)]
pub(crate) struct WriteArgs {
    /// Path, without v1/
    path: String,
    /// key=value, key=@FILE, key=-, @FILE.json or -
    #[arg(value_name = "FIELD")]
    fields: Vec<String>,
    /// Write without any field
    #[arg(short, long)]
    force: bool,
    /// Print this field of the answer only
    #[arg(long)]
    field: Option<String>,
    /// Ask for the answer wrapped in a single-use token that lives this long
    #[arg(long, value_name = "DURATION")]
    wrap_ttl: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl WriteArgs {
    /// Writes and shows the answer.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.with_field(self.field.as_ref())?;
        if self.fields.is_empty() && !self.force {
            return Err(
                Failure::local("there is nothing to write").hint("give fields as key=value, or --force to write none")
            );
        }
        let body = fields::body(&fields::parse(&self.fields, &mut Machine)?)?;
        let call = wrapped(Call::new(Method::PUT, trimmed(&self.path)), self.wrap_ttl.as_deref()).body(body);
        let reply = at.client()?.send(call).await?;
        if reply.body().is_empty()
            || (reply.data().is_none() && reply.auth_raw().is_none() && reply.wrap_info()?.is_none())
        {
            output.done(&reply, &format!("Success! Data written to: {}", trimmed(&self.path)))?;
        } else {
            output.reply(&reply)?;
        }
        Ok(Exit::Done)
    }
}

/// Changes some fields of what is at a path and leaves the others.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  turnlock patch secret/data/app/db @change.json")]
pub(crate) struct PatchArgs {
    /// Path, without v1/
    path: String,
    /// key=value, key=@FILE, key=-, @FILE.json or -
    #[arg(value_name = "FIELD", required = true)]
    fields: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl PatchArgs {
    /// Patches and shows the answer.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        let body = fields::parse(&self.fields, &mut Machine)?;
        let reply = at.client()?.patch(trimmed(&self.path), &body).await?;
        if reply.data().is_none() {
            output.done(&reply, &format!("Success! Data written to: {}", trimmed(&self.path)))?;
        } else {
            output.reply(&reply)?;
        }
        Ok(Exit::Done)
    }
}

/// Deletes what is at a path.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  turnlock delete auth/approle/role/app")]
pub(crate) struct DeleteArgs {
    /// Path, without v1/
    path: String,
    #[command(flatten)]
    output: OutputArgs,
}

impl DeleteArgs {
    /// Deletes.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        let reply = at.client()?.delete(trimmed(&self.path)).await?;
        output.done(&reply, &format!("Success! Data deleted (if it existed) at: {}", trimmed(&self.path)))?;
        Ok(Exit::Done)
    }
}

/// Lists the names below a path.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  turnlock list auth/approle/role\n  turnlock list secret/metadata/app")]
pub(crate) struct ListArgs {
    /// Path, without v1/
    path: String,
    #[command(flatten)]
    output: OutputArgs,
}

impl ListArgs {
    /// Lists.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        output.keys(&names(at, Call::list(trimmed(&self.path)), trimmed(&self.path)).await?)?;
        Ok(Exit::Done)
    }
}

/// The names that `call` lists; that there are none is an error, as with Vault.
pub(crate) async fn names(at: &Connection, call: Call, path: &str) -> Result<Vec<String>, Failure> {
    #[derive(serde::Deserialize)]
    struct Keys {
        keys: Vec<String>,
    }
    match at.client()?.send(call).await {
        Ok(reply) => {
            crate::output::warn(&reply);
            Ok(reply.data_as::<Keys>()?.keys)
        }
        Err(ClientError::NotFound { errors }) if errors.is_empty() => {
            Err(Failure::remote(format!("there is nothing below {path}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// `call`, wrapped when that is asked for.
pub(crate) fn wrapped(call: Call, ttl: Option<&str>) -> Call {
    match ttl {
        Some(ttl) => call.wrap_ttl(ttl),
        None => call,
    }
}
