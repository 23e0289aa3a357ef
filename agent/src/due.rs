//! Claims: asks the server for work that is due and keeps at it until told to stop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinSet};
use turnlock_core::rotation::{Attempt, CLAIM, Rotation};
use zeroize::Zeroizing;

use crate::client::{Client, ClientError, one_line};
use crate::drive::drive;
use crate::push::Folders;

/// Longest rest between two claims, however far away the server says that the next work is: by then it may be otherwise.
pub const LONGEST_REST: Duration = Duration::from_secs(30);

/// The same for an agent that is woken when it is otherwise. It still looks, because a clock may be set.
pub const LONGEST_REST_IF_WOKEN: Duration = Duration::from_secs(300);

/// Shortest rest: another agent may have come first, and may fail.
const SHORTEST_REST: Duration = Duration::from_millis(100);

/// How many attempts are driven side by side: a target that does not answer holds up its own, and no others. Most of them wait, so
/// that they cost little.
const SIDE_BY_SIDE: usize = 32;

/// How long an attempt is driven alone before more work is asked for. Most are done by then, and one question does for the next.
const TURN: Duration = Duration::from_millis(250);

/// First and longest pause while the server does not answer.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// An agent: a client and the name under which it claims.
pub struct Agent {
    clients: watch::Receiver<Client>,
    name: String,
    pool: String,
    folders: Folders,
    changes: Option<watch::Receiver<()>>,
    denied: Arc<Notify>,
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
        let (_, clients) = watch::channel(client);
        let (folders, denied) = (Folders::default(), Arc::default());
        Self { clients, name: name.into(), pool: pool.into(), folders, changes: None, denied }
    }

    /// The same, which works through the newest of these clients: their tokens do not live for ever.
    #[must_use]
    pub fn through(mut self, clients: watch::Receiver<Client>) -> Self {
        self.clients = clients;
        self
    }

    /// The same, which may replace files in these folders; without them in none.
    #[must_use]
    pub fn writing_into(mut self, folders: Folders) -> Self {
        self.folders = folders;
        self
    }

    /// The same, which looks for work at once whenever `changes` says that there may be other work than before.
    #[must_use]
    pub fn woken_by(mut self, changes: watch::Receiver<()>) -> Self {
        self.changes = Some(changes);
        self
    }

    /// The same, which tells `denied` when the server refuses it: its token may have ended.
    #[must_use]
    pub fn telling(mut self, denied: Arc<Notify>) -> Self {
        self.denied = denied;
        self
    }

    /// Claims and drives attempts until the future is dropped. An error is logged and tried again later: an agent that
    /// gives up would stop every rotation.
    pub async fn run(&self) {
        let mut changes = self.changes.clone();
        let longest = if changes.is_some() { LONGEST_REST_IF_WOKEN } else { LONGEST_REST };
        let mut pause = PAUSE.0;
        let mut drives = Drives::default();
        let mut driven = Ok(());
        loop {
            // What changes from here on is seen by the next claim, or wakes.
            if let Some(changes) = &mut changes {
                changes.borrow_and_update();
            }
            let next = match std::mem::replace(&mut driven, Ok(())) {
                Ok(()) if drives.held.len() >= SIDE_BY_SIDE => Ok(Next::Nothing(None)),
                Ok(()) => self.claim(drives.held.values().collect()).await,
                Err(error) => Err(error),
            };
            let mut in_turn = false;
            let rest = match next {
                Ok(Next::Work(work)) => {
                    pause = PAUSE.0;
                    // What came to nothing before takes its time again.
                    let turn = if work.attempt.tries == 0 { TURN } else { Duration::ZERO };
                    drives.begin(self, *work);
                    in_turn = true;
                    turn
                }
                Ok(Next::Nothing(wait)) => {
                    pause = PAUSE.0;
                    wait.unwrap_or(longest).clamp(SHORTEST_REST, longest)
                }
                Err(error) => {
                    self.trouble(&error);
                    let now = pause;
                    pause = (pause * 2).min(PAUSE.1);
                    now
                }
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                // One that has its turn would itself wake, a moment before it ends.
                () = changed(&mut changes), if !in_turn => {}
                Some(ended) = drives.ended() => driven = ended,
            }
        }
    }

    fn client(&self) -> Client {
        self.clients.borrow().clone()
    }

    fn trouble(&self, error: &ClientError) {
        if matches!(error, ClientError::Denied { .. }) {
            self.denied.notify_one();
        }
        let error = one_line(&error.to_string());
        tracing::warn!(error, agent = %self.name, "the agent could not reach the server or was refused");
    }

    /// Claims one attempt that is due. `held`: what is being driven already.
    async fn claim(&self, held: Vec<&String>) -> Result<Next, ClientError> {
        #[derive(Serialize)]
        struct Claim<'a> {
            agent: &'a str,
            pool: &'a str,
            held: Vec<&'a String>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Idle {
            wait_ms: Option<u64>,
        }
        let claim = Claim { agent: &self.name, pool: &self.pool, held };
        let client = self.client();
        let reply = client.write("rotation/claim", &claim).await?;
        if let Ok(Idle { wait_ms }) = reply.data_as() {
            return Ok(Next::Nothing(wait_ms.map(Duration::from_millis)));
        }
        Ok(Next::Work(Box::new(reply.data_as()?)))
    }
}

/// What there is to do.
enum Next {
    /// A claimed attempt.
    Work(Box<Work>),
    /// Nothing, and for how long that will stay so as far as the server knows.
    Nothing(Option<Duration>),
}

/// The attempts that are driven side by side. They stop when this is dropped.
#[derive(Default)]
struct Drives {
    tasks: JoinSet<Result<(), ClientError>>,
    /// Their ids.
    held: HashMap<Id, String>,
}

impl Drives {
    fn begin(&mut self, agent: &Agent, work: Work) {
        let (client, folders, id) = (agent.client(), agent.folders.clone(), work.attempt.id.clone());
        self.spawn(id, async move { drive(&client, work, &folders).await });
    }

    fn spawn(&mut self, id: String, driven: impl Future<Output = Result<(), ClientError>> + Send + 'static) {
        self.held.insert(self.tasks.spawn(driven).id(), id);
    }

    /// Waits for one of them to go as far as it goes now; `None` when there is none.
    async fn ended(&mut self) -> Option<Result<(), ClientError>> {
        match self.tasks.join_next_with_id().await? {
            Ok((task, driven)) => {
                self.held.remove(&task);
                Some(driven)
            }
            Err(error) => {
                if let Some(id) = self.held.remove(&error.id()).filter(|_| error.is_panic()) {
                    tracing::error!(
                        attempt.id = id,
                        "a fault in this program ended a rotation's step: it is tried again"
                    );
                    // Until its claim is over it counts as held: it would be handed out at once, for ever.
                    let over = CLAIM.to_std().unwrap_or_default();
                    self.spawn(id, async move {
                        tokio::time::sleep(over).await;
                        Ok(())
                    });
                }
                Some(Ok(()))
            }
        }
    }
}

/// Waits until there is a change; for ever where nobody will tell of one.
async fn changed(changes: &mut Option<watch::Receiver<()>>) {
    if let Some(receiver) = changes {
        if receiver.changed().await.is_ok() {
            return;
        }
        *changes = None;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use http::StatusCode;
    use tokio::sync::Notify;

    use super::{Agent, Drives};
    use crate::client::Client;

    #[tokio::test(start_paused = true)]
    async fn an_agent_tells_when_its_claim_is_denied() {
        let refusing = |status: StatusCode| {
            let router = Router::new().fallback(move || async move { (status, r#"{"errors":["permission denied"]}"#) });
            let denied = Arc::new(Notify::new());
            (Agent::new(Client::local(router), "a", "").telling(denied.clone()), denied)
        };
        let minute = std::time::Duration::from_secs(60);
        for (status, told) in [(StatusCode::FORBIDDEN, true), (StatusCode::SERVICE_UNAVAILABLE, false)] {
            let (agent, denied) = refusing(status);
            tokio::select! {
                () = agent.run() => {}
                heard = tokio::time::timeout(minute, denied.notified()) => assert_eq!(heard.is_ok(), told, "{status}"),
            }
        }
    }

    /// Cause: a panic in one drive went on in the loop that drives all. Loss: one bad row ended every rotation.
    #[tokio::test(start_paused = true)]
    async fn a_fault_in_one_drive_ends_no_other_and_is_not_tried_again_at_once() {
        let mut drives = Drives::default();
        drives.spawn("bad".into(), async { panic!("made up") });
        assert!(matches!(drives.ended().await, Some(Ok(()))));
        drives.spawn("good".into(), async { Ok(()) });
        assert_eq!(drives.held.len(), 2);
        assert!(matches!(drives.ended().await, Some(Ok(()))));
        assert_eq!(drives.held.values().collect::<Vec<_>>(), ["bad"]);
        assert!(matches!(drives.ended().await, Some(Ok(()))));
        assert!(drives.held.is_empty() && drives.ended().await.is_none());
    }
}
