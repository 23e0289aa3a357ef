//! Zip archives, and what is called otherwise but is one: jar, war, wheel, docx and their like.

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::zstd::Zstd;
use super::{ReadSeek, Walk, join};
use crate::coverage::Why;

/// The number of Zstandard among the methods of zip. The library would bring C for it.
const ZSTD: u16 = 93;

/// Goes through the zip archive `file`, called `name`.
pub(super) fn walk(walk: &mut Walk<'_>, name: &str, file: &mut dyn ReadSeek, depth: usize) -> Result<(), Why> {
    let mut archive = ZipArchive::new(file).map_err(|error| why_of(&error))?;
    for index in 0..archive.len() {
        if walk.budget.is_spent() {
            return Err(Why::Expands);
        }
        let path = match archive.by_index_raw(index) {
            Ok(raw) if raw.is_dir() || raw.is_symlink() => continue,
            Ok(raw) => {
                let path = join(name, &String::from_utf8_lossy(raw.name_raw()));
                if raw.encrypted() {
                    walk.omit(&path, Why::Encrypted);
                    continue;
                }
                path
            }
            Err(error) => {
                walk.omit(name, why_of(&error));
                continue;
            }
        };
        match archive.by_index(index) {
            Ok(mut content) => {
                walk.member(&path, &mut content, depth);
                continue;
            }
            Err(ZipError::CompressionMethodNotSupported(ZSTD)) => {}
            Err(error) => {
                walk.omit(&path, why_of(&error));
                continue;
            }
        }
        match archive.by_index_raw(index) {
            Ok(mut packed) => walk.member(&path, &mut Zstd::new(&mut packed), depth),
            Err(error) => walk.omit(&path, why_of(&error)),
        }
    }
    Ok(())
}

fn why_of(error: &ZipError) -> Why {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => Why::Encrypted,
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => Why::Unsupported,
        _ => Why::Broken,
    }
}
