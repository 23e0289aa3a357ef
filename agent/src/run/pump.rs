//! Copies the streams of a program through the masker, to the last byte that the program wrote, at the pace of who reads.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use zeroize::{Zeroize as _, Zeroizing};

use crate::mask::Masker;

/// After the program has ended, its descendants may hold its streams open. What is in them then is still read; more is
/// not waited for longer than this.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The most that a pipe holds: what is read after the program has ended and goes beyond it is not the program's.
const LAST_BYTES: usize = 1 << 20;

/// The copying of all streams of one program.
pub(super) struct Pumps {
    running: JoinSet<()>,
    ended: watch::Sender<bool>,
}

impl Pumps {
    pub(super) fn new() -> Self {
        Self { running: JoinSet::new(), ended: watch::Sender::new(false) }
    }

    /// Starts copying `from` to `to`. With a `pause`, what may be a prompt is shown after so long without input.
    pub(super) fn start(
        &mut self,
        from: impl AsyncRead + Send + Unpin + 'static,
        to: impl AsyncWrite + Send + Unpin + 'static,
        masker: Masker,
        pause: Option<Duration>,
    ) {
        let source = Source { from, ended: self.ended.subscribe(), patience: LAST_WORDS, bytes: LAST_BYTES };
        self.running.spawn(pump(source, to, masker, pause));
    }

    /// Waits until all that the program wrote has been taken by whoever reads our streams, or for `told_to_end`. Only
    /// what the program left is waited for, not its descendants; a reader may be as slow as it likes.
    pub(super) async fn finish(mut self, told_to_end: impl Future<Output = ()>) {
        self.ended.send_replace(true);
        tokio::select! {
            () = async { while self.running.join_next().await.is_some() {} } => {}
            () = told_to_end => {}
        }
    }
}

/// A stream of the program.
struct Source<R> {
    from: R,
    ended: watch::Receiver<bool>,
    /// How long more input is waited for once the program has ended, and how much of it is taken.
    patience: Duration,
    bytes: usize,
}

impl<R: AsyncRead + Unpin> Source<R> {
    /// 0 at the end of the stream, or when the program has ended and what it wrote has been read.
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !*self.ended.borrow() {
            tokio::select! {
                biased;
                read = self.from.read(buffer) => return read,
                _ = self.ended.wait_for(|ended| *ended) => {}
            }
        }
        if self.bytes == 0 {
            return Ok(0);
        }
        let start = Instant::now();
        let read = tokio::time::timeout(self.patience, self.from.read(buffer)).await.unwrap_or(Ok(0));
        self.patience = self.patience.saturating_sub(start.elapsed());
        if let Ok(length) = &read {
            self.bytes = self.bytes.saturating_sub(*length);
        }
        read
    }
}

/// Copies until either side ends. A closed `to` closes `from`, as in a shell's pipeline.
async fn pump<R: AsyncRead + Unpin>(
    mut from: Source<R>,
    mut to: impl AsyncWrite + Unpin,
    mut masker: Masker,
    pause: Option<Duration>,
) {
    let mut input = Zeroizing::new(vec![0; 16 * 1024]);
    let mut output = Vec::with_capacity(32 * 1024);
    loop {
        let read = match pause.filter(|_| masker.holds()) {
            Some(pause) => tokio::time::timeout(pause, from.read(&mut input)).await,
            None => Ok(from.read(&mut input).await),
        };
        let ended = match read {
            Err(_) => {
                masker.idle(&mut output);
                if output.is_empty() {
                    // What is held may be a secret in the making: only more input can tell.
                    match from.read(&mut input).await {
                        Ok(length) if length > 0 => masker.write(input.get(..length).unwrap_or_default(), &mut output),
                        _ => masker.finish(&mut output),
                    }
                }
                false
            }
            // A terminal whose other side is closed fails with EIO; that is its end of file.
            Ok(Ok(0) | Err(_)) => {
                masker.finish(&mut output);
                true
            }
            Ok(Ok(length)) => {
                masker.write(input.get(..length).unwrap_or_default(), &mut output);
                false
            }
        };
        let written = to.write_all(&output).await.is_ok() && to.flush().await.is_ok();
        output.zeroize();
        if ended || !written {
            return;
        }
    }
}
