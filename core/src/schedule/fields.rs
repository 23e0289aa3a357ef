//! Reads the fields of a crontab and writes them for the crate `cron`, which counts weekdays from 1, wants seconds and
//! has no rule of its own for day of month and day of week together.

use chrono::{DateTime, TimeDelta, Utc};

use super::{MAX_TEXT_BYTES, ScheduleError};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// One field: its name, bounds, names of values and what to say when it is wrong.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    words: &'static [&'static str],
    expected: &'static str,
}

const SECOND: Field =
    Field { name: "second", least: 0, most: 59, words: &[], expected: "numbers 0 to 59, ranges, lists, steps or *" };
const MINUTE: Field =
    Field { name: "minute", least: 0, most: 59, words: &[], expected: "numbers 0 to 59, ranges, lists, steps or *" };
const HOUR: Field =
    Field { name: "hour", least: 0, most: 23, words: &[], expected: "numbers 0 to 23, ranges, lists, steps or *" };
const DAY: Field = Field {
    name: "day of month",
    least: 1,
    most: 31,
    words: &[],
    expected: "numbers 1 to 31, ranges, lists, steps or * (L and W are not supported)",
};
const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    words: &MONTHS,
    expected: "numbers 1 to 12 or jan to dec, ranges, lists, steps or *",
};
const WEEKDAY: Field = Field {
    name: "day of week",
    least: 0,
    most: 7,
    words: &WEEKDAYS,
    expected: "numbers 0 to 7 (0 and 7 are Sunday) or sun to sat, ranges, lists, steps or * (L and # are not supported)",
};

/// Where the search for a first date starts when an expression is checked.
pub(super) fn some_time() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(365 * 30)
}

/// The expression in the crate's words; two when either of two days is enough.
pub(super) fn translate(expression: &str) -> Result<Vec<String>, ScheduleError> {
    if expression.len() > MAX_TEXT_BYTES {
        return Err(ScheduleError::Syntax);
    }
    let lower = expression.trim().to_ascii_lowercase();
    let text = match lower.as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        text => text,
    };
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    let (second, minute, hour, day, month, weekday) = match words.as_slice() {
        [minute, hour, day, month, weekday] => ("0", *minute, *hour, *day, *month, *weekday),
        [second, minute, hour, day, month, weekday] => (*second, *minute, *hour, *day, *month, *weekday),
        _ => return Err(ScheduleError::Syntax),
    };
    let clock = format!("{} {} {}", SECOND.list(second)?, MINUTE.list(minute)?, HOUR.list(hour)?);
    let (days, months, weekdays) = (DAY.list(day)?, MONTH.list(month)?, WEEKDAY.list(weekday)?);
    let restricted = |field: &str| !field.starts_with(['*', '?']);
    Ok(if restricted(day) && restricted(weekday) {
        vec![format!("{clock} {days} {months} *"), format!("{clock} * {months} {weekdays}")]
    } else {
        vec![format!("{clock} {days} {months} {weekdays}")]
    })
}

impl Field {
    /// The field as a plain list of the crate's numbers.
    fn list(&self, text: &str) -> Result<String, ScheduleError> {
        let wrong = ScheduleError::Field { field: self.name, expected: self.expected };
        let values = text.split(',').try_fold(0u64, |set, part| Some(set | self.part(part)?)).ok_or(wrong)?;
        let is_weekday = self.most == 7;
        // Sunday has two numbers here and is 1 there.
        let values = if is_weekday { (values | values >> 7 & 1) & 0x7f } else { values };
        let shift = u32::from(is_weekday);
        let numbers: Vec<_> =
            (0..64).filter(|value| values >> value & 1 == 1).map(|value| (value + shift).to_string()).collect();
        Ok(numbers.join(","))
    }

    /// One element of the list as a set of bits.
    fn part(&self, text: &str) -> Option<u64> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|step| (1..=60).contains(step))?)),
            None => (text, None),
        };
        let all = matches!(range, "*" | "?");
        let (first, last) = match range.split_once('-') {
            _ if all => (self.least, self.most),
            Some((first, last)) => {
                let (first, last) = (self.value(first)?, self.value(last)?);
                // "fri-sun" means the Sunday behind Friday.
                (first, if self.most == 7 && last == 0 && first > 0 { 7 } else { last })
            }
            None => {
                let first = self.value(range)?;
                (first, if step.is_some() { self.most } else { first })
            }
        };
        // Every second day of the week ends on Saturday: Sunday was counted as 0.
        let last =
            if self.most == 7 && step.is_some() && last == 7 && !range.contains('-') { 6.max(first) } else { last };
        if first > last {
            return None;
        }
        Some((first..=last).step_by(usize::try_from(step.unwrap_or(1)).ok()?).fold(0, |set, value| set | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self.words.iter().zip(self.least..).find(|(word, _)| **word == text).map(|(_, value)| value);
        named.or_else(|| number(text)).filter(|value| (self.least..=self.most).contains(value))
    }
}

fn number(text: &str) -> Option<u32> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}
