//! Ignore files: names of findings that shall not be reported, by their place or by their credential.
//!
//! `.turnlockignore` has one entry in a line, with a reason and a last day if wanted:
//!
//! ```text
//! key 6f0c… (64 hex digits: entries by credential are made with it)
//! config/app.env:generic-password:12   # until 2027-01-31: test account
//! secret:91c2…                         # wherever it stands
//! ```
//!
//! `.gitleaksignore` has names by place alone.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use chrono::NaiveDate;
use turnlock_core::Protected;
use turnlock_core::finding::{Finding, FingerprintKey};

use crate::messages;

/// Names of ignore files, in the top folder of what is scanned.
pub const IGNORE_FILES: &[&str] = &[".turnlockignore", ".gitleaksignore", ".betterleaksignore"];

/// What starts the name of a finding by its credential.
const BY_SECRET: &str = "secret:";

/// Hex digits of such a name.
const NAME_DIGITS: usize = 32;

/// Largest ignore file that is read.
const MAX_IGNORE_BYTES: u64 = 16 << 20;

/// Names of findings that shall not be reported: `commit:file:rule:line`, `file:rule:line` for every commit, or
/// `secret:…` for every place of a credential. What a message says has no name for every commit.
#[derive(Debug, Clone, Default)]
pub struct IgnoreList {
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    /// Entries of other programs' files, by the same without the rule: their rules may have other ids.
    by_place: HashMap<String, Vec<usize>>,
    /// Of the file that makes names by credential possible, in hex.
    key: Option<Key>,
    today: Option<NaiveDate>,
    void: Vec<String>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// File and line of the entry, and what it names.
    shown: String,
    /// Id of the rule that it names; empty for a credential.
    rule: String,
}

#[derive(Clone)]
struct Key(std::sync::Arc<FingerprintKey>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl IgnoreList {
    /// An empty list in which entries that end before `today` do not count.
    #[must_use]
    pub fn on(today: NaiveDate) -> Self {
        Self { today: Some(today), ..Self::default() }
    }

    /// Adds the entries of `text`, an ignore file called `name`. Empty lines and those that start with `#` are passed
    /// over. Backslashes in names of files count as slashes.
    pub fn add(&mut self, name: &str, text: &str) {
        let ours = !(name.ends_with(".gitleaksignore") || name.ends_with(".betterleaksignore"));
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (entry, note) = match line.find(" #").or_else(|| line.find("\t#")).filter(|_| ours) {
                Some(at) => (line.get(..at).unwrap_or(line).trim_end(), line.get(at + 2..).unwrap_or_default().trim()),
                None => (line, ""),
            };
            if let Some(key) = entry.strip_prefix("key ").filter(|_| ours).and_then(key_of) {
                self.key = Some(key);
                continue;
            }
            let shown = format!("{name}:{}: {entry}", number + 1);
            let void = match last_day(note) {
                Ok(last) if last.zip(self.today).is_some_and(|(last, today)| last < today) => {
                    Some("its last day is over")
                }
                Ok(_) if is_any_message(entry) => Some("every later message would pass as well"),
                Ok(_) => None,
                Err(()) => Some("no date such as 2027-01-31 follows until"),
            };
            if let Some(why) = void {
                self.void.push(format!("{shown}: {why}"));
                continue;
            }
            let entry = entry.replace('\\', "/");
            if self.by_name.contains_key(&entry) {
                continue;
            }
            let index = self.entries.len();
            let mut rule = "";
            if let Some((place, line)) = entry.rsplit_once(':').filter(|_| !entry.starts_with(BY_SECRET))
                && let Some((file, id)) = place.rsplit_once(':')
            {
                rule = id;
                if !ours {
                    self.by_place.entry(format!("{file}:{line}")).or_default().push(index);
                }
            }
            self.entries.push(Entry { shown, rule: rule.to_owned() });
            self.by_name.insert(entry, index);
        }
    }

    /// Adds the entries in the ignore files of `folder`, or in the file that `folder` names. Missing files are none.
    pub fn add_files(&mut self, folder: &Path) -> io::Result<()> {
        let mut files: Vec<_> = IGNORE_FILES.iter().map(|name| folder.join(name)).collect();
        if folder.is_file() {
            files = vec![folder.to_owned()];
        }
        for file in files {
            match std::fs::metadata(&file) {
                Ok(metadata) if metadata.is_file() && metadata.len() <= MAX_IGNORE_BYTES => {
                    let bytes = std::fs::read(&file)?;
                    self.add(&file.to_string_lossy(), &String::from_utf8_lossy(&bytes));
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

    /// The entry that names `finding`. `is_rule` tells the ids of rules: an entry of another program's file whose rule
    /// is none of them stands for whatever is found in its line.
    pub(crate) fn entry_of(&self, finding: &Finding, is_rule: impl Fn(&str) -> bool) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        let names = [Some(finding.ignore_name()), Some(finding.global_ignore_name()), self.secret_name(finding)];
        if let Some(index) = names.iter().flatten().find_map(|name| self.by_name.get(name)) {
            return Some(*index);
        }
        let place = format!("{}:{}", finding.place.file, finding.place.start_line);
        let with_commit = finding.commit.as_ref().map(|commit| format!("{}:{place}", commit.id));
        let foreign = with_commit.iter().chain([&place]).flat_map(|place| self.by_place.get(place)).flatten();
        foreign.copied().find(|index| self.entries.get(*index).is_some_and(|entry| !is_rule(&entry.rule)))
    }

    /// The name of `finding` by its credential; `None` without a key in an ignore file.
    ///
    /// There is no usual key: with one that everybody knows, whoever sees a report could try passwords on its names.
    pub fn secret_name(&self, finding: &Finding) -> Option<String> {
        let key = self.key.as_ref().filter(|_| !finding.secret.expose().is_empty())?;
        let fingerprint = key.0.fingerprint(finding.secret.expose()).to_hex();
        Some(format!("{BY_SECRET}{}", fingerprint.get(..NAME_DIGITS).unwrap_or_default()))
    }

    /// The entries that are not among `used`, with their places.
    pub(crate) fn unused(&self, used: &HashSet<usize>) -> Vec<String> {
        let entries = self.entries.iter().enumerate().filter(|(index, _)| !used.contains(index));
        entries.map(|(_, entry)| entry.shown.clone()).collect()
    }

    /// The entries that do not count, with their places and why: most often their last day is over.
    pub fn void(&self) -> &[String] {
        &self.void
    }
}

/// Whether `name` stands for whatever a message says in some line, now and later: such a name ignores nothing.
pub fn is_any_message(name: &str) -> bool {
    messages::is_message(name)
}

/// The name of `finding` by its place, if it has one that means this finding only: standard input has no name, and what the
/// next message says in the same line may be another credential.
pub(crate) fn place_name(finding: &Finding) -> Option<String> {
    let file = &finding.place.file;
    let is_vague = file.is_empty() || (finding.commit.is_none() && messages::is_message(file));
    (!is_vague).then(|| finding.ignore_name())
}

/// The last day of an entry whose note starts with `until`; an error when no date follows.
fn last_day(note: &str) -> Result<Option<NaiveDate>, ()> {
    let Some(rest) = note.strip_prefix("until ") else { return Ok(None) };
    let date = rest.trim_start().get(..10).unwrap_or_default();
    NaiveDate::parse_from_str(date, "%Y-%m-%d").map(Some).map_err(|_| ())
}

fn key_of(hex_digits: &str) -> Option<Key> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    hex::decode_to_slice(hex_digits.trim(), &mut bytes[..]).ok()?;
    Some(Key(std::sync::Arc::new(FingerprintKey::new("ignore", Protected::copy_of(&bytes[..])))))
}
