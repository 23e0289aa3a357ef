//! Options of a scan that are given to a word that scans nothing: refused there, and left out of its help.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args as _, Command};

use super::args::Settings;

/// What holds as well where nothing is scanned.
const HARMLESS: &[&str] = &["as_gitleaks", "log_level", "no_banner", "no_color"];

/// Takes the options of a scan away from the command that has it among its arguments.
#[derive(Debug)]
pub(super) struct Idle;

impl clap::Args for Idle {
    /// Under their own names, so that clap does not hand down those that every word takes.
    fn augment_args(command: Command) -> Command {
        command.args(options().into_iter().map(|option| option.global(false).hide(true)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Idle {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_given = |option: &Arg| matches.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine);
        let given: Vec<String> = options()
            .iter()
            .filter(|option| is_given(option))
            .filter_map(|option| option.get_long().map(flag))
            .collect();
        if given.is_empty() {
            return Ok(Self);
        }
        let have = if given.len() == 1 { "has" } else { "have" };
        let text = format!(
            "{} {have} no effect here: nothing is scanned. What every scan shall keep to stands in \
             `.turnlock-scan.toml` and `.turnlockignore` at the top of the repository",
            given.join(", ")
        );
        Err(clap::Error::raw(ErrorKind::ArgumentConflict, text))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn options() -> Vec<Arg> {
    let settings = Settings::augment_args(Command::new("scan"));
    let idle = settings.get_arguments().filter(|option| !HARMLESS.contains(&option.get_id().as_str()));
    idle.cloned().collect()
}

fn flag(name: &str) -> String {
    format!("--{name}")
}
