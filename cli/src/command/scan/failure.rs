//! Why a scan came to nothing.

use std::io;
use std::path::PathBuf;

use turnlock_scan::config::ConfigError;
use turnlock_scan::{BadOption, ScanError};

use crate::failure::Failure;

/// Why a scan came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanFailure {
    /// Nothing could be scanned.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The configuration cannot be used.
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    /// Options that choose commits are not understood.
    #[error(transparent)]
    Commits(#[from] BadOption),
    /// Standard input failed.
    #[error("standard input cannot be read")]
    Input(#[source] io::Error),
    /// A file that an argument names cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The baseline is no JSON report.
    #[error("the baseline {} is no JSON report", path.display())]
    Baseline {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// What is no name of a finding.
    #[error(
        "{name:?} is no name of a finding: copy it from a report (file:rule:line, commit:file:rule:line, secret:…)"
    )]
    Name {
        /// The text.
        name: String,
    },
    /// A name that would let whatever messages say pass.
    #[error(
        "{name:?} would let every later message pass: name the credential (secret:…, which reports give once `turnlock \
         scan ignore` has made the key) or one commit (commit:file:rule:line)"
    )]
    AnyMessage {
        /// The text.
        name: String,
    },
    /// An entry whose last day is over.
    #[error("{until} is over: nothing would be ignored")]
    PastDay {
        /// The day.
        until: chrono::NaiveDate,
    },
    /// `--staged` without `git`.
    #[error("what is staged is scanned by: turnlock scan git --staged")]
    Staged,
    /// The ignore file cannot be changed.
    #[error("{} cannot be changed", path.display())]
    IgnoreFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Git does not answer.
    #[error("git does not tell where the hooks of {} are", path.display())]
    Git {
        /// The repository.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The hook cannot be written.
    #[error("the hook {} cannot be written", path.display())]
    Hook {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of the report cannot be written.
    #[error("the report {} cannot be written", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is said cannot be.
    #[error("the output cannot be written")]
    Write(#[source] io::Error),
    /// Neither flag nor extension tells the form of the report.
    #[error("unknown report format: give --report-format, or end the report's name in .json, .csv or .sarif")]
    Format,
    /// A report by a template.
    #[error("reports by a Go template are not written: use --format json or turnlock-json and a program such as jq")]
    Template,
    /// `--diagnostics` was given.
    #[error("--diagnostics is not offered: measure the program from outside")]
    Diagnostics,
    /// `--store` was given and there is no store to ask.
    #[error("--store needs a server to ask")]
    NoStore,
    /// The store's filter cannot be fetched; said as for every other command that asks a server.
    #[error("the store cannot be asked")]
    Store(Box<Failure>),
    /// What the providers are asked cannot be read.
    #[error(transparent)]
    Providers(#[from] turnlock_scan::verify::BadProviders),
    /// `--verify-endpoint` for a host that no provider has.
    #[error("no provider is asked at {host}: --verify-dry-run says who is")]
    NobodyAsked {
        /// The host.
        host: String,
    },
    /// There is no way to the network.
    #[error("the network cannot be used")]
    Network(#[source] io::Error),
    /// `--rotate` on no terminal, without `--yes`.
    #[error("--rotate asks before it changes anything, and there is no terminal: give --yes to agree beforehand")]
    NobodyToAsk,
    /// The store did not confirm all; nothing is rotated.
    #[error("nothing was rotated: the store could not confirm everything that may be a live secret")]
    Unconfirmed,
    /// Whether a rotation is defined is not known.
    #[error("nothing was rotated: whether {path} has a rotation cannot be told: {reason}")]
    NoDefinition {
        /// The secret.
        path: String,
        /// Why.
        reason: String,
    },
    /// Some rotations were not started.
    #[error("{failed} of the live secrets could not be rotated")]
    NotRotated {
        /// How many.
        failed: usize,
    },
}
