//! `turnlock scan`: looks for leaked credentials, in files and in the whole history of a repository.

mod advice;
mod args;
mod failure;
pub(crate) mod gitleaks;
mod hook;
mod idle;
mod ignore;
mod live;
mod rotate;
mod verify;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use turnlock_scan::config::source;
use turnlock_scan::ignore_list::IgnoreList;
use turnlock_scan::report::{self, Redaction, printable};
use turnlock_scan::{Options, Outcome, Phase, Progress, Quarantine, Range, Report, Scanner, StoreLookup, Why};

pub(crate) use args::ScanArgs;
use args::{Format, GitArgs, Settings, Source};
pub(crate) use failure::ScanFailure;
pub(crate) use live::LiveStore;

/// The exit code of a scan that came to nothing.
pub(crate) const FAILED: u8 = 2;

/// What is scanned.
enum Target<'a> {
    Everything(&'a Path),
    History(&'a Path),
    /// Some commits of a repository, or what is staged in it.
    Changes(&'a GitArgs),
    /// The commits that these options of `git log` choose.
    Logged(&'a Path, &'a str),
    Staged(&'a Path),
    /// What a push brings to a repository.
    Received(&'a Path),
    /// What a push is about to send to this remote.
    Sent(&'a str),
    /// The message of a commit that is about to be made, in this file.
    Message(&'a Path),
    Files(&'a Path),
    Input,
}

/// Does what `args` say. A scan writes its report to standard output or the file that they name, and what was covered
/// to standard error.
///
/// `store`: the live store, when [`ScanArgs::wants_store`].
pub(crate) fn run(args: &ScanArgs, store: Option<&LiveStore>) -> Result<Outcome, ScanFailure> {
    let target = match &args.source {
        Some(Source::InstallHook(hook)) => return hook.run().map(|()| Outcome::Clean),
        Some(Source::Ignore(ignore)) => return ignore.run().map(|()| Outcome::Clean),
        None if args.staged => return Err(ScanFailure::Staged),
        None if args.no_git => Target::Files(&args.path),
        None => Target::Everything(&args.path),
        Some(Source::Git(git)) if git.is_partial() => Target::Changes(git),
        Some(Source::Git(git)) => Target::History(&git.path),
        Some(Source::PreReceive { path }) => Target::Received(path),
        Some(Source::PrePush { remote, .. }) => Target::Sent(remote),
        Some(Source::CommitMsg { file }) => Target::Message(file),
        Some(Source::Dir { path }) => Target::Files(path),
        Some(Source::Stdin) => Target::Input,
        Some(Source::Detect { pipe: true, .. }) => Target::Input,
        Some(Source::Detect { source, no_git: true, .. }) => Target::Files(source),
        Some(Source::Detect { source, log_opts: Some(options), .. }) => Target::Logged(source, options),
        Some(Source::Detect { source, .. }) => Target::History(source),
        Some(Source::Protect { source, .. }) => Target::Staged(source),
    };
    let settings = &args.settings;
    if settings.store && store.is_none() {
        return Err(ScanFailure::NoStore);
    }
    // What cannot be written is refused before anything is scanned for it.
    let format = match settings.format() {
        None => return Err(ScanFailure::Format),
        Some(Format::Template) => return Err(ScanFailure::Template),
        Some(format) => format,
    };
    if settings.diagnostics.is_some() {
        return Err(ScanFailure::Diagnostics);
    }
    if settings.no_color {
        anstream::ColorChoice::Never.write_global();
    }
    if settings.rotate {
        rotate::check(settings.yes)?;
    }
    verify::check(&settings.verify_endpoint)?;
    let lookup = store.map(LiveStore::lookup).transpose().map_err(|failure| ScanFailure::Store(Box::new(failure)))?;
    let bar = progress_bar(settings);
    let mut options = options(settings, &target, lookup)?;
    if !bar.is_hidden() {
        let bar = bar.clone();
        options.progress = Some(Box::new(move |progress| show(&bar, progress)));
    }
    let limit = options.max_bytes;
    let scanner = Scanner::new(options)?;
    warn(settings, &scanner)?;
    let mut report = match &target {
        Target::Everything(path) => scanner.scan_all(path)?,
        Target::History(path) => scanner.scan_history(path)?,
        Target::Changes(git) => git.scan(&scanner)?,
        Target::Logged(path, options) => scanner.scan_range(path, &Range::from_log_options(options)?)?,
        Target::Staged(path) => scanner.scan_staged(path)?,
        Target::Sent(remote) => scanner.scan_sent(Path::new("."), remote, &mut io::stdin().lock())?,
        Target::Received(path) => scanner.scan_received(path, &quarantine(), &mut io::stdin().lock())?,
        Target::Message(file) => message(&scanner, file)?,
        Target::Files(path) => scanner.scan_tree(path)?,
        Target::Input => input(&scanner, limit)?,
    };
    bar.finish_and_clear();
    if settings.verify && !settings.verify_dry_run {
        verify::run(&mut report, &settings.verify_endpoint)?;
    }
    if !settings.as_gitleaks {
        report.name_only_rules_that_found();
    }
    write(settings, format, &target, &report)?;
    if settings.verify_dry_run {
        verify::preview(&report, &settings.verify_endpoint)?;
    }
    if let Some(store) = store.filter(|_| settings.rotate) {
        rotate::run(&report, store, settings.yes)?;
    }
    Ok(report.outcome())
}

fn options(settings: &Settings, target: &Target<'_>, lookup: Option<StoreLookup>) -> Result<Options, ScanFailure> {
    let mut options = Options::usual();
    options.honour_ignore_files = !settings.no_ignore && !settings.as_gitleaks;
    options.follow_symlinks = settings.follow_symlinks;
    options.honour_comments = !settings.ignore_allow;
    options.only_rules.clone_from(&settings.enable_rule);
    options.lookup = lookup;
    options.decode_depth = settings.max_decode_depth.unwrap_or(options.decode_depth);
    // Who calls gitleaks expects archives to stay closed unless told.
    let usual = if settings.as_gitleaks { 0 } else { options.archive_depth };
    options.archive_depth = settings.max_archive_depth.unwrap_or(usual);
    options.cache = if settings.no_cache { None } else { cache() };
    options.deadline =
        (settings.timeout > 0).then(|| Instant::now().checked_add(Duration::from_secs(settings.timeout))).flatten();
    options.max_bytes = match settings.max_target_megabytes {
        0 => u64::MAX,
        megabytes => megabytes.saturating_mul(1_000_000),
    };
    let tops = tops(settings, target);
    let flags = (settings.config.as_deref(), settings.organisation_config.as_deref());
    let found = source::find(flags.0, flags.1, &tops, |name| std::env::var_os(name))?;
    options.config = found.config;
    options.leave_out = found.files;

    options.ignore = IgnoreList::on(ignore::today());
    let here = match target {
        _ if settings.as_gitleaks => Some(PathBuf::from(".")),
        // What comes in has no folder of its own: the file that `scan ignore` writes counts.
        Target::Input => Some(ignore::folder()),
        _ => None,
    };
    if let Some(path) = settings.ignore_path.as_ref().or(here.as_ref()) {
        options.ignore.add_files(path).map_err(|source| ScanFailure::Read { path: path.clone(), source })?;
    }
    for path in &settings.baseline_path {
        let text = std::fs::read(path).map_err(|source| ScanFailure::Read { path: path.clone(), source })?;
        let bad = |source| ScanFailure::Baseline { path: path.clone(), source };
        options.baseline.add(&text).map_err(bad)?;
    }
    // The file of detect-secrets counts without being named, as an ignore file does.
    if let Some(path) = tops.iter().map(|top| top.join(SECRETS_BASELINE)).find(|path| path.is_file()) {
        let text = std::fs::read(&path).map_err(|source| ScanFailure::Read { path: path.clone(), source })?;
        let bad = |source| ScanFailure::Baseline { path: path.clone(), source };
        options.baseline.add(&text).map_err(bad)?;
        options.leave_out.push(path);
    }
    options.leave_out.extend(settings.baseline_path.iter().chain(&settings.report_path).cloned());
    Ok(options)
}

/// Name of the baseline of detect-secrets.
const SECRETS_BASELINE: &str = ".secrets.baseline";

/// The folders in which a configuration is looked for: the path itself if it is one, and unless called as gitleaks the
/// folder of a file and the top of the repository around it.
fn tops(settings: &Settings, target: &Target<'_>) -> Vec<PathBuf> {
    let path = match target {
        Target::Everything(path) | Target::History(path) | Target::Staged(path) => *path,
        Target::Files(path) | Target::Received(path) | Target::Logged(path, _) => *path,
        Target::Changes(git) => &git.path,
        Target::Input | Target::Sent(_) | Target::Message(_) => Path::new("."),
    };
    let mut tops = Vec::new();
    if path.is_dir() {
        tops.push(path.to_owned());
    }
    if !settings.as_gitleaks {
        if let Some(folder) = path.parent().filter(|_| path.is_file()) {
            tops.push(folder.to_owned());
        }
        tops.extend(turnlock_scan::repository_top(path));
    }
    tops
}

/// Scans the message that git lets its author write into `file`.
fn message(scanner: &Scanner, file: &Path) -> Result<Report, ScanFailure> {
    let text = std::fs::read(file).map_err(|source| ScanFailure::Read { path: file.to_owned(), source })?;
    Ok(scanner.scan_message(Path::new("."), &text)?)
}

/// Scans standard input, as far as files are read too.
fn input(scanner: &Scanner, limit: u64) -> Result<Report, ScanFailure> {
    let mut input = io::stdin().lock();
    let mut report = scanner.scan_reader("", &mut input.by_ref().take(limit)).map_err(ScanFailure::Input)?;
    if input.read(&mut [0]).map_err(ScanFailure::Input)? > 0 {
        report.coverage.omit("the rest of standard input", Why::TooLarge { limit });
    }
    Ok(report)
}

/// Where scans remember what they have seen: the user's cache folder.
fn cache() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
    Some(home.join("turnlock/scan"))
}

/// Where git tells its hooks that the objects of a push lie.
fn quarantine() -> Quarantine {
    let others = std::env::var_os("GIT_ALTERNATE_OBJECT_DIRECTORIES").unwrap_or_default();
    Quarantine {
        objects: std::env::var_os("GIT_OBJECT_DIRECTORY").map(PathBuf::from),
        others: std::env::split_paths(&others).filter(|path| !path.as_os_str().is_empty()).collect(),
    }
}

/// Says what was asked for without effect.
fn warn(settings: &Settings, scanner: &Scanner) -> Result<(), ScanFailure> {
    let warnings = scanner.warnings();
    if settings.says("warn") {
        let mut to = io::stderr().lock();
        for warning in warnings {
            writeln!(to, "turnlock: warning: {}", printable(warning)).map_err(ScanFailure::Write)?;
        }
    }
    Ok(())
}

fn write(settings: &Settings, format: Format, target: &Target<'_>, report: &Report) -> Result<(), ScanFailure> {
    let redaction = Redaction::percent(settings.redact.unwrap_or(if settings.as_gitleaks { 0 } else { 100 }));
    let file = settings.report_path.as_deref().filter(|path| *path != Path::new("-"));
    if let Some(path) = file {
        write_to_file(path, format, redaction, report)
            .map_err(|source| ScanFailure::Report { path: path.to_owned(), source })?;
    }
    let is_silent = file.is_some() || (settings.as_gitleaks && settings.report_path.is_none());
    let on_terminal = if is_silent { settings.verbose.then_some(Format::Text) } else { Some(format) };
    if let Some(format) = on_terminal {
        write_to_terminal(format, redaction, report).map_err(ScanFailure::Write)?;
    }
    say(settings, target, report).map_err(ScanFailure::Write)
}

/// Says what was covered, how to go on, and which ignores were not used.
fn say(settings: &Settings, target: &Target<'_>, report: &Report) -> io::Result<()> {
    let mut to = io::stderr().lock();
    if settings.says("info") {
        advice::sum_up(target, report, &mut to)?;
        if !settings.as_gitleaks {
            advice::go_on(target, report, &mut to)?;
        }
    }
    if settings.report_unused_ignores {
        for entry in &report.unused_ignores {
            writeln!(to, "ignore entry names nothing: {}", printable(entry))?;
        }
    }
    Ok(())
}

/// The report may show credentials: nobody else reads the file.
fn write_to_file(path: &Path, format: Format, redaction: Redaction, report: &Report) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    write_as(format, redaction, false, report, &mut io::BufWriter::new(file))
}

fn write_to_terminal(format: Format, redaction: Redaction, report: &Report) -> io::Result<()> {
    let stdout = io::stdout().lock();
    let colour = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
    write_as(format, redaction, colour, report, &mut io::BufWriter::new(stdout))
}

fn write_as(
    format: Format,
    redaction: Redaction,
    colour: bool,
    report: &Report,
    to: &mut impl Write,
) -> io::Result<()> {
    match format {
        Format::Text | Format::Template => report::write_text(report, redaction, colour, to)?,
        Format::Json => report::write_json(report, redaction, to)?,
        Format::TurnlockJson => report::write_full_json(report, redaction, to)?,
        Format::Csv => report::write_csv(report, redaction, to)?,
        Format::Junit => report::write_junit(report, redaction, to)?,
        Format::Sarif => report::write_sarif(report, redaction, to)?,
        Format::Html => report::write_html(report, redaction, to)?,
    }
    to.flush()
}

/// A bar on a terminal, nothing elsewhere.
fn progress_bar(settings: &Settings) -> ProgressBar {
    if !io::stderr().is_terminal() || !settings.says("info") {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {prefix} {eta}") {
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
    let seconds = bar.elapsed().as_secs_f64();
    if progress.bytes > 0 && seconds > 0.0 {
        bar.set_prefix(format!("{}/s", HumanBytes((progress.bytes as f64 / seconds) as u64)));
    }
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}
