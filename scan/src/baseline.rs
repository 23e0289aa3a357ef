//! An earlier report as the line from which on findings count.

use std::collections::HashSet;

use serde::Deserialize;
use turnlock_core::finding::{Finding, Fingerprint, FingerprintKey};
use zeroize::Zeroizing;

use crate::inspect::identity;

/// Findings of an earlier JSON report; those are not reported again.
///
/// A finding is an old one when rule, file and commit are the same and so is the credential. Where the report was
/// redacted, lines and columns stand in for the credential. Descriptions do not count: they change with versions.
#[derive(Debug)]
pub struct Baseline {
    same: FingerprintKey,
    secrets: HashSet<([String; 3], Fingerprint)>,
    places: HashSet<([String; 3], [u32; 4])>,
}

impl Default for Baseline {
    fn default() -> Self {
        Self { same: identity(), secrets: HashSet::new(), places: HashSet::new() }
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

impl Baseline {
    /// Reads a JSON report of this program or of another that writes the same format.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let old: Vec<OldFinding> = serde_json::from_slice(text)?;
        let mut baseline = Self::default();
        for finding in old {
            let redacted =
                finding.secret.is_empty() || finding.secret.as_str() == "REDACTED" || finding.secret.ends_with("...");
            if redacted {
                let place = [finding.start_line, finding.end_line, finding.start_column, finding.end_column];
                baseline.places.insert(([finding.rule_id, finding.file, finding.commit], place));
            } else {
                let secret = baseline.same.fingerprint(finding.secret.as_bytes());
                baseline.secrets.insert(([finding.rule_id, finding.file, finding.commit], secret));
            }
        }
        Ok(baseline)
    }

    /// Whether `finding` was in the report.
    pub fn holds(&self, finding: &Finding) -> bool {
        if self.secrets.is_empty() && self.places.is_empty() {
            return false;
        }
        let commit = finding.commit.as_ref().map(|commit| commit.id.clone()).unwrap_or_default();
        let name = [finding.rule.clone(), finding.place.file.clone(), commit];
        let place = &finding.place;
        let lines = [place.start_line, place.end_line, place.start_column, place.end_column];
        // As the report wrote it.
        let text = Zeroizing::new(String::from_utf8_lossy(finding.secret.expose()).into_owned());
        let secret = self.same.fingerprint(text.as_bytes());
        self.secrets.contains(&(name.clone(), secret)) || self.places.contains(&(name, lines))
    }
}
