//! `turnlock operator snapshot`: back up and restore. A snapshot is encrypted as the store is.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::json;
use turnlock::barrier::seal::decode_share;
use turnlock::barrier::shamir::combine;
use turnlock::clock::SystemClock;
use turnlock::snapshot::{self, SnapshotError};
use turnlock_agent::Call;
use turnlock_core::counted;

use crate::args::Connection;
use crate::failure::Failure;
use crate::output::{Format, Output, line, note};
use crate::terminal;

/// Where the server gives and takes snapshots.
const ENDPOINT: &str = "sys/storage/raft/snapshot";

/// Largest snapshot that is fetched.
const LIMIT_BYTES: usize = 16 * 1024 * 1024 * 1024;

/// Arguments of `operator snapshot`.
#[derive(Debug, clap::Args)]
pub(super) struct SnapshotArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Save a snapshot of the running server
    #[command(
        after_help = "Examples:\n  turnlock operator snapshot save backup.snap\n  turnlock operator snapshot save -overwrite backup.snap    also when there is one"
    )]
    Save {
        /// File that is written; one that exists is left alone
        file: PathBuf,
        /// Replace the file if it exists
        #[arg(long)]
        overwrite: bool,
    },
    /// Replace everything that the server stores by a snapshot
    #[command(
        after_help = "The server takes a snapshot up to its max_request_size; a larger one needs -into.\n\nExamples:\n  turnlock operator snapshot restore backup.snap         asks first, on a terminal\n  turnlock operator snapshot restore -yes backup.snap    does not ask\n  turnlock operator snapshot restore -into=/var/lib/turnlock/data backup.snap\n                                        into an empty folder, while no server runs on it"
    )]
    Restore {
        /// The snapshot
        file: PathBuf,
        /// Do not ask the running server: write the store into this empty folder
        #[arg(long, value_name = "FOLDER", conflicts_with = "force")]
        into: Option<PathBuf>,
        /// Also when the snapshot is another server's; turnlock refuses it and takes -into
        #[arg(short, long)]
        force: bool,
        /// Do not ask before everything is replaced
        #[arg(short, long)]
        yes: bool,
    },
    /// Check a snapshot, offline: that it is whole, and with the unseal shares that every record opens
    #[command(
        after_help = "Examples:\n  turnlock operator snapshot verify backup.snap\n  turnlock operator snapshot verify -shares=3 backup.snap    ask for three shares, open all records"
    )]
    Verify {
        /// The snapshot
        file: PathBuf,
        /// How many unseal shares are given, one for each line of standard input
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        shares: u8,
    },
}

impl SnapshotArgs {
    pub(super) async fn run(self, at: &Connection, output: &Output) -> Result<(), Failure> {
        match self.verb {
            Verb::Save { file, overwrite } => {
                if !overwrite && file.symlink_metadata().is_ok() {
                    return Err(exists(&file));
                }
                let reply = at.client()?.send(Call::get(ENDPOINT).limit_bytes(LIMIT_BYTES)).await?;
                save(&file, reply.body(), overwrite)?;
                note(&format!("Success! Saved {} bytes to {}", reply.body().len(), file.display()));
                Ok(())
            }
            Verb::Restore { file, into: Some(folder), .. } => {
                let records = snapshot::restore_into(&read(&file)?, &folder, clock()).await;
                let records = records.map_err(|error| refused(&file, &error))?;
                note(&format!("Success! Restored {} into {}", counted(records, "record"), folder.display()));
                Ok(())
            }
            Verb::Restore { file, into: None, force, yes } => {
                let bytes = read(&file)?;
                if !yes && !terminal::agrees("Everything that the server stores is replaced and lost. Restore?")? {
                    return Err(Failure::local("nothing was restored").hint("-yes restores without a question"));
                }
                let endpoint = if force { format!("{ENDPOINT}-force") } else { ENDPOINT.to_owned() };
                let call =
                    Call::new(Method::POST, endpoint).content_type("application/octet-stream").body(bytes.into());
                let client = at.client()?;
                let reply = client.send(call).await?;
                output.done(&reply, "Success! Restored the snapshot")?;
                #[derive(serde::Deserialize)]
                struct Status {
                    sealed: bool,
                }
                if client.read("sys/seal-status").await?.body_as::<Status>()?.sealed {
                    note("turnlock: note: the server is sealed now: unseal it with `turnlock operator unseal`");
                }
                Ok(())
            }
            Verb::Verify { file, shares } => verify(output, &file, shares).await,
        }
    }
}

async fn verify(output: &Output, file: &Path, shares: u8) -> Result<(), Failure> {
    let bytes = read(file)?;
    let mut parts = Vec::new();
    for number in 1..=shares {
        let typed = terminal::secret(&format!("unseal key {number} of {shares}"))?;
        let share = typed.expose_str().and_then(decode_share);
        parts.push(share.ok_or_else(|| Failure::local(format!("unseal key {number} is neither hex nor base64")))?);
    }
    let key = match parts.is_empty() {
        true => None,
        false => Some(combine(&parts).map_err(|_| Failure::local("the unseal keys do not belong together"))?),
    };
    let found = snapshot::verify(&bytes, key.as_ref().map(|key| key.expose()), clock()).await;
    let found = found.map_err(|error| refused(file, &error))?;
    if output.format != Format::Table {
        return output.document(&json!({"records": found.records, "opened": found.opened}).to_string());
    }
    if shares == 0 {
        line(&format!("The snapshot is whole: {}.", counted(found.records, "record")))?;
        note("turnlock: note: without -shares the records were not opened");
        return Ok(());
    }
    let records = counted(found.records, "record");
    line(&format!("The snapshot is whole and authentic: {records}, {} opened.", found.opened))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::file(file.display(), &error))
}

fn clock() -> turnlock::clock::SharedClock {
    std::sync::Arc::new(SystemClock)
}

fn refused(file: &Path, error: &SnapshotError) -> Failure {
    use std::error::Error as _;
    let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
    Failure::local(format!("{}: {error}{cause}", file.display()))
}

/// Writes beside `path` and renames, so that no half snapshot ever bears its name.
fn save(path: &Path, bytes: &[u8], overwrite: bool) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::file(path.display(), error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // In the system's own words, without the name beside.
    std::fs::metadata(folder).map_err(|error| failed(&error))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    file.write_all(bytes).map_err(|error| failed(&error))?;
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    let kept = if overwrite { file.persist(path) } else { file.persist_noclobber(path) };
    kept.map(drop).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => failed(&error.error),
    })
}

fn exists(path: &Path) -> Failure {
    Failure::local(format!("{} exists, and may be the only backup there is", path.display()))
        .hint("name another file, or replace it with -overwrite")
}
