//! `.env` files that hold references instead of values, so that they may be committed.

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
    #[error("environment file is malformed behind its entry number {entries}")]
    Malformed {
        /// Entries before the malformed one.
        entries: usize,
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
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        let (name, text) = item.map_err(|_| EnvFileError::Malformed { entries: entries.len() })?;
        let value = if text.starts_with(SCHEME) {
            let parsed = text.parse();
            Setting::Secret(parsed.map_err(|source| EnvFileError::Reference { name: name.clone(), source })?)
        } else {
            Setting::Literal(text)
        };
        entries.retain(|entry| entry.name != name);
        entries.push(Entry { name, value });
    }
    Ok(entries)
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
        assert!(matches!(error, EnvFileError::Malformed { entries: 1 }));
        assert!(!format!("{error:?} {error}").contains("canary"));
        let error = parse(&b"A=turnlock://tlk_canary_reference\n"[..]).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("canary"));
    }
}
