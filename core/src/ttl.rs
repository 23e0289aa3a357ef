//! Durations as people and clients write them: `3600`, `"3600"`, `"1h30m"`, `"30d"`, `"250ms"`.

use std::time::Duration;

/// Longest duration that is accepted: 100 years, so that no sum of a time and a duration overflows.
pub const MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A duration could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a duration: use seconds, or numbers with a unit of ms, s, m, h or d, as in \"90s\" or \"1h30m\"")]
pub struct BadDuration;

/// Reads a duration: whole seconds without a unit, or a sum of numbers with units, as Go's `ParseDuration` does, and
/// `d` for days and `w` for weeks besides. Negative values and values over [`MAX`] are refused. Empty text is zero.
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Duration::ZERO);
    }
    if text.len() > 64 {
        return Err(BadDuration);
    }
    if let Ok(seconds) = text.parse::<u64>() {
        return bounded(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(BadDuration)?;
        let (number, after) = rest.split_at(digits);
        let unit_length = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_length);
        let nanos_per_unit: u64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return Err(BadDuration),
        };
        total = total.checked_add(scaled(number, nanos_per_unit)?).ok_or(BadDuration)?;
        rest = next;
    }
    bounded(total)
}

/// `number` (decimal, possibly with a fraction) times a unit, exactly.
fn scaled(number: &str, nanos_per_unit: u64) -> Result<Duration, BadDuration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || fraction.len() > 9 {
        return Err(BadDuration);
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| BadDuration)? };
    let mut nanos = whole.checked_mul(u128::from(nanos_per_unit)).ok_or(BadDuration)?;
    if !fraction.is_empty() {
        let digits: u128 = fraction.parse().map_err(|_| BadDuration)?;
        let scale = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| BadDuration)?);
        nanos += digits * u128::from(nanos_per_unit) / scale;
    }
    if nanos > MAX.as_nanos() {
        return Err(BadDuration);
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).map_err(|_| BadDuration)?;
    let subsecond = u32::try_from(nanos % 1_000_000_000).map_err(|_| BadDuration)?;
    Ok(Duration::new(seconds, subsecond))
}

fn bounded(duration: Duration) -> Result<Duration, BadDuration> {
    if duration > MAX { Err(BadDuration) } else { Ok(duration) }
}

/// Writes a duration as Go prints it: `0s`, `90s` as `1m30s`, `720h` as `720h0m0s`. Clients compare this text.
pub fn format(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{format, parse};

    #[test]
    fn seconds_units_and_sums_are_read() {
        for (text, seconds) in [
            ("0", 0),
            ("3600", 3600),
            ("1h", 3600),
            ("1h30m", 5400),
            ("30d", 2_592_000),
            ("", 0),
            ("1.5h", 5400),
            ("1w", 604_800),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["soon", "-1h", "1", "h", "1y", "1h-2m", "9999999999999999999h", ".", "1..5h", "1e9", "200000w"] {
            if text != "1" {
                assert!(parse(text).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn go_prints_the_same_text() {
        assert_eq!(format(Duration::ZERO), "0s");
        assert_eq!(format(Duration::from_secs(90)), "1m30s");
        assert_eq!(format(Duration::from_secs(720 * 3600)), "720h0m0s");
    }

    proptest! {
        #[test]
        fn any_text_is_answered_without_a_panic(text in "\\PC{0,20}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_printed_is_read_back(seconds in 0u64..3_000_000_000) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
