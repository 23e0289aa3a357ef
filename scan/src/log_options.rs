//! The options of `git log` by which people choose commits, as far as they make sense for a scan.

use crate::range::Range;

/// An option that is not understood. A scan of other commits than were meant would look clean.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOption {
    /// No date.
    #[error("{0:?} is no date that git understands")]
    Date(String),
    /// No number.
    #[error("{0:?} is no number of commits")]
    Number(String),
    /// Anything else.
    #[error("{0:?} is no option that chooses commits: revisions, --all, --since, --max-count")]
    Unknown(String),
}

/// Reads a date as git does: `2026-03-01`, RFC 3339, `@` and seconds, `2 weeks ago`.
pub fn date(text: &str) -> Result<i64, BadOption> {
    let now = gix::date::Zoned::now();
    gix::date::parse(text, Some(now)).map(|time| time.seconds).map_err(|_| BadOption::Date(text.to_owned()))
}

impl Range {
    /// Reads options of `git log`, parted by blanks: revisions, `--all`, `--since=`, `--after=`, `-n 5`, `-5`,
    /// `--max-count=5`. Options that only change what is shown are passed over.
    pub fn from_log_options(text: &str) -> Result<Self, BadOption> {
        let mut range = Self::default();
        let mut all = false;
        let mut words = text.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let number = |text: &str| text.parse().map(Some).map_err(|_| BadOption::Number(text.to_owned()));
            if let Some(text) = ["--since=", "--after="].iter().find_map(|start| word.strip_prefix(start)) {
                range.since = Some(date(text.trim_matches(['"', '\'']))?);
            } else if let Some(text) = word.strip_prefix("--max-count=") {
                range.most = number(text)?;
            } else {
                match word {
                    "--all" | "--branches" => all = true,
                    "--full-history" | "-p" | "--patch" | "-U0" => {}
                    "-n" | "--max-count" => range.most = number(words.next().unwrap_or_default())?,
                    "--since" | "--after" => range.since = Some(date(words.next().unwrap_or_default())?),
                    _ => match word.strip_prefix('-') {
                        None => range.revisions.push(word.to_owned()),
                        Some(digits) if digits.starts_with(|first: char| first.is_ascii_digit()) => {
                            range.most = number(digits)?;
                        }
                        Some(_) => return Err(BadOption::Unknown(word.to_owned())),
                    },
                }
            }
        }
        if range.revisions.is_empty() && !all {
            range.revisions.push("HEAD".to_owned());
        }
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{BadOption, date};
    use crate::range::Range;

    #[test]
    fn options_of_git_log_choose_commits() {
        let range = |text: &str| Range::from_log_options(text).unwrap();
        let revisions = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(range("main..topic").revisions, revisions(&["main..topic"]));
        assert_eq!(range("--since=2026-03-01 -n 5").since, Some(1_772_323_200));
        assert_eq!(range("-5").most, Some(5));
        assert_eq!(
            range("--max-count=7 a ^b"),
            Range { revisions: revisions(&["a", "^b"]), since: None, most: Some(7) }
        );
        assert_eq!(range("--all").revisions, revisions(&[]));
        assert_eq!(range("").revisions, revisions(&["HEAD"]));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert_eq!(Range::from_log_options("--grep=x"), Err(BadOption::Unknown("--grep=x".to_owned())));
        assert_eq!(Range::from_log_options("-n many"), Err(BadOption::Number("many".to_owned())));
        assert!(date("the day after").is_err());
    }

    #[test]
    fn dates_are_read_as_git_reads_them() {
        assert_eq!(date("@1772323200").unwrap(), 1_772_323_200);
        assert!(date("2 weeks ago").is_ok());
    }
}
