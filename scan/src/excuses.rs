//! What is found and yet not reported: what the configuration allows, what ignore files name, what was reported before.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use turnlock_core::finding::Finding;

use crate::config::Nested;
use crate::coverage::{Coverage, Why};
use crate::ignore_list::{IGNORE_FILES, IgnoreList};
use crate::messages;
use crate::report::Report;
use crate::scanner::{ScanError, Scanner};

/// The excuses that hold for one scan.
#[derive(Debug)]
pub(crate) struct Excuses {
    ignore: IgnoreList,
    /// The top of what is scanned, if it is on disk, and what names of files have in its place.
    place: Option<(PathBuf, PathBuf)>,
}

impl Excuses {
    /// Those of `scanner` alone, for what is not on disk.
    pub(crate) fn general(scanner: &Scanner) -> Self {
        Self { ignore: scanner.options.ignore.clone(), place: None }
    }

    /// The same with those in the files at and below `top`, which is called `shown` in names of files.
    pub(crate) fn at(scanner: &Scanner, top: &Path, shown: &Path) -> Result<Self, ScanError> {
        let mut ignore = scanner.options.ignore.clone();
        if top.is_dir() {
            ignore.add_files(top).map_err(ScanError::IgnoreFile)?;
        }
        Ok(Self { ignore, place: Some((top.to_owned(), shown.to_owned())) })
    }

    /// The report on `findings` without those that are excused.
    pub(crate) fn report(&self, scanner: &Scanner, mut findings: Vec<Finding>, mut coverage: Coverage) -> Report {
        let mut nested = self.place.as_ref().map(|(top, shown)| Nested::new(top, shown));
        let mut used = HashSet::new();
        findings.retain(|finding| {
            if looks_like_one_in_an_ignore_file(finding) {
                return false;
            }
            if scanner.rules.excuses(finding) || nested.as_mut().is_some_and(|nested| nested.excuses(finding)) {
                return false;
            }
            let entry = self.ignore.entry_of(finding, |rule| scanner.rules.has(rule));
            used.extend(entry);
            entry.is_none()
        });
        // What is ignored at one place is told by the next one; what was reported before is so wherever it is said again.
        messages::keep_first_of_each(&mut findings);
        findings.retain(|finding| !scanner.options.baseline.holds(finding));
        for finding in &mut findings {
            finding.secret_name = self.ignore.secret_name(finding);
        }
        findings.sort_by(|a, b| {
            let commit = |finding: &Finding| finding.commit.as_ref().map(|commit| commit.id.clone());
            (&a.place, &a.rule).cmp(&(&b.place, &b.rule)).then_with(|| commit(a).cmp(&commit(b)))
        });
        let (warnings, errors) = nested.map(Nested::complaints).unwrap_or_default();
        for error in errors {
            // What it would have excused is reported, but its author must learn why.
            coverage.omit("configuration of a folder", Why::Unreadable(error.to_string()));
        }
        coverage.omissions.sort();
        // What two checks noticed is one gap.
        let noted = coverage.omissions.len();
        coverage.omissions.dedup();
        coverage.omitted -= (noted - coverage.omissions.len()) as u64;
        Report {
            findings,
            coverage,
            rules: scanner.rules.all(),
            own_rules: scanner.rules.own(),
            unused_ignores: self.ignore.unused(&used),
            void_ignores: self.ignore.void().to_vec(),
            warnings,
        }
    }
}

/// Names by credential, and the key that they are made with, look like credentials to rules that know no format.
fn looks_like_one_in_an_ignore_file(finding: &Finding) -> bool {
    let name = Path::new(&finding.place.file).file_name().and_then(|name| name.to_str());
    finding.rule.starts_with("generic-") && name.is_some_and(|name| IGNORE_FILES.contains(&name))
}
