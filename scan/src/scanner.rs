//! Scans a tree, a history, or both, and bytes at hand; puts rules, store, allow lists and reports together.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use turnlock_core::finding::{Finding, Fingerprint, LiveSecret};

use crate::baseline::Baseline;
use crate::bounds::Bounds;
use crate::config::{Config, ConfigError};
use crate::coverage::{Coverage, Why};
use crate::excuses::Excuses;
use crate::ignore_list::IgnoreList;
use crate::inspect::{Inspector, identity};
use crate::lookup::StoreLookup;
use crate::range::{self, Range};
use crate::received::{self, Quarantine};
use crate::report::Report;
use crate::rule::{self, Rule};
use crate::ruleset::Ruleset;
use crate::{archive, decode, git, messages, sent, staged, walk};

/// What is scanned and how.
pub struct Options {
    /// The rules; [`rule::built_in`] by default.
    pub rules: Vec<Rule>,
    /// Rules and allowlists of the user, over the rules or in their place.
    pub config: Config,
    /// Ids of the only rules that run; all rules when there are none.
    pub only_rules: Vec<String>,
    /// Whether files that `.gitignore` and the like exclude are left out of a tree.
    pub honour_ignore_files: bool,
    /// Whether links to files are followed, out of the tree as well.
    pub follow_symlinks: bool,
    /// Whether comments such as `turnlock:allow` in a line allow what the line holds.
    pub honour_comments: bool,
    /// How many notations, such as base64, are taken off one another; 0 looks at texts only as they are.
    pub decode_depth: usize,
    /// How many archives in one another are opened; 0 opens none.
    pub archive_depth: usize,
    /// Larger files and blobs are not read but named as omissions. An archive among the files may be larger, what lies in
    /// it may not.
    pub max_bytes: u64,
    /// So many bytes may come out of what is compressed within the texts of one scan, in base64 and the like.
    pub unpacked_bytes: u64,
    /// So many hits are kept in all; what is beyond is an omission.
    pub max_hits: u64,
    /// Findings that shall not be reported. Ignore files at the top of what is scanned are added to it.
    pub ignore: IgnoreList,
    /// Findings of an earlier report.
    pub baseline: Baseline,
    /// Files of the tree that are left out: an earlier report holds what it reported.
    pub leave_out: Vec<PathBuf>,
    /// When to stop reading: what is left then is named as omissions.
    pub deadline: Option<Instant>,
    /// Whether lines that another version of the file has too are matched once only. Without it a scan is slower and finds
    /// the same.
    pub reuse_lines: bool,
    /// Folder in which the scan of a history remembers what it has seen, so that the next one is short; `None` to remember
    /// nothing. Must belong to the user: what lies there is believed.
    pub cache: Option<PathBuf>,
    /// The live store, if it shall be asked.
    pub lookup: Option<StoreLookup>,
    /// Is called now and then, from any thread.
    pub progress: Option<ProgressCall>,
}

/// What [`Options::progress`] holds.
pub type ProgressCall = Box<dyn Fn(Progress) + Send + Sync>;

/// How far a scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Files or objects done in this phase.
    pub done: u64,
    /// Files or objects of this phase.
    pub total: u64,
    /// Bytes read so far in this phase.
    pub bytes: u64,
}

/// The parts of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Files of the tree are read.
    Tree,
    /// Objects of the history are read.
    History,
    /// Commits are searched for who brought the findings in.
    Origins,
}

/// Largest file or blob that is read unless told otherwise.
pub const DEFAULT_MAX_BYTES: u64 = 64 << 20;

/// So many bytes may come out of compressed data within texts unless told otherwise.
pub const DEFAULT_UNPACKED_BYTES: u64 = 1 << 30;

/// So many hits are kept unless told otherwise.
pub const DEFAULT_MAX_HITS: u64 = 100_000;

impl Options {
    /// The rules that come with the crate, ignore files and comments honoured, no store.
    pub fn usual() -> Self {
        Self {
            rules: rule::built_in(),
            config: Config::default(),
            only_rules: Vec::new(),
            honour_ignore_files: true,
            follow_symlinks: false,
            honour_comments: true,
            decode_depth: decode::DEFAULT_DEPTH,
            archive_depth: archive::DEFAULT_DEPTH,
            max_bytes: DEFAULT_MAX_BYTES,
            unpacked_bytes: DEFAULT_UNPACKED_BYTES,
            max_hits: DEFAULT_MAX_HITS,
            ignore: IgnoreList::default(),
            baseline: Baseline::default(),
            leave_out: Vec::new(),
            deadline: None,
            reuse_lines: true,
            cache: None,
            lookup: None,
            progress: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("rules", &self.rules.len())
            .field("max_bytes", &self.max_bytes)
            .field("lookup", &self.lookup)
            .finish_non_exhaustive()
    }
}

/// Why a scan could not be made at all. What merely could not be read is in the [`Coverage`].
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The configuration cannot be used.
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    /// There is no such file or folder.
    #[error("there is nothing to scan at {}", path.display())]
    NoSuchPath {
        /// What was asked for.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds nothing that could be read twice, as a file and a folder do.
    #[error("{} is no file and no folder; give what comes out of a pipe on standard input", path.display())]
    Special {
        /// What was asked for.
        path: PathBuf,
    },
    /// There is no repository.
    #[error("there is no readable git repository at {}", path.display())]
    NoRepository {
        /// What was asked for.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The object store cannot be listed.
    #[error("the objects of the repository cannot be listed")]
    Objects(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A revision is unknown.
    #[error("there is no commit {revision}")]
    Revision {
        /// What was asked for.
        revision: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The input of the hook cannot be read.
    #[error("the references of the push cannot be read")]
    Input(#[source] std::io::Error),
    /// The input of the hook is not what git writes.
    #[error("the references of the push are malformed: they are not what git writes to this hook")]
    HookInput,
    /// An ignore file cannot be read.
    #[error("an ignore file cannot be read")]
    IgnoreFile(#[source] std::io::Error),
}

/// A scan, ready to run as often as wanted.
#[derive(Debug)]
pub struct Scanner {
    pub(crate) options: Options,
    pub(crate) rules: Ruleset,
    pub(crate) bounds: Bounds,
    /// All that a configuration changes, as a text by which two of them are told apart.
    pub(crate) config: String,
    warnings: Vec<String>,
}

impl Scanner {
    /// Errors: [`ScanError::Config`].
    pub fn new(mut options: Options) -> Result<Self, ScanError> {
        let config = format!("{:?} {:?}", options.config, options.only_rules);
        let (rules, warnings) =
            Ruleset::new(std::mem::take(&mut options.rules), std::mem::take(&mut options.config), &options.only_rules)?;
        let bounds = Bounds::new(options.unpacked_bytes, options.max_hits);
        Ok(Self { options, rules, bounds, config, warnings })
    }

    /// What the configuration says without effect.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Ids and descriptions of the rules, in order of the ids.
    pub fn rules(&self) -> Vec<(String, String)> {
        self.rules.all()
    }

    /// Scans the files below `path`, or the one file that it names. Names of files are reported as walked: below the
    /// path as given.
    pub fn scan_tree(&self, path: &Path) -> Result<Report, ScanError> {
        self.scan_tree_as(path, if path == Path::new(".") { Path::new("") } else { path })
    }

    /// The same, with `shown` in the place of `path` in the names of files.
    pub fn scan_tree_as(&self, path: &Path, shown: &Path) -> Result<Report, ScanError> {
        let excuses = Excuses::at(self, path, shown)?;
        let (findings, coverage) = walk::scan(self, path, shown)?;
        Ok(self.report(findings, coverage, &excuses))
    }

    /// Scans every object of the repository at or above `path`, reachable or not.
    pub fn scan_history(&self, path: &Path) -> Result<Report, ScanError> {
        let repository = git::open(path)?;
        let excuses = self.excuses(repository.workdir().unwrap_or(path))?;
        let (findings, coverage) = git::scan(self, &repository)?;
        Ok(self.report(findings, coverage, &excuses))
    }

    /// Scans what some commits of the repository at or above `path` brought in.
    pub fn scan_range(&self, path: &Path, range: &Range) -> Result<Report, ScanError> {
        let repository = git::open(path)?;
        let excuses = self.excuses(repository.workdir().unwrap_or(path))?;
        let (findings, coverage) = range::scan(self, &repository, range)?;
        Ok(self.report(findings, coverage, &excuses))
    }

    /// Scans what is staged in the repository at or above `path` and not in its last commit.
    pub fn scan_staged(&self, path: &Path) -> Result<Report, ScanError> {
        let repository = git::open(path)?;
        let excuses = self.excuses(repository.workdir().unwrap_or(path))?;
        let (findings, coverage) = staged::scan(self, &repository)?;
        Ok(self.report(findings, coverage, &excuses))
    }

    /// Scans what a push is about to bring to the repository at or above `path`. `input`: what git writes to its hook
    /// `pre-receive`.
    pub fn scan_received(
        &self,
        path: &Path,
        quarantine: &Quarantine,
        input: &mut dyn BufRead,
    ) -> Result<Report, ScanError> {
        let mut repository = git::open(path)?;
        let excuses = self.excuses(repository.workdir().unwrap_or(path))?;
        let (findings, coverage) = received::scan(self, &mut repository, quarantine, input)?;
        Ok(self.report(findings, coverage, &excuses))
    }

    /// Scans what a push is about to send from the repository at or above `path` to `remote`. `input`: what git writes to its
    /// hook `pre-push`.
    pub fn scan_sent(&self, path: &Path, remote: &str, input: &mut dyn BufRead) -> Result<Report, ScanError> {
        let repository = git::open(path)?;
        let excuses = self.excuses(repository.workdir().unwrap_or(path))?;
        let (findings, coverage) = sent::scan(self, &repository, remote, input)?;
        Ok(self.report(findings, coverage, &excuses))
    }

    /// Scans the tree at `path`, and the history of the repository around it if there is one. What stands in the tree
    /// as it was committed is reported once, with its commit.
    pub fn scan_all(&self, path: &Path) -> Result<Report, ScanError> {
        let repository = match git::open(path) {
            Ok(repository) => repository,
            Err(error) => {
                let mut report = self.scan_tree(path)?;
                // A history that cannot be read is not covered; one that is not there is no gap.
                if let Some(folder) = git::folder_above(path) {
                    report.coverage.omit(folder.display().to_string(), Why::Unreadable(git::reason(&error)));
                }
                return Ok(report);
            }
        };
        let top = repository.workdir().map(Path::to_owned);
        let excuses = self.excuses(top.as_deref().unwrap_or(path))?;
        let (mut findings, mut coverage) = git::scan(self, &repository)?;
        if let Some(top) = top {
            // The tree's names must be those of the history, so that both can be compared.
            let inside = std::fs::canonicalize(path).ok().zip(std::fs::canonicalize(&top).ok());
            let shown =
                inside.and_then(|(path, top)| path.strip_prefix(&top).map(Path::to_owned).ok()).unwrap_or_default();
            let (uncommitted, covered) = walk::scan(self, path, &shown)?;
            coverage.absorb(covered);
            let same = identity();
            let key = |finding: &Finding| {
                (finding.place.file.clone(), finding.rule.clone(), same.fingerprint(finding.secret.expose()))
            };
            let committed: HashSet<_> = findings.iter().map(key).collect();
            findings.extend(uncommitted.into_iter().filter(|finding| !committed.contains(&key(finding))));
        }
        Ok(self.report(findings, coverage, &excuses))
    }

    /// Scans `bytes`, such as those from a pipe, under the name `file` (may be empty).
    pub fn scan_bytes(&self, file: &str, bytes: &[u8]) -> Report {
        self.scan_text(file, bytes, &Excuses::general(self))
    }

    /// Scans the message of a commit that is about to be made in the repository at or above `path`: `text` is what its author
    /// wrote, with what git adds to it.
    pub fn scan_message(&self, path: &Path, text: &[u8]) -> Result<Report, ScanError> {
        let repository = git::open(path)?;
        let excuses = self.excuses(repository.workdir().unwrap_or(path))?;
        Ok(self.scan_text(messages::COMMIT_MESSAGE, messages::written(text), &excuses))
    }

    fn scan_text(&self, file: &str, bytes: &[u8], excuses: &Excuses) -> Report {
        let mut coverage = Coverage { files: 1, bytes: bytes.len() as u64, ..Coverage::default() };
        let mut content = self.look_into(bytes, &HashMap::new());
        let confirmed = self.confirm(std::mem::take(&mut content.inspection.candidates), &mut coverage);
        if !confirmed.is_empty() {
            content = self.look_into(bytes, &confirmed);
        }
        content.count(file, &mut coverage);
        let inspector = self.inspector();
        let sightings = &content.inspection.sightings;
        let findings = sightings.iter().map(|sighting| inspector.finding(sighting, file, None)).collect();
        self.report(findings, coverage, excuses)
    }

    /// Scans what `reader` gives, of any length, under the name `file` (may be empty).
    pub fn scan_reader(&self, file: &str, reader: &mut dyn Read) -> std::io::Result<Report> {
        /// Bytes that tell a plain text.
        const HEAD_BYTES: u64 = 8 << 10;
        let mut head = Vec::new();
        (&mut *reader).take(HEAD_BYTES).read_to_end(&mut head)?;
        // What may hold values of the live store is read twice; what is no plain text is looked into whole.
        if self.options.lookup.is_some() || !self.is_plain(&head) {
            reader.read_to_end(&mut head)?;
            return Ok(self.scan_bytes(file, &head));
        }
        let (content, bytes) = self.look_through(&mut head.as_slice().chain(reader), &HashMap::new())?;
        let coverage = Coverage { files: 1, bytes, ..Coverage::default() };
        let inspector = self.inspector();
        let sightings = &content.inspection.sightings;
        let findings = sightings.iter().map(|sighting| inspector.finding(sighting, file, None)).collect();
        Ok(self.report(findings, coverage, &Excuses::general(self)))
    }

    pub(crate) fn inspector(&self) -> Inspector<'_> {
        Inspector {
            rules: &self.rules,
            lookup: self.options.lookup.as_ref(),
            bounds: &self.bounds,
            comments: self.options.honour_comments,
            decode_depth: self.options.decode_depth,
            until: usize::MAX,
        }
    }

    /// The secrets of the store among `candidates`. When it cannot be asked, that is an omission.
    pub(crate) fn confirm(
        &self,
        candidates: HashSet<Fingerprint>,
        coverage: &mut Coverage,
    ) -> HashMap<Fingerprint, LiveSecret> {
        let Some(lookup) = &self.options.lookup else { return HashMap::new() };
        lookup.confirmed(candidates).unwrap_or_else(|why| {
            coverage.omit("live store", Why::Unconfirmed(why));
            HashMap::new()
        })
    }

    /// Whether the time that the scan was given is over.
    pub(crate) fn is_late(&self) -> bool {
        self.options.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    pub(crate) fn progress(&self, progress: Progress) {
        if let Some(call) = &self.options.progress {
            call(progress);
        }
    }

    fn excuses(&self, top: &Path) -> Result<Excuses, ScanError> {
        Excuses::at(self, top, Path::new(""))
    }

    fn report(&self, findings: Vec<Finding>, mut coverage: Coverage, excuses: &Excuses) -> Report {
        for why in self.bounds.gaps() {
            coverage.omit("the scan as a whole", why);
        }
        self.bounds.renew();
        excuses.report(self, findings, coverage)
    }
}
