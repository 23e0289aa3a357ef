//! What goes to standard output: aligned text, JSON or YAML. Text from a server is stripped of control characters
//! before a terminal sees it; colours appear on a terminal only, and not with `NO_COLOR`.

pub(crate) mod json;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table};
use serde_json::value::RawValue;
use turnlock_agent::Reply;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Members of a JSON object by name.
pub(crate) type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned text, for people.
    #[default]
    Table,
    /// JSON, as the server wrote it.
    Json,
    /// YAML.
    Yaml,
}

/// Where a command's data goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Output {
    /// The form.
    pub(crate) format: Format,
    /// The one field that is asked for.
    pub(crate) field: Option<String>,
}

impl Output {
    /// An answer of any endpoint: lease, data, login or wrapping as they are there.
    pub(crate) fn reply(&self, reply: &Reply) -> Result<(), Failure> {
        warn(reply);
        if let Some(field) = &self.field {
            return self.field_of(reply, field);
        }
        match self.format {
            Format::Table => {
                let rows = rows_of(reply)?;
                if !rows.is_empty() {
                    self.table(&["Key", "Value"], rows)?;
                }
                Ok(())
            }
            _ if reply.body().is_empty() => Ok(()),
            _ => self.document(text_of(reply.body())?),
        }
    }

    /// An answer without data: `done` in a table, the answer itself otherwise.
    pub(crate) fn done(&self, reply: &Reply, done: &str) -> Result<(), Failure> {
        warn(reply);
        match self.format {
            Format::Table => line(&printable(done)),
            _ if reply.body().is_empty() => Ok(()),
            _ => self.document(text_of(reply.body())?),
        }
    }

    /// One object, one row for each member.
    pub(crate) fn object(&self, json: &str) -> Result<(), Failure> {
        if self.format != Format::Table {
            return self.document(json);
        }
        self.table(
            &["Key", "Value"],
            members(json)?.iter().map(|(key, value)| vec![key.clone(), cell(value)]).collect(),
        )
    }

    /// Names, one on each line below `Keys`.
    pub(crate) fn keys(&self, keys: &[String]) -> Result<(), Failure> {
        if self.format != Format::Table {
            let json = serde_json::to_string(keys).map_err(|_| Failure::local("the names are no JSON"))?;
            return self.document(&json);
        }
        self.table(&["Keys"], keys.iter().map(|key| vec![key.clone()]).collect())
    }

    /// Names, one on each line and nothing else.
    pub(crate) fn plain_keys(&self, keys: &[String]) -> Result<(), Failure> {
        if self.format != Format::Table {
            return self.keys(keys);
        }
        keys.iter().try_for_each(|key| line(&printable(key)))
    }

    /// A table. Cells are made printable here.
    pub(crate) fn table(&self, header: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
        let mut table = Table::new();
        table.set_content_arrangement(ContentArrangement::Disabled);
        let rules: Vec<String> = header.iter().map(|name| "-".repeat(name.len())).collect();
        table.add_row(header);
        table.add_row(rules);
        for row in rows {
            table.add_row(row.iter().map(|cell| printable_lines(cell)).collect::<Vec<_>>());
        }
        table.load_style(comfy_table::presets::NOTHING);
        for column in table.column_iter_mut() {
            column.set_padding((0, 4));
        }
        let bold = anstyle::Style::new().bold();
        let mut text = Zeroizing::new(String::with_capacity(4096));
        for (number, row) in table.lines().enumerate() {
            let row = row.trim_end();
            if number == 0 {
                text.push_str(&format!("{bold}{row}{bold:#}\n"));
            } else {
                text.push_str(row);
                text.push('\n');
            }
        }
        Ok(anstream::stdout().lock().write_all(text.as_bytes())?)
    }

    /// A heading above a table, as in `====== Data ======`.
    pub(crate) fn heading(&self, name: &str, width: usize) -> Result<(), Failure> {
        let side = width.saturating_sub(name.len() + 2).max(6) / 2;
        let bold = anstyle::Style::new().bold();
        line(&format!("{bold}{0} {name} {0}{bold:#}", "=".repeat(side)))
    }

    /// A JSON document in the form that was asked for; a table's caller does not come here.
    pub(crate) fn document(&self, json: &str) -> Result<(), Failure> {
        let text = Zeroizing::new(match self.format {
            Format::Yaml => {
                let value: serde_json::Value =
                    serde_json::from_str(json).map_err(|_| Failure::remote("the server's answer is not JSON"))?;
                let yaml = serde_norway::to_string(&value);
                let yaml = yaml.map_err(|_| Failure::local("the answer cannot be written as YAML"))?;
                yaml.lines().map(printable_lines).fold(String::new(), |all, line| all + &line + "\n")
            }
            Format::Json | Format::Table => json::indented(json) + "\n",
        });
        Ok(io::stdout().lock().write_all(text.as_bytes())?)
    }

    fn field_of(&self, reply: &Reply, field: &str) -> Result<(), Failure> {
        let auth = reply.auth_raw().map(|raw| members(raw.get())).transpose()?.unwrap_or_default();
        let data = match reply.data() {
            Some(raw) => members(raw.get())?,
            None if reply.body().is_empty() => Members::new(),
            None => Some(members(text_of(reply.body())?)?).filter(is_bare).unwrap_or_default(),
        };
        let wrap = reply.wrap_info()?;
        if let Some(wrap) = wrap {
            return match field {
                "wrapping_token" | "token" => self.raw(wrap.token.expose()),
                "wrapping_accessor" => self.raw(wrap.accessor.as_bytes()),
                _ => Err(no_field(field, ["wrapping_token", "wrapping_accessor"])),
            };
        }
        let name = match field {
            "token" => "client_token",
            "token_accessor" => "accessor",
            other => other,
        };
        if let Some(value) = data.get(field).or_else(|| auth.get(name)) {
            return self.value(value);
        }
        Err(no_field(field, data.keys().map(String::as_str)))
    }

    /// One member of `data`, bare.
    pub(crate) fn member(&self, data: &Members<'_>, field: &str) -> Result<(), Failure> {
        match data.get(field) {
            Some(value) => self.value(value),
            None => Err(no_field(field, data.keys().map(String::as_str))),
        }
    }

    /// One value, bare: a string as its bytes, anything else as JSON.
    pub(crate) fn value(&self, value: &RawValue) -> Result<(), Failure> {
        if self.format != Format::Table {
            return self.document(value.get());
        }
        match serde_json::from_str::<Zeroizing<String>>(value.get()) {
            Ok(text) => self.raw(text.as_bytes()),
            Err(_) => self.raw(value.get().as_bytes()),
        }
    }

    /// Bytes for a program as they are; for a terminal as printable text and with a line's end.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        if stdout.is_terminal() {
            let text = Zeroizing::new(printable_lines(&String::from_utf8_lossy(bytes)));
            writeln!(stdout, "{}", *text)?;
        } else {
            stdout.write_all(bytes)?;
        }
        Ok(stdout.flush()?)
    }
}

/// One line on standard output.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    Ok(writeln!(anstream::stdout().lock(), "{text}")?)
}

/// One line on standard error for the person who runs the command. That it cannot be written stops nothing.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// The server's warnings, on standard error.
pub(crate) fn warn(reply: &Reply) {
    let style = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Yellow.into()));
    for warning in reply.warnings() {
        note(&format!("turnlock: {style}warning:{style:#} {}", printable(&warning)));
    }
}

/// The members of a JSON object.
pub(crate) fn members(json: &str) -> Result<Members<'_>, Failure> {
    serde_json::from_str(json).map_err(|_| Failure::remote("the server's answer does not have the expected form"))
}

/// A value as the text of a cell: strings bare, lists of strings as `[a b]`, anything else as JSON.
pub(crate) fn cell(value: &RawValue) -> String {
    let json = value.get();
    if json == "null" {
        return "n/a".to_owned();
    }
    if let Ok(text) = serde_json::from_str::<String>(json) {
        return text;
    }
    if let Ok(items) = serde_json::from_str::<Vec<String>>(json) {
        return format!("[{}]", items.join(" "));
    }
    json.to_owned()
}

/// Seconds as people read them: `768h`, `1h30m`; `∞` for 0.
pub(crate) fn duration(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let parts = [(hours, 'h'), (minutes, 'm'), (rest, 's')];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "∞".to_owned() } else { text }
}

/// `text` with every control character and every character that reorders text shown as its escape.
pub(crate) fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut clean, character| {
        if is_unprintable(character) {
            clean.extend(character.escape_default())
        } else {
            clean.push(character)
        }
        clean
    })
}

/// As [`printable`], but lines and tabs stay.
fn printable_lines(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut clean, character| {
        if is_unprintable(character) && !matches!(character, '\n' | '\t') {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
        clean
    })
}

/// Control characters, and those that make a terminal show text in another order than it is in.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text of a body.
pub(crate) fn text_of(body: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(body).map_err(|_| Failure::remote("the server's answer is not text"))
}

fn no_field<'a>(field: &str, fields: impl IntoIterator<Item = &'a str>) -> Failure {
    let names: Vec<&str> = fields.into_iter().collect();
    let failure = Failure::local(format!("there is no field {field}"));
    if names.is_empty() { failure } else { failure.hint(format!("there are: {}", names.join(", "))) }
}

/// Whether an answer has no envelope, as those of `sys/health` and `sys/seal-status`: its members are the data.
fn is_bare(answer: &Members<'_>) -> bool {
    !["request_id", "data", "auth", "wrap_info"].into_iter().any(|member| answer.contains_key(member))
}

fn rows_of(reply: &Reply) -> Result<Vec<Vec<String>>, Failure> {
    let row = |key: &str, value: String| vec![key.to_owned(), value];
    if let Some(wrap) = reply.wrap_info()? {
        return Ok(vec![
            row("wrapping_token", wrap.token.expose_str().unwrap_or_default().to_owned()),
            row("wrapping_accessor", wrap.accessor),
            row("wrapping_token_ttl", duration(wrap.ttl_seconds)),
            row("wrapping_token_creation_time", wrap.creation_time),
            row("wrapping_token_creation_path", wrap.creation_path),
        ]);
    }
    let mut rows = Vec::new();
    if reply.body().is_empty() {
        return Ok(rows);
    }
    let envelope = members(text_of(reply.body())?)?;
    if is_bare(&envelope) {
        return Ok(envelope.iter().map(|(key, value)| row(key, cell(value))).collect());
    }
    if let Some(lease) = envelope.get("lease_id").map(|id| cell(id)).filter(|id| !id.is_empty()) {
        rows.push(row("lease_id", lease));
    }
    if let Some(seconds) = envelope.get("lease_duration").and_then(|raw| raw.get().parse().ok()).filter(|n| *n > 0) {
        rows.push(row("refresh_interval", duration(seconds)));
    }
    if let Some(raw) = reply.auth_raw() {
        let auth = reply.auth()?;
        let all = members(raw.get())?;
        rows.push(row("token", auth.token.expose_str().unwrap_or_default().to_owned()));
        rows.push(row("token_accessor", auth.accessor));
        rows.push(row("token_duration", duration(auth.lease_seconds)));
        rows.push(row("token_renewable", auth.renewable.to_string()));
        for (name, key) in
            [("token_policies", "token_policies"), ("identity_policies", "identity_policies"), ("policies", "policies")]
        {
            rows.push(row(name, all.get(key).map_or_else(|| "[]".to_owned(), |value| cell(value))));
        }
        if let Some(Ok(meta)) = all.get("metadata").filter(|raw| raw.get() != "null").map(|raw| members(raw.get())) {
            rows.extend(meta.iter().map(|(key, value)| row(&format!("token_meta_{key}"), cell(value))));
        }
    }
    if let Some(data) = reply.data() {
        rows.extend(members(data.get())?.iter().map(|(key, value)| row(key, cell(value))));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn control_characters_and_reordering_are_shown_not_obeyed() {
        assert_eq!(printable("a\u{1b}[31mred\r\n\u{9b}\u{202e}x"), "a\\u{1b}[31mred\\r\\n\\u{9b}\\u{202e}x");
        assert_eq!(printable("päßwörd ✓ 日本"), "päßwörd ✓ 日本");
    }

    #[test]
    fn a_key_with_several_lines_stays_readable() {
        assert_eq!(printable_lines("-----BEGIN\n\tx\u{7}"), "-----BEGIN\n\tx\\u{7}");
    }

    #[test]
    fn durations_read_as_in_vault() {
        assert_eq!(duration(2_764_800), "768h");
        assert_eq!(duration(5_430), "1h30m30s");
        assert_eq!(duration(0), "∞");
    }

    #[test]
    fn cells_show_strings_bare_and_lists_in_brackets() {
        let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
        assert_eq!(cell(&raw(r#""a\nb""#)), "a\nb");
        assert_eq!(cell(&raw(r#"["default","root"]"#)), "[default root]");
        assert_eq!(cell(&raw("12345678901234567890123")), "12345678901234567890123");
        assert_eq!(cell(&raw("null")), "n/a");
    }
}
