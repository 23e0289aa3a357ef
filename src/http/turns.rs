//! Half of the cores for what clients can cause faster than it is done, so that the other half stays for those who ask one
//! thing after the other.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

/// How long the first in the line for those in haste stands there: they are served a thousand times a second in all.
const PACE: Duration = Duration::from_millis(1);

/// Turns at work that is cheap to ask for: the server's part of a handshake, parsing a large body, a request that was sent
/// without waiting for the answer to the one before. Who waits for a turn is not in the runtime's queue, where others
/// would wait behind him.
#[derive(Debug)]
pub(super) struct Turns {
    turns: Semaphore,
    line: Semaphore,
}

impl Turns {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { turns: Semaphore::new((cores / 2).max(1)), line: Semaphore::new(1) }
    }

    /// Does `work`, which begins by its turn if it has to wait for one. The turn is over when the work waits for something
    /// itself, so that nobody can take one and keep it.
    pub(super) async fn take<F: Future>(&self, waits: bool, mut work: Pin<&mut F>) -> F::Output {
        // Never closed.
        let mut turn = if waits { self.turns.acquire().await.ok() } else { None };
        poll_fn(move |context| {
            let polled = work.as_mut().poll(context);
            drop(turn.take());
            polled
        })
        .await
    }

    /// Waits behind all others who send on and on without waiting for answers. Most never take them, so that nobody is kept
    /// from anything by their being slow.
    pub(super) async fn line_up(&self) {
        let _first = self.line.acquire().await;
        sleep(PACE).await;
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
        let turns = Turns::new();
        let held: Vec<_> = std::iter::from_fn(|| turns.turns.try_acquire().ok()).collect();
        assert!(!held.is_empty());
        assert_eq!(turns.take(true, pin!(ready(()))).now_or_never(), None);
        assert_eq!(turns.take(false, pin!(ready(()))).now_or_never(), Some(()));
        drop(held);
        assert_eq!(turns.take(true, pin!(ready(()))).now_or_never(), Some(()));
    }

    #[test]
    fn a_wait_for_others_ends_a_turn() {
        let turns = Turns::new();
        let waits = async |_| turns.take(true, pin!(pending::<()>())).await;
        let mut waiting: Vec<_> = (0..100).map(|number| Box::pin(waits(number))).collect();
        assert!(waiting.iter_mut().all(|work| work.now_or_never().is_none()));
        assert_eq!(turns.take(true, pin!(ready(()))).now_or_never(), Some(()));
    }
}
