//! Runs a program with secrets in its environment and its output masked. The secrets are in no file and not in this
//! process's own environment; the program gets them, but not turnlock's token. Terminals are in [`terminal`].

mod pump;
mod terminal;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pty_process::OwnedWritePty;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use turnlock_core::Protected;
use zeroize::Zeroizing;

use crate::mask::{Masker, Patterns, TooMany};
use pump::Pumps;
use terminal::Typing;

/// Turnlock's own credentials, which the program must not inherit.
const OWN_TOKENS: [&str; 2] = ["TURNLOCK_TOKEN", "VAULT_TOKEN"];

/// After this pause of a terminal's stream, what may be a prompt is shown.
const PROMPT_PAUSE: Duration = Duration::from_millis(50);

/// How often is looked whether a shell has brought us to the foreground, of which it tells nobody who was not stopped.
const FOREGROUND_INTERVAL: Duration = Duration::from_millis(100);

/// Passed on to the program.
const FORWARDED: [Signal; 6] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

/// A program to run.
pub struct Run {
    /// Name or path.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables whose values are masked.
    pub secrets: Vec<(String, Protected)>,
    /// Variables that are no secrets.
    pub settings: Vec<(String, String)>,
    /// Whether output is masked. Without, the program inherits all streams as they are.
    pub masking: bool,
}

/// Why the program was not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No such program, or not allowed.
    #[error("program cannot be started")]
    Start(#[source] io::Error),
    /// A variable that no environment can hold.
    #[error("variable {name} cannot be set: its name or value has a byte that no environment can hold")]
    Variable {
        /// The name, without the odd characters.
        name: String,
    },
    /// The masker does not take them.
    #[error(transparent)]
    Mask(#[from] TooMany),
    /// The terminal or a signal handler.
    #[error("terminal or signals cannot be prepared")]
    Terminal(#[source] io::Error),
}

impl RunError {
    /// Exit code by the custom of shells and `env`: 127 not found, 126 not executable, 125 otherwise.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Start(error) if error.kind() == io::ErrorKind::NotFound => 127,
            Self::Start(_) => 126,
            _ => 125,
        }
    }
}

/// Where a forwarded signal goes.
#[derive(Clone, Copy)]
enum Recipient {
    /// The program leads its own group.
    Group(Pid),
    /// The program shares our group and terminal, which signals both of us by itself.
    Process(Pid),
}

impl Run {
    /// Runs the program and returns its exit code, or 128 and the signal's number when a signal ended it.
    ///
    /// Where standard output or error is a terminal and masking is on, the program gets a terminal of its own, so
    /// that editors, pagers and database shells work. The values are wiped once the program has started, but for the
    /// masker's copies and those that the standard library made for the start.
    pub async fn run(self) -> Result<i32, RunError> {
        // By an attribute that ends with exec, not by a limit that the program would inherit.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
        let mut signals = Signals::listen().map_err(RunError::Terminal)?;
        let patterns = match self.masking {
            true => Some(Patterns::new(self.secrets.iter().map(|(_, value)| value))?),
            false => None,
        };
        let mut command = self.command()?;
        drop(self);
        let Some(patterns) = patterns else {
            let shares_terminal = own_group_unless_terminal(&mut command);
            let mut child = command.spawn().map_err(RunError::Start)?;
            drop(command);
            return signals.until_exit(&mut child, shares_terminal, &mut None).await;
        };
        if io::stdout().is_terminal() || io::stderr().is_terminal() {
            return on_terminal(command, &patterns, signals).await;
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let shares_terminal = own_group_unless_terminal(&mut command);
        let mut child = command.spawn().map_err(RunError::Start)?;
        drop(command);
        let pumps = pumps_of(&mut child, &patterns)?;
        let code = signals.until_exit(&mut child, shares_terminal, &mut None).await;
        pumps.finish(signals.until_told_to_end()).await;
        code
    }

    fn command(&self) -> Result<Command, RunError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        for name in OWN_TOKENS {
            command.env_remove(name);
        }
        for (name, value) in &self.settings {
            set(&mut command, name, value.as_bytes())?;
        }
        for (name, value) in &self.secrets {
            set(&mut command, name, value.expose())?;
        }
        Ok(command)
    }
}

fn set(command: &mut Command, name: &str, value: &[u8]) -> Result<(), RunError> {
    use std::os::unix::ffi::OsStrExt as _;
    if name.is_empty() || name.contains(['=', '\0']) || value.contains(&0) {
        let name = name.chars().filter(|character| character.is_alphanumeric() || *character == '_').collect();
        return Err(RunError::Variable { name });
    }
    command.env(name, std::ffi::OsStr::from_bytes(value));
    Ok(())
}

/// Makes the program the leader of its own group, unless it reads from our terminal: there only the foreground group
/// may read, and that is ours. Returns whether it stays in our group.
fn own_group_unless_terminal(command: &mut Command) -> bool {
    let shares_terminal = io::stdin().is_terminal();
    if !shares_terminal {
        command.process_group(0);
    }
    shares_terminal
}

/// Runs `command` with a terminal of its own in place of each stream that is a terminal of ours.
async fn on_terminal(command: Command, patterns: &Arc<Patterns>, mut signals: Signals) -> Result<i32, RunError> {
    let failed = |error: pty_process::Error| RunError::Terminal(io::Error::other(error.to_string()));
    let (pty, pts) = pty_process::open().map_err(failed)?;
    if let Some(size) = terminal::size() {
        pty.resize(size).map_err(failed)?;
    }
    let reads_ours = io::stdin().is_terminal();
    if reads_ours {
        terminal::copy_settings(&pty);
    }
    let mut command = pty_process::Command::from(command);
    if !reads_ours {
        command = command.stdin(Stdio::inherit());
    }
    if !io::stdout().is_terminal() {
        command = command.stdout(Stdio::piped());
    }
    if !io::stderr().is_terminal() {
        command = command.stderr(Stdio::piped());
    }
    let started = command.spawn(pts);
    let mut child = started.map_err(|error| match error {
        pty_process::Error::Io(error) => RunError::Start(error),
        other => failed(other),
    })?;
    let of_program = pty.as_fd().try_clone_to_owned().map_err(RunError::Terminal)?;
    let (from_program, writer) = pty.into_split();
    // From here to the end of this function the terminal may be raw; dropping this restores it, whatever happens.
    let typing = reads_ours.then(Typing::begin).transpose().map_err(RunError::Terminal)?.flatten();
    let mut pumps = pumps_of(&mut child, patterns)?;
    let masker = Masker::new(patterns);
    let shown = if io::stdout().is_terminal() { ours(io::stdout())? } else { ours(io::stderr())? };
    pumps.start(from_program, shown, masker, Some(PROMPT_PAUSE));
    let mut terminal = Some(Terminal { writer, of_program, reads_ours, typing });
    let code = signals.until_exit(&mut child, false, &mut terminal).await;
    pumps.finish(signals.until_told_to_end()).await;
    code
}

/// Starts masking the streams of `child` that are pipes.
fn pumps_of(child: &mut Child, patterns: &Arc<Patterns>) -> Result<Pumps, RunError> {
    let mut pumps = Pumps::new();
    if let Some(stdout) = child.stdout.take() {
        pumps.start(stdout, ours(io::stdout())?, Masker::new(patterns), None);
    }
    if let Some(stderr) = child.stderr.take() {
        // A prompt on standard error is read by a person more often than not, whatever the stream is.
        let pause = io::stderr().is_terminal().then_some(PROMPT_PAUSE);
        pumps.start(stderr, ours(io::stderr())?, Masker::new(patterns), pause);
    }
    Ok(pumps)
}

/// One of our own streams, written to without a buffer in between.
fn ours(stream: impl AsFd) -> Result<tokio::fs::File, RunError> {
    let stream = stream.as_fd().try_clone_to_owned().map_err(RunError::Terminal)?;
    Ok(tokio::fs::File::from_std(stream.into()))
}

/// Signals that came to us.
struct Signals {
    received: mpsc::Receiver<Received>,
    // Dropped with the rest, which ends the listening.
    _listeners: JoinSet<()>,
}

#[derive(Clone, Copy)]
enum Received {
    Forward(Signal),
    Resized,
    Continued,
}

/// The terminal that the program has, and ours.
struct Terminal {
    writer: OwnedWritePty,
    of_program: OwnedFd,
    /// Whether the program gets what is typed at ours.
    reads_ours: bool,
    /// While we are in the foreground.
    typing: Option<Typing>,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let (sender, received) = mpsc::channel(16);
        let mut listeners = JoinSet::new();
        let forwarded = FORWARDED.map(|number| (SignalKind::from_raw(number.as_raw()), Received::Forward(number)));
        let of_terminal = [
            (SignalKind::window_change(), Received::Resized),
            (SignalKind::from_raw(Signal::CONT.as_raw()), Received::Continued),
        ];
        for (kind, meaning) in forwarded.into_iter().chain(of_terminal) {
            let mut stream = signal(kind)?;
            let sender = sender.clone();
            listeners.spawn(async move {
                while stream.recv().await.is_some() {
                    if sender.send(meaning).await.is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { received, _listeners: listeners })
    }

    /// Waits for a signal that would end a process which does not listen: the program has ended and gets none any more.
    async fn until_told_to_end(&mut self) {
        while let Some(received) = self.received.recv().await {
            if let Received::Forward(_) = received {
                return;
            }
        }
    }

    /// Passes signals, window sizes and keys on until `child` ends.
    async fn until_exit(
        &mut self,
        child: &mut Child,
        shares_terminal: bool,
        terminal: &mut Option<Terminal>,
    ) -> Result<i32, RunError> {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let recipient = pid.map(|pid| if shares_terminal { Recipient::Process(pid) } else { Recipient::Group(pid) });
        loop {
            tokio::select! {
                status = child.wait() => return Ok(code_of(status.map_err(RunError::Start)?)),
                Some(received) = self.received.recv() => match received {
                    Received::Forward(number) => forward(recipient, number),
                    Received::Resized => if let Some(terminal) = &*terminal {
                        terminal.resize();
                    },
                    Received::Continued => if let Some(terminal) = &mut *terminal {
                        terminal.take_if_ours();
                    },
                },
                Some(typed) = next_keys(terminal) => if let Some(terminal) = &mut *terminal {
                    let stop = pid.and_then(|pid| terminal::stop_key(&terminal.of_program, pid, &typed));
                    // What is typed behind that key is dropped, as any terminal does.
                    let typed = typed.get(..stop.unwrap_or(typed.len())).unwrap_or_default();
                    // A program that does not read fills its terminal; its end must still be noticed.
                    tokio::select! {
                        _ = terminal.writer.write_all(typed) => {}
                        status = child.wait() => return Ok(code_of(status.map_err(RunError::Start)?)),
                    }
                    if stop.is_some() {
                        // The key would not stop it: its terminal belongs to no shell that could continue it.
                        forward(recipient, Signal::STOP);
                        terminal.typing = None;
                        terminal::stop_ourselves();
                        terminal.take_if_ours();
                        forward(recipient, Signal::CONT);
                    }
                },
            }
        }
    }
}

impl Terminal {
    /// Gives the program's terminal the size of ours.
    fn resize(&self) {
        if let Some(size) = terminal::size() {
            let _ = self.writer.resize(size);
        }
    }

    /// Takes what is typed if the foreground is ours; leaves our terminal alone otherwise.
    fn take_if_ours(&mut self) {
        self.typing = match self.typing.take() {
            Some(typing) => typing.again(),
            None if self.reads_ours => Typing::begin().ok().flatten(),
            None => None,
        };
        if self.typing.is_some() {
            // Only the foreground is told of a new size.
            self.resize();
        }
    }

    /// What is typed next. In the background, waits for the foreground first.
    async fn typed(&mut self) -> Zeroizing<Vec<u8>> {
        loop {
            match &mut self.typing {
                Some(typing) => match typing.next().await {
                    Some(typed) => return typed,
                    None => self.typing = None,
                },
                None if self.reads_ours => {
                    tokio::time::sleep(FOREGROUND_INTERVAL).await;
                    self.take_if_ours();
                }
                None => std::future::pending().await,
            }
        }
    }
}

async fn next_keys(terminal: &mut Option<Terminal>) -> Option<Zeroizing<Vec<u8>>> {
    Some(terminal.as_mut()?.typed().await)
}

fn forward(recipient: Option<Recipient>, number: Signal) {
    // The program may have ended a moment ago; then there is nobody to tell.
    let _ = match recipient {
        Some(Recipient::Group(pid)) => kill_process_group(pid, number),
        // The terminal has sent these to the whole group, the program included.
        Some(Recipient::Process(_)) if matches!(number, Signal::INT | Signal::QUIT) => Ok(()),
        Some(Recipient::Process(pid)) => kill_process(pid, number),
        None => Ok(()),
    };
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests;
