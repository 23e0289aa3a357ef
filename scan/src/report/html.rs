//! Findings as one HTML page that loads nothing and runs nothing: to be sent to who has to mend them.

use std::io::{self, Write};

use quick_xml::escape::escape;
use turnlock_core::counted;
use turnlock_core::finding::Verdict;

use super::group::{Group, groups};
use super::{Redaction, Report, Row, printable, where_found, without_last_quote};
use crate::ignore_list::place_name;

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.05rem;margin:0}
article{border:1px solid #d0d7de;border-left:4px solid #cf222e;border-radius:6px;margin:1rem 0;padding:.75rem 1rem}
article.unsure{border-left-color:#bf8700}
code,pre{font:13px/1.45 ui-monospace,monospace;overflow-wrap:anywhere;white-space:pre-wrap}
pre{background:#f6f8fa;padding:.5rem;border-radius:4px;margin:.5rem 0}
table{border-collapse:collapse;font-size:14px}td,th{text-align:left;padding:.15rem 1rem .15rem 0;vertical-align:top}
.sure{color:#57606a;font-weight:normal}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}article{border-color:#30363d}pre{background:#161b22}.sure{color:#8b949e}}";

/// Writes the page. Each credential once, with all its places, and what was not covered.
pub fn write_html(report: &Report, redaction: Redaction, to: &mut impl Write) -> io::Result<()> {
    let groups = groups(report);
    let title = match (groups.len(), report.findings.len()) {
        (0, _) => "No leaked credentials found".to_owned(),
        (leaks, places) => format!("{} in {}", counted(leaks, "leaked credential"), counted(places, "place")),
    };
    writeln!(to, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    // Even if a name in the report should get past the escapes, it can load and run nothing.
    writeln!(
        to,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )?;
    writeln!(to, "<meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>")?;
    writeln!(to, "<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>{title}</h1>")?;
    for group in &groups {
        article(group, redaction, to)?;
    }
    let coverage = &report.coverage;
    writeln!(to, "<h2>Coverage</h2>\n<table>")?;
    for (name, number) in [
        ("Files read", coverage.files),
        ("Blobs read", coverage.blobs),
        ("Commits", coverage.commits),
        ("Bytes", coverage.bytes),
        ("Binary contents, of which the words were read", coverage.binary),
        ("Archives opened", coverage.archives),
        ("Files read in them", coverage.unpacked),
        ("Links passed over", coverage.symlinks),
        ("Files allowed by the configuration", coverage.allowed),
        ("Not covered", coverage.omitted),
    ] {
        writeln!(to, "<tr><th>{name}</th><td>{number}</td></tr>")?;
    }
    if coverage.excludes {
        writeln!(to, "<tr><th>What .gitignore excludes</th><td>not read</td></tr>")?;
    }
    writeln!(to, "</table>")?;
    if !coverage.omissions.is_empty() {
        writeln!(to, "<h2>Not covered</h2>\n<table>")?;
        for gap in &coverage.omissions {
            writeln!(to, "<tr><td><code>{}</code></td><td>{}</td></tr>", text(&gap.what), text(&gap.why.to_string()))?;
        }
        writeln!(to, "</table>")?;
    }
    writeln!(to, "</body>\n</html>")
}

fn article(group: &Group<'_>, redaction: Redaction, to: &mut impl Write) -> io::Result<()> {
    let best = group.best;
    let class = if best.certainty >= 0.9 { "" } else { " class=\"unsure\"" };
    writeln!(to, "<article{class}>")?;
    let name = if best.description.is_empty() { &best.rule } else { &best.description };
    writeln!(
        to,
        "<h2>{} <span class=\"sure\">{}, certainty {:.2}</span></h2>",
        text(name),
        text(&best.rule),
        best.certainty
    )?;
    if let Some(live) = &best.live {
        let labels = if live.labels.is_empty() { "no label".to_owned() } else { live.labels.join(", ") };
        writeln!(to, "<p>Is <code>{}</code> version {} ({})</p>", text(&live.path), live.version, text(&labels))?;
    }
    match &best.verdict {
        Some(Verdict::Unknown(why)) => writeln!(to, "<p>Whether it lives is unknown: {}</p>", text(why))?,
        Some(verdict) => writeln!(to, "<p>Is {}, its provider says</p>", verdict.word())?,
        None => {}
    }
    writeln!(to, "<pre>{}</pre>\n<table>", text(without_last_quote(&Row::new(best, redaction).r#match)))?;
    for finding in &group.places {
        let row = Row::new(finding, redaction);
        let commit = row.commit.get(..12).unwrap_or(row.commit);
        writeln!(
            to,
            "<tr><td><code>{}</code></td><td><code>{commit}</code></td><td>{}</td><td>{}</td><td><code>{}</code></td></tr>",
            text(&where_found(&finding.place)),
            text(row.author),
            text(row.date),
            text(&place_name(finding).unwrap_or_default())
        )?;
    }
    writeln!(to, "</table>\n</article>")
}

/// `raw` as text of the page, with hostile characters as their numbers.
fn text(raw: &str) -> String {
    let lines: Vec<_> = raw.split('\n').map(|line| escape(printable(line).into_owned()).into_owned()).collect();
    lines.join("\n")
}
