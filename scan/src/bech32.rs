//! The checksum of Bech32 (BIP 173), which secret keys of age and of Nostr end with.

/// The alphabet, in the order of its values.
const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// What the highest bits of the running sum are worth.
const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];

/// Whether the checksum of `text`, a human-readable part, `1` and data in either case, holds.
pub(crate) fn holds(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    let Some(at) = lower.iter().rposition(|byte| *byte == b'1') else { return false };
    let (readable, data) = lower.split_at(at);
    let values: Option<Vec<u32>> = data
        .iter()
        .skip(1)
        .map(|byte| ALPHABET.iter().position(|known| known == byte).and_then(|value| u32::try_from(value).ok()))
        .collect();
    let Some(values) = values else { return false };
    let high = readable.iter().map(|byte| u32::from(byte >> 5));
    let low = readable.iter().map(|byte| u32::from(byte & 31));
    high.chain([0]).chain(low).chain(values).fold(1, add) == 1
}

/// The running sum after one more `value` of five bits.
fn add(sum: u32, value: u32) -> u32 {
    let top = sum >> 25;
    let shifted = (sum & 0x01ff_ffff) << 5 ^ value;
    GENERATOR.iter().enumerate().filter(|(bit, _)| top >> bit & 1 == 1).fold(shifted, |sum, (_, term)| sum ^ term)
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn the_checksum_holds_for_what_the_standard_shows_and_for_nothing_near_it() {
        for text in ["A12UEL5L", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "?1ezyfcl"] {
            assert!(holds(text.as_bytes()), "{text}");
        }
        for text in ["A12UEL5M", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxq", "1", "", "abc", "a1b"] {
            assert!(!holds(text.as_bytes()), "{text}");
        }
    }
}
