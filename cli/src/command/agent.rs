//! `turnlock agent`: does the work of rotations next to their targets, until it is stopped.

use std::path::PathBuf;

use turnlock::exposure::exposed_target;
use turnlock_agent::due::Agent;
use turnlock_agent::push::Folders;

use super::Outcome;
use crate::args::Connection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{note, printable};

/// Arguments of `turnlock agent`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  turnlock agent                          work on rotations of no pool
  turnlock agent -pool=dmz -name=edge-1   and on those of one network zone
  turnlock agent -target-dir=/run/app     and on those that replace a file there

The agent's token needs `update` on rotation/claim and rotation/report/*. An agent that is stopped
in the middle of an attempt loses its claim after 30 seconds; another one then goes on where it
stood. Between runs it rests until the next one is due, and for 30 seconds at most: so long may it
take until it learns of a run by hand or of a change.")]
pub(crate) struct AgentArgs {
    /// Work also on rotations of this pool
    #[arg(long, value_name = "NAME", default_value = "")]
    pool: String,
    /// Name under which attempts are claimed [default: host name and process id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Folder in which files of targets may be replaced, and files with process ids read; repeatable. Without it there is none
    #[arg(long, value_name = "FOLDER", value_parser = absolute)]
    target_dir: Vec<PathBuf>,
}

fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err("must be an absolute path") }
}

impl AgentArgs {
    /// Works until it is interrupted or told to end.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let client = at.client()?;
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
        note(&format!("turnlock: the agent {name} is at work"));
        let agent = Agent::new(client, name, self.pool).writing_into(Folders::new(self.target_dir));
        let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(|error| Failure::file("signals cannot be received", &error))?;
        tokio::select! {
            () = agent.run() => {}
            _ = ended.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(Exit::Done)
    }
}
