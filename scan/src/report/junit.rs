//! Findings as failed tests, which every continuous integration can show: JUnit's XML in the shape that gitleaks gives it.

use std::borrow::Cow;
use std::io::{self, Write};

use quick_xml::events::{BytesDecl, BytesText, Event};
use quick_xml::writer::Writer;

use super::json::row_json;
use super::{Redaction, Report, Row, printable};

/// Writes one test case with a failure for each finding.
pub fn write_junit(report: &Report, redaction: Redaction, to: &mut impl Write) -> io::Result<()> {
    let mut xml = Writer::new_with_indent(to, b'\t', 1);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let count = report.findings.len().to_string();
    xml.create_element("testsuites").write_inner_content(|xml| {
        let attributes = [("failures", count.as_str()), ("name", "turnlock"), ("tests", count.as_str()), ("time", "")];
        let suite = xml.create_element("testsuite").with_attributes(attributes);
        suite.write_inner_content(|xml| {
            report.findings.iter().try_for_each(|finding| case(&Row::new(finding, redaction), xml))
        })?;
        Ok(())
    })?;
    xml.into_inner().write_all(b"\n")
}

fn case<W: Write>(row: &Row<'_>, xml: &mut Writer<W>) -> io::Result<()> {
    let commit = if row.commit.is_empty() { String::new() } else { format!(", at commit {}", row.commit) };
    let message =
        clean(&format!("{} has detected a secret in file {}, line {}{commit}.", row.rule_id, row.file, row.start_line))
            .into_owned();
    let (kind, file) = (clean(row.description), clean(row.file));
    let body = row_json(row)?;
    let attributes = [("classname", &*kind), ("file", &*file), ("name", &*message), ("time", "")];
    xml.create_element("testcase").with_attributes(attributes).write_inner_content(|xml| {
        xml.create_element("failure")
            .with_attributes([("message", &*message), ("type", &*kind)])
            .write_text_content(BytesText::new(&body))?;
        Ok(())
    })?;
    Ok(())
}

/// XML has no way to write most control characters, and two numbers are no characters at all.
fn clean(text: &str) -> Cow<'_, str> {
    match printable(text) {
        Cow::Borrowed(text) if !text.contains(['\u{fffe}', '\u{ffff}']) => Cow::Borrowed(text),
        text => Cow::Owned(text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")),
    }
}
