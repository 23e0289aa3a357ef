//! An earlier report as the line from which on findings count.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use turnlock_core::finding::{Finding, Fingerprint, FingerprintKey};
use zeroize::Zeroizing;

use crate::inspect::identity;

/// Findings of earlier reports; those are not reported again.
///
/// A finding is an old one when file and commit are the same and so is the credential, whatever the rule was called.
/// Where the report was redacted, rule, lines and columns stand in for the credential. Descriptions do not count: they
/// change with versions.
#[derive(Debug)]
pub struct Baseline {
    same: FingerprintKey,
    /// By file, commit and credential.
    secrets: HashSet<([String; 2], Fingerprint)>,
    /// By rule, file, commit and place.
    places: HashSet<([String; 3], [u32; 4])>,
    /// By file and SHA-1 of the credential, as detect-secrets writes them.
    digests: HashSet<(String, String)>,
}

impl Default for Baseline {
    fn default() -> Self {
        Self { same: identity(), secrets: HashSet::new(), places: HashSet::new(), digests: HashSet::new() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct OldFinding {
    #[serde(rename = "RuleID")]
    rule_id: String,
    file: String,
    commit: String,
    secret: Zeroizing<String>,
    start_line: u32,
    end_line: u32,
    start_column: u32,
    end_column: u32,
}

/// `.secrets.baseline` of detect-secrets.
#[derive(Deserialize)]
struct Digests {
    results: HashMap<String, Vec<OldDigest>>,
}

#[derive(Deserialize)]
struct OldDigest {
    hashed_secret: String,
    /// Whether a person judged that it is one.
    is_secret: Option<bool>,
}

impl Baseline {
    /// Reads a JSON report of this program or of another that writes the same format, or a `.secrets.baseline`.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let mut baseline = Self::default();
        baseline.add(text)?;
        Ok(baseline)
    }

    /// Adds the findings of another report.
    pub fn add(&mut self, text: &[u8]) -> Result<(), serde_json::Error> {
        if text.trim_ascii_start().starts_with(b"{") {
            let digests: Digests = serde_json::from_slice(text)?;
            for (file, old) in digests.results {
                // What was judged to be a leak still is one.
                let harmless = old.into_iter().filter(|digest| digest.is_secret != Some(true));
                self.digests.extend(harmless.map(|digest| (file.clone(), digest.hashed_secret.to_lowercase())));
            }
            return Ok(());
        }
        let old: Vec<OldFinding> = serde_json::from_slice(text)?;
        for finding in old {
            let redacted =
                finding.secret.is_empty() || finding.secret.as_str() == "REDACTED" || finding.secret.ends_with("...");
            if redacted {
                let place = [finding.start_line, finding.end_line, finding.start_column, finding.end_column];
                self.places.insert(([finding.rule_id, finding.file, finding.commit], place));
            } else {
                let secret = self.same.fingerprint(finding.secret.as_bytes());
                self.secrets.insert(([finding.file, finding.commit], secret));
            }
        }
        Ok(())
    }

    /// Whether `finding` was in a report.
    pub fn holds(&self, finding: &Finding) -> bool {
        if self.secrets.is_empty() && self.places.is_empty() && self.digests.is_empty() {
            return false;
        }
        let commit = finding.commit.as_ref().map(|commit| commit.id.clone()).unwrap_or_default();
        let place = &finding.place;
        // As the report wrote it.
        let text = Zeroizing::new(String::from_utf8_lossy(finding.secret.expose()).into_owned());
        let secret = self.same.fingerprint(text.as_bytes());
        if self.secrets.contains(&([place.file.clone(), commit.clone()], secret)) {
            return true;
        }
        let lines = [place.start_line, place.end_line, place.start_column, place.end_column];
        if self.places.contains(&([finding.rule.clone(), place.file.clone(), commit], lines)) {
            return true;
        }
        !self.digests.is_empty()
            && sha1(text.as_bytes()).is_some_and(|digest| {
                let file = place.file.strip_prefix("./").unwrap_or(&place.file);
                self.digests.contains(&(file.to_owned(), digest))
            })
    }
}

fn sha1(bytes: &[u8]) -> Option<String> {
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    hasher.update(bytes);
    hasher.try_finalize().ok().map(|digest| digest.to_string())
}
