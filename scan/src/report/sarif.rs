//! Findings as SARIF 2.1.0, which code hosts show beside the code.
//!
//! The fields are those that gitleaks writes. Columns are the standard's: from 1 in every line, the last one excluded.

use std::io::{self, Write};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};
use turnlock_core::finding::{Finding, Place};

use super::json::write_value;
use super::{Redaction, Report, Row, Said};
use crate::ignore_list::place_name;

/// What a relative reference must not hold as it is (RFC 3986).
const NOT_IN_A_REFERENCE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Value; 1],
}

/// Writes one run with all rules, a result for each finding, and a notification for whatever was not covered.
pub fn write_sarif(report: &Report, redaction: Redaction, to: &mut impl Write) -> io::Result<()> {
    let rules: Vec<Value> = report
        .rules
        .iter()
        .map(|(id, description)| json!({"id": id, "shortDescription": {"text": if description.is_empty() { id } else { description }}}))
        .collect();
    let results: Vec<Value> =
        report.findings.iter().map(|finding| result(finding, &Row::new(finding, redaction))).collect();
    let notifications: Vec<Value> = report
        .coverage
        .omissions
        .iter()
        .map(|gap| json!({"level": "warning", "message": {"text": format!("not covered: {}: {}", gap.what, gap.why)}}))
        .collect();
    let run = json!({
        "tool": {"driver": {
            "name": "turnlock",
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "informationUri": env!("CARGO_PKG_REPOSITORY"),
            "rules": rules,
        }},
        "invocations": [{"executionSuccessful": true, "toolExecutionNotifications": notifications}],
        "results": results,
    });
    let schema = "https://json.schemastore.org/sarif-2.1.0.json";
    write_value(&Log { schema, version: "2.1.0", runs: [run] }, to)
}

fn result(finding: &Finding, row: &Row<'_>) -> Value {
    let uri = utf8_percent_encode(row.file, NOT_IN_A_REFERENCE).to_string();
    // Of a file that is a finding by its name there is no region.
    let mut location = json!({"artifactLocation": {"uri": uri}});
    if let (Some(region), Some(location)) = (region(&finding.place, &row.secret), location.as_object_mut()) {
        location.insert("region".to_owned(), region);
    }
    let at = if row.commit.is_empty() { String::new() } else { format!(" at commit {}", row.commit) };
    let mut properties = json!({"tags": row.tags});
    if let (Some(name), Some(properties)) = (place_name(finding), properties.as_object_mut()) {
        properties.insert("ignoreName".to_owned(), json!(name));
    }
    if let (Some(verdict), Some(properties)) = (&finding.verdict, properties.as_object_mut()) {
        properties.insert("verdict".to_owned(), json!(Said::from(verdict)));
    }
    json!({
        "message": {"text": format!("{} has detected secret for file {}{at}.", row.rule_id, row.file)},
        "ruleId": row.rule_id,
        "level": if finding.certainty >= 0.9 { "error" } else { "warning" },
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {
            "commitSha": row.commit,
            "email": row.email,
            "author": row.author,
            "date": row.date,
            "commitMessage": row.message,
        },
        "properties": properties,
    })
}

fn region(place: &Place, snippet: &str) -> Option<Value> {
    let from_one = |line: u32, column: u32| if line > 1 { column.saturating_sub(1).max(1) } else { column };
    (place.start_line > 0).then(|| {
        json!({
            "startLine": place.start_line,
            "startColumn": from_one(place.start_line, place.start_column),
            "endLine": place.end_line,
            "endColumn": from_one(place.end_line, place.end_column) + 1,
            "snippet": {"text": snippet},
        })
    })
}
