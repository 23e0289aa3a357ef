//! What people declared to be no leak: comments beside the text, and names of findings in ignore files.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use turnlock_core::finding::Finding;

/// Names of ignore files, in a repository's or tree's top folder.
pub const IGNORE_FILES: &[&str] = &[".turnlockignore", ".gitleaksignore"];

/// Texts in a line that allow what the line holds.
const COMMENTS: &[&[u8]] = &[b"turnlock:allow", b"gitleaks:allow"];

/// Largest ignore file that is read.
const MAX_IGNORE_BYTES: u64 = 16 << 20;

/// Whether `lines`, the whole lines of a match, carry an allow comment. No comment syntax is asked for.
pub(crate) fn has_comment(lines: &[u8]) -> bool {
    COMMENTS.iter().any(|comment| memchr::memmem::find(lines, comment).is_some())
}

/// Names of findings that shall not be reported: `commit:file:rule:line`, or `file:rule:line` for every commit.
#[derive(Debug, Clone, Default)]
pub struct IgnoreList {
    names: HashSet<String>,
}

impl IgnoreList {
    /// Adds the names in `text`: one in a line; empty lines and those that start with `#` are passed over. Backslashes
    /// in names of files count as slashes.
    pub fn add(&mut self, text: &str) {
        let names = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        self.names.extend(names.map(|name| name.replace('\\', "/")));
    }

    /// Adds the names in the ignore files of `folder`, or in the file that `folder` names. Missing files are none.
    pub fn add_files(&mut self, folder: &Path) -> io::Result<()> {
        let mut files: Vec<_> = IGNORE_FILES.iter().map(|name| folder.join(name)).collect();
        if folder.is_file() {
            files = vec![folder.to_owned()];
        }
        for file in files {
            match std::fs::metadata(&file) {
                Ok(metadata) if metadata.is_file() && metadata.len() <= MAX_IGNORE_BYTES => {
                    let bytes = std::fs::read(&file)?;
                    self.add(&String::from_utf8_lossy(&bytes));
                }
                Ok(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "an ignore file is no regular file or too large",
                    ));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether `finding` is named.
    pub fn holds(&self, finding: &Finding) -> bool {
        !self.names.is_empty()
            && (self.names.contains(&finding.ignore_name()) || self.names.contains(&finding.global_ignore_name()))
    }
}
