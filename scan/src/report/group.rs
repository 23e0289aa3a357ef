//! Findings by their credential: one that lies in many places is one leak, to be mended once.

use std::collections::HashMap;

use turnlock_core::finding::{Finding, Fingerprint};

use super::Report;
use crate::inspect::identity;

/// One credential with all its places.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// What describes the credential best: the finding of the most certain rule.
    pub(super) best: &'a Finding,
    /// All findings of it, in order of their places.
    pub(super) places: Vec<&'a Finding>,
}

/// The findings of `report` by their credential, in order of their first places.
pub(super) fn groups(report: &Report) -> Vec<Group<'_>> {
    let same = identity();
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut index_of: HashMap<Fingerprint, usize> = HashMap::new();
    for finding in &report.findings {
        let secret = finding.secret.expose();
        // What has no credential, such as a file that is one by its name, stands by itself.
        let known = (!secret.is_empty()).then(|| *index_of.entry(same.fingerprint(secret)).or_insert(groups.len()));
        match known.and_then(|index| groups.get_mut(index)) {
            Some(group) => {
                group.places.push(finding);
                if finding.certainty > group.best.certainty {
                    group.best = finding;
                }
            }
            None => groups.push(Group { best: finding, places: vec![finding] }),
        }
    }
    groups
}
