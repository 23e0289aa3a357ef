//! The JSON array of findings that gitleaks defined.

use std::io::{self, Write};

use serde::Serialize;

use super::{Redaction, Report, Row, is_hostile};

/// Writes the findings as gitleaks does: one array, indented by one blank, `[]` when empty, `<`, `>` and `&` escaped.
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

    /// Whole numbers without a fraction, as other writers of the format have them.
    fn write_f32<W: ?Sized + Write>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        write!(writer, "{value}")
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

/// One finding by itself, for formats that carry it within them.
pub(super) fn row_json(row: &Row<'_>) -> io::Result<String> {
    let mut bytes = Vec::new();
    row.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Indented::default()))
        .map_err(io::Error::other)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// Writes any other value in the same way.
pub(super) fn write_value(value: &impl Serialize, to: &mut impl Write) -> io::Result<()> {
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut *to, Indented::default()))
        .map_err(io::Error::other)?;
    to.write_all(b"\n")
}
