//! The end of the chain as the store keeps it. Whoever cuts whole records off the newest file while the server is stopped
//! leaves a chain that is sound in itself; the store remembers how far it went.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use turnlock_core::audit::Chain;

use super::writer::{HANGS, Order};
use super::{Audit, Written, files};
use crate::barrier::{Barrier, BarrierError, Changes};
use crate::error::Error;
use crate::store::Key;

const SPACE: &str = "audit";
const RECORD: &str = "end";
/// Where the end is looked for first.
const TAIL_BYTES: u64 = 1 << 20;
/// Most bytes of a line that are read at once; no record is as long.
const LINE_BYTES: u64 = 4 << 20;

/// What is stored.
#[derive(Serialize, Deserialize)]
struct Row {
    seq: u64,
    /// In hex.
    hash: String,
}

/// Under which key the store has it. It belongs to the files of this machine, so it is no part of a snapshot: wherever
/// that is restored, the chain is another one, or has gone on.
pub(crate) fn storage_key(barrier: &Barrier) -> Result<Key, BarrierError> {
    barrier.view(SPACE).storage_key(RECORD)
}

impl Audit {
    /// Stores how far the chain goes, once all of it is on disk: what the store knows is there after a power cut too.
    /// That it cannot be stored hinders nothing else and is logged.
    pub async fn keep_end(&self, barrier: &Barrier) {
        told(self.try_keep_end(barrier).await);
    }

    async fn try_keep_end(&self, barrier: &Barrier) -> Result<(), Error> {
        let Some(writer) = self.writer.as_ref().filter(|_| self.is_file) else { return Ok(()) };
        let (asked, end) = oneshot::channel();
        writer.order(Order::End(asked));
        let end = tokio::time::timeout(self.deadline, end).await.map_err(|_| Error::Unavailable(HANGS))?;
        let (ticket, chain) = end.map_err(|_| Error::Unavailable(HANGS))?;
        writer.syncer().want(ticket);
        self.on_disk(writer, &Written(Some(ticket))).await?;
        keep(barrier, chain).await
    }

    /// Ends the device, and stores how far the chain went.
    pub async fn close_and_keep_end(&self, barrier: &Barrier) {
        if let Some(end) = self.close().await.filter(|_| self.is_file) {
            told(keep(barrier, end).await);
        }
    }

    /// Looks in the files for the end that the store knows, and says it loudly when it is not there, in the log and on the
    /// chain. It is no reason to stand still: whoever could cut the files could stop the server for good.
    pub(crate) async fn check_end(&self, barrier: &Barrier) -> Result<(), Error> {
        let (Some(writer), Some(config)) = (&self.writer, &self.config) else { return Ok(()) };
        let Some(Row { seq, hash }) = read(barrier).await?.filter(|_| self.is_file) else { return Ok(()) };
        let path = config.path.clone();
        let found = tokio::task::spawn_blocking(move || holds(&path, seq, &hash)).await;
        match found.map_err(Error::internal)? {
            Ok(true) => {}
            Ok(false) => {
                tracing::error!(
                    audit.path = %config.path.display(),
                    "the audit lost records: record {seq}, which was written and is known to the store, is not in its \
                     files; they were cut, replaced or moved away while the server was stopped"
                );
                let event = "\"event\":\"records that the store knows of are missing before this one\"";
                writer.order(Order::Notice(format!("{event},\"known\":{seq}")));
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the audit files cannot be read: whether they lost records is not known"
            ),
        }
        Ok(())
    }
}

fn told(kept: Result<(), Error>) {
    if let Err(error) = kept {
        tracing::warn!(error = &error as &dyn std::error::Error, "the store does not know how far the audit goes");
    }
}

async fn read(barrier: &Barrier) -> Result<Option<Row>, Error> {
    let record = barrier.view(SPACE).get(RECORD).await?;
    record.map(|record| serde_json::from_slice(record.value.expose()).map_err(Error::internal)).transpose()
}

/// Stores `end`, if it is another than before. While the barrier is sealed nothing can be stored, and nothing but
/// refusals is recorded.
async fn keep(barrier: &Barrier, end: Chain) -> Result<(), Error> {
    if barrier.is_sealed() || read(barrier).await?.is_some_and(|row| row.seq == end.seq) {
        return Ok(());
    }
    let row = Row { seq: end.seq, hash: hex::encode(end.hash) };
    let row = serde_json::to_vec(&row).map_err(Error::internal)?;
    let mut changes = Changes::new();
    changes.put(&barrier.view(SPACE), RECORD, &row);
    barrier.commit(changes).await?;
    Ok(())
}

/// Whether the files of the device at `path` have record `seq`, with `hash`.
fn holds(path: &Path, seq: u64, hash: &str) -> io::Result<bool> {
    for file in files(path)?.into_iter().rev() {
        if let Some(found) = find(&file, seq)? {
            return Ok(hex::encode(found.hash) == hash);
        }
    }
    Ok(false)
}

/// The chain behind record `seq` of a file: near its end nearly always.
fn find(path: &Path, seq: u64) -> io::Result<Option<Chain>> {
    let mut file = File::open(path)?;
    let tail = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    let found = search(&mut file, tail, seq)?;
    if found.is_some() || tail == 0 { Ok(found) } else { search(&mut file, 0, seq) }
}

fn search(file: &mut File, from: u64, seq: u64) -> io::Result<Option<Chain>> {
    file.seek(SeekFrom::Start(from))?;
    let start = format!("{{\"seq\":{seq},");
    let (mut reader, mut line) = (BufReader::new(file), Vec::new());
    while reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)? > 0 {
        if line.starts_with(start.as_bytes())
            && let Some(chain) = line.strip_suffix(b"\n").and_then(Chain::after)
        {
            return Ok(Some(chain));
        }
        line.clear();
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use turnlock_core::audit::{Chain, Kind};

    fn holds(path: &std::path::Path, end: Chain) -> bool {
        super::holds(path, end.seq, &hex::encode(end.hash)).unwrap()
    }

    /// A file of records, and the chain behind each.
    fn chain(from: Chain, count: usize, member: &str, out: &mut Vec<u8>) -> Vec<Chain> {
        let mut end = from;
        let members = format!("{{\"a\":\"{member}\"}}");
        (0..count)
            .map(|_| {
                end.append(Kind::Answer, members.as_bytes(), out);
                end
            })
            .collect()
    }

    #[test]
    fn an_end_is_found_in_any_file_and_only_with_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let (mut finished, mut current) = (Vec::new(), Vec::new());
        // Longer than what is looked at first.
        let first = chain(Chain::default(), 20, &"x".repeat(100_000), &mut finished);
        let second = chain(first[19], 20, "y", &mut current);
        std::fs::write(folder.path().join("audit.log.000000000001"), &finished).unwrap();
        std::fs::write(&path, &current).unwrap();
        for end in first.iter().chain(&second) {
            assert!(holds(&path, *end), "record {}", end.seq);
        }
        // Cut off, and grown again by somebody who can write a chain as well.
        let keep = current.len() / 2;
        let keep = keep + current[keep..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
        std::fs::write(&path, &current[..keep]).unwrap();
        assert!(!holds(&path, second[19]));
        let mut forged = Vec::new();
        chain(first[19], 30, "z", &mut forged);
        std::fs::write(&path, &forged).unwrap();
        assert!(!holds(&path, second[19]));
        std::fs::remove_file(&path).unwrap();
        assert!(!holds(&path, second[19]) && holds(&path, first[19]));
    }
}
