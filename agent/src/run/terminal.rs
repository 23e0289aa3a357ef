//! Our own terminal: its size, raw mode with a way back, and what is typed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use pty_process::Size;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, getpgrp, kill_current_process_group};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// Rows and columns of the terminal that we write to, else of the one that we read from.
pub(super) fn size() -> Option<Size> {
    let (stdout, stderr, stdin) = (io::stdout(), io::stderr(), io::stdin());
    let streams = [stdout.as_fd(), stderr.as_fd(), stdin.as_fd()];
    let size = streams.into_iter().find_map(|stream| tcgetwinsize(stream).ok())?;
    (size.ws_row > 0 && size.ws_col > 0).then(|| Size::new(size.ws_row, size.ws_col))
}

/// Whether the terminal that we read from is ours to read and to set: from the background, either would stop us, and what
/// is typed is the shell's. Where it is not the terminal of our session (as under `su -c`), nobody can take it away.
fn in_foreground() -> bool {
    match tcgetpgrp(io::stdin()) {
        Ok(foreground) => foreground == getpgrp(),
        Err(error) => error == rustix::io::Errno::NOTTY,
    }
}

/// Gives `pty` the settings of our terminal: erase key, flow control and the like. In the background they are those of the
/// shell's own editing, of no use to a program.
pub(super) fn copy_settings(pty: impl AsFd) {
    if !in_foreground() {
        return;
    }
    if let Ok(settings) = tcgetattr(io::stdin()) {
        // Without them the program has the system's defaults, which are nearly always the same.
        let _ = tcsetattr(pty, OptionalActions::Now, &settings);
    }
}

/// Where in `typed` the key stands that stops a program (Ctrl-Z), if the terminal of `program` takes one for that and the
/// program itself has it. A shell with jobs of its own, and an editor that reads keys as they are, deal with it by themselves.
pub(super) fn stop_key(of_program: impl AsFd, program: Pid, typed: &[u8]) -> Option<usize> {
    let settings = tcgetattr(&of_program).ok()?;
    let key = settings.special_codes[SpecialCodeIndex::VSUSP];
    // Zero: there is no such key.
    if key == 0 || !settings.local_modes.contains(LocalModes::ISIG) || tcgetpgrp(&of_program).ok()? != program {
        return None;
    }
    typed.iter().position(|byte| *byte == key)
}

/// What is typed, for as long as the foreground is ours. The terminal is raw meanwhile: keys go to the program as they are.
pub(super) struct Typing {
    // Before the other, so that nobody reads any more when the terminal is as it was.
    keys: Keys,
    raw: RawTerminal,
}

impl Typing {
    /// `None` in the background.
    pub(super) fn begin() -> io::Result<Option<Self>> {
        if !in_foreground() {
            return Ok(None);
        }
        let raw = RawTerminal::enter()?;
        Ok(Some(Self { keys: Keys::listen()?, raw }))
    }

    /// The same after a pause in which a shell may have set the terminal for itself; what has been typed since is kept.
    pub(super) fn again(self) -> Option<Self> {
        (in_foreground() && self.raw.make_raw().is_ok()).then_some(self)
    }

    /// `None` once the terminal is gone or somebody else's.
    pub(super) async fn next(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        self.keys.typed.recv().await
    }
}

/// Stops our whole group, as the terminal would have done had it not been raw. Returns once we are continued, or at once
/// where no shell is that could do so.
pub(super) fn stop_ourselves() {
    let _ = kill_current_process_group(Signal::TSTP);
}

/// Our terminal in raw mode. Restored when dropped, so also by a panic; signals are forwarded and do not end us.
struct RawTerminal {
    terminal: OwnedFd,
    before: Termios,
}

impl RawTerminal {
    fn enter() -> io::Result<Self> {
        let terminal = io::stdin().as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let terminal = Self { terminal, before };
        terminal.make_raw()?;
        Ok(terminal)
    }

    fn make_raw(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        Ok(tcsetattr(&self.terminal, OptionalActions::Now, &raw)?)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A shell that took it has set it for itself.
        if in_foreground() {
            let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
        }
    }
}

/// What is typed, read by a thread that ends when this is dropped. Reading through tokio would leave a thread in
/// `read` that takes the next key from the shell after us.
struct Keys {
    typed: mpsc::Receiver<Zeroizing<Vec<u8>>>,
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    fn listen() -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        let terminal = io::stdin().as_fd().try_clone_to_owned()?;
        let (sender, typed) = mpsc::channel(8);
        let thread = std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
            loop {
                let mut streams = [PollFd::new(&terminal, PollFlags::IN), PollFd::new(&woken, PollFlags::IN)];
                if !matches!(poll(&mut streams, None), Ok(_) | Err(rustix::io::Errno::INTR)) {
                    return;
                }
                let [terminal_event, wake_event] = streams.map(|stream| stream.revents());
                if !wake_event.is_empty() {
                    return;
                }
                if terminal_event.is_empty() {
                    continue;
                }
                // We may have been stopped by somebody and continued in the background.
                if !in_foreground() {
                    return;
                }
                let mut buffer = Zeroizing::new(vec![0; 1024]);
                match rustix::io::read(&terminal, buffer.as_mut_slice()) {
                    Ok(length) if length > 0 => {
                        buffer.truncate(length);
                        if sender.blocking_send(buffer).is_err() {
                            return;
                        }
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    _ => return,
                }
            }
        })?;
        Ok(Self { typed, wake: Some(wake), thread: Some(thread) })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.typed.close();
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
