//! Masks secret values in a stream of output, in every form that programs commonly print them in, however the stream
//! is cut into writes. The forms are made in [`forms`].

mod forms;

use std::collections::VecDeque;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::noncontiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use turnlock_core::Protected;
use zeroize::{Zeroize as _, Zeroizing};

/// Stands in the output where a secret was.
pub const MASK: &[u8] = b"***";

/// Shorter values are not masked: three characters occur in any text, and masking them would show where they do.
pub const SHORTEST: usize = 4;

/// What is looked for: an automaton over all forms of all values. Shared by the streams of one child.
///
/// It lives in this process's memory as long as the child runs; the library does not wipe it.
pub struct Patterns {
    automaton: NFA,
    start: StateID,
    /// By state: how many of the last bytes may still become part of a match.
    depths: Vec<usize>,
    longest: usize,
    unmasked: usize,
}

/// Why no automaton can be made.
#[derive(Debug, thiserror::Error)]
#[error("secrets are too many or too long to mask")]
pub struct TooMany;

impl Patterns {
    /// Patterns for `values` and their encoded forms.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a Protected>) -> Result<Arc<Self>, TooMany> {
        let mut all: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        let mut unmasked = 0;
        for value in values {
            if value.len() < SHORTEST {
                unmasked += 1;
            } else {
                all.extend(forms::of(value.expose()));
            }
        }
        all.sort_unstable_by(|one, other| one.as_slice().cmp(other.as_slice()));
        all.dedup_by(|one, other| one.as_slice() == other.as_slice());
        let mut builder = NFA::builder();
        builder.match_kind(MatchKind::Standard);
        let automaton = builder.build(all.iter().map(|form| form.as_slice())).map_err(|_| TooMany)?;
        let start = automaton.start_state(Anchored::No).map_err(|_| TooMany)?;
        let mut depths = Vec::new();
        for form in &all {
            let mut state = start;
            for (index, byte) in form.iter().enumerate() {
                // Fed from the start, a pattern's prefix leads to the state that stands for just this prefix.
                state = automaton.next_state(Anchored::No, state, *byte);
                if depths.len() <= state.as_usize() {
                    depths.resize(state.as_usize() + 1, 0);
                }
                if let Some(depth) = depths.get_mut(state.as_usize()) {
                    *depth = index + 1;
                }
            }
        }
        let longest = all.iter().map(|form| form.len()).max().unwrap_or(0);
        Ok(Arc::new(Self { automaton, start, depths, longest, unmasked }))
    }

    /// How many values were too short to be masked.
    pub fn unmasked(&self) -> usize {
        self.unmasked
    }

    fn depth(&self, state: StateID) -> usize {
        self.depths.get(state.as_usize()).copied().unwrap_or(0)
    }

    /// Length of the longest pattern that ends in `state`.
    fn matched(&self, state: StateID) -> usize {
        if !self.automaton.is_match(state) {
            return 0;
        }
        let ends = 0..self.automaton.match_len(state);
        ends.map(|index| self.automaton.pattern_len(self.automaton.match_pattern(state, index))).max().unwrap_or(0)
    }
}

/// Masks one stream.
///
/// Every byte that belongs to an occurrence of a pattern is taken out, and each unbroken run of such bytes becomes one
/// [`MASK`]. That depends on the text alone, not on the writes. What is held back is the longest end of the text that
/// begins a pattern, so text without secrets passes at once but for a few bytes.
pub struct Masker {
    patterns: Arc<Patterns>,
    state: StateID,
    held: VecDeque<u8>,
    /// For each held byte, whether it belongs to an occurrence.
    covered: VecDeque<bool>,
    in_run: bool,
}

impl Masker {
    /// A masker at the start of a stream.
    pub fn new(patterns: &Arc<Patterns>) -> Self {
        // Never grows beyond this, so no unwiped copy is left behind by growing.
        let capacity = patterns.longest + 1;
        Self {
            state: patterns.start,
            held: VecDeque::with_capacity(capacity),
            covered: VecDeque::with_capacity(capacity),
            in_run: false,
            patterns: patterns.clone(),
        }
    }

    /// Takes `input` in and appends to `output` what is certain.
    pub fn write(&mut self, input: &[u8], output: &mut Vec<u8>) {
        for byte in input {
            self.state = self.patterns.automaton.next_state(Anchored::No, self.state, *byte);
            self.held.push_back(*byte);
            self.covered.push_back(false);
            let matched = self.patterns.matched(self.state);
            for covered in self.covered.iter_mut().rev().take(matched) {
                *covered = true;
            }
            self.release(self.patterns.depth(self.state), output);
        }
    }

    /// Shows what a person may be waiting for, when a terminal's stream has paused: a prompt whose last characters
    /// happen to begin a secret.
    ///
    /// The trade: at most three bytes of a secret can be seen, when a program pauses in the middle of printing one.
    /// From the fourth on they stay held, and what follows is masked as ever.
    pub fn idle(&mut self, output: &mut Vec<u8>) {
        if self.patterns.depth(self.state) < SHORTEST {
            self.release(0, output);
        }
    }

    /// Appends the rest at the end of the stream.
    pub fn finish(&mut self, output: &mut Vec<u8>) {
        self.release(0, output);
        self.state = self.patterns.start;
        self.in_run = false;
    }

    /// Whether anything is held back.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Lets go of all but the last `keep` bytes, and of covered bytes at the front, whose fate is certain.
    fn release(&mut self, keep: usize, output: &mut Vec<u8>) {
        while let Some(covered) = self.covered.front().copied() {
            if !covered && self.held.len() <= keep {
                return;
            }
            let byte = self.held.pop_front();
            self.covered.pop_front();
            if !covered {
                output.extend(byte);
            } else if !self.in_run {
                output.extend_from_slice(MASK);
            }
            self.in_run = covered;
        }
    }
}

impl Drop for Masker {
    fn drop(&mut self) {
        self.held.make_contiguous().zeroize();
    }
}

#[cfg(test)]
mod tests;
