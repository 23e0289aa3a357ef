//! How surprising the letters of a value are: words cost few bits a letter, random text many.

/// Cost of a letter (column) after another (row; the last row: at the start of a run), in eighths of a bit, counted over the
/// words of program texts and their documentation.
#[rustfmt::skip]
const COST: [[u8; 26]; 27] = [
    [58, 36, 30, 33, 59, 53, 41, 68, 38, 77, 50, 25, 36, 26, 80, 37, 82, 25, 30, 21, 46, 51, 57, 57, 47, 69],
    [25, 42, 37, 44, 25, 46, 63, 72, 26, 47, 70, 21, 50, 54, 29, 54, 85, 34, 33, 48, 27, 66, 84, 70, 40, 70],
    [25, 56, 42, 51, 26, 50, 58, 26, 37, 79, 31, 35, 50, 61, 19, 51, 70, 35, 42, 26, 41, 57, 71, 70, 57, 88],
    [29, 46, 47, 35, 13, 45, 51, 58, 21, 66, 72, 40, 56, 55, 31, 53, 68, 37, 34, 49, 37, 55, 64, 62, 50, 86],
    [34, 53, 32, 26, 43, 42, 48, 68, 55, 70, 64, 35, 39, 25, 58, 43, 51, 20, 25, 31, 61, 46, 55, 37, 56, 81],
    [29, 47, 44, 39, 28, 24, 50, 68, 19, 85, 74, 31, 51, 47, 25, 53, 82, 35, 35, 40, 36, 84, 64, 73, 48, 90],
    [35, 57, 50, 57, 15, 58, 43, 32, 26, 82, 69, 38, 44, 31, 34, 52, 70, 27, 31, 46, 34, 59, 67, 67, 58, 55],
    [18, 62, 61, 49, 16, 63, 64, 68, 24, 87, 62, 51, 45, 56, 24, 59, 89, 36, 46, 33, 37, 71, 57, 75, 48, 67],
    [40, 44, 32, 36, 39, 39, 37, 79, 72, 81, 63, 34, 36, 16, 28, 43, 77, 41, 31, 26, 72, 42, 90, 52, 89, 43],
    [23, 51, 50, 52, 19, 52, 53, 56, 30, 56, 44, 56, 55, 56, 22, 49, 70, 58, 22, 53, 25, 61, 45, 72, 61, 60],
    [31, 51, 50, 40, 11, 50, 50, 48, 22, 62, 68, 45, 54, 42, 41, 47, 70, 49, 27, 39, 43, 58, 50, 64, 53, 72],
    [25, 59, 56, 38, 18, 47, 61, 72, 20, 79, 56, 26, 59, 60, 25, 54, 83, 61, 38, 38, 41, 57, 70, 82, 33, 78],
    [19, 41, 54, 50, 17, 63, 63, 74, 25, 81, 60, 47, 39, 58, 28, 24, 71, 60, 35, 48, 36, 68, 80, 81, 54, 89],
    [31, 61, 32, 27, 26, 43, 22, 63, 35, 74, 49, 49, 63, 46, 32, 53, 78, 58, 27, 21, 45, 49, 64, 78, 56, 72],
    [51, 46, 32, 35, 59, 46, 47, 69, 48, 68, 47, 34, 32, 18, 41, 34, 87, 23, 35, 36, 32, 43, 38, 60, 70, 78],
    [22, 63, 52, 56, 22, 57, 59, 42, 34, 88, 58, 29, 57, 63, 26, 34, 76, 22, 38, 30, 36, 65, 64, 73, 48, 88],
    [49, 53, 46, 42, 44, 59, 53, 72, 45, 63, 63, 38, 51, 54, 54, 51, 48, 43, 36, 47, 5, 57, 48, 65, 67, 76],
    [25, 60, 43, 41, 15, 54, 46, 75, 25, 97, 49, 47, 40, 42, 27, 51, 78, 39, 32, 33, 42, 53, 64, 73, 42, 88],
    [38, 64, 36, 59, 19, 60, 53, 34, 25, 91, 49, 46, 50, 54, 37, 34, 62, 54, 30, 18, 33, 62, 58, 73, 44, 69],
    [27, 65, 43, 53, 18, 52, 68, 30, 20, 96, 69, 45, 52, 61, 31, 48, 82, 26, 33, 38, 40, 67, 61, 59, 38, 68],
    [40, 33, 38, 47, 35, 44, 44, 80, 36, 85, 70, 29, 33, 21, 54, 34, 90, 26, 26, 24, 68, 77, 84, 56, 77, 73],
    [20, 58, 48, 55, 9, 49, 62, 63, 22, 101, 91, 47, 45, 53, 37, 54, 73, 55, 45, 51, 65, 73, 75, 57, 67, 69],
    [19, 58, 50, 47, 24, 59, 62, 29, 21, 78, 61, 46, 53, 29, 27, 53, 72, 27, 35, 49, 63, 70, 56, 67, 76, 87],
    [30, 43, 29, 39, 24, 37, 62, 47, 30, 77, 77, 47, 43, 49, 45, 22, 56, 54, 40, 19, 54, 60, 66, 41, 49, 69],
    [35, 45, 42, 53, 32, 55, 45, 61, 36, 78, 75, 34, 33, 27, 34, 17, 77, 44, 24, 30, 58, 53, 48, 67, 52, 55],
    [27, 64, 52, 47, 7, 56, 61, 46, 26, 87, 75, 52, 47, 55, 31, 62, 72, 60, 49, 66, 53, 57, 59, 63, 46, 43],
    [32, 36, 29, 33, 34, 35, 43, 43, 34, 58, 54, 38, 35, 38, 41, 31, 60, 33, 27, 33, 40, 46, 43, 54, 63, 62],
];

/// What each further run of letters costs, in eighths of a bit: words come in long runs, random text in short ones.
const RUN_COST: u32 = 16;

/// Bits per letter that names and words rarely exceed and random values rarely stay below.
const RANDOM_BITS: f32 = 4.9;

/// Whether the letters of `value` read as drawn at random rather than as words.
pub(crate) fn are_random(value: &[u8]) -> bool {
    bits(value) > RANDOM_BITS
}

/// How rare `bytes` are in program texts, roughly, in eighths of a bit; what is no letter counts as a rare one.
pub(crate) fn rarity(bytes: &[u8]) -> u32 {
    const OTHER: u32 = 48;
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    pairs
        .map(|(a, b)| match (a.to_ascii_lowercase(), b.to_ascii_lowercase()) {
            (a @ b'a'..=b'z', b @ b'a'..=b'z') => COST
                .get(usize::from(a - b'a'))
                .and_then(|row| row.get(usize::from(b - b'a')))
                .copied()
                .map_or(OTHER, u32::from),
            _ => OTHER,
        })
        .sum()
}

/// Bits that a letter of `value` costs on average, in runs parted by other characters and by capitals.
fn bits(value: &[u8]) -> f32 {
    let (mut cost, mut letters, mut runs) = (0u32, 0u32, 0u32);
    let mut before = 0u8;
    for (at, byte) in value.iter().enumerate() {
        if byte.is_ascii_alphabetic() {
            let next_is_small = value.get(at + 1).is_some_and(u8::is_ascii_lowercase);
            let turns = byte.is_ascii_uppercase()
                && (before.is_ascii_lowercase() || (before.is_ascii_uppercase() && next_is_small));
            let row = if turns || !before.is_ascii_alphabetic() {
                26
            } else {
                usize::from(before.to_ascii_lowercase() - b'a')
            };
            let column = usize::from(byte.to_ascii_lowercase() - b'a');
            cost += COST.get(row).and_then(|row| row.get(column)).copied().map_or(0, u32::from);
            letters += 1;
            runs += u32::from(row == 26);
        }
        before = *byte;
    }
    cost += RUN_COST * runs.saturating_sub(1);
    if letters == 0 { 0.0 } else { cost as f32 / 8.0 / letters as f32 }
}

#[cfg(test)]
mod tests {
    use super::are_random;

    #[test]
    fn random_letters_are_told_from_words() {
        for value in ["q8Zr4Lk0Pw2Vx7Nd5Ty1", "vzihlaquknriqlht", "v4k094d8ueairso", "XJ5QK2WVPZ7M"] {
            assert!(are_random(value.as_bytes()), "{value}");
        }
        for value in [
            "PdfEncryptionKeySize.Key128Bit",
            "company-service-token-2024",
            "ServiceAccountCredentials",
            "correcthorsebatterystaple",
            "",
        ] {
            assert!(!are_random(value.as_bytes()), "{value}");
        }
    }
}
