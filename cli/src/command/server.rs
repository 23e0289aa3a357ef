//! `turnlock server`: runs a server, with an agent for rotations inside.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use turnlock::barrier::seal::SealKind;
use turnlock::clock::SystemClock;
use turnlock::config::{Bind, Config, Overrides, WithoutEffect};
use turnlock::exposure::exposed;
use turnlock::hardening::{MemoryLock, harden, keep_files_private};
use turnlock::process::Process;
use turnlock::server::Server;
use turnlock_agent::due::Agent;
use turnlock_agent::push::Folders;
use turnlock_agent::{Client, ClientError};
use turnlock_core::Protected;

use super::Outcome;
use crate::args::environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::log;
use crate::output::note;

/// Life of the embedded agent's token; it gets a new one after half of it.
const AGENT_TOKEN: Duration = Duration::from_secs(3600);

/// Pause between two looks whether the server is open.
const LOOK: Duration = Duration::from_secs(1);

/// Arguments of `turnlock server`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  turnlock server -config /etc/turnlock.hcl
  turnlock server -dev                        in memory, unsealed, root token printed: for trials

A configuration:
  storage \"sled\"  { path = \"/var/lib/turnlock/data\" }
  listener \"tcp\"  { tls_cert_file = \"/etc/turnlock/tls.crt\" tls_key_file = \"/etc/turnlock/tls.key\" }
  audit \"file\"    { path = \"/var/log/turnlock/audit.log\" }
  agent           { target_dirs = [\"/run/app\"] }    # where rotations may replace files

TURNLOCK_LOG_LEVEL, TURNLOCK_API_ADDR and TURNLOCK_DISABLE_MLOCK, also with VAULT_ in the place of
TURNLOCK_, go before the configuration.

Signals: HUP reads certificates again and reopens the audit file; TERM and INT end in order.")]
pub(crate) struct ServerArgs {
    /// Configuration file in HCL or JSON
    #[arg(long, value_name = "FILE", required_unless_present = "dev")]
    config: Option<PathBuf>,
    /// In memory, in the clear on the loopback address, unsealed: never for real secrets
    #[arg(long, conflicts_with = "config")]
    dev: bool,
    /// The root token of -dev
    #[arg(long, value_name = "TOKEN", requires = "dev", env = "TURNLOCK_DEV_ROOT_TOKEN_ID", hide_env_values = true)]
    dev_root_token_id: Option<String>,
    /// The address of -dev
    #[arg(long, value_name = "ADDRESS", requires = "dev", default_value = "127.0.0.1:8200")]
    dev_listen_address: SocketAddr,
    /// How much is logged: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// No agent inside: rotations wait for `turnlock agent`
    #[arg(long)]
    without_agent: bool,
    /// End when this process does, which must be the one that starts the server; for demonstrations and tests
    #[arg(long, value_name = "PID")]
    end_with: Option<i32>,
}

impl ServerArgs {
    /// Serves until it is told to end.
    pub(crate) async fn run(self) -> Outcome {
        if let Some(parent) = self.end_with {
            end_with(parent)?;
        }
        let mut overrides = Overrides::from_environment(environment).map_err(|error| chain(&error))?;
        if let Some(level) = &self.log_level {
            overrides.log_level = Some(log::level(level)?);
        }
        let mut config = match &self.config {
            Some(path) => Config::read(path, overrides).map_err(|error| chain(&error))?,
            None => {
                let mut config = Config::dangerous_development(self.dev_listen_address).with(overrides);
                config.target_dirs.extend(std::env::current_dir());
                config
            }
        };
        config.without_agent = self.without_agent;
        log::start(config.log_level);
        let hardening = harden();
        keep_files_private();
        if !config.disable_mlock && hardening.memory == MemoryLock::Refused {
            return Err(Failure::local("memory cannot be locked").hint("set disable_mlock = true, or permit it"));
        }
        let source = self.config.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
        for WithoutEffect { line, place } in &config.without_effect {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            tracing::warn!("{source}{line}: {place} has no effect");
        }
        for missing in hardening.missing() {
            tracing::warn!("{missing}");
        }
        if !self.dev {
            for open in exposed(&config, self.config.as_deref()) {
                tracing::warn!("{open}");
            }
            for listener in &config.listeners {
                if let Bind::Tcp(address, None) = &listener.bind
                    && !address.ip().is_loopback()
                {
                    tracing::warn!(
                        "ANYBODY between {address} and its clients can read every token and secret, as tls_disable is set: \
                         name tls_cert_file and tls_key_file, or listen on 127.0.0.1 only"
                    );
                }
            }
        } else if !self.dev_listen_address.ip().is_loopback() {
            let address = self.dev_listen_address;
            tracing::error!(
                "ANYBODY who reaches {address} can read every secret on its way, as -dev has no TLS: \
                 leave -dev-listen-address out to stay on this machine"
            );
        }
        // From the start on: a signal that nobody waits for ends the process. Of the second only that matters: a file at its
        // limit is to be an error of the write like any full disk.
        let mut hangup = signals(SignalKind::hangup())?;
        let _file_size = signals(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
        let process =
            Process::start(&config, Arc::new(SystemClock), environment).await.map_err(|error| chain(&error))?;
        for address in &process.addresses {
            tracing::info!(address = %address, "listening");
        }
        if config.audit.is_none() && !self.dev {
            tracing::warn!("no audit is configured: nothing records who did what");
        }
        if config.open_generate_root {
            tracing::warn!(
                "who holds enough shares makes a root token without a token: take enable_unauthenticated_access out of the \
                 configuration and start again once it is made"
            );
        }
        if self.dev {
            let named = self.dev_root_token_id.or_else(|| environment("VAULT_DEV_ROOT_TOKEN_ID"));
            open_for_development(&process, named).await?;
        }
        if let Some(next) = next_step(&process).await? {
            tracing::warn!("{next}");
        }
        let reload = process.reloader();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                tracing::info!("opening the certificates and the audit file again");
                reload();
            }
        });
        if !config.without_agent {
            for missing in config.target_dirs.iter().filter(|folder| !folder.is_dir()) {
                tracing::warn!(
                    "{} of target_dirs is no folder: rotations of files there wait until it is",
                    missing.display()
                );
            }
            let folders = Folders::new(config.target_dirs.clone());
            tokio::spawn(embedded_agent(process.server().clone(), Client::local(process.local()), folders));
        }
        let (mut terminate, mut interrupt) = (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("ending");
        };
        process.run(stop).await.map_err(|error| chain(&error))?;
        Ok(Exit::Done)
    }
}

/// Lets the system tell this process to end when `parent` does, however that ends.
fn end_with(parent: i32) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|error| Failure::file("the end of the parent cannot be followed", &error.into()))?;
    // If it ended before that call, nobody will ever be told.
    match getppid().map(|pid| pid.as_raw_nonzero().get()) {
        Some(pid) if pid == parent => Ok(()),
        _ => Err(Failure::local("the process of --end-with did not start this server, or has ended")),
    }
}

/// What people have to do before the server answers, if anything.
async fn next_step(process: &Process) -> Result<Option<&'static str>, Failure> {
    let server = process.server();
    if server.parts().is_ok() {
        return Ok(None);
    }
    let stored = server.barrier.seal_config().await.map_err(|error| chain(&error))?;
    Ok(Some(match stored {
        None => "the store is new: initialize it with `turnlock operator init`",
        Some(stored) if server.unseals_itself() && stored.kind == SealKind::Shamir => {
            "sealed: this store was initialized with shares, so the configured seal does not open it; unseal it with \
             `turnlock operator unseal`"
        }
        Some(stored) if stored.kind == SealKind::Static => {
            "sealed: this store was initialized with a key of the machine, and the configuration names none"
        }
        Some(_) => "sealed: unseal it with `turnlock operator unseal`",
    }))
}

/// Works on rotations whenever the server is open, with tokens that end by themselves.
async fn embedded_agent(server: Arc<Server>, client: Client, folders: Folders) {
    let (clients, newest) = watch::channel(client.clone());
    let agent = Agent::new(client, "embedded", "").through(newest).writing_into(folders);
    let agent = agent.woken_by(server.rotations.subscribe());
    loop {
        new_token(&server, &clients).await;
        let renewing = async {
            loop {
                tokio::time::sleep(AGENT_TOKEN / 2).await;
                new_token(&server, &clients).await;
            }
        };
        // What it was at when the server was sealed, it takes up again.
        tokio::select! {
            () = agent.run() => {}
            () = renewing => {}
            () = sealed(&server) => {}
        }
    }
}

/// Waits until the server is sealed.
async fn sealed(server: &Server) {
    while server.parts().is_ok() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Gives the agent another token, as soon as the server is open.
async fn new_token(server: &Server, clients: &watch::Sender<Client>) {
    loop {
        if let Ok(parts) = server.parts() {
            match parts.tokens.issue_agent(&parts, AGENT_TOKEN).await {
                Ok(token) => {
                    clients.send_modify(|client| *client = client.clone().with_token(token));
                    return;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the embedded agent got no token")
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Initializes and unseals a server in memory and mounts `secret/`; says how to use it.
async fn open_for_development(process: &Process, root: Option<String>) -> Result<(), Failure> {
    let client = Client::local(process.local());
    let made: serde_json::Value =
        client.write("sys/init", &json!({"secret_shares": 1, "secret_threshold": 1})).await?.body_as()?;
    let text = |value: &serde_json::Value| Protected::from(value.as_str().unwrap_or_default().to_owned());
    let share = made.pointer("/keys/0").map(&text).unwrap_or_else(|| Protected::new(Vec::new()));
    client.write("sys/unseal", &json!({"key": share.expose_str()})).await?;
    let mut token = made.get("root_token").map(text).unwrap_or_else(|| Protected::new(Vec::new()));
    if let Some(id) = root {
        let parts = process.server().parts().map_err(|error| chain(&error))?;
        token = parts.tokens.issue_root(&parts, Some(Protected::from(id))).await.map_err(|error| chain(&error))?;
    }
    let shown = token.expose_str().unwrap_or_default().to_owned();
    let client = client.with_token(token);
    let mounted: Result<_, ClientError> =
        client.write("sys/mounts/secret", &json!({"type": "kv", "options": {"version": "2"}})).await;
    mounted?;
    let address = process.addresses.first().map_or("", String::as_str);
    note(&format!(
        "turnlock: development server, in memory: all is lost at its end\n\n  export TURNLOCK_ADDR={address}\n  \
         export TURNLOCK_TOKEN={shown}\n"
    ));
    Ok(())
}

/// The signals of one kind, from here on.
pub(super) fn signals(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| Failure::file("signals cannot be received", &error))
}

/// The error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    Failure::local(text)
}
