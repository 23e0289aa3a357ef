//! Findings for people: each credential once, with its places and how to ignore it.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use turnlock_core::counted;
use turnlock_core::finding::{Finding, Verdict};

use super::group::{Group, groups};
use super::{Redaction, Report, Row, printable, where_found, without_last_quote};
use crate::coverage::{Coverage, Why};
use crate::ignore_list::place_name;
use crate::origin::UNREFERENCED;

/// Most places of one credential that are listed.
const MAX_PLACES: usize = 10;

/// Most characters of a match that are shown.
const MAX_SHOWN: usize = 200;

/// What makes the key without which a credential has no name.
const MAKES_KEY: &str = "turnlock scan ignore";

/// How the parts of a report look.
#[derive(Default)]
struct Look {
    title: Style,
    faint: Style,
    secret: Style,
}

impl Look {
    fn coloured() -> Self {
        Self {
            title: Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
            faint: Style::new().dimmed(),
            secret: Style::new().fg_color(Some(AnsiColor::Yellow.into())),
        }
    }
}

/// Writes the findings for people. `colour`: with the sequences by which a terminal sets colours; there are no other
/// control characters.
pub fn write_text(report: &Report, redaction: Redaction, colour: bool, to: &mut impl Write) -> io::Result<()> {
    let look = if colour { Look::coloured() } else { Look::default() };
    groups(report).iter().try_for_each(|group| credential(group, redaction, &look, to))
}

fn credential(group: &Group<'_>, redaction: Redaction, look: &Look, to: &mut impl Write) -> io::Result<()> {
    let best = group.best;
    let Look { title, faint, secret } = look;
    let description = printable(&best.description);
    write!(to, "{title}{}{title:#}", printable(&best.rule))?;
    if !description.is_empty() {
        write!(to, "  {description}")?;
    }
    writeln!(to, " {faint}(certainty {:.2}){faint:#}", best.certainty)?;
    if !best.reason.is_empty() {
        let reason = redaction.within(&best.reason, &String::from_utf8_lossy(best.secret.expose()));
        writeln!(to, "    {}", printable(&reason))?;
    }
    if let Some(live) = &best.live {
        let field = if live.field.is_empty() { String::new() } else { format!("#{}", live.field) };
        let labels = if live.labels.is_empty() { "no label".to_owned() } else { live.labels.join(", ") };
        let (path, field, labels) = (printable(&live.path), printable(&field), printable(&labels));
        match live.version {
            0 => writeln!(to, "    is {path}{field}")?,
            version => writeln!(to, "    is {path}{field} version {version} ({labels})")?,
        }
    }
    match &best.verdict {
        Some(Verdict::Unknown(why)) => writeln!(to, "    whether it lives is unknown: {}", printable(why))?,
        Some(verdict) => writeln!(to, "    is {}, its provider says", verdict.word())?,
        None => {}
    }
    let matched = Row::new(best, redaction).r#match;
    let matched = printable(without_last_quote(&matched));
    let cut = matched.char_indices().nth(MAX_SHOWN).map_or(matched.len(), |(at, _)| at);
    let (shown, rest) = matched.split_at_checked(cut).unwrap_or((&matched, ""));
    writeln!(to, "    {secret}{shown}{secret:#}{}", if rest.is_empty() { "" } else { "…" })?;
    for finding in group.places.iter().take(MAX_PLACES) {
        place(finding, look, to)?;
    }
    let unlisted = group.places.len().saturating_sub(MAX_PLACES);
    if unlisted > 0 {
        writeln!(to, "    and {unlisted} more {}", if unlisted == 1 { "place" } else { "places" })?;
    }
    match &best.secret_name {
        Some(name) => writeln!(to, "        {faint}to ignore it wherever it stands: {name}{faint:#}"),
        None if group.places.iter().all(|finding| place_name(finding).is_some()) => Ok(()),
        // Where no place has a name, the credential can have one.
        None => {
            writeln!(to, "        {faint}to ignore it, make the key for its name and scan again: {MAKES_KEY}{faint:#}")
        }
    }
}

fn place(finding: &Finding, look: &Look, to: &mut impl Write) -> io::Result<()> {
    let faint = &look.faint;
    write!(to, "    {}", printable(&where_found(&finding.place)))?;
    if !finding.symlink.is_empty() {
        write!(to, "  {faint}by the link {}{faint:#}", printable(&finding.symlink))?;
    }
    if let Some(commit) = &finding.commit {
        let short = commit.id.get(..12).unwrap_or(&commit.id);
        let day = commit.date.get(..10).unwrap_or(&commit.date);
        write!(to, "  {faint}commit {short} by {} on {day}{faint:#}", printable(&commit.author))?;
    }
    writeln!(to)?;
    if let Some(blob) = finding.place.file.strip_prefix(UNREFERENCED).filter(|_| finding.commit.is_none()) {
        let id: String = blob.chars().take_while(char::is_ascii_hexdigit).collect();
        writeln!(
            to,
            "        {faint}in no commit: staged and forgotten, or dropped since; see git show {id}{faint:#}"
        )?;
    }
    match place_name(finding) {
        Some(name) => writeln!(to, "        {faint}to ignore: {}{faint:#}", printable(&name)),
        None => Ok(()),
    }
}

/// Writes what was covered and what was not, for people.
pub fn write_summary(report: &Report, to: &mut impl Write) -> io::Result<()> {
    let Coverage { files, blobs, commits, bytes, binary, archives, unpacked, symlinks, allowed, .. } = &report.coverage;
    let Coverage { excludes, omitted, omissions, .. } = &report.coverage;
    let (credentials, places) = (groups(report).len(), report.findings.len());
    match (credentials, places) {
        (0, _) => write!(to, "no leaks found")?,
        (leaks, places) if leaks == places => write!(to, "{} found", counted(leaks, "leak"))?,
        (leaks, places) => write!(to, "{} found in {}", counted(leaks, "leak"), counted(places, "place"))?,
    }
    let (files, blobs, commits) = (counted(*files, "file"), counted(*blobs, "blob"), counted(*commits, "commit"));
    write!(to, "; read {files}, {blobs} of {commits}, {:.1} MB", *bytes as f64 / 1e6)?;
    if *archives > 0 {
        write!(to, ", {} in {}", counted(*unpacked, "file"), counted(*archives, "archive"))?;
    }
    if *binary > 0 {
        write!(to, ", the words of {}", counted(*binary, "binary content"))?;
    }
    let passed = [(*symlinks, "link", ""), (*allowed, "file", " that the configuration allows")];
    let passed = passed.iter().filter(|(count, ..)| *count > 0);
    let passed = passed.map(|(count, what, which)| format!("{}{which}", counted(*count, what)));
    let excluded = excludes.then(|| "what .gitignore excludes (--no-ignore reads it)".to_owned());
    let passed: Vec<String> = passed.chain(excluded).collect();
    if !passed.is_empty() {
        write!(to, "; passed over {}", passed.join(", "))?;
    }
    writeln!(to)?;
    for omission in omissions {
        // What holds no content is no gap, and the exit code is none of a partial scan.
        let gap = if omission.why == Why::Special { "passed over" } else { "not covered" };
        writeln!(to, "{gap}: {}: {}", printable(&omission.what), printable(&omission.why.to_string()))?;
    }
    let unlisted = omitted.saturating_sub(omissions.len() as u64);
    if unlisted > 0 {
        writeln!(to, "not covered: {unlisted} more")?;
    }
    write_remarks(report, to)
}

/// Writes what configurations and ignore files say without effect, for people.
pub fn write_remarks(report: &Report, to: &mut impl Write) -> io::Result<()> {
    for warning in &report.warnings {
        writeln!(to, "warning: {}", printable(warning))?;
    }
    for entry in &report.void_ignores {
        writeln!(to, "ignore entry does not count: {}", printable(entry))?;
    }
    Ok(())
}
