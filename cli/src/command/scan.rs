//! `turnlock scan`: looks for leaked credentials, in files and in the whole history of a repository.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use turnlock_scan::allow::IgnoreList;
use turnlock_scan::baseline::Baseline;
use turnlock_scan::report::{Redaction, write_json, write_summary, write_text};
use turnlock_scan::rule::RuleError;
use turnlock_scan::{Options, Outcome, Phase, Progress, Report, ScanError, Scanner, StoreLookup};

/// Arguments of `turnlock scan`.
///
/// Looks for leaked credentials in the files at PATH and in the whole history of the repository around it: every blob
/// of its object store, also of merges, other branches and commits that were amended away.
///
/// Credentials are redacted in every output unless --redact=0 is given. A line with `turnlock:allow` or
/// `gitleaks:allow` is not reported; nor is what `.turnlockignore` or `.gitleaksignore` at the top of what is scanned
/// names.
///
/// Exit codes: 0 nothing found; 1 something found (or the code of --exit-code); 2 the scan failed; 3 nothing found,
/// but not everything could be read (standard error says what).
#[derive(Debug, clap::Args)]
pub(crate) struct ScanArgs {
    #[command(subcommand)]
    source: Option<Source>,

    /// Folder or file to scan, with the history of the repository around it.
    #[arg(default_value = ".")]
    path: PathBuf,

    /// Form of the report; by default that of the --report-path's extension, else text.
    #[arg(short = 'f', long, visible_alias = "report-format", value_enum, global = true)]
    format: Option<Format>,

    /// Write the report to this file instead of standard output; `-` is standard output.
    #[arg(short = 'r', long, value_name = "FILE", global = true)]
    report_path: Option<PathBuf>,

    /// Percentage of each credential that is hidden; 0 shows it.
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, default_value_t = 100, default_missing_value = "100",
          value_parser = clap::value_parser!(u8).range(0..=100), global = true)]
    redact: u8,

    /// Exit code when something was found.
    #[arg(long, value_name = "CODE", default_value_t = 1, global = true)]
    exit_code: u8,

    /// Do not report what this earlier JSON report holds.
    #[arg(short = 'b', long, value_name = "FILE", global = true)]
    baseline_path: Option<PathBuf>,

    /// File with names of findings that shall not be reported, or folder with a `.turnlockignore` or `.gitleaksignore`.
    #[arg(short = 'i', long, visible_alias = "gitleaks-ignore-path", value_name = "PATH", global = true)]
    ignore_path: Option<PathBuf>,

    /// Report lines with an allow comment too.
    #[arg(long, visible_alias = "ignore-gitleaks-allow", global = true)]
    ignore_allow: bool,

    /// Scan files that .gitignore excludes too.
    #[arg(long, global = true)]
    no_ignore: bool,

    /// Leave the history out.
    #[arg(long)]
    no_git: bool,

    /// Pass over files and blobs that are larger (0: no limit); they count as not covered.
    #[arg(long, value_name = "MEGABYTES", default_value_t = 64, global = true)]
    max_target_megabytes: u64,

    /// Recognise values of the live store and name them. Needs a token that may read the store's scan filter.
    #[arg(long, global = true)]
    store: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Source {
    /// The whole history of a repository.
    Git {
        /// The repository, or a folder in it.
        #[arg(default_value = ".")]
        path: PathBuf,
    },
    /// Files only; names are reported as walked.
    #[command(visible_aliases = ["file", "directory"])]
    Dir {
        /// Folder or file.
        #[arg(default_value = ".")]
        path: PathBuf,
    },
    /// What comes in on standard input.
    Stdin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// The JSON array that gitleaks writes.
    Json,
}

/// Why a scan came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanFailure {
    /// The rules that came with the program cannot be used.
    #[error(transparent)]
    Rules(#[from] RuleError),
    /// Nothing could be scanned.
    #[error(transparent)]
    Scan(#[from] ScanError),
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
    /// The report cannot be written.
    #[error("the report cannot be written")]
    Write(#[source] io::Error),
    /// `--store` was given and there is no store to ask.
    #[error("--store needs a server to ask")]
    NoStore,
}

impl ScanArgs {
    /// Whether the values of the live store shall be recognised.
    pub(crate) fn wants_store(&self) -> bool {
        self.store
    }

    /// The exit code for `outcome`; a failed scan is 2.
    pub(crate) fn exit_code(&self, outcome: Outcome) -> u8 {
        match outcome {
            Outcome::Clean => 0,
            Outcome::Leaks => self.exit_code,
            Outcome::Partial => 3,
        }
    }

    fn format(&self) -> Format {
        let named = self.report_path.as_deref().and_then(Path::extension).is_some_and(|extension| extension == "json");
        self.format.unwrap_or(if named { Format::Json } else { Format::Text })
    }
}

/// Scans as `args` say, writes the report to standard output or the file they name, and what was covered to standard
/// error.
///
/// `lookup`: the live store, when [`ScanArgs::wants_store`].
pub(crate) fn run(args: &ScanArgs, lookup: Option<StoreLookup>) -> Result<Outcome, ScanFailure> {
    if args.store && lookup.is_none() {
        return Err(ScanFailure::NoStore);
    }
    let bar = progress_bar();
    let mut options = Options::new()?;
    options.honour_ignore_files = !args.no_ignore;
    options.honour_comments = !args.ignore_allow;
    options.lookup = lookup;
    options.max_bytes = match args.max_target_megabytes {
        0 => u64::MAX,
        megabytes => megabytes.saturating_mul(1_000_000),
    };
    if let Some(path) = &args.ignore_path {
        let mut ignore = IgnoreList::default();
        ignore.add_files(path).map_err(|source| ScanFailure::Read { path: path.clone(), source })?;
        options.ignore = ignore;
    }
    if let Some(path) = &args.baseline_path {
        let text = std::fs::read(path).map_err(|source| ScanFailure::Read { path: path.clone(), source })?;
        options.baseline =
            Baseline::parse(&text).map_err(|source| ScanFailure::Baseline { path: path.clone(), source })?;
    }
    options.leave_out = args.baseline_path.iter().chain(&args.report_path).cloned().collect();
    if !bar.is_hidden() {
        let bar = bar.clone();
        options.progress = Some(Box::new(move |progress| show(&bar, progress)));
    }

    let scanner = Scanner::new(options)?;
    let report = match &args.source {
        None if args.no_git => scanner.scan_tree(&args.path)?,
        None => scanner.scan_all(&args.path)?,
        Some(Source::Git { path }) => scanner.scan_history(path)?,
        Some(Source::Dir { path }) => scanner.scan_tree(path)?,
        Some(Source::Stdin) => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).map_err(ScanFailure::Input)?;
            scanner.scan_bytes("", &bytes)
        }
    };
    bar.finish_and_clear();
    write(args, &report).map_err(ScanFailure::Write)?;
    Ok(report.outcome())
}

fn write(args: &ScanArgs, report: &Report) -> io::Result<()> {
    let mut to: Box<dyn Write> = match args.report_path.as_deref() {
        // The report may show credentials: nobody else reads it.
        Some(path) if path != Path::new("-") => Box::new(io::BufWriter::new(
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?,
        )),
        _ => Box::new(io::BufWriter::new(io::stdout().lock())),
    };
    let redaction = Redaction::percent(args.redact);
    match args.format() {
        Format::Json => write_json(report, redaction, &mut to)?,
        Format::Text => write_text(report, redaction, &mut to)?,
    }
    to.flush()?;
    write_summary(report, &mut io::stderr().lock())
}

/// A bar on a terminal, nothing elsewhere.
fn progress_bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_message(match progress.phase {
        Phase::Tree => "files",
        Phase::History => "objects",
        Phase::Origins => "commits",
    });
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}
