//! Half of the cores for what clients can cause faster than it is done, so that the other half stays for those who ask one
//! thing after the other.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

/// How long the first in the line for those in haste stands there, at least: the runtime's timer adds up to as much.
const PACE: Duration = Duration::from_millis(1);

/// The lines for what is cheap to ask for. Who waits in one is not in the runtime's queue, where others would wait behind him.
#[derive(Debug)]
pub(super) struct Turns {
    /// The server's part of handshakes. One of its own, because the other half of a handshake can be bytes from a file.
    pub(super) handshakes: Line,
    /// Large bodies to parse, and requests that were sent without waiting for the answer to the one before.
    pub(super) requests: Line,
    hurried: Semaphore,
}

/// A line in which as many are at work as half of the cores.
#[derive(Debug)]
pub(super) struct Line(Semaphore);

impl Turns {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let line = || Line(Semaphore::new((cores / 2).max(1)));
        Self { handshakes: line(), requests: line(), hurried: Semaphore::new(1) }
    }

    /// Waits behind all others who send on and on without waiting for answers: a few hundred of them go on each second. Most
    /// never take their answers, so that nobody is kept from anything by their being slow.
    pub(super) async fn line_up(&self) {
        let _first = self.hurried.acquire().await;
        sleep(PACE).await;
    }
}

impl Line {
    /// Does `work`, which begins by its turn if it has to wait for one. The turn is over when the work waits for something
    /// itself, so that nobody can take one and keep it.
    pub(super) async fn take<F: Future>(&self, waits: bool, mut work: Pin<&mut F>) -> F::Output {
        // Never closed.
        let mut turn = if waits { self.0.acquire().await.ok() } else { None };
        poll_fn(move |context| {
            let polled = work.as_mut().poll(context);
            drop(turn.take());
            polled
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::Turns;

    #[test]
    fn half_of_the_cores_begin_such_work_at_once_and_all_do_other_work() {
        let turns = Turns::new().requests;
        let held: Vec<_> = std::iter::from_fn(|| turns.0.try_acquire().ok()).collect();
        assert!(!held.is_empty());
        assert_eq!(turns.take(true, pin!(ready(()))).now_or_never(), None);
        assert_eq!(turns.take(false, pin!(ready(()))).now_or_never(), Some(()));
        drop(held);
        assert_eq!(turns.take(true, pin!(ready(()))).now_or_never(), Some(()));
    }

    #[test]
    fn a_wait_for_others_ends_a_turn() {
        let turns = Turns::new().requests;
        let waits = async |_| turns.take(true, pin!(pending::<()>())).await;
        let mut waiting: Vec<_> = (0..100).map(|number| Box::pin(waits(number))).collect();
        assert!(waiting.iter_mut().all(|work| work.now_or_never().is_none()));
        assert_eq!(turns.take(true, pin!(ready(()))).now_or_never(), Some(()));
    }
}
