//! `turnlock agent`: does the work of rotations next to their targets, until it is stopped.

use turnlock_agent::due::Agent;

use super::Outcome;
use crate::args::Connection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;

/// Arguments of `turnlock agent`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  turnlock agent                          work on rotations of no pool
  turnlock agent -pool=dmz -name=edge-1   and on those of one network zone

The agent's token needs `update` on rotation/claim and rotation/report/*. An agent that is stopped in the middle of an
attempt loses its claim after 30 seconds; another one then goes on where it stood.")]
pub(crate) struct AgentArgs {
    /// Work also on rotations of this pool
    #[arg(long, value_name = "NAME", default_value = "")]
    pool: String,
    /// Name under which attempts are claimed [default: host name and process id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl AgentArgs {
    /// Works until it is interrupted or told to end.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let client = at.client()?;
        let name = self.name.unwrap_or_else(|| {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            format!("{host}-{}", std::process::id())
        });
        note(&format!("turnlock: the agent {name} is at work"));
        let agent = Agent::new(client, name, self.pool);
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
