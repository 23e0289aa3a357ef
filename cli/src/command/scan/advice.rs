//! What is said to who commits or pushes: little when there is nothing, and how to go on when something was found.

use std::io::{self, Write};

use turnlock_scan::report::{self, printable};
use turnlock_scan::{Outcome, Report};

use super::Target;

/// Says what was covered. In front of a commit nobody wants numbers as long as all is well.
pub(super) fn sum_up(target: &Target<'_>, report: &Report, to: &mut impl Write) -> io::Result<()> {
    match subject(target).filter(|_| report.outcome() == Outcome::Clean) {
        Some(subject) => {
            writeln!(to, "no leaks found in {subject}")?;
            report::write_remarks(report, to)
        }
        None => report::write_summary(report, to),
    }
}

/// Says what whoever was refused can do.
pub(super) fn go_on(target: &Target<'_>, report: &Report, to: &mut impl Write) -> io::Result<()> {
    if report.outcome() != Outcome::Leaks {
        return Ok(());
    }
    let ignore = "if it is no leak: turnlock scan ignore NAME, with a name from above";
    match target {
        target if is_staged(target) => {
            writeln!(to, "to go on: take it out, `git add` the file and commit again; {ignore}")?;
        }
        Target::Message(file) => {
            let file = printable(&file.to_string_lossy()).into_owned();
            writeln!(to, "to go on: take it out of the message, which git keeps: git commit -eF {file}; {ignore}")?;
        }
        Target::Sent(_) => writeln!(
            to,
            "to go on: take it out of the commits that are not pushed yet (git rebase -i), as a later one does not help; {ignore}"
        )?,
        _ => return Ok(()),
    }
    writeln!(to, "once and unscanned: --no-verify behind `git commit` or `git push`")
}

/// What is looked at before a commit or a push.
fn subject(target: &Target<'_>) -> Option<&'static str> {
    match target {
        target if is_staged(target) => Some("what is staged"),
        Target::Message(_) => Some("the message"),
        Target::Sent(_) => Some("what is pushed"),
        _ => None,
    }
}

fn is_staged(target: &Target<'_>) -> bool {
    match target {
        Target::Staged(_) => true,
        Target::Changes(git) => git.is_staged(),
        _ => false,
    }
}
