//! The command's exit codes, all in one place.

use std::process::ExitCode;

/// How the command ended. Vault's contract where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// Wrong usage or a local error; for `scan`, only that something was found; for `audit verify`, a flaw was found.
    Local,
    /// The server refused or cannot be reached.
    Remote,
    /// `status`: the server answers and is sealed.
    Sealed,
    /// The code of the program that was run, or one that a command defines itself (`scan`).
    Of(u8),
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Local => 1,
            Self::Remote | Self::Sealed => 2,
            Self::Of(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The same for people, shown by `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    wrong usage or a local error; `status`: no answer; `scan`: something was found;
       `audit verify`: a flaw; `audit readers`: no record is about the secret
  2    the server refused or cannot be reached; `status`: sealed; `operator init -status`:
       not initialized; `scan`: wrong usage, or the scan failed
  3    `scan`: nothing found, but not everything could be read
  `run` ends with the code of the program that it ran (128 + signal when a signal ended it)";
