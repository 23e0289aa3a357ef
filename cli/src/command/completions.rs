//! `turnlock completions`: what a shell needs to complete the command line.

use clap::CommandFactory as _;

use super::Outcome;
use crate::args::Arguments;
use crate::exit::Exit;

/// Writes the completions of a shell to standard output.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  turnlock completions bash > /etc/bash_completion.d/turnlock\n  turnlock completions zsh > \"${fpath[1]}/_turnlock\""
)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    shell: clap_complete::Shell,
}

impl CompletionsArgs {
    /// Writes them.
    pub(crate) fn run(&self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "turnlock", &mut script);
        std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?;
        Ok(Exit::Done)
    }
}
