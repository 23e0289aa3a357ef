//! Shamir's secret sharing over GF(2⁸) with the AES polynomial, byte by byte (A. Shamir, "How to share a secret", 1979).
//!
//! A share is the polynomial's values followed by one byte with the place at which they were taken, so that a share of
//! a 32-byte key has 33 bytes, as operators of the protocol know it. No table lookups and no branches on secret bytes.

use ring::rand::{SecureRandom, SystemRandom};
use turnlock_core::Protected;
use zeroize::Zeroizing;

/// Why shares cannot be made or joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The number of shares or the threshold is out of range.
    #[error(
        "the threshold must be between 1 and the number of shares, and there can be at most 255 shares; more than one share needs a threshold of at least 2"
    )]
    Numbers,
    /// Lengths differ, a share is empty, or the same one was given twice.
    #[error("the shares do not belong together")]
    Shares,
    /// The system gave no random bytes.
    #[error("no random bytes")]
    Random,
}

/// Splits `secret` into `shares` parts of which any `threshold` restore it and fewer tell nothing.
pub fn split(secret: &[u8], shares: u8, threshold: u8) -> Result<Vec<Protected>, ShareError> {
    if threshold == 0 || threshold > shares || (threshold == 1 && shares > 1) {
        return Err(ShareError::Numbers);
    }
    let mut coefficients = Zeroizing::new(vec![0; usize::from(threshold - 1)]);
    let mut parts: Vec<Zeroizing<Vec<u8>>> =
        (1..=shares).map(|_| Zeroizing::new(Vec::with_capacity(secret.len() + 1))).collect();
    for byte in secret {
        SystemRandom::new().fill(&mut coefficients).map_err(|_| ShareError::Random)?;
        for (place, part) in (1..=shares).zip(&mut parts) {
            // Horner's rule, highest coefficient first; the secret byte is the constant term.
            let value = coefficients.iter().fold(0, |value, coefficient| multiply(value, place) ^ coefficient);
            part.push(multiply(value, place) ^ byte);
        }
    }
    for (place, part) in (1..=shares).zip(&mut parts) {
        part.push(place);
    }
    Ok(parts.into_iter().map(|mut part| Protected::new(std::mem::take(&mut *part))).collect())
}

/// Restores the secret from at least as many shares as its threshold. Fewer or tampered shares give other bytes without a
/// sign of it: the caller authenticates the outcome.
pub fn combine(shares: &[Protected]) -> Result<Protected, ShareError> {
    let mut split: Vec<(u8, &[u8])> = Vec::new();
    for share in shares {
        let (place, values) = share.expose().split_last().ok_or(ShareError::Shares)?;
        let known = split.iter().any(|(other, _)| other == place);
        if *place == 0 || known || split.first().is_some_and(|(_, first)| first.len() != values.len()) {
            return Err(ShareError::Shares);
        }
        split.push((*place, values));
    }
    let length = split.first().map_or(0, |(_, values)| values.len());
    let mut secret = Zeroizing::new(vec![0; length]);
    for (place, values) in &split {
        // Lagrange's basis polynomial of this share at 0; addition and subtraction are both XOR.
        let basis = split
            .iter()
            .filter(|(other, _)| other != place)
            .fold(1, |basis, (other, _)| multiply(basis, multiply(*other, inverse(other ^ place))));
        for (byte, value) in secret.iter_mut().zip(values.iter()) {
            *byte ^= multiply(*value, basis);
        }
    }
    Ok(Protected::new(std::mem::take(&mut *secret)))
}

/// Product in GF(2⁸), in the same steps for all operands.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    for _ in 0..8 {
        product ^= a & 0u8.wrapping_sub(b & 1);
        let carry = 0u8.wrapping_sub(a >> 7);
        a = (a << 1) ^ (0x1b & carry);
        b >>= 1;
    }
    product
}

/// a⁻¹ = a²⁵⁴.
fn inverse(a: u8) -> u8 {
    // 254 = 2 + 4 + … + 128.
    let mut square = multiply(a, a);
    let mut product = square;
    for _ in 0..6 {
        square = multiply(square, square);
        product = multiply(product, square);
    }
    product
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;
    use turnlock_core::Protected;

    use super::{ShareError, combine, inverse, multiply, split};

    fn pick(shares: &[Protected], which: &[usize]) -> Vec<Protected> {
        which.iter().map(|index| shares[*index].duplicate()).collect()
    }

    #[test]
    fn the_field_is_the_one_of_aes() {
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert!((1..=255).all(|a| multiply(a, inverse(a)) == 1));
    }

    #[test]
    fn numbers_and_shares_that_make_no_sense_are_refused() {
        for (shares, threshold) in [(0, 0), (3, 4), (3, 0), (5, 1)] {
            assert_eq!(split(b"x", shares, threshold).unwrap_err(), ShareError::Numbers);
        }
        let shares = split(b"secret", 3, 2).unwrap();
        assert_eq!(combine(&pick(&shares, &[0, 0])).unwrap_err(), ShareError::Shares);
        assert_eq!(combine(&[Protected::new(Vec::new())]).unwrap_err(), ShareError::Shares);
        assert_eq!(shares[0].len(), 7);
    }

    proptest! {
        #[test]
        fn any_threshold_of_shares_restores_and_fewer_do_not(
            secret in proptest::collection::vec(any::<u8>(), 16..40),
            threshold in 2u8..6,
            extra in 0u8..4,
        ) {
            let shares = split(&secret, threshold + extra, threshold).unwrap();
            let last: Vec<_> = (usize::from(extra)..shares.len()).collect();
            prop_assert!(combine(&pick(&shares, &last)).unwrap().same_as(&secret));
            prop_assert!(combine(&shares).unwrap().same_as(&secret));
            prop_assert!(!combine(&pick(&shares, &last[1..])).unwrap().same_as(&secret));
        }

        #[test]
        fn one_share_of_one_is_the_secret(secret in proptest::collection::vec(any::<u8>(), 1..40)) {
            prop_assert!(combine(&split(&secret, 1, 1).unwrap()).unwrap().same_as(&secret));
        }
    }
}
