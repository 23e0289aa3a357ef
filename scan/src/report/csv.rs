//! Findings as comma-separated values, with the columns that gitleaks defined.

use std::io::{self, Write};

use super::{Redaction, Report, Row, printable};

const COLUMNS: [&str; 16] = [
    "RuleID",
    "Commit",
    "File",
    "SymlinkFile",
    "Secret",
    "Match",
    "StartLine",
    "EndLine",
    "StartColumn",
    "EndColumn",
    "Author",
    "Message",
    "Date",
    "Email",
    "Fingerprint",
    "Tags",
];

/// Writes a line of names and one for each finding; nothing at all without findings.
pub fn write_csv(report: &Report, redaction: Redaction, to: &mut impl Write) -> io::Result<()> {
    if report.findings.is_empty() {
        return Ok(());
    }
    let mut writer = csv::Writer::from_writer(to);
    writer.write_record(COLUMNS)?;
    for finding in &report.findings {
        let row = Row::new(finding, redaction);
        let numbers = [row.start_line, row.end_line, row.start_column, row.end_column].map(|number| number.to_string());
        let tags = row.tags.join(" ");
        let texts = [row.rule_id, row.commit, row.file, row.symlink_file, &row.secret, &row.r#match];
        let more = [row.author, &row.message, row.date, row.email, &row.fingerprint, &tags];
        let fields = texts.into_iter().chain(numbers.iter().map(String::as_str)).chain(more);
        writer.write_record(fields.map(field_for_a_spreadsheet))?;
    }
    writer.flush()
}

/// Nothing for a terminal to act on, and nothing that a spreadsheet would compute: such a field starts with a quote.
fn field_for_a_spreadsheet(field: &str) -> String {
    let lines: Vec<_> = field.split('\n').map(printable).collect();
    let field = lines.join("\n");
    if field.starts_with(['=', '+', '@', '\t']) { format!("'{field}") } else { field }
}
