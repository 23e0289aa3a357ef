//! All that a scan knows as one JSON object: credentials with their places, what was covered, what ignores came to.

use std::io::{self, Write};

use serde::Serialize;
use turnlock_core::finding::{CommitMark, Finding, LiveSecret};

use super::group::groups;
use super::json::write_value;
use super::{Redaction, Report, Said};
use crate::ignore_list::place_name;

#[derive(Serialize)]
struct Full<'a> {
    findings: Vec<Credential<'a>>,
    coverage: Covered<'a>,
    unused_ignores: &'a [String],
    void_ignores: &'a [String],
}

#[derive(Serialize)]
struct Credential<'a> {
    rule: &'a str,
    description: &'a str,
    certainty: f64,
    /// Why it is taken for a credential.
    reason: String,
    secret: String,
    entropy: f32,
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    live_secret: Option<&'a LiveSecret>,
    /// What its provider said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Said<'a>>,
    /// The name under which it can be ignored wherever it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_name: Option<&'a str>,
    places: Vec<Spot<'a>>,
}

#[derive(Serialize)]
struct Spot<'a> {
    rule: &'a str,
    file: &'a str,
    start_line: u32,
    start_column: u32,
    end_line: u32,
    end_column: u32,
    r#match: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<Mark<'a>>,
    /// Absent where only the credential has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_name: Option<String>,
}

#[derive(Serialize)]
struct Mark<'a> {
    id: &'a str,
    author: &'a str,
    email: &'a str,
    date: &'a str,
    message: String,
}

#[derive(Serialize)]
struct Covered<'a> {
    /// Whether something that should have been read was not.
    partial: bool,
    files: u64,
    blobs: u64,
    commits: u64,
    bytes: u64,
    binary: u64,
    archives: u64,
    unpacked: u64,
    symlinks: u64,
    allowed: u64,
    /// Whether a `.gitignore` may have left files out.
    excludes: bool,
    omitted: u64,
    omissions: Vec<Omitted<'a>>,
}

#[derive(Serialize)]
struct Omitted<'a> {
    what: &'a str,
    why: String,
}

/// Writes everything. Columns count as in the other formats.
pub fn write_full_json(report: &Report, redaction: Redaction, to: &mut impl Write) -> io::Result<()> {
    let coverage = &report.coverage;
    let omissions = coverage.omissions.iter();
    let full = Full {
        findings: groups(report)
            .iter()
            .map(|group| Credential {
                rule: &group.best.rule,
                description: &group.best.description,
                certainty: (f64::from(group.best.certainty) * 100.0).round() / 100.0,
                reason: redaction.within(&group.best.reason, &String::from_utf8_lossy(group.best.secret.expose())),
                secret: redaction.of(&String::from_utf8_lossy(group.best.secret.expose())).into_owned(),
                entropy: group.best.entropy,
                tags: &group.best.tags,
                live_secret: group.best.live.as_ref(),
                verdict: group.best.verdict.as_ref().map(Said::from),
                ignore_name: group.best.secret_name.as_deref(),
                places: group.places.iter().map(|finding| spot(finding, redaction)).collect(),
            })
            .collect(),
        coverage: Covered {
            partial: coverage.is_partial(),
            files: coverage.files,
            blobs: coverage.blobs,
            commits: coverage.commits,
            bytes: coverage.bytes,
            binary: coverage.binary,
            archives: coverage.archives,
            unpacked: coverage.unpacked,
            symlinks: coverage.symlinks,
            allowed: coverage.allowed,
            excludes: coverage.excludes,
            omitted: coverage.omitted,
            omissions: omissions.map(|gap| Omitted { what: &gap.what, why: gap.why.to_string() }).collect(),
        },
        unused_ignores: &report.unused_ignores,
        void_ignores: &report.void_ignores,
    };
    write_value(&full, to)
}

fn spot(finding: &Finding, redaction: Redaction) -> Spot<'_> {
    let secret = String::from_utf8_lossy(finding.secret.expose());
    let place = &finding.place;
    Spot {
        rule: &finding.rule,
        file: &place.file,
        start_line: place.start_line,
        start_column: place.start_column,
        end_line: place.end_line,
        end_column: place.end_column,
        r#match: redaction.within(&String::from_utf8_lossy(finding.matched.expose()), &secret),
        commit: finding.commit.as_ref().map(|commit| mark(commit, redaction, &secret)),
        ignore_name: place_name(finding),
    }
}

fn mark<'a>(commit: &'a CommitMark, redaction: Redaction, secret: &str) -> Mark<'a> {
    let CommitMark { id, author, email, date, .. } = commit;
    Mark { id, author, email, date, message: redaction.message(commit, secret) }
}
