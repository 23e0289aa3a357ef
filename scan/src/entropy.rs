//! Shannon entropy.

/// Entropy of `bytes` in bits per byte: 0.0 for nothing or one repeated byte, at most 8.0.
pub(crate) fn of(bytes: &[u8]) -> f32 {
    if bytes.is_empty() {
        return 0.0;
    }
    let mut counts = [0u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = bytes.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum();
    bits as f32
}

/// Share of the most entropy possible below which hardly any value drawn at random lies.
const RANDOM_SHARE: f32 = 0.65;

/// The entropy that nearly every value of this length and alphabet exceeds if it was drawn at random.
pub(crate) fn least_of_random(value: &[u8]) -> f32 {
    let all = |class: fn(&u8) -> bool| value.iter().all(class);
    let alphabet = if all(u8::is_ascii_digit) {
        10
    } else if all(u8::is_ascii_hexdigit) {
        16
    } else {
        36
    };
    RANDOM_SHARE * (value.len().clamp(1, alphabet) as f32).log2()
}

#[cfg(test)]
mod tests {
    use super::{least_of_random, of};

    #[test]
    fn random_values_exceed_the_least_and_monotonous_ones_do_not() {
        for value in ["3f0e9ab1c7d24856", "4839201756", "q8Zr4Lk0Pw2Vx7Nd5Ty1", "c47c59e078e9a66f60f85098a52caacd"] {
            assert!(of(value.as_bytes()) > least_of_random(value.as_bytes()), "{value}");
        }
        for value in ["0000000000000001", "1111111112", "aaaaaaaaaaaabbbbbbbb", "abababababababababababababababab"] {
            assert!(of(value.as_bytes()) <= least_of_random(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn entropy_counts_bits_per_byte() {
        assert_eq!(of(b""), 0.0);
        assert_eq!(of(b"aaaa"), 0.0);
        assert_eq!(of(b"abab"), 1.0);
        assert_eq!(of(b"abcdefgh"), 3.0);
    }
}
