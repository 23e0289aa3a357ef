//! Why a command came to nothing: one line of what failed, a hint, and the exit code.

use std::borrow::Cow;
use std::fmt;
use std::io;

use turnlock_agent::ClientError;
use turnlock_agent::client::one_line;

use crate::exit::Exit;
use crate::output::printable;

/// Why a command came to nothing. Its text never holds a secret.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    hint: Option<Cow<'static, str>>,
    exit: Exit,
    silent: bool,
    refused: bool,
}

impl Failure {
    /// A mistake in how the command was called, or an error on this machine.
    pub(crate) fn local(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None, exit: Exit::Local, silent: false, refused: false }
    }

    /// The server's refusal.
    pub(crate) fn remote(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None, exit: Exit::Remote, silent: false, refused: false }
    }

    /// An error of a file or stream.
    pub(crate) fn file(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::local(format!("{what}: {error}"))
    }

    /// The same with a hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with another exit code.
    #[must_use]
    pub(crate) fn ending(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The same, marked as the refusal of a request with a token: the token itself may be to blame.
    #[must_use]
    pub(crate) fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    /// Whether the server refused a request with a token.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// The same failure in better words.
    #[must_use]
    pub(crate) fn reworded(self, text: impl Into<String>) -> Self {
        Self { text: text.into(), ..self }
    }

    /// What failed, without the hint.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The lines for standard error; none when the reader of standard output went away.
    pub(crate) fn lines(&self) -> String {
        if self.silent {
            return String::new();
        }
        let error = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
        let hint = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Cyan.into()));
        let mut lines = format!("turnlock: {error}error:{error:#} {}\n", printable(&self.text));
        if let Some(text) = &self.hint {
            lines.push_str(&format!("turnlock: {hint}hint:{hint:#} {}\n", printable(text)));
        }
        lines
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match error {
            ClientError::Path
            | ClientError::Address
            | ClientError::CaFile { .. }
            | ClientError::Timeout
            | ClientError::TokenText
            | ClientError::TokenFile { .. } => Exit::Local,
            _ => Exit::Remote,
        };
        let mut text = one_line(&error.to_string());
        if let ClientError::CaFile { source, .. } = &error {
            text = format!("{text}: {source}");
        }
        if let ClientError::Denied { path, .. } = &error {
            text = match text.strip_prefix("permission denied") {
                Some(reasons) => format!("permission denied at {path}{reasons}"),
                None => text,
            };
        }
        let refused = matches!(error, ClientError::Denied { anonymous: false, .. });
        Self { text, hint: error.hint().map(Cow::Borrowed), exit, silent: false, refused }
    }
}

/// Errors of standard output. A reader that has seen enough (`turnlock kv list … | head -1`) is no error.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { text: String::new(), hint: None, exit: Exit::Done, silent: true, refused: false };
        }
        Self::file("standard output cannot be written", &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.exit(), Exit::Done);
        assert_eq!(failure.lines(), "");
    }

    #[test]
    fn control_bytes_of_a_server_do_not_reach_the_terminal() {
        let lines = Failure::remote("no\u{1b}[2Jway\n").hint("try\u{7}").lines();
        let plain = anstream::adapter::strip_str(&lines).to_string();
        assert_eq!(plain, "turnlock: error: no\\u{1b}[2Jway\\n\nturnlock: hint: try\\u{7}\n");
    }
}
