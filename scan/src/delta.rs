//! A delta of a pack: makes a version out of its base, and tells which bytes were copied from where.

/// Bytes of a version that were copied from its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Where they start in the base.
    pub(crate) base: usize,
    /// Where they start in the version.
    pub(crate) version: usize,
    pub(crate) length: usize,
}

/// Sizes of base and version, and the instructions after them. `None`: this is no delta.
pub(crate) fn sizes(delta: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (base, rest) = size(delta)?;
    let (version, rest) = size(rest)?;
    Some((base, version, rest))
}

/// Seven bits a byte, the lowest first; the eighth says whether more follow.
fn size(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (number, byte) in bytes.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * number);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(number + 1..)?));
        }
    }
    None
}

/// Writes the version to `version` and what it took from `base` to `copied`: in order of the version, neighbours joined.
/// `None`: the delta is damaged or of another base.
pub(crate) fn apply(
    base: &[u8],
    size: usize,
    mut instructions: &[u8],
    version: &mut Vec<u8>,
    copied: &mut Vec<Copied>,
) -> Option<()> {
    version.clear();
    version.reserve(size);
    copied.clear();
    while let Some((code, rest)) = instructions.split_first() {
        instructions = rest;
        let bytes = if code & 0x80 != 0 {
            let mut number = |bits: std::ops::Range<u32>| {
                let first = bits.start;
                let mut value = 0usize;
                for bit in bits {
                    if code & (1 << bit) != 0 {
                        let (byte, rest) = instructions.split_first()?;
                        instructions = rest;
                        value |= usize::from(*byte) << (8 * (bit - first));
                    }
                }
                Some(value)
            };
            let from = number(0..4)?;
            let length = match number(4..7)? {
                0 => 0x1_0000,
                length => length,
            };
            match copied.last_mut() {
                Some(last) if last.base + last.length == from && last.version + last.length == version.len() => {
                    last.length += length;
                }
                _ => copied.push(Copied { base: from, version: version.len(), length }),
            }
            base.get(from..from.checked_add(length)?)?
        } else {
            let (bytes, rest) = instructions.split_at_checked(usize::from(*code)).filter(|_| *code != 0)?;
            instructions = rest;
            bytes
        };
        if version.len() + bytes.len() > size {
            return None;
        }
        version.extend_from_slice(bytes);
    }
    (version.len() == size).then_some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::{Copied, apply, sizes};

    #[test]
    fn copies_and_inserts_make_the_version() {
        let base = b"one two three four";
        let delta = [18, 13, 0x91, 4, 4, 3, b'n', b'e', b'w', 0x91, 13, 5, 1, b'!'];
        let (from, to, instructions) = sizes(&delta).unwrap();
        assert_eq!((from, to), (18, 13));
        let (mut version, mut copied) = (Vec::new(), Vec::new());
        apply(base, 13, instructions, &mut version, &mut copied).unwrap();
        assert_eq!(version, b"two new four!");
        assert_eq!(copied, [Copied { base: 4, version: 0, length: 4 }, Copied { base: 13, version: 7, length: 5 }]);
    }

    #[test]
    fn neighbours_are_joined() {
        let (mut version, mut copied) = (Vec::new(), Vec::new());
        apply(b"abcdef", 6, &[0x91, 0, 3, 0x91, 3, 3], &mut version, &mut copied).unwrap();
        assert_eq!(copied, [Copied { base: 0, version: 0, length: 6 }]);
    }

    proptest! {
        #[test]
        fn no_delta_is_a_panic_or_more_than_was_promised(base in "[a-z]{0,40}", delta: Vec<u8>, size in 0usize..200) {
            let (mut version, mut copied) = (Vec::new(), Vec::new());
            sizes(&delta);
            if apply(base.as_bytes(), size, &delta, &mut version, &mut copied).is_some() {
                prop_assert_eq!(version.len(), size);
                for piece in copied {
                    let (from, to) = (piece.base..piece.base + piece.length, piece.version..piece.version + piece.length);
                    prop_assert_eq!(&base.as_bytes()[from], &version[to]);
                }
            }
        }
    }
}
