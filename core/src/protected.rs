//! Secret bytes: wiped when dropped, unprintable, compared in constant time.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Secret bytes.
///
/// The buffer is overwritten when the value is dropped. There is no `Clone`, no `Serialize` and no `==`: a copy is
/// asked for by name ([`Protected::duplicate`]) and a comparison is [`Protected::same_as`]. `Debug` prints a fixed
/// text, so that a struct that holds one may derive it.
pub struct Protected(Zeroizing<Vec<u8>>);

impl Protected {
    /// Takes over `bytes`. The caller's buffer becomes the guarded one; nothing is copied.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Copies `bytes` into a guarded buffer; wiping the original stays the caller's duty.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }

    /// The bytes themselves. Keep the borrow as short as it can be.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, or `None` when they are not UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Compares in a time that depends on the lengths only.
    pub fn same_as(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }

    /// A second guarded copy.
    pub fn duplicate(&self) -> Self {
        Self::copy_of(&self.0)
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hands the guarded buffer over, still wiped on drop.
    pub fn into_inner(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl fmt::Debug for Protected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protected(..)")
    }
}

impl From<String> for Protected {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl From<Vec<u8>> for Protected {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Protected;

    #[test]
    fn debug_reveals_neither_content_nor_length() {
        let secret = Protected::copy_of(b"tlk_canary_debug");
        assert_eq!(format!("{secret:?}"), "Protected(..)");
    }

    #[test]
    fn same_as_compares_all_bytes_and_the_length() {
        let secret = Protected::copy_of(b"abc");
        assert!(secret.same_as(b"abc"));
        assert!(!secret.same_as(b"abd"));
        assert!(!secret.same_as(b"ab"));
        assert!(!secret.same_as(b"abcd"));
    }
}
