//! Numbers in sentences for people.

use std::fmt;

/// `1 file`, `2 files`: a number and what is counted.
///
/// `one` is the word for one of them, whose plural ends in `s`.
pub fn counted(number: impl TryInto<u64>, one: &str) -> impl fmt::Display {
    // What does not fit is more than one all the same, and is told as the most that fits.
    let number = number.try_into().unwrap_or(u64::MAX);
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {one}{end}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn only_one_is_singular() {
        let shown = [0_usize, 1, 2].map(|number| counted(number, "file").to_string());
        assert_eq!(shown, ["0 files", "1 file", "2 files"]);
        assert_eq!(counted(1_u8, "key").to_string(), "1 key");
    }
}
