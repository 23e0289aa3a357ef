//! What commits and annotated tags say: people paste credentials there too.

use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat};
use gix::objs::{Kind, TagRef};
use gix::prelude::FindExt as _;
use gix::{ObjectId, Repository, ThreadSafeRepository, oid};
use turnlock_core::finding::{CommitMark, Finding, Fingerprint};

use crate::content::Confirmed;
use crate::coverage::{Coverage, Why};
use crate::forest::{Descent, Visit};
use crate::inspect::identity;
use crate::objects::{self, Objects};
use crate::origin::{self, Rank};
use crate::scanner::Scanner;

/// What findings in the message of a commit have for a file. NEVER CHANGE: ignore files hold it.
pub(crate) const COMMIT_MESSAGE: &str = "(commit message)";

/// How that begins which they have in the message of a tag. NEVER CHANGE.
const TAG_MESSAGE: &str = "(message of tag ";

/// The messages in which something was seen.
#[derive(Default)]
pub(crate) struct Heard {
    /// The commits and tags whose messages they are.
    pub(crate) speakers: Vec<ObjectId>,
    /// Fingerprints of strings that the store may hold.
    pub(crate) candidates: HashSet<Fingerprint>,
    pub(crate) coverage: Coverage,
}

/// Looks at the messages of the commits and tags among `objects` that are `wanted`.
pub(crate) fn hear(
    scanner: &Scanner,
    objects: &Objects,
    repository: &ThreadSafeRepository,
    wanted: impl Fn(&oid) -> bool + Sync,
) -> Heard {
    let listener = Listener { scanner };
    let mut heard = objects.walk(repository, &listener, Kind::Commit, &wanted);
    listener.join(&mut heard, objects.walk(repository, &listener, Kind::Tag, &wanted));
    heard
}

/// The same for the commits and tags of these ids.
pub(crate) fn hear_these(scanner: &Scanner, repository: &ThreadSafeRepository, ids: &[ObjectId]) -> Heard {
    objects::visit_all(repository, &Listener { scanner }, ids)
}

struct Listener<'a> {
    scanner: &'a Scanner,
}

impl Visit for Listener<'_> {
    type Trace = ();
    type Yield = Heard;

    fn max_bytes(&self) -> u64 {
        self.scanner.options.max_bytes
    }

    fn is_late(&self) -> bool {
        self.scanner.is_late()
    }

    fn visit(&self, id: &oid, bytes: &[u8], _: Option<Descent<'_, ()>>, to: &mut Self::Yield) {
        let mut content = self.scanner.look_into(message(bytes), &Confirmed::new());
        content.count(&format!("message of {id}"), &mut to.coverage);
        if !content.inspection.is_empty() {
            to.speakers.push(id.to_owned());
            to.candidates.extend(content.inspection.candidates);
        }
    }

    fn miss(&self, id: &oid, why: Why, to: &mut Self::Yield) {
        to.coverage.omit(format!("message of {id}"), why);
    }

    fn join(&self, earlier: &mut Self::Yield, later: Self::Yield) {
        earlier.speakers.extend(later.speakers);
        earlier.candidates.extend(later.candidates);
        earlier.coverage.absorb(later.coverage);
    }
}

/// What follows the first empty line, in commits and in tags.
fn message(object: &[u8]) -> &[u8] {
    memchr::memmem::find(object, b"\n\n").and_then(|at| object.get(at + 2..)).unwrap_or_default()
}

/// What of `text`, the file that git hands to its hook `commit-msg`, can become part of the message: not the changes that
/// `git commit --verbose` shows below its scissors, which git's own next line tells from a line that somebody wrote: git itself
/// keeps what stands below such a one. Comments may become a part, as the configuration has it.
pub(crate) fn written(text: &[u8]) -> &[u8] {
    const SCISSORS: &[u8] = b" ------------------------ >8 ------------------------\n";
    const EXPLAINED: &[u8] = b" Do not modify or remove the line above.\n";
    let cut = memchr::memmem::find_iter(text, SCISSORS).find(|at| {
        // Behind the character for comments, whichever it is, at the start of a line.
        let before = text.get(..*at).unwrap_or_default();
        let comment = before.get(memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1)..).unwrap_or_default();
        let next = text.get(at + SCISSORS.len()..).and_then(|rest| rest.strip_prefix(comment)).unwrap_or_default();
        (1..=4).contains(&comment.len()) && next.starts_with(EXPLAINED)
    });
    text.get(..cut.unwrap_or(text.len())).unwrap_or(text)
}

/// Adds what the messages of the `speakers` hold to the `findings`, the first messages first, each credential as often as it
/// is said, and notes with every finding whether the message of its commit holds one.
pub(crate) fn report(
    scanner: &Scanner,
    repository: &Repository,
    speakers: &[ObjectId],
    is_unreachable: impl Fn(&ObjectId) -> bool,
    confirmed: &Confirmed,
    coverage: &mut Coverage,
    findings: &mut Vec<Finding>,
) {
    let inspector = scanner.inspector();
    let mut telling = HashSet::new();
    let mut said: Vec<(Rank, Finding)> = Vec::new();
    for id in speakers {
        let mut buffer = Vec::new();
        let read = repository.objects.find(id, &mut buffer).ok().and_then(|object| {
            let (file, mark, seconds) = speaker(repository, id, object.kind, object.data)?;
            Some((file, mark, seconds, scanner.look_into(message(object.data), confirmed)))
        });
        let Some((file, mark, seconds, content)) = read else {
            coverage.omit(format!("message of {id}"), Why::Damaged);
            continue;
        };
        if !content.inspection.sightings.is_empty() {
            telling.insert(mark.id.clone());
        }
        let rank = (is_unreachable(id), seconds, *id);
        let sightings = content.inspection.sightings.iter().filter(|seen| scanner.bounds.keep(seen));
        said.extend(sightings.map(|seen| (rank, inspector.finding(seen, &file, Some(mark.clone())))));
    }
    said.sort_by_key(|(rank, _)| *rank);
    findings.extend(said.into_iter().map(|(_, finding)| finding));
    // What only its name in a file gives away is no credential where a message quotes it.
    for finding in findings.iter().filter(|finding| !finding.secret.is_empty()) {
        let quotes =
            |commit: &&CommitMark| memchr::memmem::find(commit.message.as_bytes(), finding.secret.expose()).is_some();
        telling.extend(finding.commit.as_ref().filter(quotes).map(|commit| commit.id.clone()));
    }
    for commit in findings.iter_mut().filter_map(|finding| finding.commit.as_mut()) {
        commit.tells = telling.contains(&commit.id);
    }
}

/// What a message has for a file, who wrote it, and when it was made, in seconds since 1970.
fn speaker(repository: &Repository, id: &ObjectId, kind: Kind, bytes: &[u8]) -> Option<(String, CommitMark, i64)> {
    if kind != Kind::Tag {
        let mark = origin::mark(repository, id)?;
        let seconds = repository.find_commit(*id).ok()?.time().ok().map_or(0, |time| time.seconds);
        return Some((COMMIT_MESSAGE.to_owned(), mark, seconds));
    }
    let tag = TagRef::from_bytes(bytes, id.kind()).ok()?;
    let tagger = tag.tagger().ok().flatten();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let seconds = tagger.as_ref().map_or(0, |tagger| tagger.seconds());
    let date = DateTime::from_timestamp(seconds, 0).filter(|_| tagger.is_some());
    let mark = CommitMark {
        id: id.to_string(),
        author: tagger.as_ref().map(|tagger| text(tagger.name)).unwrap_or_default(),
        email: tagger.as_ref().map(|tagger| text(tagger.email)).unwrap_or_default(),
        date: date.map(|date| date.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default(),
        message: text(tag.message),
        tells: true,
    };
    Some((format!("{TAG_MESSAGE}{})", text(tag.name)), mark, seconds))
}

/// Keeps each credential that messages hold once, in the first of them: `findings` has them in that order.
pub(crate) fn keep_first_of_each(findings: &mut Vec<Finding>) {
    let same = identity();
    let mut known = HashSet::new();
    findings.retain(|finding| {
        !is_said(finding) || known.insert((finding.rule.clone(), same.fingerprint(finding.secret.expose())))
    });
}

/// Whether it is a message that holds what was found.
fn is_said(finding: &Finding) -> bool {
    finding.commit.is_some() && is_message(&finding.place.file)
}

/// Whether `name`, of a file or of a finding, is about a message and does not say of which commit or tag.
pub(crate) fn is_message(name: &str) -> bool {
    name.starts_with(COMMIT_MESSAGE) || name.starts_with(TAG_MESSAGE)
}

#[cfg(test)]
mod tests {
    use super::written;

    /// The scissors behind `comment`, and what `next` says below them.
    fn message(comment: &str, next: &str) -> String {
        format!("Say\n{comment} {0} >8 {0}\n{next}\ndiff\n", "-".repeat(24))
    }

    #[test]
    fn a_message_ends_at_the_scissors_of_git_alone() {
        const NEXT: &str = "Do not modify or remove the line above.";
        for comment in ["#", ";", "//"] {
            let message =
                message(comment, &format!("{comment} {NEXT}\n{comment} Everything below it will be ignored."));
            assert_eq!(written(message.as_bytes()), format!("Say\n{comment}").as_bytes());
        }
        for other in [
            message("#", "password"),
            message("#", &format!("; {NEXT}")),
            message("#", &format!("# {NEXT} Or do.")),
            message("", &format!(" {NEXT}")),
            message("Below:", &format!("Below: {NEXT}")),
            message("#", &format!("# {NEXT}")).replacen(">8", "8<", 1),
        ] {
            assert_eq!(written(other.as_bytes()), other.as_bytes());
        }
        // The scissors of git may follow those that somebody wrote.
        let both = message("#", "below") + &message("#", &format!("# {NEXT}"));
        assert!(written(both.as_bytes()).ends_with(b"below\ndiff\nSay\n#"));
    }
}
