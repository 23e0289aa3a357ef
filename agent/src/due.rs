//! Claims: asks the server for work that is due and keeps at it until told to stop.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use turnlock_core::rotation::{Attempt, Rotation};
use zeroize::Zeroizing;

use crate::client::{Client, ClientError};
use crate::drive::drive;
use crate::push::Folders;

/// Pause between two claims when nothing is due.
pub const POLL: Duration = Duration::from_millis(500);

/// Longest pause while the server does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// An agent: a client and the name under which it claims.
pub struct Agent {
    client: Client,
    name: String,
    pool: String,
    folders: Folders,
}

/// One claimed attempt, with what its step needs.
#[derive(Deserialize)]
pub(crate) struct Work {
    pub(crate) attempt: Attempt,
    pub(crate) rotation: Rotation,
    pub(crate) value: Option<Zeroizing<String>>,
}

impl Agent {
    /// An agent that works through `client` on rotations of `pool` and on those of no pool.
    pub fn new(client: Client, name: impl Into<String>, pool: impl Into<String>) -> Self {
        Self { client, name: name.into(), pool: pool.into(), folders: Folders::default() }
    }

    /// The same, which may replace files in these folders; without them in none.
    #[must_use]
    pub fn writing_into(mut self, folders: Folders) -> Self {
        self.folders = folders;
        self
    }

    /// Claims and drives attempts until the future is dropped. An error is logged and tried again later: an agent that
    /// gives up would stop every rotation.
    pub async fn run(&self) {
        let mut pause = POLL;
        loop {
            match self.work_once().await {
                Ok(true) => pause = Duration::ZERO,
                Ok(false) => pause = POLL,
                Err(error) => {
                    tracing::warn!(error = %error, agent = %self.name, "the agent could not reach the server or was refused");
                    pause = (pause.max(POLL) * 2).min(LONGEST_PAUSE);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Claims one attempt and drives it as far as it goes now. `false` when nothing was due.
    pub async fn work_once(&self) -> Result<bool, ClientError> {
        #[derive(Serialize)]
        struct Claim<'a> {
            agent: &'a str,
            pool: &'a str,
        }
        let reply = self.client.write("rotation/claim", &Claim { agent: &self.name, pool: &self.pool }).await?;
        if reply.data().is_none() {
            return Ok(false);
        }
        drive(&self.client, reply.data_as()?, &self.folders).await?;
        Ok(true)
    }
}
