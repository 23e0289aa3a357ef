//! The turnlock command: parse, run, say what failed and what to try.

mod args;
mod command;
mod dashes;
mod exit;
mod failure;
mod fields;
mod log;
mod output;
mod panics;
mod terminal;
mod usage;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Arguments;
use crate::command::scan::gitleaks;
use crate::exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    panics::withhold_messages();
    // A page of 2 MiB for every corner of memory that is in use would make an idle server larger by a third. The allocator asks
    // for none; this is for systems that give them to everybody.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let given: Vec<_> = std::env::args_os().collect();
    let as_gitleaks = gitleaks::is_name(given.first());
    let is_scan = given.get(1).is_some_and(|word| word == "scan");
    let given = if as_gitleaks { gitleaks::arguments(given) } else { dashes::doubled(usage::help_last(given)) };
    let arguments = match Arguments::try_parse_from(&given) {
        Ok(arguments) => arguments,
        Err(refused) => {
            // Help goes to standard output; that nobody reads it is no error.
            if !refused.use_stderr() {
                let _ = refused.print();
                return Exit::Done.into();
            }
            let kind = refused.kind();
            let _ = anstream::stderr().lock().write_all(usage::text(refused, &given).as_bytes());
            return match kind {
                kind if as_gitleaks => Exit::Of(gitleaks::exit_code(kind)),
                // What was never scanned must not look as if something had been found.
                _ if is_scan => Exit::Of(command::scan::FAILED),
                _ => Exit::Local,
            }
            .into();
        }
    };
    match command::run(arguments) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // Nothing is left to do when standard error cannot be written either.
            let _ = anstream::stderr().lock().write_all(failure.lines().as_bytes());
            failure.exit().into()
        }
    }
}
