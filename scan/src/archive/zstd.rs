//! Zstandard, frame after frame: the library reads one.

use std::io::{self, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What the frames in a reader hold.
pub(super) struct Zstd<R: Read> {
    packed: R,
    frame: FrameDecoder,
    /// Whether `frame` is within one.
    is_open: bool,
    /// Whether there was one.
    is_begun: bool,
}

impl<R: Read> Zstd<R> {
    pub(super) fn new(packed: R) -> Self {
        Self { packed, frame: FrameDecoder::new(), is_open: false, is_begun: false }
    }

    /// Goes to the next frame. False: there is none.
    fn next(&mut self) -> io::Result<bool> {
        loop {
            match self.frame.reset(&mut self.packed) {
                Ok(()) => {
                    (self.is_open, self.is_begun) = (true, true);
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut self.packed.by_ref().take(u64::from(length)), &mut io::sink())?;
                    self.is_begun = true;
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::MagicNumberReadError(error)))
                    if self.is_begun && error.kind() == io::ErrorKind::UnexpectedEof =>
                {
                    return Ok(false);
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.is_open || self.next()? {
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.frame.decode_blocks(&mut self.packed, one).map_err(io::Error::other)?;
            }
            let read = self.frame.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.is_open = false;
        }
        Ok(0)
    }
}
