//! `turnlock audit`: proves a chain of audit files offline; the server's audit devices, and how a value looks in their records.

mod readers;

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use base64::Engine as _;
use serde_json::json;
use turnlock_agent::ClientError;
use turnlock_core::audit::{FlawKind, Proof, verify};
use turnlock_core::counted;

use super::{Outcome, trimmed};
use crate::args::{Connection, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, Output, cell, line, members, note};
use crate::terminal;

/// Arguments of `turnlock audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Check the chain of audit files, offline; names the first record that was changed, removed, added or moved
    #[command(
        after_help = "Examples:\n  turnlock audit verify audit.log.1 audit.log       oldest first\n  turnlock audit verify -public-key=$KEY audit.log  signatures too; KEY: `turnlock audit list`\n\nEnds with 0 when the chain is sound, 1 when it is not or cannot be read."
    )]
    Verify {
        /// The files, oldest first
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The server's public key, 32 bytes in hex or base64: then the signed checkpoints are checked as well
        #[arg(long, value_name = "KEY")]
        public_key: Option<String>,
    },
    /// List who read a secret, by what audit files say
    #[command(
        after_help = "Examples:\n  turnlock audit readers secret/app/db audit.log.1 audit.log\n  turnlock audit readers -format=json secret/app/db audit.log\n\nWho logged in by a role or as a user is one row, as in `approle/billing`, whichever tokens\nthat gave; any other token is a row of its own.\n\nEnds with 0 also when nobody read it, and with 1 when no record is about it: then it may be\nmisspelt, or older files are missing."
    )]
    Readers {
        /// The secret's path, as for `turnlock kv get`
        secret: String,
        /// The files; `audit verify` tells whether they are whole
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List the audit devices, each with its file and the public key that its signatures are checked with
    #[command(after_help = "Examples:\n  turnlock audit list")]
    List,
    /// Show the keyed hash by which a value appears in the audit
    #[command(
        after_help = "Examples:\n  turnlock audit hash file < value     then look for the hash in the audit file"
    )]
    Hash {
        /// The audit device
        device: String,
        /// `-`: the value is read from standard input anyhow
        #[arg(value_name = "-")]
        value: Option<String>,
    },
}

impl AuditArgs {
    /// Does it.
    pub(crate) async fn run(self, at: &Connection) -> Outcome {
        let output = self.output.output()?;
        match self.verb {
            Verb::Verify { files, public_key } => return verify_files(&output, &files, public_key.as_deref()),
            Verb::Readers { secret, files } => return readers::list(&output, &secret, &files),
            Verb::List => {
                let reply = at.client()?.read("sys/audit").await?;
                let Some(data) = reply.data() else {
                    return Err(Failure::remote("the server's answer holds no data"));
                };
                if output.format != Format::Table {
                    output.document(data.get())?;
                } else if members(data.get())?.is_empty() {
                    line(
                        "There is no audit device: nothing records who did what. The stanza audit of the configuration names one",
                    )?;
                } else {
                    let rows = members(data.get())?.into_iter().map(|(path, raw)| {
                        let facts = members(raw.get())?;
                        let fact = |name: &str| facts.get(name).map_or_else(|| "n/a".to_owned(), |raw| cell(raw));
                        let options =
                            facts.get("options").map(|raw| members(raw.get())).transpose()?.unwrap_or_default();
                        let options = options.iter().map(|(name, value)| format!("{name}: {}", cell(value)));
                        let options = options.collect::<Vec<_>>().join("\n");
                        Ok(vec![path, fact("type"), fact("description"), options])
                    });
                    output.table(&["Path", "Type", "Description", "Options"], rows.collect::<Result<_, Failure>>()?)?;
                }
            }
            Verb::Hash { device, value } => {
                let known = "`turnlock audit list` shows the devices; write `turnlock audit hash file < value`";
                if device == "-" {
                    return Err(Failure::local("the audit device is missing before `-`").hint(known));
                }
                terminal::only_dash(value.as_deref(), "value")?;
                let value = terminal::secret("value")?;
                let text = value.expose_str().ok_or_else(|| Failure::local("the value is not UTF-8 text"))?;
                let path = format!("sys/audit-hash/{}", trimmed(&device));
                let reply = at.client()?.write(&path, &json!({"input": text})).await;
                output.reply(&reply.map_err(|error| match &error {
                    ClientError::Api { errors, .. } if errors.iter().any(|line| line == "unknown audit device") => {
                        Failure::from(error).hint(known)
                    }
                    _ => error.into(),
                })?)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn verify_files(output: &Output, files: &[PathBuf], public_key: Option<&str>) -> Outcome {
    let key = public_key.map(|text| {
        let decoded = hex::decode(text).or_else(|_| base64::engine::general_purpose::STANDARD.decode(text));
        decoded
            .ok()
            .filter(|key| key.len() == 32)
            .ok_or_else(|| Failure::local("the public key is not 32 bytes in hex or base64"))
    });
    let key = key.transpose()?;
    let open =
        |path: &PathBuf| File::open(path).map_err(|error| Failure::file(path.display(), &error)).map(BufReader::new);
    let readers = files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let proof = match verify(readers, key.as_deref()) {
        Ok(proof) => proof,
        Err(flaw) => {
            let cause = match &flaw.kind {
                FlawKind::Unreadable(cause) => format!(": {cause}"),
                _ => String::new(),
            };
            let file =
                files.get(flaw.file.saturating_sub(1)).map_or_else(String::new, |path| path.display().to_string());
            return Err(Failure::local(format!("{file}, line {}: {}{cause}", flaw.line, flaw.kind)));
        }
    };
    // Every file begins with a header, so that nothing is not what a server wrote.
    if proof.records == 0 {
        return Err(Failure::local(
            "the files hold no audit record: what was in them is gone, or they are none of an audit",
        ));
    }
    if output.format != Format::Table {
        let document = json!({
            "records": proof.records, "first_seq": proof.first_seq, "last_seq": proof.last_seq,
            "checkpoints": proof.checkpoints, "unsigned": proof.unsigned, "torn": proof.torn,
            "notices": proof.notices.iter().map(|notice| json!({
                "seq": notice.seq, "event": notice.event, "known": notice.known,
            })).collect::<Vec<_>>(),
        });
        output.document(&document.to_string())?;
        return missing(&proof);
    }
    line(&format!(
        "The chain is sound: {}, {} to {}; {}.",
        counted(proof.records, "record"),
        proof.first_seq,
        proof.last_seq,
        match key {
            Some(_) => format!("{} verified", counted(proof.checkpoints, "signed checkpoint")),
            None => "signatures not checked".to_owned(),
        }
    ))?;
    if proof.first_seq > 1 {
        note(&format!("turnlock: note: it begins at record {}; older files were not given", proof.first_seq));
    }
    if proof.torn {
        note("turnlock: note: the last line is incomplete, as a crash leaves it");
    }
    for notice in &proof.notices {
        note(&format!("turnlock: note: record {} says: {}", notice.seq, notice.event));
    }
    if key.is_none() {
        note(
            "turnlock: note: without -public-key the signatures were not checked: whoever can write the files can rewrite them whole; `turnlock audit list` shows the key",
        );
    } else if proof.unsigned > 0 {
        let records = counted(proof.unsigned, "record");
        note(&format!("turnlock: note: after the last checkpoint, {records} bound by hashes only"));
    }
    missing(&proof)
}

/// A chain whose own server says that it lacks records is sound, and not whole.
fn missing(proof: &Proof) -> Outcome {
    match proof.notices.iter().find_map(|notice| Some((notice.seq, notice.known?))) {
        None => Ok(Exit::Done),
        Some((seq, known)) => Err(Failure::local(format!(
            "records are missing: at record {seq} the server knew that it had written records up to {known}"
        ))),
    }
}
