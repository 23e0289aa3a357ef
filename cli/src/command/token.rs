//! `turnlock token`: create, look up, renew, revoke; what a token may do. Tokens come from standard input, never argv.

use http::Method;
use serde_json::{Map, Value, json};
use turnlock_agent::{Call, Client, Reply};
use turnlock_core::token::TokenKind;
use zeroize::Zeroizing;

use super::{Outcome, trimmed};
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::{fields, terminal};

/// Arguments of `turnlock token`.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Create a token
    #[command(
        after_help = "Examples:\n  turnlock token create -policy=app -ttl=1h\n  turnlock token create -orphan -period=24h -policy=ci -field=token\n  turnlock token create -type=batch -policy=app -ttl=10m"
    )]
    Create(Box<CreateArgs>),
    /// Show what a token is and may
    #[command(
        after_help = "Examples:\n  turnlock token lookup                 the own token\n  turnlock token lookup - < token\n  turnlock token lookup -accessor 0H3f…"
    )]
    Lookup(Which),
    /// Prolong a token
    #[command(after_help = "Examples:\n  turnlock token renew -increment=1h\n  turnlock token renew -accessor 0H3f…")]
    Renew {
        #[command(flatten)]
        which: Which,
        /// For how long from now
        #[arg(short, long, value_name = "DURATION")]
        increment: Option<String>,
    },
    /// End a token and everything that it created
    #[command(
        after_help = "Examples:\n  turnlock token revoke -self\n  turnlock token revoke - < token\n  turnlock token revoke -accessor 0H3f…\n  turnlock token revoke -mode=path auth/approle/login"
    )]
    Revoke {
        #[command(flatten)]
        which: Which,
        /// End the own token
        #[arg(long = "self", conflicts_with_all = ["token", "accessor"])]
        own: bool,
        /// orphan: what it created lives on; path: the argument is a path of logins, such as auth/approle/, and their tokens end
        #[arg(long, value_parser = ["orphan", "path"], hide_possible_values = true)]
        mode: Option<String>,
    },
    /// Show what the token may do at paths
    #[command(
        after_help = "Examples:\n  turnlock token capabilities secret/data/app/db\n  turnlock token capabilities - secret/data/app/db < token\n  turnlock token capabilities -accessor=0H3f… secret/data/app/db"
    )]
    Capabilities {
        /// Paths of the API; `-` before them for a token on standard input
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<String>,
        /// The token's accessor
        #[arg(long)]
        accessor: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// `-` for a token on standard input, an accessor with -accessor; the own token otherwise
    #[arg(value_name = "-|ACCESSOR")]
    token: Option<String>,
    /// The argument is an accessor
    #[arg(long, requires = "token")]
    accessor: bool,
}

/// What is done to which token.
enum Handle {
    Own,
    Token(Zeroizing<String>),
    Accessor(String),
}

impl Which {
    fn handle(self) -> Result<Handle, Failure> {
        match self.token {
            None => Ok(Handle::Own),
            Some(accessor) if self.accessor => Ok(Handle::Accessor(accessor)),
            typed => {
                terminal::only_dash(typed.as_deref(), "token")?;
                let token = terminal::secret("token")?;
                let text = token.expose_str().ok_or_else(|| Failure::local("the token is not text"))?;
                Ok(Handle::Token(Zeroizing::new(text.to_owned())))
            }
        }
    }
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// Policy of the token; may be given several times
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// How long it lives, renewals apart
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// How long it lives at most
    #[arg(long, value_name = "DURATION")]
    explicit_max_ttl: Option<String>,
    /// Renewable for ever, by this much at a time
    #[arg(long, value_name = "DURATION")]
    period: Option<String>,
    /// How often it can be used; 0 for any number
    #[arg(long, value_name = "NUMBER")]
    use_limit: Option<u64>,
    /// Lives on when its parent ends
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "true|false", hide_possible_values = true, default_missing_value = "true", default_value = "false", action = clap::ArgAction::Set)]
    orphan: bool,
    /// Without the policy `default`
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "true|false", hide_possible_values = true, default_missing_value = "true", default_value = "false", action = clap::ArgAction::Set)]
    no_default_policy: bool,
    /// Whether it can be renewed
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "true|false", hide_possible_values = true, default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set)]
    renewable: bool,
    /// service or batch
    #[arg(long = "type", value_name = "TYPE", value_parser = ["service", "batch"])]
    kind: Option<String>,
    /// Name shown in the audit
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Metadata of the token; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Create it by this role
    #[arg(long)]
    role: Option<String>,
    /// Ask for the answer wrapped in a single-use token that lives this long
    #[arg(long, value_name = "DURATION")]
    wrap_ttl: Option<String>,
    /// Print this field only
    #[arg(long)]
    field: Option<String>,
}

impl CreateArgs {
    fn call(&self) -> Result<Call, Failure> {
        let mut body = Map::new();
        if !self.policy.is_empty() {
            body.insert("policies".to_owned(), json!(self.policy));
        }
        let texts = [
            ("ttl", &self.ttl),
            ("explicit_max_ttl", &self.explicit_max_ttl),
            ("period", &self.period),
            ("type", &self.kind),
            ("display_name", &self.display_name),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                body.insert(key.to_owned(), value.as_str().into());
            }
        }
        if let Some(limit) = self.use_limit {
            body.insert("num_uses".to_owned(), limit.into());
        }
        if self.no_default_policy {
            body.insert("no_default_policy".to_owned(), true.into());
        }
        if !self.renewable {
            body.insert("renewable".to_owned(), false.into());
        }
        if !self.metadata.is_empty() {
            let pairs = self.metadata.iter().map(|entry| {
                let (key, value) = entry.split_once('=').ok_or_else(|| Failure::local("-metadata is not key=value"))?;
                Ok::<_, Failure>((key.to_owned(), Value::from(value)))
            });
            body.insert("meta".to_owned(), Value::Object(pairs.collect::<Result<_, _>>()?));
        }
        let path = match (&self.role, self.orphan) {
            (Some(role), _) => format!("auth/token/create/{}", trimmed(role)),
            (None, true) => "auth/token/create-orphan".to_owned(),
            (None, false) => "auth/token/create".to_owned(),
        };
        let call = Call::new(Method::POST, path).body(fields::body(&body)?);
        Ok(super::generic::wrapped(call, self.wrap_ttl.as_deref()))
    }
}

impl TokenArgs {
    /// Does it.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        let client = at.client()?;
        match self.verb {
            Verb::Create(args) => {
                let output = Output { field: args.field.clone(), ..output };
                output.reply(&client.send(args.call()?).await?)?;
            }
            Verb::Lookup(which) => {
                let reply = match which.handle()? {
                    Handle::Own => client.read("auth/token/lookup-self").await?,
                    other => put(&client, "lookup", &other, Map::new()).await?,
                };
                output.reply(&reply)?;
            }
            Verb::Renew { which, increment } => {
                let mut body = Map::new();
                if let Some(increment) = increment {
                    body.insert("increment".to_owned(), increment.into());
                }
                output.reply(&put(&client, "renew", &which.handle()?, body).await?)?;
            }
            Verb::Revoke { which, own, mode } => {
                if mode.as_deref() == Some("path") {
                    let path = which.token.ok_or_else(|| Failure::local("there is no path to revoke below"))?;
                    let path = format!("sys/leases/revoke-prefix/{}", trimmed(&path));
                    let reply = client.send(Call::new(Method::PUT, path)).await?;
                    output.done(&reply, "Success! Revoked token (if it existed)")?;
                    return Ok(Exit::Done);
                }
                let verb = if mode.is_some() { "revoke-orphan" } else { "revoke" };
                let handle = match which.handle()? {
                    Handle::Own if !own => {
                        return Err(Failure::local("which token is to end?").hint(
                            "-self for the own, - for one on standard input, -accessor for one by its accessor",
                        ));
                    }
                    handle => handle,
                };
                let reply = put(&client, verb, &handle, Map::new()).await?;
                output.done(&reply, "Success! Revoked token (if it existed)")?;
            }
            Verb::Capabilities { mut paths, accessor } => {
                terminal::only_dash(paths.iter().map(String::as_str).find(|path| is_token(path)), "token")?;
                let mut body = Map::new();
                let endpoint = if let Some(accessor) = accessor {
                    body.insert("accessor".to_owned(), accessor.into());
                    "sys/capabilities-accessor"
                } else if paths.first().is_some_and(|path| path == "-") {
                    paths.remove(0);
                    let token = terminal::secret("token")?;
                    body.insert("token".to_owned(), token.expose_str().unwrap_or_default().into());
                    "sys/capabilities"
                } else {
                    "sys/capabilities-self"
                };
                if paths.is_empty() {
                    return Err(Failure::local("there is no path"));
                }
                body.insert("paths".to_owned(), json!(paths));
                let reply = client.send(Call::new(Method::POST, endpoint).body(fields::body(&body)?)).await?;
                capabilities(&output, &reply, &paths)?;
            }
        }
        Ok(Exit::Done)
    }
}

/// Whether `text` begins as tokens do and paths do not, those of Vault among them.
fn is_token(text: &str) -> bool {
    TokenKind::of(text).is_some() || ["hvs.", "hvb.", "hvr."].iter().any(|prefix| text.starts_with(prefix))
}

async fn put(client: &Client, verb: &str, handle: &Handle, mut body: Map<String, Value>) -> Result<Reply, Failure> {
    let endpoint = match handle {
        Handle::Own => format!("auth/token/{verb}-self"),
        Handle::Token(token) => {
            body.insert("token".to_owned(), token.as_str().into());
            format!("auth/token/{verb}")
        }
        Handle::Accessor(accessor) => {
            body.insert("accessor".to_owned(), accessor.as_str().into());
            format!("auth/token/{verb}-accessor")
        }
    };
    Ok(client.send(Call::new(Method::POST, endpoint).body(fields::body(&body)?)).await?)
}

fn capabilities(output: &Output, reply: &Reply, paths: &[String]) -> Result<(), Failure> {
    use crate::output::{Format, line, printable};
    let answer: std::collections::BTreeMap<String, Vec<String>> = reply.data_as()?;
    if output.format != Format::Table {
        let json = serde_json::to_string(&answer).map_err(|_| Failure::local("the answer is no JSON"))?;
        return output.document(&json);
    }
    let of = |path: &String| answer.get(path).or_else(|| answer.get("capabilities")).cloned().unwrap_or_default();
    if let [path] = paths {
        return line(&printable(&of(path).join(", ")));
    }
    paths.iter().try_for_each(|path| line(&printable(&format!("{path}: {}", of(path).join(", ")))))
}
