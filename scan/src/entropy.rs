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

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn entropy_counts_bits_per_byte() {
        assert_eq!(of(b""), 0.0);
        assert_eq!(of(b"aaaa"), 0.0);
        assert_eq!(of(b"abab"), 1.0);
        assert_eq!(of(b"abcdefgh"), 3.0);
    }
}
