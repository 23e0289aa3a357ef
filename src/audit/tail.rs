//! The end of an audit file, as a crash, a power cut or somebody else left it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use turnlock_core::audit::Chain;

/// How far from its end a file is searched for its last record.
const TAIL_BYTES: u64 = 32 << 20;
/// How every line begins.
const LINE_START: &[u8] = b"{\"seq\":";
/// No header is longer.
const HEADER_BYTES: usize = 4096;

/// What the end of a file holds.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The chain behind the last record; `None` when there is no record.
    pub(super) chain: Option<Chain>,
    /// How much of the file is whole lines. The rest is torn: a killed process leaves a line without its end, a power cut
    /// a hole of zeros, which no line holds, with what came behind it.
    pub(super) whole: u64,
    /// Whether whole lines that are no records follow the last record. No crash leaves these.
    pub(super) foreign: bool,
    /// Whether the file is the torn beginning of its first line and nothing else.
    pub(super) torn_header: bool,
}

impl Tail {
    pub(super) fn read(file: &File, length: u64) -> io::Result<Self> {
        let start = length.saturating_sub(TAIL_BYTES);
        let mut bytes = vec![0; (length - start) as usize];
        file.read_exact_at(&mut bytes, start)?;
        let hole = bytes.iter().position(|byte| *byte == 0);
        let written = hole.and_then(|hole| bytes.get(..hole)).unwrap_or(&bytes);
        let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |feed| feed + 1);
        if whole == 0 {
            let torn = if written.len() < LINE_START.len() {
                LINE_START.starts_with(written)
            } else {
                written.starts_with(LINE_START) && written.len() < HEADER_BYTES
            };
            return Ok(Self { torn_header: torn && start == 0, ..Self::default() });
        }
        let mut lines = written.get(..whole - 1).unwrap_or_default().rsplit(|byte| *byte == b'\n').enumerate();
        let last = lines.find_map(|(behind, line)| Chain::after(line).map(|chain| (behind, chain)));
        Ok(Self {
            chain: last.map(|(_, chain)| chain),
            whole: start + whole as u64,
            foreign: last.is_some_and(|(behind, _)| behind > 0),
            torn_header: false,
        })
    }
}
