//! `turnlock agent`: does the work of rotations next to their targets, until it is stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use turnlock::config::LogLevel;
use turnlock::exposure::{exposed_credential, exposed_target};
use turnlock_agent::client::one_line;
use turnlock_agent::due::Agent;
use turnlock_agent::push::Folders;
use turnlock_agent::token::{Life, keep, log_in};
use turnlock_agent::{Client, ClientError};
use turnlock_core::Protected;

use super::{Outcome, trimmed};
use crate::args::Connection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::fields::{Machine, Source as _};
use crate::log;
use crate::output::{note, printable};

/// Pause between two tries of the first login.
const PAUSE: Duration = Duration::from_secs(5);

/// Arguments of `turnlock agent`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  turnlock agent                          work on rotations of no pool
  turnlock agent -pool=dmz -name=edge-1   and on those of one network zone
  turnlock agent -target-dir=/run/app     and on those that replace a file there
  turnlock agent -role-id=ID -secret-id-file=/etc/turnlock/secret-id
                                          with a token of its own, from a login by AppRole

The agent's token needs `update` on rotation/claim and rotation/report/*, and the policy `default`,
with which it is renewed when half of its life is gone. Once it has reached its longest life or was
revoked, the agent logs in again; without -role-id it reads the token again from where it came, and
says in its log until when there must be another.

An agent that is stopped in the middle of an attempt loses its claim after 30 seconds; another one
then goes on where it stood. Between runs it rests until the next one is due, and for 30 seconds at
most: so long may it take until it learns of a run by hand or of a change.")]
pub(crate) struct AgentArgs {
    /// Work also on rotations of this pool
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pool: String,
    /// Name under which attempts are claimed [default: host name and process id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Folder in which files of targets may be replaced, and files with process ids read; repeatable. Without it there is none
    #[arg(long, value_name = "FOLDER", value_parser = absolute)]
    target_dir: Vec<PathBuf>,
    /// Log in by AppRole with this role id, in the place of a token
    #[arg(long, value_name = "ID", conflicts_with = "token_file")]
    role_id: Option<String>,
    /// File with the secret id of that login, read again for each
    #[arg(long, value_name = "FILE", requires = "role_id")]
    secret_id_file: Option<PathBuf>,
    /// Where AppRole is mounted below auth/
    #[arg(long, value_name = "PATH", requires = "role_id", default_value = "approle")]
    login_path: String,
    /// How much is logged: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err("must be an absolute path") }
}

impl AgentArgs {
    /// Works until it is interrupted or told to end.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        log::start(self.log_level.as_deref().map_or(Ok(LogLevel::Info), log::level)?);
        let name = self.name.unwrap_or_else(|| {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            format!("{host}-{}", std::process::id())
        });
        for folder in self.target_dir.iter().filter(|folder| !folder.is_dir()) {
            note(&format!("turnlock: warning: the target folder {} does not exist", folder.display()));
        }
        for open in self.target_dir.iter().flat_map(|folder| exposed_target(folder)) {
            note(&format!("turnlock: warning: {}", printable(&open)));
        }
        let login = self.role_id.map(|role_id| Login {
            role_id,
            secret_id_file: self.secret_id_file,
            mount: trimmed(&self.login_path).to_owned(),
        });
        let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(|error| Failure::file("signals cannot be received", &error))?;
        let work = async {
            let (client, life) = match &login {
                Some(login) => login.first(&at.client_without_token()?).await?,
                None => (given(at)?, None),
            };
            note(&format!("turnlock: the agent {name} is at work"));
            let (clients, newest) = watch::channel(client.clone());
            let agent = Agent::new(client, name, self.pool).writing_into(Folders::new(self.target_dir));
            let denied = Arc::new(Notify::new());
            let agent = agent.through(newest).telling(denied.clone());
            let another = async |client: &Client| match &login {
                Some(login) => login.again(client).await.map(Some),
                None => Ok(other(at, client)),
            };
            tokio::select! {
                never = keep(clients, life, &denied, another) => match never {},
                () = agent.run() => Ok(Exit::Done),
            }
        };
        tokio::select! {
            outcome = work => outcome,
            _ = ended.recv() => Ok(Exit::Done),
            _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
        }
    }
}

/// A client with the token that the agent was given.
fn given(at: &Connection) -> Result<Client, Failure> {
    let client = at.client()?;
    match client.has_token() {
        true => Ok(client),
        false => Err(Failure::local("the agent has no token")
            .hint("name a file that holds one with -token-file, or let it log in, with -role-id and -secret-id-file")),
    }
}

/// A client with what the token's source holds by now, if that is another one.
fn other(at: &Connection, client: &Client) -> Option<(Client, Option<Life>)> {
    let now = at.client().ok()?;
    let is_other = client.token().zip(now.token()).is_some_and(|(old, now)| !old.same_as(now.expose()));
    is_other.then_some((now, None))
}

/// A login by AppRole.
struct Login {
    role_id: String,
    secret_id_file: Option<PathBuf>,
    mount: String,
}

impl Login {
    /// The login at the start, which waits for the server: it may be started later, or be sealed.
    async fn first(&self, client: &Client) -> Result<(Client, Option<Life>), Failure> {
        if let Some(open) = self.secret_id_file.as_deref().and_then(|path| exposed_credential("the secret id", path)) {
            note(&format!("turnlock: warning: {}", printable(&open)));
        }
        loop {
            match self.again(client).await {
                Err(Refusal::Server(error)) if may_pass(&error) => {
                    let error = one_line(&error.to_string());
                    tracing::warn!(error, "the agent could not log in so far");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(Refusal::Server(error)) => {
                    return Err(Failure::from(error).hint("check -role-id, -secret-id-file and -login-path"));
                }
                Err(Refusal::File(failure)) => return Err(failure),
                Ok(logged_in) => return Ok(logged_in),
            }
        }
    }

    async fn again(&self, client: &Client) -> Result<(Client, Option<Life>), Refusal> {
        let secret_id = self.secret_id_file.as_deref().map(credential).transpose().map_err(Refusal::File)?;
        let logged_in = log_in(client, &self.mount, &self.role_id, secret_id.as_ref()).await;
        logged_in.map(|(client, life)| (client, Some(life))).map_err(Refusal::Server)
    }
}

/// Why there was no login.
enum Refusal {
    File(Failure),
    Server(ClientError),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(failure) => f.write_str(failure.text()),
            Self::Server(error) => f.write_str(&one_line(&error.to_string())),
        }
    }
}

/// Whether the same login may go well later.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Api { status, .. } => status.is_server_error() || status.as_u16() == 429,
        ClientError::Unreachable { .. } => true,
        _ => false,
    }
}

/// What a file holds, without blanks around it.
fn credential(path: &Path) -> Result<Protected, Failure> {
    let bytes = Machine.file(&path.to_string_lossy())?;
    Ok(Protected::copy_of(bytes.trim_ascii()))
}
