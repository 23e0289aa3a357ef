//! The arguments of `turnlock scan`; those of gitleaks are among them, under the same names.

use std::path::{Path, PathBuf};

use turnlock_scan::{Outcome, Range, Report, Scanner};

use super::ScanFailure;
use super::verify::Endpoint;

/// Arguments of `turnlock scan`.
///
/// Looks for leaked credentials in the files at PATH and in the whole history of the repository around it: every blob
/// of its object store, also of merges, other branches and commits that were amended away, and the messages of its commits
/// and annotated tags.
///
/// Credentials are redacted in every output unless --redact=0 is given.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ScanArgs {
    #[command(subcommand)]
    pub(super) source: Option<Source>,

    /// Folder or file to scan, with the history of the repository around it.
    #[arg(default_value = ".")]
    pub(super) path: PathBuf,

    /// Leave the history out.
    #[arg(long)]
    pub(super) no_git: bool,

    /// Belongs behind `git`.
    #[arg(long, hide = true)]
    pub(super) staged: bool,

    #[command(flatten)]
    pub(super) settings: Settings,
}

const AFTER_HELP: &str = "\
Configuration (TOML, in the format of gitleaks): the first of --config, TURNLOCK_SCAN_CONFIG or
GITLEAKS_CONFIG (a path), TURNLOCK_SCAN_CONFIG_TOML or GITLEAKS_CONFIG_TOML (the text), and
`.turnlock-scan.toml` or `.gitleaks.toml` at the top of what is scanned. It extends the
organisation's. `[extend] useDefault = true` keeps the rules that come with the program.

What is no leak: a line with a comment `turnlock:allow` (or gitleaks:allow, betterleaks:allow,
trufflehog:ignore, kingfisher:ignore, `pragma: allowlist secret`); what `.turnlockignore` or
`.gitleaksignore` names; what --baseline-path holds; what an allowlist of the configuration allows.

Exit codes: 0 nothing found; 1 something found (or the code of --exit-code); 2 wrong usage, or the
scan or a rotation failed; 3 nothing found, but not everything could be read (standard error says
what).

Called as `gitleaks` (by a link of that name) it behaves like that: credentials are shown unless
--redact is given, a report is written only with -r or -v, .gitignore does not count, and every
failure is 1.

Examples:
  turnlock scan .                                files and history
  turnlock scan git --format sarif -r out.sarif  history, for a code host
  turnlock scan dir src -b earlier.json          files, without what an earlier report holds
  turnlock scan --format html -r report.html     a page for who has to mend it
  turnlock scan --store --rotate                 name the store's secrets, change those that leaked
  turnlock scan --verify --verify-endpoint gitlab.com=https://gitlab.example.com
                                                 ask the providers which credentials live
  turnlock scan install-hook                     refuse commits and pushes that hold credentials
  turnlock scan ignore config/app.env:generic-password:12 --reason 'test account' --until 2027-01-31";

/// What every way of scanning takes.
#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    /// Form of the report; by default that of the --report-path's extension, else text.
    #[arg(short = 'f', long, visible_alias = "report-format", value_enum, global = true)]
    format: Option<Format>,

    /// Write the report to this file instead of standard output; `-` is standard output.
    #[arg(short = 'r', long, value_name = "FILE", global = true)]
    pub(super) report_path: Option<PathBuf>,

    /// Percentage of each credential that is hidden; 0 shows it.
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, default_missing_value = "100",
          value_parser = clap::value_parser!(u8).range(0..=100), global = true)]
    pub(super) redact: Option<u8>,

    /// Exit code when something was found.
    #[arg(long, value_name = "CODE", default_value_t = 1, global = true)]
    pub(super) exit_code: u8,

    /// Show the findings on standard output as well when the report goes to a file.
    #[arg(short = 'v', long, global = true)]
    pub(super) verbose: bool,

    /// Configuration file.
    #[arg(short = 'c', long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,

    /// The organisation's configuration file, which the other extends [env: TURNLOCK_SCAN_ORGANISATION_CONFIG]
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) organisation_config: Option<PathBuf>,

    /// Run only the rules of these ids.
    #[arg(long, value_name = "ID", value_delimiter = ',', global = true)]
    pub(super) enable_rule: Vec<String>,

    /// Do not report what this earlier report holds: JSON, or `.secrets.baseline` of detect-secrets.
    #[arg(short = 'b', long, value_name = "FILE", global = true)]
    pub(super) baseline_path: Vec<PathBuf>,

    /// File with names of findings that shall not be reported, or folder with a `.turnlockignore` or `.gitleaksignore`.
    #[arg(short = 'i', long, visible_alias = "gitleaks-ignore-path", value_name = "PATH", global = true)]
    pub(super) ignore_path: Option<PathBuf>,

    /// Say which entries of ignore files named no finding.
    #[arg(long, global = true)]
    pub(super) report_unused_ignores: bool,

    /// Report lines with an allow comment too.
    #[arg(long, visible_alias = "ignore-gitleaks-allow", global = true)]
    pub(super) ignore_allow: bool,

    /// Scan files that .gitignore excludes too.
    #[arg(long, global = true)]
    pub(super) no_ignore: bool,

    /// Read the files that symbolic links lead to, out of the folder as well.
    #[arg(long, global = true)]
    pub(super) follow_symlinks: bool,

    /// Pass over files and blobs that are larger (0: no limit); they count as not covered. Of
    /// standard input so much is read.
    #[arg(long, value_name = "MEGABYTES", default_value_t = 64, global = true)]
    pub(super) max_target_megabytes: u64,

    /// Stop reading after so many seconds (0: never); what is left then counts as not covered.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, global = true)]
    pub(super) timeout: u64,

    /// Recognise values of the live store and name them. Needs a token that may read sys/fingerprints/filter and update
    /// sys/fingerprints/confirm, and nothing else.
    #[arg(long, global = true)]
    pub(super) store: bool,

    /// Start the rotation of each live secret that was found in its current version. Asks first. Needs a token that
    /// may read rotation/definitions/… and update rotation/run/… of the secret.
    #[arg(long, global = true, requires = "store")]
    pub(super) rotate: bool,

    /// Do not ask before rotations are started.
    #[arg(long, global = true, requires = "rotate")]
    pub(super) yes: bool,

    /// Ask the provider of each credential whether it lives. This sends the credential to its provider, over https,
    /// through the proxy that HTTPS_PROXY names.
    #[arg(long, global = true)]
    pub(super) verify: bool,

    /// Say what --verify would ask whom, with the credentials hidden, and ask nobody, also beside
    /// --verify.
    #[arg(long, global = true)]
    pub(super) verify_dry_run: bool,

    /// Ask another server in place of a provider's host, such as one of your own.
    #[arg(long, value_name = "HOST=URL", value_parser = Endpoint::parse, global = true)]
    pub(super) verify_endpoint: Vec<Endpoint>,

    /// No colours.
    #[arg(long, global = true)]
    pub(super) no_color: bool,

    /// Say only what is at least so grave on standard error.
    #[arg(short = 'l', long, value_name = "LEVEL", default_value = "info", global = true, hide = true,
          value_parser = ["trace", "debug", "info", "warn", "error", "fatal"])]
    pub(super) log_level: String,

    /// Accepted, without effect: there is no banner.
    #[arg(long, global = true, hide = true)]
    no_banner: bool,

    /// Template of a report, which is refused.
    #[arg(long, value_name = "FILE", global = true, hide = true)]
    pub(super) report_template: Option<PathBuf>,

    /// Open archives and container images, so many within one another; 0 opens none [default: 3].
    #[arg(long, value_name = "DEPTH", global = true)]
    pub(super) max_archive_depth: Option<usize>,

    /// Read base64, hex, percent and character escapes, so many within one another; 0 reads none [default: 5].
    #[arg(long, value_name = "DEPTH", global = true)]
    pub(super) max_decode_depth: Option<usize>,

    /// Measurements of the program, which are refused.
    #[arg(long, value_name = "KINDS", global = true, hide = true)]
    pub(super) diagnostics: Option<String>,

    /// Scan every blob, also those that an earlier scan of this repository has seen, and remember nothing.
    #[arg(long, global = true)]
    pub(super) no_cache: bool,

    /// Set when the program was called as gitleaks.
    #[arg(long, global = true, hide = true)]
    pub(super) as_gitleaks: bool,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Source {
    /// The whole history of a repository, some of its commits, or what is staged.
    ///
    /// Of commits and of what is staged only that is reported which was not in the same file before.
    ///
    /// A place such as unreferenced/ID:3 is a blob that no commit holds, staged and forgotten or dropped since:
    /// `git show ID` shows it.
    Git(GitArgs),
    /// What a push brings, called by the hook `pre-receive` of a server: reads the references from standard input.
    ///
    /// The hook is `exec turnlock scan pre-receive`; what it refuses does not enter the repository.
    PreReceive {
        /// The repository that is pushed to.
        #[arg(default_value = ".")]
        path: PathBuf,
    },
    /// What a push is about to send, called by the hook `pre-push`: reads the references from standard input.
    ///
    /// The hook is `exec turnlock scan pre-push "$@"`. Only that is scanned which the remote is not known to have.
    PrePush {
        /// Name of the remote.
        #[arg(default_value = "", hide_default_value = true)]
        remote: String,
        /// Its address, which git gives to the hook too.
        #[arg(hide = true)]
        url: Option<String>,
    },
    /// The message of a commit, called by the hook `commit-msg`: what it says stays in the history.
    ///
    /// The hook is `exec turnlock scan commit-msg "$1"`.
    CommitMsg {
        /// The file with the message.
        file: PathBuf,
    },
    /// Files only; names are reported as walked.
    #[command(visible_aliases = ["file", "directory"])]
    Dir {
        /// Folder or file.
        #[arg(default_value = ".")]
        path: PathBuf,
    },
    /// What comes in on standard input; an ignore file at the top of the repository, or here, counts.
    Stdin,
    /// Write hooks that scan what is to be committed, its message, and what is to be pushed.
    ///
    /// pre-commit scans what is staged, commit-msg the message of the commit, pre-push what the other side does not have
    /// yet. A hook that is already there is kept under the name NAME.before-turnlock and runs first. Running the command
    /// again changes nothing. `git commit --no-verify` and SKIP=turnlock (or SKIP=gitleaks) pass the hooks by.
    InstallHook(super::hook::HookArgs),
    /// Name a finding in `.turnlockignore`, with a reason and a last day.
    ///
    /// Findings have names by their place, as reports give it (commit:file:rule:line or file:rule:line), and by their
    /// credential wherever it stands (secret:…), the only one for what a new message or standard input holds. Names by
    /// credential need a key, which the first call writes into the file; reports give such names from then on. What is
    /// named already gets the new reason and last day.
    Ignore(super::ignore::IgnoreArgs),
    /// As gitleaks had it before `git` and `dir`.
    #[command(hide = true)]
    Detect {
        /// Repository or folder.
        #[arg(short = 's', long, default_value = ".")]
        source: PathBuf,
        /// Files only.
        #[arg(long)]
        no_git: bool,
        /// Standard input.
        #[arg(long)]
        pipe: bool,
        /// Only the commits that `git log` would show with these options.
        #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
        log_opts: Option<String>,
    },
    /// As gitleaks had it before `git --staged`.
    #[command(hide = true)]
    Protect {
        /// Repository.
        #[arg(short = 's', long, default_value = ".")]
        source: PathBuf,
        /// What is staged, which is scanned without it too.
        #[arg(long)]
        staged: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct GitArgs {
    /// The repository, or a folder in it.
    #[arg(default_value = ".")]
    pub(super) path: PathBuf,
    /// Only what is staged for the next commit.
    #[arg(long, conflicts_with_all = ["range", "since", "log_opts"])]
    staged: bool,
    /// The same, as gitleaks calls it.
    #[arg(long, hide = true)]
    pre_commit: bool,
    /// Only commits of B that A does not have, or all of B; may be given more than once.
    #[arg(long, value_name = "A..B", conflicts_with = "log_opts")]
    range: Vec<String>,
    /// Only commits since this date: `2026-03-01`, `2 weeks ago`.
    #[arg(long, value_name = "DATE", conflicts_with = "log_opts")]
    since: Option<String>,
    /// Only the commits that `git log` would show with these options.
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    log_opts: Option<String>,
    /// Code host for links, which are not written.
    #[arg(long, value_name = "NAME", hide = true)]
    platform: Option<String>,
}

impl GitArgs {
    /// Whether less than the whole history is asked for.
    pub(super) fn is_partial(&self) -> bool {
        let commits = !self.range.is_empty() || self.since.is_some() || self.log_opts.is_some();
        self.is_staged() || commits
    }

    /// Whether what is staged is asked for.
    pub(super) fn is_staged(&self) -> bool {
        self.staged || self.pre_commit
    }

    /// Scans the part that is asked for.
    pub(super) fn scan(&self, scanner: &Scanner) -> Result<Report, ScanFailure> {
        if self.is_staged() {
            return Ok(scanner.scan_staged(&self.path)?);
        }
        let range = match &self.log_opts {
            Some(options) => Range::from_log_options(options)?,
            None => Range {
                revisions: self.range.clone(),
                since: self.since.as_deref().map(turnlock_scan::date).transpose()?,
                most: None,
            },
        };
        Ok(scanner.scan_range(&self.path, &range)?)
    }
}

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// The JSON array that gitleaks writes: a line for each place.
    Json,
    /// All that is known as one JSON object: each credential once, with its places, and what was covered.
    TurnlockJson,
    /// Comma-separated values.
    Csv,
    /// JUnit's XML: each finding a failed test.
    Junit,
    /// SARIF 2.1.0, for code hosts.
    Sarif,
    /// One page for people.
    Html,
    /// A Go template, which is refused.
    #[value(hide = true)]
    Template,
}

impl ScanArgs {
    /// Whether the values of the live store shall be recognised.
    pub(crate) fn wants_store(&self) -> bool {
        self.settings.store
    }

    /// Whether the program was called as gitleaks.
    pub(crate) fn as_gitleaks(&self) -> bool {
        self.settings.as_gitleaks
    }

    /// The exit code for `outcome`; a failed scan is 2, or 1 as gitleaks has it.
    pub(crate) fn exit_code(&self, outcome: Outcome) -> u8 {
        match outcome {
            Outcome::Clean => 0,
            Outcome::Leaks => self.settings.exit_code,
            Outcome::Partial if self.as_gitleaks() => 1,
            Outcome::Partial => 3,
        }
    }
}

impl Settings {
    /// The form of the report; `None` when neither a flag nor the extension of its file tells and the file needs one.
    pub(super) fn format(&self) -> Option<Format> {
        if self.report_template.is_some() {
            return Some(Format::Template);
        }
        let extension = self.report_path.as_deref().and_then(Path::extension).and_then(|extension| extension.to_str());
        let by_extension = match extension {
            Some("json") => Some(Format::Json),
            Some("csv") => Some(Format::Csv),
            Some("sarif") => Some(Format::Sarif),
            Some("html" | "htm") => Some(Format::Html),
            Some("xml") => Some(Format::Junit),
            _ => None,
        };
        let usual = (!self.as_gitleaks || self.report_path.is_none()).then_some(Format::Text);
        self.format.or(by_extension).or(usual)
    }

    /// Whether something as grave as `level` is said on standard error.
    pub(super) fn says(&self, level: &str) -> bool {
        const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];
        let rank = |level: &str| LEVELS.iter().position(|known| *known == level);
        rank(level) >= rank(&self.log_level)
    }
}
