//! Questions to the person at the terminal. What is secret is read without echo, or from standard input.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use turnlock_core::Protected;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Longest secret that is read from a line of standard input.
const LIMIT_BYTES: u64 = 64 * 1024;

/// A secret: asked for on a terminal, else the first line of standard input.
pub(crate) fn secret(what: &str) -> Result<Protected, Failure> {
    let text = if io::stdin().is_terminal() {
        let typed = rpassword::prompt_password(format!("{what} (will be hidden): "));
        Zeroizing::new(typed.map_err(|error| Failure::file("the terminal cannot be read", &error))?)
    } else {
        let mut line = Zeroizing::new(String::with_capacity(4096));
        let read = io::stdin().lock().take(LIMIT_BYTES).read_line(&mut line);
        read.map_err(|error| Failure::file("standard input cannot be read", &error))?;
        line
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::local(format!("no {what} was given")).hint("type it, or write it to standard input"));
    }
    Ok(Protected::copy_of(text.as_bytes()))
}

/// Whether the person at the terminal says yes to `question`. Where nobody can be asked, the command itself is the answer.
pub(crate) fn agrees(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(true);
    }
    let failed = |error: io::Error| Failure::file("the terminal cannot be asked", &error);
    let mut to = io::stderr().lock();
    write!(to, "{question} [y/N] ").and_then(|()| to.flush()).map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().take(LIMIT_BYTES).read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Refuses a secret in an argument, where every user of the machine can read it; `-` asks for it instead.
pub(crate) fn only_dash(argument: Option<&str>, what: &str) -> Result<(), Failure> {
    match argument {
        None | Some("-") => Ok(()),
        Some(_) => Err(Failure::local(format!("a {what} is not taken from an argument"))
            .hint("other users can read arguments: write `-` and give it on standard input")),
    }
}
