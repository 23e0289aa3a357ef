//! `turnlock audit readers`: who was given a secret, by what the audit files say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::command::{Outcome, trimmed};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, Output, line};

/// What is looked at of an audit record.
#[derive(Deserialize)]
struct Record {
    kind: String,
    time: Option<String>,
    operation: Option<String>,
    path: Option<String>,
    mount: Option<String>,
    peer: Option<String>,
    accessor: Option<String>,
    display_name: Option<String>,
    status: Option<u16>,
}

/// One token's reads of the secret.
#[derive(Serialize)]
struct Reader {
    name: String,
    peer: String,
    /// The keyed hash by which the audit knows the token's accessor.
    accessor: String,
    reads: u64,
    first: String,
    last: String,
}

/// Lists who read `secret` according to `files`. They are not verified: that is the work of `audit verify`.
pub(super) fn list(output: &Output, secret: &str, files: &[PathBuf]) -> Outcome {
    let secret = trimmed(secret);
    let mut readers = BTreeMap::<(String, String, String), Reader>::new();
    let mut asked = false;
    for path in files {
        asked |= collect(path, secret, &mut readers)?;
    }
    let mut readers: Vec<Reader> = readers.into_values().collect();
    readers.sort_by(|a, b| a.first.cmp(&b.first));
    if output.format != Format::Table {
        let text = serde_json::to_string(&readers).map_err(|_| Failure::local("the list cannot be written as JSON"))?;
        output.document(&text)?;
    } else if readers.is_empty() {
        line(if asked {
            "Nobody has read it, by these files"
        } else {
            "Nobody has asked for it, by these files; is the path spelt right?"
        })?;
    } else {
        let row = |reader: Reader| vec![reader.name, reader.peer, reader.reads.to_string(), reader.first, reader.last];
        output.table(&["Reader", "From", "Reads", "First", "Last"], readers.into_iter().map(row).collect())?;
    }
    Ok(Exit::Done)
}

/// Whether anybody asked for `secret` at all according to the file at `path`; who was given it goes into `readers`.
fn collect(
    path: &Path,
    secret: &str,
    readers: &mut BTreeMap<(String, String, String), Reader>,
) -> Result<bool, Failure> {
    let mut asked = false;
    let file = File::open(path).map_err(|error| Failure::file(path.display(), &error))?;
    for (number, text) in BufReader::new(file).split(b'\n').enumerate() {
        let text = text.map_err(|error| Failure::file(path.display(), &error))?;
        let Ok(record) = serde_json::from_slice::<Record>(&text) else {
            // The last line may be torn by a crash; `audit verify` tells whether anything else is wrong.
            if text.is_empty() || text.last() != Some(&b'}') {
                continue;
            }
            return Err(Failure::local(format!("{}, line {}: not an audit record", path.display(), number + 1)));
        };
        asked |= record.asks_for(secret);
        if !record.gave(secret) {
            continue;
        }
        let known = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
        let (name, peer, accessor) = (known(record.display_name), known(record.peer), known(record.accessor));
        let time = record.time.unwrap_or_default();
        let reader = readers.entry((accessor.clone(), name.clone(), peer.clone())).or_insert_with(|| Reader {
            name,
            peer,
            accessor,
            reads: 0,
            first: time.clone(),
            last: String::new(),
        });
        reader.reads += 1;
        reader.last = time;
    }
    Ok(asked)
}

impl Record {
    /// Whether this is an answer that held the values at `secret`.
    fn gave(&self, secret: &str) -> bool {
        let given = self.kind == "answer" && self.operation.as_deref() == Some("read") && self.status == Some(200);
        given && self.names(secret)
    }

    /// Whether it is about `secret` however it ended. Of a request that was refused for its token no mount is recorded.
    fn asks_for(&self, secret: &str) -> bool {
        let guessed = |path: &String| path == secret || path.replacen("/data/", "/", 1) == secret;
        self.names(secret) || (self.mount.is_none() && self.path.as_ref().is_some_and(guessed))
    }

    /// Whether it is about the values at `secret`: a path as typed, or without the `data/` that version 2 of KV puts behind
    /// the mount.
    fn names(&self, secret: &str) -> bool {
        let (Some(path), Some(mount)) = (&self.path, &self.mount) else { return false };
        let mount = mount.trim_end_matches('/');
        let below = secret.strip_prefix(mount).and_then(|rest| rest.strip_prefix('/'));
        let data = path.strip_prefix(mount).and_then(|rest| rest.strip_prefix("/data/"));
        path == secret || (data.is_some() && data == below)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Record;

    fn record(operation: &str, path: &str, status: u16) -> Record {
        let text = format!(
            r#"{{"kind":"answer","operation":"{operation}","path":"{path}","mount":"secret/","status":{status},"hash":""}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_secret_is_given_by_answered_reads_of_its_path() {
        assert!(record("read", "secret/data/app/db", 200).gave("secret/app/db"));
        assert!(record("read", "secret/data/app/db", 200).gave("secret/data/app/db"));
        assert!(record("read", "secret/app/db", 200).gave("secret/app/db"));
        assert!(!record("read", "secret/data/app/db2", 200).gave("secret/app/db"));
        assert!(!record("read", "secret/metadata/app/db", 200).gave("secret/app/db"));
        assert!(!record("read", "secret/data/app/db", 403).gave("secret/app/db"));
        assert!(!record("update", "secret/data/app/db", 200).gave("secret/app/db"));
        let refused = Record { mount: None, ..record("read", "secret/data/app/db", 403) };
        assert!(refused.asks_for("secret/app/db") && !refused.asks_for("secret/app/db2"));
    }
}
