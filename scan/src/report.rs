//! The result of a scan, and its forms: JSON as gitleaks writes it, and text for people. Redacted unless told.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::{Serialize, Serializer};
use turnlock_core::finding::{Finding, LiveSecret};

use crate::coverage::Coverage;

/// The result of a scan.
#[derive(Debug, Default)]
pub struct Report {
    /// In order of file, place, rule and commit.
    pub findings: Vec<Finding>,
    /// What was read and what was not.
    pub coverage: Coverage,
}

/// What a report says as a whole. The caller turns it into an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was read and nothing found.
    Clean,
    /// Something was found.
    Leaks,
    /// Nothing was found, but not everything could be read.
    Partial,
}

impl Report {
    /// The report as a whole; findings weigh more than omissions.
    pub fn outcome(&self) -> Outcome {
        match (self.findings.is_empty(), self.coverage.is_partial()) {
            (false, _) => Outcome::Leaks,
            (true, true) => Outcome::Partial,
            (true, false) => Outcome::Clean,
        }
    }
}

/// How much of a credential is hidden, in percent: 100 leaves nothing, 0 shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redaction(u8);

impl Redaction {
    /// Nothing is shown.
    pub const FULL: Self = Self(100);

    /// `percent` above 100 counts as 100.
    pub fn percent(percent: u8) -> Self {
        Self(percent.min(100))
    }

    /// `secret` as it may be shown.
    fn of(self, secret: &str) -> Cow<'_, str> {
        match self.0 {
            0 => Cow::Borrowed(secret),
            100 => Cow::Borrowed("REDACTED"),
            percent => {
                // Halves go to the even neighbour; a character is never cut.
                let exact = secret.len() as f64 * f64::from(100 - percent) / 100.0;
                let mut kept = exact.round_ties_even() as usize;
                while !secret.is_char_boundary(kept) {
                    kept -= 1;
                }
                Cow::Owned(format!("{}...", secret.get(..kept).unwrap_or_default()))
            }
        }
    }

    /// `text` with each appearance of `secret` as it may be shown.
    fn within(self, text: &str, secret: &str) -> String {
        if self.0 == 0 || secret.is_empty() { text.to_owned() } else { text.replace(secret, &self.of(secret)) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row<'a> {
    #[serde(rename = "RuleID")]
    rule_id: &'a str,
    description: &'a str,
    start_line: u32,
    end_line: u32,
    start_column: u32,
    end_column: u32,
    r#match: String,
    secret: String,
    file: &'a str,
    symlink_file: &'a str,
    commit: &'a str,
    entropy: f32,
    author: &'a str,
    email: &'a str,
    date: &'a str,
    message: String,
    tags: &'a [String],
    fingerprint: String,
    #[serde(serialize_with = "two_digits")]
    certainty: f32,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_secret: Option<&'a LiveSecret>,
}

fn two_digits<S: Serializer>(number: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((f64::from(*number) * 100.0).round() / 100.0)
}

impl<'a> Row<'a> {
    fn new(finding: &'a Finding, redaction: Redaction) -> Self {
        let commit = finding.commit.as_ref();
        let secret = String::from_utf8_lossy(finding.secret.expose());
        let matched = String::from_utf8_lossy(finding.matched.expose());
        let message = commit.map(|commit| commit.message.as_str()).unwrap_or_default();
        Self {
            rule_id: &finding.rule,
            description: &finding.description,
            start_line: finding.place.start_line,
            end_line: finding.place.end_line,
            start_column: finding.place.start_column,
            end_column: finding.place.end_column,
            r#match: redaction.within(&matched, &secret),
            secret: redaction.of(&secret).into_owned(),
            file: &finding.place.file,
            symlink_file: "",
            commit: commit.map(|commit| commit.id.as_str()).unwrap_or_default(),
            entropy: finding.entropy,
            author: commit.map(|commit| commit.author.as_str()).unwrap_or_default(),
            email: commit.map(|commit| commit.email.as_str()).unwrap_or_default(),
            date: commit.map(|commit| commit.date.as_str()).unwrap_or_default(),
            message: redaction.within(message, &secret),
            tags: &finding.tags,
            fingerprint: finding.ignore_name(),
            certainty: finding.certainty,
            reason: &finding.reason,
            live_secret: finding.live.as_ref(),
        }
    }
}

/// Writes the findings as gitleaks does: one array, indented by one blank, `[]` when empty, `<`, `>` and `&` escaped.
/// `Certainty`, `Reason` and `LiveSecret` follow after its own fields.
pub fn write_json(report: &Report, redaction: Redaction, to: &mut impl Write) -> io::Result<()> {
    let rows: Vec<Row<'_>> = report.findings.iter().map(|finding| Row::new(finding, redaction)).collect();
    rows.serialize(&mut serde_json::Serializer::with_formatter(&mut *to, Indented::default()))
        .map_err(io::Error::other)?;
    to.write_all(b"\n")
}

/// serde_json's own pretty form with an indent of one blank, and with escapes for whatever a terminal or a web page
/// would act on.
#[derive(Default)]
struct Indented(Pretty);

struct Pretty(serde_json::ser::PrettyFormatter<'static>);

impl Default for Pretty {
    fn default() -> Self {
        Self(serde_json::ser::PrettyFormatter::with_indent(b" "))
    }
}

impl serde_json::ser::Formatter for Indented {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for char in fragment.chars() {
            if matches!(char, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') || is_hostile(char) {
                let mut units = [0; 2];
                for unit in char.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                write!(writer, "{char}")?;
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.0.end_object_value(writer)
    }
}

/// Characters that act on a terminal or disguise text: controls, and those that change the direction of writing.
fn is_hostile(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` with every hostile character written as its number.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|char| if is_hostile(char) { char.escape_unicode().to_string() } else { char.to_string() })
            .collect(),
    )
}

/// Writes the findings for people.
pub fn write_text(report: &Report, redaction: Redaction, to: &mut impl Write) -> io::Result<()> {
    for finding in &report.findings {
        let row = Row::new(finding, redaction);
        let place = format!("{}:{}", finding.place.file, finding.place.start_line);
        writeln!(to, "{}  {}", printable(&place), finding.rule)?;
        let reason = printable(&finding.reason);
        writeln!(to, "    {}: {reason} (certainty {:.2})", finding.description, finding.certainty)?;
        if let Some(live) = &finding.live {
            let field = if live.field.is_empty() { String::new() } else { format!("#{}", live.field) };
            let labels = if live.labels.is_empty() { "no label".to_owned() } else { live.labels.join(", ") };
            writeln!(
                to,
                "    is {}{} version {} ({})",
                printable(&live.path),
                printable(&field),
                live.version,
                printable(&labels)
            )?;
        }
        writeln!(to, "    {}", printable(&row.r#match))?;
        if let Some(commit) = &finding.commit {
            let short = commit.id.get(..12).unwrap_or(&commit.id);
            writeln!(to, "    commit {short} by {} on {}", printable(&commit.author), commit.date)?;
        }
        writeln!(to, "    to ignore: {}", printable(&row.fingerprint))?;
    }
    Ok(())
}

/// Writes what was covered and what was not, for people.
pub fn write_summary(report: &Report, to: &mut impl Write) -> io::Result<()> {
    let Coverage { files, blobs, commits, bytes, binary, symlinks, omitted, omissions } = &report.coverage;
    write!(to, "{} found", report.findings.len())?;
    write!(to, "; read {files} files, {blobs} blobs of {commits} commits, {:.1} MB", *bytes as f64 / 1e6)?;
    writeln!(to, "; passed over {binary} binary contents, {symlinks} links")?;
    for omission in omissions {
        writeln!(to, "not covered: {}: {}", printable(&omission.what), printable(&omission.why.to_string()))?;
    }
    let unlisted = omitted.saturating_sub(omissions.len() as u64);
    if unlisted > 0 {
        writeln!(to, "not covered: {unlisted} more")?;
    }
    Ok(())
}
