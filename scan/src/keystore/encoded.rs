//! Private keys and stores of them in base64, within a text.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{der, kind};

/// Characters that tell how long a key is.
const HEAD: usize = 8;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// How many bytes of `text`, which starts as such a key in base64 does, are a private key or a store with one, in one line or in
/// several. `None` if none is.
pub(crate) fn own_part(text: &[u8]) -> Option<usize> {
    let mut characters = Vec::new();
    let mut end = 0;
    let mut wanted = usize::MAX;
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first().filter(|_| characters.len() < wanted) {
        rest = match byte {
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') => {
                characters.push(*byte);
                end = text.len() - after.len();
                after
            }
            byte if byte.is_ascii_whitespace() => after,
            // The end of a line in a literal of a program.
            b'\\' if matches!(after.first(), Some(b'n' | b'r')) => after.get(1..).unwrap_or_default(),
            _ => break,
        };
        if characters.len() == HEAD {
            let head = LENIENT.decode(&characters).ok()?;
            // What follows in the next line may be words.
            let length = der::length(&head).filter(|_| head.first() == Some(&der::SEQUENCE));
            wanted = length.map_or(usize::MAX, |length| length.saturating_mul(4).div_ceil(3));
        }
    }
    // A single character more cannot be the whole of anything.
    let whole = characters.len() - usize::from(characters.len() % 4 == 1);
    kind(&LENIENT.decode(characters.get(..whole)?).ok()?)?;
    Some(end)
}
