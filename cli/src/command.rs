//! One file for each word of the command line; here they are told apart and run.

pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod generic;
pub(crate) mod kv;
pub(crate) mod lease;
pub(crate) mod login;
pub(crate) mod mount;
pub(crate) mod operator;
pub(crate) mod policy;
pub(crate) mod rotate;
pub(crate) mod run;
pub(crate) mod scan;
pub(crate) mod secrets;
pub(crate) mod server;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod unwrap;

use std::future::Future;
use std::io::IsTerminal as _;

use crate::args::{Arguments, Command, Connection};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// What a command comes to.
pub(crate) type Outcome = Result<Exit, Failure>;

/// What is known of a token that may not even be looked up by itself.
const DEAD_TOKEN: &str = "the token is not valid here: unknown, expired or revoked, or without the policy `default`";

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let at = &arguments.connection;
    match arguments.command {
        Command::Agent(args) => client(explained(at, args.run(at))),
        Command::Audit(args) => client(explained(at, args.run(at))),
        Command::Auth(args) => client(explained(at, args.run(at))),
        Command::Completions(args) => args.run(),
        Command::Delete(args) => client(explained(at, args.run(at))),
        Command::Demo(args) => multi_threaded(args.run()),
        Command::Kv(args) => client(explained(at, args.run(at))),
        Command::Lease(args) => client(explained(at, args.run(at))),
        Command::List(args) => client(explained(at, args.run(at))),
        Command::Login(args) => client(explained(at, args.run(at))),
        Command::Operator(args) => client(explained(at, args.run(at))),
        Command::Patch(args) => client(explained(at, args.run(at))),
        Command::Policy(args) => client(explained(at, args.run(at))),
        Command::Read(args) => client(explained(at, args.run(at))),
        Command::Run(args) => single_threaded(explained(at, args.run(at))),
        Command::Rotate(args) => client(explained(at, args.run(at))),
        Command::Scan(args) => scan_with(&args, at),
        Command::Server(args) => multi_threaded(args.run()),
        Command::Secrets(args) => client(explained(at, args.run(at))),
        Command::Status(args) => client(explained(at, args.run(at))),
        Command::Token(args) => client(explained(at, args.run(at))),
        Command::Unwrap(args) => client(explained(at, args.run(at))),
        Command::Version => {
            output::line(concat!("turnlock ", env!("CARGO_PKG_VERSION")))?;
            // Programs take the line for the version.
            if std::io::stdout().is_terminal() {
                let served = turnlock::engine::sys::VERSION;
                output::line(&format!(
                    "A server answers with version {served}: that of the protocol, on which clients rely."
                ))?;
            }
            Ok(Exit::Done)
        }
        Command::Write(args) => client(explained(at, args.run(at))),
    }
}

/// The outcome of `command`, where a refusal says whether the token is to blame: the server answers the same to one that
/// may not and one that is not valid, so it is asked once more.
async fn explained(at: &Connection, command: impl Future<Output = Outcome>) -> Outcome {
    match command.await {
        Err(failure) if failure.is_refused() && at.has_dead_token().await => {
            Err(failure.reworded(DEAD_TOKEN).hint(at.about_token()))
        }
        outcome => outcome,
    }
}

/// Drives the server, or what serves beside commands: a thread for each core, and two at least, because a disk that hangs
/// can hold up one of them.
fn multi_threaded(command: impl Future<Output = Outcome>) -> Outcome {
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        // Under a flood a client that has waited is noticed after this many turns of others; the default is 61.
        .event_interval(8)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::file("the runtime cannot start", &error))?;
    runtime.block_on(Box::pin(command))
}

/// Drives a command that talks to a server and holds secrets for a moment: nobody shall read them from its memory.
fn client(command: impl Future<Output = Outcome>) -> Outcome {
    // What is not permitted is no obstacle: a server says what it misses, a short command does not.
    let _ = turnlock::hardening::harden();
    single_threaded(command)
}

/// Drives a command whose children shall not inherit limits: one thread is enough for it.
fn single_threaded(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::file("the runtime cannot start", &error))?;
    runtime.block_on(Box::pin(command))
}

fn scan_with(args: &scan::ScanArgs, at: &Connection) -> Outcome {
    use std::error::Error as _;
    let mut store = None;
    if args.wants_store() {
        let server = at.client()?;
        // As for every command that talks to a server; see [`client`].
        let _ = turnlock::hardening::harden();
        store = Some(scan::LiveStore::new(server)?);
    }
    match scan::run(args, store.as_ref()) {
        Ok(outcome) => Ok(Exit::Of(args.exit_code(outcome))),
        Err(scan::ScanFailure::Store(failure)) => single_threaded(explained(at, std::future::ready(Err(*failure)))),
        Err(failure) => {
            let cause = failure.source().map_or_else(String::new, |cause| format!(": {cause}"));
            let exit = if args.as_gitleaks() { Exit::Local } else { Exit::Of(scan::FAILED) };
            Err(Failure::remote(format!("{failure}{cause}")).ending(exit))
        }
    }
}

/// A path as it was typed, without slashes around it.
fn trimmed(path: &str) -> &str {
    path.trim().trim_matches('/')
}
