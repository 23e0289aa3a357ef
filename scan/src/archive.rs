//! Archives, compressed files and container images: the files in them, one after the other, also those of archives in
//! archives. An image is a tar of tars, so its layers need nothing more.

mod budget;
mod tar;
mod zip;
mod zstd;

use std::io::{self, Cursor, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use sevenz_rust2::{ArchiveReader, Error as SevenZipError, Password};

use self::budget::Budget;
use crate::coverage::Why;

/// How many archives may lie in one another unless told otherwise.
pub const DEFAULT_DEPTH: usize = 3;

/// So much of a file tells what it is.
pub(crate) const HEAD_BYTES: usize = 512;

/// Most memory that a file may ask for to be unpacked: the largest window that packers take unless forced to more.
const MAX_MEMORY_KB: u32 = 192 << 10;

/// Between the names of an archive and of what lies in it.
const SEPARATOR: char = '!';

/// What an archive is packed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Zip,
    SevenZip,
    Tar,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Format {
    /// What starts with `head`. `None`: no archive.
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Self::Zip),
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Some(Self::SevenZip),
            [0x1f, 0x8b, 8, flags, ..] if flags & 0xe0 == 0 => Some(Self::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => tar::is_header(head).then_some(Self::Tar),
        }
    }

    /// Whether it is one file that was made smaller.
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::Gzip | Self::Bzip2 | Self::Xz | Self::Zstd)
    }
}

/// How far archives are looked into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many archives may lie in one another; 0 opens none.
    pub(crate) depth: usize,
    /// Larger files in an archive are not read but named as omissions.
    pub(crate) file_bytes: u64,
}

/// A file that can be read from any place.
pub(crate) trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// What becomes of the files of an archive.
pub(crate) trait Visitor {
    /// A file that is no archive. `name`: the names within the archive that lead to it; empty for what is merely compressed.
    fn file(&mut self, name: &str, content: &[u8]);
    /// Something that was not read.
    fn omit(&mut self, name: &str, why: Why);
}

/// Goes through all that the archive in `source`, `bytes` large, holds.
pub(crate) fn walk(format: Format, source: &mut dyn ReadSeek, bytes: u64, limits: Limits, visitor: &mut dyn Visitor) {
    let budget = Budget::of(bytes);
    let mut walk = Walk { limits, budget: &budget, visitor };
    // Readers of foreign formats are not ours: a mistake in one must not end the scan.
    let walked = catch_unwind(AssertUnwindSafe(|| walk.open("", format, Source::File(source), 1)));
    if walked.is_err() {
        walk.visitor.omit("", Why::Broken);
    }
}

/// Reads what `packed`, one file that was made smaller, holds.
fn unpacker<'p>(format: Format, packed: impl Read + 'p) -> Box<dyn Read + 'p> {
    match format {
        Format::Gzip => Box::new(MultiGzDecoder::new(packed)),
        Format::Bzip2 => Box::new(MultiBzDecoder::new(packed)),
        Format::Xz => Box::new(XzReader::new_mem_limit(packed, true, MAX_MEMORY_KB)),
        _ => Box::new(zstd::Zstd::new(packed)),
    }
}

/// The first bytes, at most `limit`, of what `packed` holds; what comes before any damage. Empty if it is not one file that
/// was made smaller.
pub(crate) fn unpacked(packed: &[u8], limit: usize) -> Vec<u8> {
    let Some(format) = Format::of(packed).filter(|format| format.is_stream()) else { return Vec::new() };
    let read = || {
        let mut bytes = Vec::new();
        // Damage ends it, and what was read stays.
        let _ = unpacker(format, packed).take(limit as u64).read_to_end(&mut bytes);
        bytes
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_default()
}

/// Where an archive is read from.
enum Source<'s> {
    Stream(&'s mut dyn Read),
    File(&'s mut dyn ReadSeek),
}

struct Walk<'w> {
    limits: Limits,
    budget: &'w Budget,
    visitor: &'w mut dyn Visitor,
}

impl Walk<'_> {
    /// Opens the archive called `name`, the `depth`-th of those around each other, the outermost being the first.
    fn open(&mut self, name: &str, format: Format, source: Source<'_>, depth: usize) {
        let opened = if format.is_stream() {
            match source {
                Source::Stream(stream) => self.open_stream(name, format, stream, depth),
                Source::File(file) => self.open_stream(name, format, file, depth),
            }
        } else {
            match (format, source) {
                (Format::Tar, Source::Stream(stream)) => tar::walk(self, name, stream, depth),
                (Format::Tar, Source::File(file)) => tar::walk(self, name, file, depth),
                (_, Source::File(file)) => self.open_indexed(name, format, file, depth),
                // The index is at the end, so all of it must be at hand.
                (_, Source::Stream(stream)) => match self.content(stream) {
                    Ok(content) => self.open_indexed(name, format, &mut Cursor::new(content), depth),
                    Err(why) => Err(why),
                },
            }
        };
        if let Err(why) = opened {
            self.omit(name, why);
        }
    }

    fn open_indexed(
        &mut self,
        name: &str,
        format: Format,
        mut file: &mut dyn ReadSeek,
        depth: usize,
    ) -> Result<(), Why> {
        if format == Format::Zip {
            return zip::walk(self, name, file, depth);
        }
        // The reader wants a size.
        let mut archive = ArchiveReader::new_with_memory_limit(&mut file, Password::empty(), MAX_MEMORY_KB as usize)
            .map_err(|error| why_of(&error))?;
        archive.set_thread_count(1);
        let read = archive.for_each_entries(|entry, content| {
            if !entry.is_directory() {
                self.member(&join(name, entry.name()), content, depth);
            }
            // What follows in the same block starts where this ends.
            Ok(self.drain(content).is_ok() && !self.budget.is_spent())
        });
        read.map_err(|error| why_of(&error))
    }

    fn open_stream(&mut self, name: &str, format: Format, packed: impl Read, depth: usize) -> Result<(), Why> {
        let mut content = unpacker(format, packed);
        let head = self.head(&mut content)?;
        let mut content = head.as_slice().chain(self.budget.count(content));
        match Format::of(&head) {
            // A compressed tar is one archive.
            Some(Format::Tar) => self.open(name, Format::Tar, Source::Stream(&mut content), depth),
            _ => self.member(name, &mut content, depth),
        }
        Ok(())
    }

    /// A file called `name` in the `depth`-th archive.
    fn member(&mut self, name: &str, content: &mut dyn Read, depth: usize) {
        if self.budget.is_spent() || !self.budget.take_file() {
            return;
        }
        let mut content = self.budget.count(content);
        let read = self.head(&mut content).and_then(|head| {
            let mut content = head.as_slice().chain(&mut content);
            match Format::of(&head) {
                Some(_) if depth >= self.limits.depth => Err(Why::TooDeep { limit: self.limits.depth }),
                Some(format) => {
                    self.open(name, format, Source::Stream(&mut content), depth + 1);
                    Ok(())
                }
                None => {
                    let content = self.content(&mut content)?;
                    self.visitor.file(name, &content);
                    Ok(())
                }
            }
        });
        if let Err(why) = read {
            self.omit(name, why);
        }
    }

    fn omit(&mut self, name: &str, why: Why) {
        // What follows from the budget being spent is said once.
        if !self.budget.is_spent() {
            self.visitor.omit(name, why);
        } else if self.budget.is_first_to_say() {
            self.visitor.omit(name, Why::Expands);
        }
    }

    fn head(&self, content: &mut dyn Read) -> Result<Vec<u8>, Why> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        content.take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(|_| Why::Broken)?;
        Ok(head)
    }

    fn content(&self, content: &mut dyn Read) -> Result<Vec<u8>, Why> {
        let limit = self.limits.file_bytes;
        let mut bytes = Vec::new();
        content.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|_| Why::Broken)?;
        if bytes.len() as u64 > limit { Err(Why::TooLarge { limit }) } else { Ok(bytes) }
    }

    fn drain(&self, content: &mut dyn Read) -> io::Result<u64> {
        io::copy(&mut self.budget.count(content), &mut io::sink())
    }
}

fn join(outer: &str, inner: &str) -> String {
    if outer.is_empty() { inner.to_owned() } else { format!("{outer}{SEPARATOR}{inner}") }
}

/// The name of what lies in the file `outer` under `inner`.
pub(crate) fn name(outer: &str, inner: &str) -> String {
    if inner.is_empty() { outer.to_owned() } else { format!("{outer}{SEPARATOR}{inner}") }
}

fn why_of(error: &SevenZipError) -> Why {
    match error {
        SevenZipError::PasswordRequired | SevenZipError::MaybeBadPassword(_) => Why::Encrypted,
        // The cipher's number: it is not compiled in, for without a password it is of no use.
        SevenZipError::UnsupportedCompressionMethod(method)
            if method.contains("AES") || method.starts_with("[6, 241") =>
        {
            Why::Encrypted
        }
        SevenZipError::UnsupportedCompressionMethod(_) | SevenZipError::Unsupported(_) => Why::Unsupported,
        SevenZipError::MaxMemLimited { .. } => Why::Expands,
        _ => Why::Broken,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Cursor, Write as _};

    use ::zip::ZipWriter;
    use ::zip::write::SimpleFileOptions;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use sevenz_rust2::{ArchiveEntry, ArchiveWriter};

    use super::{Format, Limits, Visitor, walk};
    use crate::coverage::Why;

    #[derive(Default)]
    struct Seen {
        bytes: usize,
        omissions: Vec<Why>,
    }

    impl Visitor for Seen {
        fn file(&mut self, _: &str, content: &[u8]) {
            self.bytes += content.len();
        }

        fn omit(&mut self, _: &str, why: Why) {
            self.omissions.push(why);
        }
    }

    fn seen(archive: &[u8]) -> Seen {
        let mut seen = Seen::default();
        let limits = Limits { depth: 3, file_bytes: 64 << 20 };
        let format = Format::of(archive.get(..512).unwrap_or(archive)).unwrap();
        walk(format, &mut Cursor::new(archive), archive.len() as u64, limits, &mut seen);
        seen
    }

    fn gz(content: &[u8]) -> Vec<u8> {
        let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn files_that_expand_spend_the_budget_together_and_are_said_once() {
        let large = vec![0; 30 << 20];
        let names = ["a", "b", "c", "d", "e"];
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let mut tar = tar::Builder::new(Vec::new());
        let mut seven_zip = ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
        for name in names {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(&large).unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_size(large.len() as u64);
            tar.append_data(&mut header, name, large.as_slice()).unwrap();
            seven_zip.push_archive_entry(ArchiveEntry::new_file(name), Some(large.as_slice())).unwrap();
        }
        let tar = tar.into_inner().unwrap();
        let nested = gz(&gz(&tar));
        for archive in [zip.finish().unwrap().into_inner(), gz(&tar), nested, seven_zip.finish().unwrap().into_inner()]
        {
            let seen = seen(&archive);
            assert_eq!(seen.omissions, [Why::Expands]);
            assert!(seen.bytes < 128 << 20, "{}", seen.bytes);
        }
    }
}
