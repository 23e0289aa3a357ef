//! `.env` files that hold references instead of values, so that they may be committed.

use std::cell::Cell;
use std::io::{self, Read};

use crate::reference::{Reference, ReferenceError, SCHEME};

/// Longest file that is read.
const LIMIT_BYTES: u64 = 1024 * 1024;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of the variable.
    pub name: String,
    /// What it gets.
    pub value: Setting,
}

/// What a variable gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// The value that the reference names.
    Secret(Reference),
    /// This text: an ordinary setting. It is neither secret nor masked.
    Literal(String),
}

/// Why a file cannot be used. No text repeats what stands in it.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// Reading failed.
    #[error("environment file cannot be read")]
    Read(#[source] io::Error),
    /// More than 1 MiB.
    #[error("environment file is larger than {LIMIT_BYTES} bytes")]
    TooLarge,
    /// Not `NAME=value`.
    #[error("environment file is malformed: line {line} is not NAME=value, or a quote that opens there does not close")]
    Malformed {
        /// Where the entry begins.
        line: usize,
    },
    /// A reference with text before it, which the program would get as it stands.
    #[error(
        "{name} in the environment file holds a reference behind other text, and only a value that is nothing else is one: \
             keep the whole value in a field of the secret, and name that"
    )]
    Within {
        /// The variable.
        name: String,
    },
    /// A value that begins like a reference and is none.
    #[error("{name} in the environment file is no reference: {source}")]
    Reference {
        /// The variable.
        name: String,
        /// What is wrong.
        source: ReferenceError,
    },
}

/// Parses `.env` text: quotes, several lines, comments and `export` as usual. Sets nothing in this process.
///
/// A later entry of the same name replaces an earlier one.
pub fn parse(reader: impl Read) -> Result<Vec<Entry>, EnvFileError> {
    let mut text = String::new();
    let read = reader.take(LIMIT_BYTES + 1).read_to_string(&mut text).map_err(EnvFileError::Read)?;
    if read as u64 > LIMIT_BYTES {
        return Err(EnvFileError::TooLarge);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut entries: Vec<Entry> = Vec::new();
    let lines = Cell::new(0);
    for item in dotenvy::from_read_iter(Counted { rest: text.as_bytes(), lines: &lines }) {
        let (name, text) = item.map_err(|error| EnvFileError::Malformed { line: first_line(&error, lines.get()) })?;
        let value = if text.starts_with(SCHEME) {
            let parsed = text.parse();
            Setting::Secret(parsed.map_err(|source| EnvFileError::Reference { name: name.clone(), source })?)
        } else if text.contains(SCHEME) {
            return Err(EnvFileError::Within { name });
        } else {
            Setting::Literal(text)
        };
        entries.retain(|entry| entry.name != name);
        entries.push(Entry { name, value });
    }
    Ok(entries)
}

/// A text that is handed out line by line, so that it is known how far its reader is.
struct Counted<'a> {
    rest: &'a [u8],
    lines: &'a Cell<usize>,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |end| end + 1);
        let (mut line, _) = self.rest.split_at(end);
        let read = line.read(into)?;
        self.rest = self.rest.get(read..).unwrap_or_default();
        // What is left of a line that is longer than the reader's buffer belongs to the same.
        if read > 0 && line.is_empty() {
            self.lines.set(self.lines.get() + 1);
        }
        Ok(read)
    }
}

/// The line on which an entry begins that was given up after so many lines.
fn first_line(error: &dotenvy::Error, lines: usize) -> usize {
    let further = match error {
        dotenvy::Error::LineParse(text, _) => text.strip_suffix('\n').unwrap_or(text).matches('\n').count(),
        _ => 0,
    };
    lines.saturating_sub(further)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{EnvFileError, Setting, parse};

    #[test]
    fn references_are_told_from_settings() {
        let file = "# settings\nexport MODE=production\nPASSWORD=turnlock://secret/app/db#password\n\
                    KEY=\"turnlock://secret/app/tls#key?label=previous\" # old\nTEXT=\"two\nlines\"\nMODE=test\n";
        let entries = parse(file.as_bytes()).unwrap();
        let shown: Vec<_> = entries
            .iter()
            .map(|entry| match &entry.value {
                Setting::Secret(reference) => format!("{}={reference}", entry.name),
                Setting::Literal(text) => format!("{}:{text}", entry.name),
            })
            .collect();
        assert_eq!(
            shown,
            [
                "PASSWORD=turnlock://secret/app/db#password",
                "KEY=turnlock://secret/app/tls#key?label=previous",
                "TEXT:two\nlines",
                "MODE:test",
            ]
        );
    }

    #[test]
    fn a_malformed_file_is_refused_without_repeating_it() {
        let error = parse(&b"A=1\ntlk_canary_env_file\n"[..]).unwrap_err();
        assert!(matches!(error, EnvFileError::Malformed { line: 2 }));
        assert!(!format!("{error:?} {error}").contains("canary"));
        let long = "x".repeat(20_000);
        for (text, at) in
            [("A='\nb'\n\n# c\nb c\nD=1\n", 5), ("A=1\nB=\"two\nthree\n\n", 2), ("A=long\nb", 2), ("b", 1)]
        {
            let error = parse(text.replace("long", &long).as_bytes()).unwrap_err();
            assert!(matches!(error, EnvFileError::Malformed { line } if line == at), "{text}: {error:?}");
        }
        let error = parse(&b"URL=postgres://app:turnlock://secret/tlk_canary#password@db/app\n"[..]).unwrap_err();
        assert!(error.to_string().starts_with("URL in the environment file holds a reference behind"), "{error}");
        assert!(!format!("{error:?} {error}").contains("canary"));
        let error = parse(&b"A=turnlock://tlk_canary_reference\n"[..]).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("canary"));
    }
}
