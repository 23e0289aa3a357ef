//! How much may come out of one archive, all that lies in it together.

use std::cell::Cell;
use std::io::{self, Read};

/// So many bytes may come out of the smallest archive.
const FLOOR_BYTES: u64 = 64 << 20;

/// So many bytes may come out for each byte of the archive. Text seldom shrinks to a fiftieth.
const RATIO: u64 = 200;

/// So many bytes may come out of the largest archive.
const CEILING_BYTES: u64 = 16 << 30;

/// So many files may be in one archive.
const MAX_FILES: u64 = 1 << 20;

/// What is left, counted at every level: a byte in an archive in an archive counts twice.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: Cell<u64>,
    files: Cell<u64>,
    spent: Cell<bool>,
    said: Cell<bool>,
}

impl Budget {
    /// The budget of an archive of `bytes` bytes.
    pub(super) fn of(bytes: u64) -> Self {
        let allowed = bytes.saturating_mul(RATIO).saturating_add(FLOOR_BYTES).min(CEILING_BYTES);
        let fresh = Cell::new(false);
        Self { bytes: Cell::new(allowed), files: Cell::new(MAX_FILES), spent: fresh.clone(), said: fresh }
    }

    /// `content`, which fails when the budget is spent.
    pub(super) fn count<R: Read>(&self, content: R) -> Counted<'_, R> {
        Counted { content, budget: self }
    }

    /// Whether nothing more may come out.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.get()
    }

    /// Whether one more file may come out.
    pub(super) fn take_file(&self) -> bool {
        match self.files.get().checked_sub(1) {
            Some(left) => {
                self.files.set(left);
                true
            }
            None => {
                self.spent.set(true);
                false
            }
        }
    }

    /// True once.
    pub(super) fn is_first_to_say(&self) -> bool {
        !self.said.replace(true)
    }
}

/// A content whose bytes are taken off the budget.
pub(super) struct Counted<'b, R> {
    content: R,
    budget: &'b Budget,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.budget.is_spent() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let read = self.content.read(buffer)?;
        match self.budget.bytes.get().checked_sub(read as u64) {
            Some(left) => self.budget.bytes.set(left),
            None => {
                self.budget.spent.set(true);
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        Ok(read)
    }
}
