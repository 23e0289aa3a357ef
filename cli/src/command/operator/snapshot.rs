//! `turnlock operator snapshot`: back up and restore. A snapshot is encrypted as the store is.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use http::Method;
use turnlock_agent::Call;

use crate::args::Connection;
use crate::failure::Failure;
use crate::output::{Output, note};

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
    #[command(after_help = "Examples:\n  turnlock operator snapshot save backup.snap")]
    Save {
        /// File that is written
        file: PathBuf,
    },
    /// Replace everything that the server stores by a snapshot
    #[command(
        after_help = "Examples:\n  turnlock operator snapshot restore backup.snap\n  turnlock operator snapshot restore -force backup.snap    of another server"
    )]
    Restore {
        /// The snapshot
        file: PathBuf,
        /// Also when the snapshot is another server's
        #[arg(short, long)]
        force: bool,
    },
}

impl SnapshotArgs {
    pub(super) async fn run(self, at: &Connection, output: &Output) -> Result<(), Failure> {
        match self.verb {
            Verb::Save { file } => {
                let reply = at.client()?.send(Call::get(ENDPOINT).limit_bytes(LIMIT_BYTES)).await?;
                save(&file, reply.body())?;
                note(&format!("Success! Saved {} bytes to {}", reply.body().len(), file.display()));
                Ok(())
            }
            Verb::Restore { file, force } => {
                let bytes = std::fs::read(&file).map_err(|error| Failure::file(file.display(), &error))?;
                let endpoint = if force { format!("{ENDPOINT}-force") } else { ENDPOINT.to_owned() };
                let call =
                    Call::new(Method::POST, endpoint).content_type("application/octet-stream").body(bytes.into());
                let reply = at.client()?.send(call).await?;
                output.done(&reply, "Success! Restored the snapshot")
            }
        }
    }
}

/// Writes beside `path` and renames, so that no half snapshot ever bears its name.
fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::file(path.display(), error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    file.write_all(bytes).map_err(|error| failed(&error))?;
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}
