//! The words of the command line, and the options that every word takes.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use turnlock::exposure::exposed_credential;
use turnlock_agent::{Client, ClientConfig, ClientError};
use turnlock_core::Protected;

use crate::command;
use crate::failure::Failure;
use crate::fields::{Machine, Source as _};
use crate::output::{Format, Output, note, printable};

const AFTER_HELP: &str = "\
Examples:
  turnlock server --dev                          a throw-away server to try things on
  turnlock kv put secret/app/db password=-       store a value given on standard input
  turnlock kv get -field=password secret/app/db  read it back
  turnlock run --env DB=secret/app/db#password -- ./app
                                                 run a program with it
  turnlock scan .                                look for leaked credentials

Environment:
  TURNLOCK_ADDR        address: https://…, http://… or unix:///… [https://127.0.0.1:8200]
  TURNLOCK_TOKEN       token; otherwise the one of `turnlock login`, in ~/.turnlock-token
  TURNLOCK_CACERT      PEM file with the authorities to trust
  TURNLOCK_NAMESPACE   namespace
  TURNLOCK_FORMAT      form of the output: table, json or yaml
  TURNLOCK_CLIENT_TIMEOUT
                       how long an answer may take: 30, 90s, 2m [60s]
  NO_COLOR             no colours
Each is also read with VAULT_ in the place of TURNLOCK_. Flags may be written with one dash
(-format=json).";

/// Keeps secrets, rotates them, and finds the ones that leaked.
#[derive(Debug, Parser)]
#[command(name = "turnlock", version, after_help = format!("{AFTER_HELP}\n\n{}", crate::exit::EXIT_CODES),
          disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How to reach the server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Connection {
    /// Address of the server [env: TURNLOCK_ADDR, VAULT_ADDR]
    #[arg(long, global = true, value_name = "URL")]
    address: Option<String>,
    /// PEM file with the authorities to trust [env: TURNLOCK_CACERT, VAULT_CACERT]
    #[arg(long, global = true, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// Namespace [env: TURNLOCK_NAMESPACE, VAULT_NAMESPACE]
    #[arg(long, visible_alias = "ns", global = true, value_name = "PATH")]
    namespace: Option<String>,
    /// File with the token, in the place of TURNLOCK_TOKEN or ~/.turnlock-token
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Connection {
    /// A client with the token of whoever runs the command.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.config()?)?)
    }

    /// A client for what needs no token; one that cannot be read is no obstacle.
    pub(crate) fn client_without_token(&self) -> Result<Client, Failure> {
        let hidden = |name: &str| if name == "HOME" { None } else { environment(name) };
        Ok(Client::new(self.over(ClientConfig::from_env_like(hidden)?)?)?.without_token())
    }

    /// Whether the server knows nothing of the token, not even for itself.
    pub(crate) async fn has_dead_token(&self) -> bool {
        let Ok(client) = self.client() else { return false };
        matches!(client.read("auth/token/lookup-self").await, Err(ClientError::Denied { .. }))
    }

    /// Where the token comes from, and how to have another.
    pub(crate) fn about_token(&self) -> String {
        match (&self.token_file, token_variables().first()) {
            (Some(path), _) => format!("it comes from {}: write a valid one there", path.display()),
            (None, Some(variable)) => {
                format!(
                    "it comes from {variable}: set a valid one, or `unset {variable}` and log in with `turnlock login`"
                )
            }
            (None, None) => "it was kept by an earlier login: log in again with `turnlock login`".to_owned(),
        }
    }

    /// What the flags, the environment and the token file say, in this order.
    pub(crate) fn config(&self) -> Result<ClientConfig, Failure> {
        let explicit = self.token_file.is_some();
        let lookup = |name: &str| {
            if explicit && matches!(name, "HOME" | "TURNLOCK_TOKEN" | "VAULT_TOKEN") { None } else { environment(name) }
        };
        self.over(ClientConfig::from_env_like(lookup)?)
    }

    fn over(&self, mut config: ClientConfig) -> Result<ClientConfig, Failure> {
        if let Some(address) = &self.address {
            config.address.clone_from(address);
        }
        if let Some(file) = &self.ca_cert {
            config.ca_file = Some(file.clone());
        }
        if let Some(namespace) = &self.namespace {
            config.namespace = Some(namespace.clone());
        }
        if let Some(path) = &self.token_file {
            let bytes = Machine.file(&path.to_string_lossy())?;
            if let Some(open) = exposed_credential("the token file", path) {
                note(&format!("turnlock: warning: {}", printable(&open)));
            }
            config.token = Some(Protected::copy_of(bytes.trim_ascii()));
        }
        Ok(config)
    }
}

/// The form of what is printed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Form of the output [env: TURNLOCK_FORMAT, VAULT_FORMAT; default: table]
    #[arg(long, global = true, value_enum)]
    format: Option<Format>,
}

impl OutputArgs {
    /// The form that flag or environment ask for.
    pub(crate) fn output(&self) -> Result<Output, Failure> {
        Ok(Output { format: self.resolve()?, field: None })
    }

    /// The same, for one field of the answer.
    pub(crate) fn with_field(&self, field: Option<&String>) -> Result<Output, Failure> {
        Ok(Output { format: self.resolve()?, field: field.cloned() })
    }

    fn resolve(&self) -> Result<Format, Failure> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let named = ["TURNLOCK_FORMAT", "VAULT_FORMAT"].into_iter().find_map(environment);
        match named.as_deref() {
            None | Some("table") => Ok(Format::Table),
            Some("json") => Ok(Format::Json),
            Some("yaml" | "yml") => Ok(Format::Yaml),
            Some(_) => Err(Failure::local("TURNLOCK_FORMAT or VAULT_FORMAT is none of table, json, yaml")),
        }
    }
}

/// A variable of the environment; an empty one counts as absent.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The variables that hold a token, the one that counts first. A token that is kept counts only without any.
pub(crate) fn token_variables() -> Vec<&'static str> {
    ["TURNLOCK_TOKEN", "VAULT_TOKEN"].into_iter().filter(|name| environment(name).is_some()).collect()
}

/// The words.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read and write versioned secrets
    Kv(command::kv::KvArgs),
    /// Show whether the server is initialized and unsealed; exit code 2 when it is sealed
    Status(command::status::StatusArgs),
    /// Log in and keep the token in ~/.turnlock-token
    Login(command::login::LoginArgs),
    /// Read what is at a path
    Read(command::generic::ReadArgs),
    /// Write fields to a path
    Write(command::generic::WriteArgs),
    /// Change some fields of what is at a path
    Patch(command::generic::PatchArgs),
    /// Delete what is at a path
    Delete(command::generic::DeleteArgs),
    /// List the names below a path
    List(command::generic::ListArgs),
    /// Open a wrapped answer, once
    Unwrap(command::unwrap::UnwrapArgs),
    /// Create, look up, renew and revoke tokens
    Token(command::token::TokenArgs),
    /// Write, read and list policies
    Policy(command::policy::PolicyArgs),
    /// Mount and tune engines for secrets
    Secrets(command::secrets::SecretsArgs),
    /// Mount and tune ways to log in
    Auth(command::auth::AuthArgs),
    /// Renew, revoke and look up leases
    Lease(command::lease::LeaseArgs),
    /// Run a server
    Server(command::server::ServerArgs),
    /// Initialize, unseal, seal, rotate keys, back up
    Operator(command::operator::OperatorArgs),
    /// Verify the audit's chain; say who read a secret; hash a value as it does
    Audit(command::audit::AuditArgs),
    /// Run a program with secrets in its environment and its output masked
    Run(command::run::RunArgs),
    /// Define rotations of secrets, run them, see what came of them
    Rotate(command::rotate::RotateArgs),
    /// Do the work of rotations next to their targets
    Agent(command::agent::AgentArgs),
    /// Look for leaked credentials in files and in the history of a repository
    Scan(Box<command::scan::ScanArgs>),
    /// Show the whole product at work on real input, within a minute
    Demo(command::demo::DemoArgs),
    /// Write the completions of a shell
    Completions(command::completions::CompletionsArgs),
    /// Show the version
    Version,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_with_values_says_what_it_is_and_shows_an_example() {
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands() {
                assert!(sub.get_about().is_some(), "{} has no purpose", sub.get_name());
                let taught = sub.get_after_help().is_some() || sub.get_long_about().is_some();
                assert!(
                    sub.has_subcommands() || taught || sub.get_name() == "version",
                    "{} has no example",
                    sub.get_name()
                );
                if sub.get_name() != "scan" {
                    check(sub);
                }
            }
        }
        check(&Arguments::command());
    }

    #[test]
    fn no_line_of_the_help_breaks_in_two() {
        fn broken(command: &clap::Command, found: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            found.extend(help.lines().filter(|line| line.chars().count() > 100).map(str::to_owned));
            command.get_subcommands().for_each(|sub| broken(sub, found));
        }
        let mut found = Vec::new();
        broken(&Arguments::command(), &mut found);
        assert!(found.is_empty(), "longer than 100 characters: {found:#?}");
    }

    #[test]
    fn the_configuration_that_the_help_shows_is_one() {
        let server = Arguments::command().find_subcommand("server").and_then(|server| server.get_after_help().cloned());
        let help = server.unwrap().to_string();
        let shown = help.split_once("A configuration:\n").unwrap().1.split_once("\n\n").unwrap().0;
        turnlock::config::Config::parse(shown).unwrap();
    }
}
