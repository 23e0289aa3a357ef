//! `turnlock login`: gets a token and keeps it in a file that only its owner can read.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use http::Method;
use serde_json::Value;
use turnlock_agent::{Call, ClientError, Reply};
use turnlock_core::Protected;

use super::{Outcome, trimmed};
use crate::args::{Connection, OutputArgs, environment, token_variables};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::fields::{self, Machine};
use crate::output::{Format, Output, cell, duration, members, note};
use crate::terminal;

/// Logs in and keeps the token in ~/.turnlock-token, readable by its owner only.
///
/// Without a method, the token itself is asked for, or read from standard input. Passwords and secret IDs are asked
/// for when they are not given. The token is shown only with -token-only, -field=token or -format, and with -no-store,
/// where it would be lost otherwise.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  turnlock login                                      ask for a token\n  turnlock login - < token\n  turnlock login -method=userpass username=ada        ask for the password\n  turnlock login -method=approle role_id=… secret_id=-\n  turnlock login -method=userpass -path=people username=ada"
)]
pub(crate) struct LoginArgs {
    /// `-` for a token on standard input; for other methods their fields
    #[arg(value_name = "FIELD")]
    fields: Vec<String>,
    /// How: token, userpass, approle, or any other that takes fields
    #[arg(long, default_value = "token")]
    method: String,
    /// Mount of the method, when it is not named like it
    #[arg(long)]
    path: Option<String>,
    /// Do not keep the token
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "true|false", hide_possible_values = true, default_missing_value = "true", default_value = "false", action = clap::ArgAction::Set)]
    no_store: bool,
    /// Print the token and nothing else; it is not kept
    #[arg(long)]
    token_only: bool,
    /// Print nothing of the token
    #[arg(long, hide = true)]
    no_print: bool,
    /// Print this field only
    #[arg(long)]
    field: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl LoginArgs {
    /// Logs in.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.with_field(self.field.as_ref())?;
        let client = at.client_without_token()?;
        let (token, reply) = if self.method == "token" {
            if self.fields.len() > 1 {
                return Err(Failure::local("login by token takes no fields").hint("name a method with -method"));
            }
            let typed =
                self.fields.first().map(String::as_str).map(|field| field.strip_prefix("token=").unwrap_or(field));
            terminal::only_dash(typed, "token")?;
            let token = terminal::secret("token")?;
            let client = client.with_token(token.duplicate());
            let reply = client.read("auth/token/lookup-self").await;
            (
                token,
                reply.map_err(|error| {
                    refused(
                        error,
                        "the token is not valid here, or has ended",
                        "get a new one, or log in with another -method",
                    )
                })?,
            )
        } else {
            let call = self.call()?;
            let reply = client.send(call).await;
            let reply = reply.map_err(|error| {
                refused(
                    error,
                    "no such method is mounted there, or it does not let you in",
                    "check -method, -path (where it is mounted) and what you gave",
                )
            })?;
            (reply.auth()?.token, reply)
        };
        if self.token_only {
            output.raw(token.expose())?;
            return Ok(Exit::Done);
        }
        if !self.no_store {
            let path = store(&token)?;
            if output.format == Format::Table && output.field.is_none() {
                note(&format!("Success! You are now authenticated. The token is kept in {}.", path.display()));
            }
        }
        let variables = token_variables();
        if !variables.is_empty() && !self.no_store {
            let names = variables.join(" ");
            note(&format!(
                "turnlock: warning: the token that is kept has no effect as long as there is another: unset {names}"
            ));
        }
        if self.no_print {
            return Ok(Exit::Done);
        }
        if output.format == Format::Table && output.field.is_none() && !self.no_store {
            return summary(&output, &reply);
        }
        output.reply(&reply)?;
        Ok(Exit::Done)
    }

    fn call(&self) -> Result<Call, Failure> {
        let mount = trimmed(self.path.as_deref().unwrap_or(&self.method));
        let mut given = fields::parse(&self.fields, &mut Machine)?;
        let ask = |given: &mut serde_json::Map<String, Value>, key: &str, what: &str| {
            if !given.contains_key(key) {
                let secret = terminal::secret(what)?;
                let text =
                    secret.expose_str().ok_or_else(|| Failure::local(format!("the {what} is not UTF-8 text")))?;
                given.insert(key.to_owned(), text.into());
            }
            Ok::<_, Failure>(())
        };
        let path = match self.method.as_str() {
            "userpass" | "ldap" => {
                let name = match given.remove("username") {
                    Some(Value::String(name)) => name,
                    Some(_) => return Err(Failure::local("username is given twice")),
                    None => environment("LOGNAME")
                        .ok_or_else(|| Failure::local("there is no username").hint("give it as username=NAME"))?,
                };
                ask(&mut given, "password", "password")?;
                format!("auth/{mount}/login/{name}")
            }
            "approle" => {
                if !given.contains_key("role_id") {
                    return Err(Failure::local("there is no role_id").hint("give it as role_id=ID"));
                }
                ask(&mut given, "secret_id", "secret ID")?;
                format!("auth/{mount}/login")
            }
            _ => format!("auth/{mount}/login"),
        };
        Ok(Call::new(Method::PUT, path).body(fields::body(&given)?))
    }
}

/// What the token that was kept is good for, without the token: a terminal's scrollback and a log outlive it.
fn summary(output: &Output, reply: &Reply) -> Outcome {
    crate::output::warn(reply);
    // A login answers with `auth`, the lookup of a token with `data`.
    let facts = reply.auth_raw().or(reply.data()).map(|raw| members(raw.get())).transpose()?.unwrap_or_default();
    let lifetime = ["lease_duration", "ttl"].iter().find_map(|name| facts.get(*name)?.get().parse().ok());
    let mut rows = vec![vec!["token_duration".to_owned(), lifetime.map_or_else(|| "n/a".to_owned(), duration)]];
    for (title, name) in
        [("token_accessor", "accessor"), ("token_renewable", "renewable"), ("token_policies", "policies")]
    {
        rows.extend(facts.get(name).map(|value| vec![title.to_owned(), cell(value)]));
    }
    output.table(&["Key", "Value"], rows)?;
    Ok(Exit::Done)
}

/// A refused login, with what can be wrong with one; the hint for other requests would not fit.
fn refused(error: ClientError, why: &'static str, hint: &'static str) -> Failure {
    match error {
        ClientError::Denied { .. } => Failure::remote(format!("permission denied: {why}")).hint(hint),
        other => other.into(),
    }
}

/// Replaces `~/.turnlock-token` in one step, so that no moment has half a token or one that others can read.
fn store(token: &Protected) -> Result<PathBuf, Failure> {
    let home = environment("HOME").map(PathBuf::from);
    let home = home.ok_or_else(|| Failure::local("HOME is not set").hint("log in with --no-store or --token-only"))?;
    let path = home.join(".turnlock-token");
    let failed = |error: &std::io::Error| Failure::file(path.display(), error);
    let file = tempfile::Builder::new()
        .prefix(".turnlock-token.")
        .make_in(&home, |path| std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path));
    let mut file = file.map_err(|error| failed(&error))?;
    file.write_all(token.expose()).map_err(|error| failed(&error))?;
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    file.persist(&path).map_err(|error| failed(&error.error))?;
    Ok(path)
}
