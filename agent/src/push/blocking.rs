//! Work on files, which may hang for ever when a network's file system does: the thread does then, and nobody with it.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::sync::Notify;

use super::PushError;

/// Opens what is at `path`, with `flags` besides, and never waits for a pipe's other end.
pub(super) fn open(options: &mut OpenOptions, flags: OFlags, path: &Path) -> io::Result<File> {
    let flags = i32::try_from((flags | OFlags::NONBLOCK).bits()).unwrap_or_default();
    options.custom_flags(flags).open(path)
}

/// Paths that a thread is at work on.
static AT_WORK: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Tells that there is one less.
static DONE: Notify = Notify::const_new();

/// One of them, until it is dropped.
struct AtWork(String);

impl AtWork {
    fn begin(path: &str) -> Option<Self> {
        let mut paths = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
        paths.insert(path.to_owned()).then(|| Self(path.to_owned()))
    }

    /// Waits for whoever is at work there.
    async fn wait(path: &str) -> Self {
        loop {
            let mut done = std::pin::pin!(DONE.notified());
            done.as_mut().enable();
            match Self::begin(path) {
                Some(at_work) => return at_work,
                None => done.await,
            }
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        DONE.notify_waiters();
    }
}

/// Tells a work whether anybody still waits for it.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    /// Fails when nobody waits any more: what a work must not do then stands right behind.
    pub(super) fn check(&self) -> std::io::Result<()> {
        if self.0.load(Ordering::Acquire) { Err(ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

/// Whoever waits. Dropped, he does not.
struct Waiting(GivenUp);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Release);
    }
}

/// Does `work` on the file at `path` on a thread of its own, and waits for `patience` at most. As long as the thread of an earlier try
/// hangs there, no other is begun: an outage of weeks would use up all that there are.
pub(super) async fn blocking<T: Send + 'static>(
    path: &str,
    patience: Duration,
    work: impl FnOnce(&GivenUp) -> Result<T, PushError> + Send + 'static,
) -> Result<T, PushError> {
    let failed = |kind| PushError::File(std::io::Error::from(kind));
    let given_up = GivenUp::default();
    let _waiting = Waiting(given_up.clone());
    let done = tokio::time::timeout(patience, async {
        let at_work = AtWork::wait(path).await;
        tokio::task::spawn_blocking(move || {
            let done = work(&given_up);
            drop(at_work);
            done
        })
        .await
    });
    done.await.map_err(|_| failed(ErrorKind::TimedOut))?.map_err(|_| failed(ErrorKind::Other))?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::mpsc;
    use std::time::Duration;

    use turnlock_core::rotation::Reason;

    use super::blocking;

    #[tokio::test]
    async fn a_file_system_that_hangs_holds_one_thread_for_each_file_and_no_other_file() {
        let (let_go, hangs) = mpsc::channel::<()>();
        let (moment, patience) = (Duration::from_millis(1), Duration::from_secs(60));
        let hung = blocking("/hung/key", moment, move |_| {
            let _ = hangs.recv();
            Ok(())
        });
        let reason = |outcome: Result<(), super::PushError>| outcome.map_err(|error| error.reason());
        assert_eq!(reason(hung.await), Err(Reason::Unreachable));
        let again = blocking("/hung/key", moment, |_| panic!("another thread was begun"));
        assert_eq!(reason(again.await), Err(Reason::Unreachable));
        assert_eq!(reason(blocking("/fine/key", patience, |_| Ok(())).await), Ok(()));
        drop(let_go);
        assert_eq!(reason(blocking("/hung/key", patience, |_| Ok(())).await), Ok(()));
    }
}
