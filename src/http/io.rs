//! A connection that gives up on a client which never takes its answer, or never says anything, and knows one that does not
//! wait for its answers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream with deadlines: for each write to make progress, and for silence.
pub(super) struct Timed<S> {
    stream: S,
    write: Deadline,
    read: Deadline,
    haste: Haste,
}

/// How many requests a client sent since it last had nothing to say when it was listened to: one, if it waits for answers.
#[derive(Clone, Default)]
pub(super) struct Haste(Arc<AtomicU32>);

impl Haste {
    /// The number, with the request that begins.
    pub(super) fn begin(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }
}

struct Deadline {
    after: Duration,
    /// Wakes at the deadline or before it. Not set anew for each wait: a busy connection waits thousands of times a
    /// second, and its timer rings once in `after` only to see that it is not time yet.
    alarm: Pin<Box<Sleep>>,
    waiting_since: Option<Instant>,
}

impl Deadline {
    fn new(after: Duration) -> Self {
        Self { after, alarm: Box::pin(sleep(after)), waiting_since: None }
    }

    /// Passes on what is ready and ends the wait; while nothing is, lets the time run out.
    fn watch<T>(&mut self, poll: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.waiting_since = None;
            return poll;
        }
        let deadline = *self.waiting_since.get_or_insert_with(Instant::now) + self.after;
        loop {
            ready!(self.alarm.as_mut().poll(context));
            if Instant::now() >= deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(deadline);
        }
    }
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, stall: Duration, silence: Duration, haste: Haste) -> Self {
        Self { stream, write: Deadline::new(stall), read: Deadline::new(silence), haste }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        if poll.is_pending() {
            self.haste.0.store(0, Ordering::Relaxed);
        }
        self.read.watch(poll, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.write.watch(poll, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.write.watch(poll, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.write.watch(poll, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.write.watch(poll, context)
    }
}
