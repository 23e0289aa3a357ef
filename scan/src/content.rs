//! What a file holds, whatever it is: text, an archive of files, or something binary with words in it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{self, Cursor, Read};

use turnlock_core::finding::{Fingerprint, LiveSecret};

use crate::archive::{self, Format, HEAD_BYTES, Limits, ReadSeek, Visitor};
use crate::bounds::Room;
use crate::coverage::{Coverage, Why};
use crate::inspect::{self, Inspection, Inspector};
use crate::scanner::Scanner;
use crate::{keystore, sqlite, text, windows};

/// The rules that are believed in binary content, by their certainty: what looks like a password there is not one.
const MIN_BINARY_CERTAINTY: f32 = 0.8;

/// What was found in a file, and what of it could not be read.
#[derive(Debug)]
pub(crate) struct Content {
    /// The places name files within an archive.
    pub(crate) inspection: Inspection,
    room: Room,
    is_archive: bool,
    unpacked: u64,
    binary: u64,
    /// By the name within the archive.
    omissions: Vec<(String, Why)>,
}

impl Default for Content {
    fn default() -> Self {
        let (inspection, omissions) = (Inspection::default(), Vec::new());
        Self { inspection, room: Room::of_file(), is_archive: false, unpacked: 0, binary: 0, omissions }
    }
}

impl Content {
    /// Notes what of the text `name` was not read or not kept, each once.
    fn cut(&mut self, name: &str, gaps: Vec<Why>) {
        for why in gaps {
            if !self.omissions.iter().rev().take(2).any(|known| known.0 == name && known.1 == why) {
                self.omissions.push((name.to_owned(), why));
            }
        }
    }

    /// Adds what was found in the text `name`, as far as it can be kept of one file.
    fn add(&mut self, name: &str, inspection: Inspection) {
        let Inspection { sightings, candidates, mut gaps, .. } = inspection;
        let found = self.inspection.sightings.len() + sightings.len();
        self.inspection.sightings.extend(sightings.into_iter().take_while(|sighting| self.room.keep(sighting)));
        if self.inspection.sightings.len() < found {
            gaps.push(Why::TooManyHits { limit: self.inspection.sightings.len() as u64 });
        }
        self.inspection.candidates.extend(candidates);
        self.cut(name, gaps);
    }

    /// Whether there is nothing to say of it.
    pub(crate) fn is_nothing(&self) -> bool {
        self.inspection.is_empty()
            && !self.is_archive
            && self.unpacked == 0
            && self.binary == 0
            && self.omissions.is_empty()
    }

    /// Counts this as the file `name`.
    pub(crate) fn count(&mut self, name: &str, coverage: &mut Coverage) {
        coverage.archives += u64::from(self.is_archive);
        coverage.unpacked += self.unpacked;
        coverage.binary += self.binary;
        for (inner, why) in self.omissions.drain(..) {
            coverage.omit(archive::name(name, &inner), why);
        }
    }
}

/// Confirmed values of the store, by fingerprint.
pub(crate) type Confirmed = HashMap<Fingerprint, LiveSecret>;

impl Scanner {
    /// What the file with `bytes` holds, values of the store that are `confirmed` among it.
    pub(crate) fn look_into(&self, bytes: &[u8], confirmed: &Confirmed) -> Content {
        self.look_into_log(bytes, b"", confirmed)
    }

    /// The same for a file that may be the write-ahead log of `database`.
    pub(crate) fn look_into_log(&self, bytes: &[u8], database: &[u8], confirmed: &Confirmed) -> Content {
        let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
        match self.archive(head) {
            Some(format) => self.unpack(format, &mut Cursor::new(bytes), bytes.len() as u64, confirmed),
            None => {
                let mut content = Content::default();
                let mut looking = Looking { inspector: self.inspector(), confirmed, database, content: &mut content };
                looking.look("", bytes);
                content
            }
        }
    }

    /// What a text of any length holds that `reader` gives, and how long it is.
    pub(crate) fn look_through(&self, reader: &mut impl Read, confirmed: &Confirmed) -> io::Result<(Content, u64)> {
        let mut content = Content::default();
        let inspector = self.inspector();
        let bytes = windows::each(reader, |window| {
            content.add("", inspector.look_at(window, confirmed));
        })?;
        Ok((content, bytes))
    }

    /// Whether what starts with `head` can be read in windows: plain text.
    pub(crate) fn is_plain(&self, head: &[u8]) -> bool {
        self.archive(head).is_none() && matches!(text::of(head), Some(Cow::Borrowed(_)))
    }

    /// The archive that starts with `head`, if archives are opened and it is one.
    pub(crate) fn archive(&self, head: &[u8]) -> Option<Format> {
        Format::of(head).filter(|_| self.options.archive_depth > 0)
    }

    /// What the archive in `file`, `bytes` large, holds.
    pub(crate) fn unpack(&self, format: Format, file: &mut dyn ReadSeek, bytes: u64, confirmed: &Confirmed) -> Content {
        let mut content = Content { is_archive: true, ..Content::default() };
        let limits = Limits { depth: self.options.archive_depth, file_bytes: self.options.max_bytes };
        let mut looking = Looking { inspector: self.inspector(), confirmed, database: b"", content: &mut content };
        archive::walk(format, file, bytes, limits, &mut looking);
        content
    }
}

struct Looking<'l> {
    inspector: Inspector<'l>,
    confirmed: &'l Confirmed,
    /// What a write-ahead log belongs to.
    database: &'l [u8],
    content: &'l mut Content,
}

impl Looking<'_> {
    fn look(&mut self, name: &str, bytes: &[u8]) {
        let mut inspection = match text::of(bytes) {
            Some(text) => self.inspector.look(&text, None, self.confirmed),
            None => {
                self.content.binary += 1;
                let mut found = self.inspector.look(&text::words(bytes), Some(bytes), self.confirmed);
                found.sightings.retain(|sighting| sighting.certainty >= MIN_BINARY_CERTAINTY);
                if let Some(rows) = sqlite::rows(bytes, self.database) {
                    self.add_said(&rows.text, &mut found);
                    found.gaps.extend(rows.is_cut.then_some(Why::Expands));
                    found.gaps.extend(rows.is_damaged.then_some(Why::DamagedRows));
                    found.gaps.extend(rows.lacks_database.then_some(Why::NoDatabase));
                } else if let Some(said) = keystore::text(bytes) {
                    self.add_said(said.as_bytes(), &mut found);
                }
                found
            }
        };
        inspection.sightings.iter_mut().for_each(|sighting| name.clone_into(&mut sighting.place.file));
        self.content.add(name, inspection);
    }
}

impl Looking<'_> {
    /// Adds what is said of a binary file, such as the rows of a database, and its words did not show.
    fn add_said(&self, said: &[u8], found: &mut Inspection) {
        let mut more = self.inspector.look(said, None, self.confirmed);
        let same = inspect::identity();
        // A value may be named by its column and by the column before.
        let mut known: HashSet<Fingerprint> = found.sightings.iter().map(|seen| seen.identity(&same)).collect();
        more.sightings.retain(|seen| known.insert(seen.identity(&same)));
        found.sightings.extend(more.sightings);
        found.candidates.extend(more.candidates);
        found.gaps.extend(more.gaps);
    }
}

impl Visitor for Looking<'_> {
    fn file(&mut self, name: &str, bytes: &[u8]) {
        self.content.unpacked += 1;
        self.look(name, bytes);
    }

    fn omit(&mut self, name: &str, why: Why) {
        self.content.omissions.push((name.to_owned(), why));
    }
}
