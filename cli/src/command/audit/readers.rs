//! `turnlock audit readers`: who was given a secret, by what the audit files say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use turnlock_core::nearest;

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
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    status: Option<u16>,
}

/// The reads of one who logged in, whichever tokens that gave; of other tokens, those of one.
#[derive(Serialize)]
struct Reader {
    name: String,
    peers: BTreeSet<String>,
    /// The keyed hashes by which the audit knows the accessors of the tokens.
    accessors: BTreeSet<String>,
    reads: u64,
    first: String,
    last: String,
}

/// What the files say.
#[derive(Default)]
struct Found {
    /// By name and, of who did not log in, the token's accessor: many tokens have the same name.
    readers: BTreeMap<(String, Option<String>), Reader>,
    /// Whether any record is about the secret, however it ended.
    is_known: bool,
    /// Secrets that were answered for, to tell of a misspelt one.
    secrets: BTreeSet<String>,
}

/// Lists who read `secret` according to `files`. They are not verified: that is the work of `audit verify`.
pub(super) fn list(output: &Output, secret: &str, files: &[PathBuf]) -> Outcome {
    let secret = trimmed(secret);
    let mut found = Found::default();
    files.iter().try_for_each(|path| found.collect(path, secret))?;
    if !found.is_known {
        let failure = Failure::local(format!("no record of these files is about {secret}"));
        return Err(match nearest(secret, found.secrets.iter().map(String::as_str)) {
            Some(near) => failure.hint(format!("they know {near}")),
            None => failure.hint("write the path as for `turnlock kv get`, and give the older files too"),
        });
    }
    let mut readers: Vec<Reader> = found.readers.into_values().collect();
    readers.sort_by(|a, b| a.first.cmp(&b.first));
    if output.format != Format::Table {
        let text = serde_json::to_string(&readers).map_err(|_| Failure::local("the list cannot be written as JSON"))?;
        output.document(&text)?;
    } else if readers.is_empty() {
        line("Nobody has read it, by these files")?;
    } else {
        let row = |reader: Reader| {
            let peers = in_short(&reader.peers);
            vec![reader.name, peers, reader.reads.to_string(), reader.first, reader.last]
        };
        output.table(&["Reader", "From", "Reads", "First", "Last"], readers.into_iter().map(row).collect())?;
    }
    Ok(Exit::Done)
}

impl Found {
    fn collect(&mut self, path: &Path, secret: &str) -> Result<(), Failure> {
        let mut records = 0;
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
            records += 1;
            self.add(record, secret);
        }
        // Every file begins with a header.
        match records {
            0 => Err(Failure::local(format!("{}: there is no audit record in it", path.display()))),
            _ => Ok(()),
        }
    }

    fn add(&mut self, record: Record, secret: &str) {
        self.is_known |= record.asks_for(secret);
        if !self.is_known {
            self.secrets.extend(record.answers_for());
        }
        if !record.gave(secret) {
            return;
        }
        let known = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
        let login = record.login();
        let (peer, accessor) = (known(record.peer), known(record.accessor));
        let token = login.is_none().then(|| accessor.clone());
        let name = login.unwrap_or_else(|| known(record.display_name));
        let time = record.time.unwrap_or_default();
        let reader = self.readers.entry((name.clone(), token)).or_insert_with(|| Reader {
            name,
            peers: BTreeSet::new(),
            accessors: BTreeSet::new(),
            reads: 0,
            first: time.clone(),
            last: String::new(),
        });
        reader.peers.insert(peer);
        reader.accessors.insert(accessor);
        reader.reads += 1;
        reader.last = time;
    }
}

/// Most addresses of one reader that the table names.
const ADDRESSES: usize = 3;

fn in_short(peers: &BTreeSet<String>) -> String {
    let named: Vec<&str> = peers.iter().take(ADDRESSES).map(String::as_str).collect();
    match peers.len().saturating_sub(ADDRESSES) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

impl Record {
    /// Who logged in, as in `approle/billing` or `userpass/alice`: the auth method's mount and the name.
    fn login(&self) -> Option<String> {
        let shown = self.display_name.as_deref()?;
        let (mount, name) = match (self.metadata.get("role_name"), self.metadata.get("username")) {
            (Some(role), _) => (shown, role),
            // Of a user, the name shown is both.
            (None, Some(user)) => (shown.strip_suffix(&format!("-{user}")).unwrap_or(shown), user),
            (None, None) => return None,
        };
        Some(format!("{mount}/{name}"))
    }

    /// Whether this is an answer that held the values at `secret`.
    fn gave(&self, secret: &str) -> bool {
        let given = self.kind == "answer" && self.operation.as_deref() == Some("read") && self.status == Some(200);
        given && self.names(secret)
    }

    /// Whether it is about `secret` however it ended. Of a request that was refused for its token no mount is recorded.
    fn asks_for(&self, secret: &str) -> bool {
        if self.answers_for().is_some_and(|named| named == secret) {
            return true;
        }
        let guessed = |path: &String| path == secret || path.replacen("/data/", "/", 1) == secret;
        self.names(secret) || (self.mount.is_none() && self.path.as_ref().is_some_and(guessed))
    }

    /// The secret, as it is typed, about which this is an answer that was no refusal. Listings name folders.
    fn answers_for(&self) -> Option<String> {
        let done = self.kind == "answer" && matches!(self.status, Some(200..300));
        let (path, mount) = (self.path.as_ref()?, self.mount.as_deref()?.trim_end_matches('/'));
        let own = ["sys", "auth", "identity", "cubbyhole"].contains(&mount.split('/').next().unwrap_or_default());
        if !done || own || self.operation.as_deref() == Some("list") {
            return None;
        }
        let rest = path.strip_prefix(mount)?.strip_prefix('/')?;
        let parts = ["data/", "metadata/"].iter().find_map(|part| rest.strip_prefix(part));
        Some(format!("{mount}/{}", parts.unwrap_or(rest)))
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
    use super::{Found, Record, in_short};

    fn record(operation: &str, path: &str, status: u16) -> Record {
        let text = format!(
            r#"{{"kind":"answer","operation":"{operation}","path":"{path}","mount":"secret/","status":{status},"hash":""}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn read_by(display_name: &str, metadata: &str, peer: &str, accessor: &str) -> Record {
        Record {
            display_name: Some(display_name.to_owned()),
            metadata: serde_json::from_str(metadata).unwrap(),
            peer: Some(peer.to_owned()),
            accessor: Some(accessor.to_owned()),
            ..record("read", "secret/data/app/db", 200)
        }
    }

    #[test]
    fn who_logs_in_is_one_reader_and_other_tokens_are_one_each() {
        let mut found = Found::default();
        for (shown, metadata, peer, accessor) in [
            ("approle", r#"{"role_name":"billing"}"#, "10.0.0.1", "a"),
            ("approle", r#"{"role_name":"billing"}"#, "10.0.0.2", "b"),
            ("approle", r#"{"role_name":"reports"}"#, "10.0.0.1", "c"),
            ("userpass-ann-lee", r#"{"username":"ann-lee"}"#, "10.0.0.3", "d"),
            ("token", "{}", "10.0.0.4", "e"),
            ("token", "{}", "10.0.0.4", "f"),
        ] {
            found.add(read_by(shown, metadata, peer, accessor), "secret/app/db");
        }
        let rows: Vec<_> = found
            .readers
            .values()
            .map(|reader| (reader.name.as_str(), in_short(&reader.peers), reader.reads))
            .collect();
        let row = |name, peers: &str, reads| (name, peers.to_owned(), reads);
        assert_eq!(
            rows,
            [
                row("approle/billing", "10.0.0.1, 10.0.0.2", 2),
                row("approle/reports", "10.0.0.1", 1),
                row("token", "10.0.0.4", 1),
                row("token", "10.0.0.4", 1),
                row("userpass/ann-lee", "10.0.0.3", 1),
            ]
        );
    }

    #[test]
    fn many_addresses_are_counted() {
        let peers = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        assert_eq!(in_short(&peers), "a, b, c and 2 more");
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
        assert!(record("delete", "secret/metadata/app/db", 204).asks_for("secret/app/db"));
    }

    #[test]
    fn what_was_answered_for_is_a_secret_by_the_name_that_is_typed() {
        let named = |operation, path, status| record(operation, path, status).answers_for();
        for path in ["secret/data/app/db", "secret/metadata/app/db", "secret/app/db"] {
            assert_eq!(named("update", path, 200).as_deref(), Some("secret/app/db"), "{path}");
        }
        assert_eq!(named("read", "secret/data/app/db", 404), None, "it may be misspelt");
        assert_eq!(named("list", "secret/metadata/app", 200), None);
    }
}
