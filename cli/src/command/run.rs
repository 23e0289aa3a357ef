//! `turnlock run`: a program with secrets in its environment and its output masked.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;

use turnlock_agent::ClientError;
use turnlock_agent::client::one_line;
use turnlock_agent::env_file::{self, EnvFileError, Setting};
use turnlock_agent::mask;
use turnlock_agent::reference::{self, Reference, ResolveError};
use turnlock_agent::run::{Run, RunError};
use turnlock_core::Protected;

use super::Outcome;
use crate::args::Connection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{note, printable};

/// Runs a program with secrets in its environment.
///
/// The program gets the values, but not turnlock's own token. What it prints is masked, also in base64, hex, URL and
/// JSON form. On a terminal it gets a terminal; signals are passed on, and Ctrl-Z stops it and gives the prompt back until
/// `fg` or `bg`. Nothing is written to disk.
///
/// Values of fewer than 4 bytes are not masked, as they occur in any text; a warning names their variables.
///
/// Files of --env-file hold references in the place of values, so they may be committed:
/// DB_PASSWORD=turnlock://secret/app/db#password
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  turnlock run --env DB_PASSWORD=secret/app/db#password -- ./app --port 8080
  turnlock run --env-file .env -- npm start
  turnlock run --env OLD=secret/app/db#password?label=previous -- ./compare

Ends with the program's exit code, or 128 + signal; 125 to 127 when the program could not be
started.")]
pub(crate) struct RunArgs {
    /// A variable and the secret it gets: NAME=MOUNT/PATH#FIELD, with ?version=N or ?label=NAME behind
    #[arg(long, value_name = "NAME=REFERENCE")]
    env: Vec<String>,
    /// A .env file with references; later files and --env go before earlier ones
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Let the output through as it is
    #[arg(long)]
    no_masking: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl RunArgs {
    /// Reads the secrets, then runs the program to its end.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let entries = self.entries()?;
        let mut references = Vec::new();
        let mut names = Vec::new();
        let mut settings = Vec::new();
        for (name, value) in entries {
            match value {
                Setting::Secret(reference) => {
                    names.push(name);
                    references.push(reference);
                }
                Setting::Literal(text) => settings.push((name, text)),
            }
        }
        let values: Vec<Protected> = if references.is_empty() {
            Vec::new()
        } else {
            let resolved = reference::resolve(&at.client()?, &references).await;
            resolved.map_err(|error| {
                let mut failure = Failure::remote(one_line(&error.to_string()));
                let source = if let ResolveError::Client { source, .. } = &error { Some(source) } else { None };
                if let Some(ClientError::Denied { anonymous: false, .. }) = source {
                    failure = failure.refused();
                }
                match error.hint() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            })?
        };
        let secrets: Vec<(String, Protected)> = names.into_iter().zip(values).collect();
        if !self.no_masking {
            tell_unmasked(&secrets);
        }
        let mut words = self.command.into_iter();
        let program = words.next().ok_or_else(|| Failure::local("there is no program to run"))?;
        let name = program.to_string_lossy().into_owned();
        let run = Run { program, arguments: words.collect(), secrets, settings, masking: !self.no_masking };
        match Box::pin(run.run()).await {
            Ok(code) => Ok(Exit::Of(u8::try_from(code).unwrap_or(u8::MAX))),
            Err(error) => {
                let text = match &error {
                    RunError::Start(cause) => format!("program {name} cannot be started: {cause}"),
                    RunError::Terminal(cause) => format!("{error}: {cause}"),
                    _ => error.to_string(),
                };
                let code = u8::try_from(error.exit_code()).unwrap_or(125);
                Err(Failure::local(text).ending(Exit::Of(code)))
            }
        }
    }

    fn entries(&self) -> Result<Vec<(String, Setting)>, Failure> {
        let mut entries: Vec<(String, Setting)> = Vec::new();
        let mut set = |name: String, value: Setting| {
            entries.retain(|(earlier, _)| *earlier != name);
            entries.push((name, value));
        };
        for path in &self.env_file {
            let file = File::open(path).map_err(|error| Failure::file(path.display(), &error))?;
            let parsed = env_file::parse(file).map_err(|error| {
                let cause = match &error {
                    EnvFileError::Read(cause) => format!(": {cause}"),
                    _ => String::new(),
                };
                Failure::local(format!("{}: {error}{cause}", path.display()))
                    .hint("lines are NAME=turnlock://MOUNT/PATH#FIELD or NAME=value")
            })?;
            parsed.into_iter().for_each(|entry| set(entry.name, entry.value));
        }
        for (number, argument) in self.env.iter().enumerate() {
            // What stands there may be a value by mistake, so it is not repeated.
            let malformed = |why: &str| {
                Failure::local(format!("--env number {} {why}", number + 1))
                    .hint("write --env NAME=MOUNT/PATH#FIELD, for example --env DB=secret/app/db#password")
            };
            let (name, text) = argument.split_once('=').ok_or_else(|| malformed("has no ="))?;
            if name.is_empty() {
                return Err(malformed("has no name before its ="));
            }
            let reference =
                Reference::parse_short(text).map_err(|error| malformed(&format!("is not usable: {error}")))?;
            set(name.to_owned(), Setting::Secret(reference));
        }
        Ok(entries)
    }
}

/// Says which variables have values that the masker lets through, so that nobody relies on it there.
fn tell_unmasked(secrets: &[(String, Protected)]) {
    let short = secrets.iter().filter(|(_, value)| (1..mask::SHORTEST).contains(&value.len()));
    let names: Vec<&str> = short.map(|(name, _)| name.as_str()).collect();
    if !names.is_empty() {
        let (names, least) = (printable(&names.join(", ")), mask::SHORTEST);
        note(&format!("turnlock: warning: not masked, as it has fewer than {least} bytes: the value of {names}"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn arguments(env: &[&str]) -> RunArgs {
        RunArgs {
            env: env.iter().map(|text| (*text).to_owned()).collect(),
            env_file: Vec::new(),
            no_masking: false,
            command: vec!["true".into()],
        }
    }

    #[test]
    fn a_later_variable_goes_before_an_earlier_one() {
        let entries = arguments(&["A=secret/x#one", "B=secret/y#two", "A=secret/z#three"]).entries().unwrap();
        let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["B", "A"]);
        assert!(matches!(&entries[1].1, Setting::Secret(reference) if reference.field == "three"));
    }

    #[test]
    fn a_value_in_the_place_of_a_reference_is_not_repeated() {
        for text in ["A=tlk_canary_value", "tlk_canary_value", "=tlk_canary_value"] {
            let lines = arguments(&[text]).entries().unwrap_err().lines();
            assert!(!lines.contains("tlk_canary"), "{lines}");
        }
    }
}
