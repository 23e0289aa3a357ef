//! `turnlock scan ignore`: names findings in `.turnlockignore`, or gives their entries another note.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};
use turnlock_scan::ignore_list::is_any_message;

use super::ScanFailure;
use super::idle::Idle;

/// Name of the file.
const FILE: &str = ".turnlockignore";

/// Arguments of `turnlock scan ignore`.
#[derive(Debug, clap::Args)]
pub(super) struct IgnoreArgs {
    /// Names of findings; without any only the file and its key are made.
    names: Vec<String>,

    /// Why they are no leaks, for whoever reads the file.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,

    /// The last day on which they are ignored.
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<chrono::NaiveDate>,

    /// Folder with the file; by default the top of the repository around the working directory.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,

    #[command(flatten)]
    _idle: Idle,
}

impl IgnoreArgs {
    pub(super) fn run(&self) -> Result<(), ScanFailure> {
        if let Some(name) = self.names.iter().find(|name| !is_name(name)) {
            return Err(ScanFailure::Name { name: name.clone() });
        }
        if let Some(name) = self.names.iter().find(|name| is_any_message(name)) {
            return Err(ScanFailure::AnyMessage { name: name.clone() });
        }
        if let Some(until) = self.until.filter(|until| *until < today()) {
            return Err(ScanFailure::PastDay { until });
        }
        let path = self.to.clone().unwrap_or_else(folder).join(FILE);
        let write = |source| ScanFailure::IgnoreFile { path: path.clone(), source };
        let before = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(write(error)),
        };
        let end = end_of_line(&before);
        let mut added = String::new();
        if !before.is_empty() && !before.ends_with('\n') {
            added.push_str(end);
        }
        if !before.lines().any(|line| line.starts_with("key ")) {
            let key = key().map_err(write)?;
            added.push_str(&format!("# Findings of `turnlock scan` that are no leaks.{end}key {key}{end}"));
        }
        let note = note(&self.reason, self.until);
        let named = |name: &str| before.lines().find(|line| name_of(line) == name);
        let new: Vec<&String> = self.names.iter().filter(|name| named(name).is_none()).collect();
        for name in &new {
            added.push_str(&format!("{name}{note}{end}"));
        }
        // Another note is wanted, or that of the entry makes it count no more.
        let outdated = |line: &str| last_day(line).is_some_and(|last| last < today());
        let is_changed = |line: &str| {
            let is_named = self.names.iter().any(|name| name == name_of(line));
            is_named && (outdated(line) || !note.is_empty()) && line.trim_end() != format!("{}{note}", name_of(line))
        };
        let changed = before.lines().filter(|line| is_changed(line)).count();
        if changed == 0 {
            // Appended in one call, so that two people at once lose nothing.
            let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(write)?;
            file.write_all(added.as_bytes()).map_err(write)?;
        } else {
            let line = |whole: &str| {
                let line = whole.trim_end_matches(['\r', '\n']);
                let ending = whole.get(line.len()..).unwrap_or_default();
                if is_changed(line) { format!("{}{note}{ending}", name_of(line)) } else { whole.to_owned() }
            };
            let text: String = before.split_inclusive('\n').map(line).collect();
            replace(&path, &format!("{text}{added}")).map_err(write)?;
        }
        let (path, known) = (path.display(), self.names.len() - new.len());
        let changed = if changed == 0 { String::new() } else { format!(", {changed} of them changed") };
        writeln!(io::stdout().lock(), "{path}: {} added, {known} known{changed}", new.len()).map_err(ScanFailure::Write)
    }
}

/// Where the file lies unless told: at the top of the repository around the working directory, or in that.
pub(super) fn folder() -> PathBuf {
    turnlock_scan::repository_top(Path::new(".")).unwrap_or_else(|| PathBuf::from("."))
}

/// The day on which the program runs.
pub(super) fn today() -> chrono::NaiveDate {
    chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).date_naive()
}

/// What a line of the file names.
fn name_of(line: &str) -> &str {
    line.split(" #").next().unwrap_or(line).trim()
}

/// The last day of a line of the file.
fn last_day(line: &str) -> Option<chrono::NaiveDate> {
    line.split_once("# until ")?.1.get(..10)?.parse().ok()
}

/// How the lines of `text` end.
fn end_of_line(text: &str) -> &'static str {
    if text.split_inclusive('\n').next().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" }
}

/// Puts `text` in the place of the file at once: who reads it meanwhile reads the old one. A link to it stays one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = &std::fs::canonicalize(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(std::fs::metadata(path)?.permissions())?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Whether `name` has the form of a finding's name.
fn is_name(name: &str) -> bool {
    if name.chars().any(char::is_control) || name.contains(" #") || name.starts_with('#') {
        return false;
    }
    if let Some(digits) = name.strip_prefix("secret:") {
        return digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let mut parts = name.rsplitn(3, ':');
    let line = parts.next().is_some_and(|line| line.parse::<u32>().is_ok());
    line && parts.all(|part| !part.is_empty()) && name.matches(':').count() >= 2
}

fn note(reason: &str, until: Option<chrono::NaiveDate>) -> String {
    let reason: String = reason.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    match (until, reason.trim()) {
        (None, "") => String::new(),
        (None, reason) => format!("  # {reason}"),
        (Some(until), "") => format!("  # until {until}"),
        (Some(until), reason) => format!("  # until {until}: {reason}"),
    }
}

fn key() -> io::Result<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn only_what_reports_give_is_a_name() {
        let by_secret = format!("secret:{}", "0f".repeat(16));
        for name in ["a.env:rule:3", "3f2a:a b/c.env:rule:12", "C:/x:rule:1", by_secret.as_str()] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a.env", "a.env:rule", "a.env:rule:x", "a:b\n:3:4", "# a:b:3", "secret:12", "a.env::3"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
