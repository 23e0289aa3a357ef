//! When something is due: cron syntax in a time zone, or a fixed period; with window, blackouts and jitter.
//!
//! The only user of the crate `cron`, whose syntax and calendar differ from what people write in a crontab. So texts
//! are read here (`schedule/fields.rs`), and the crate only enumerates wall-clock times, as if every day had 24 hours. Those
//! are then placed in the zone: a time that a change of the clocks skips is due at the first moment after the gap, one
//! that occurs twice is due the first time only.

mod fields;

#[cfg(test)]
mod laws;

use std::time::Duration;

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

/// Longest cron text in bytes.
pub const MAX_TEXT_BYTES: usize = 256;

/// Shortest fixed period: what is rotated more often is a misprint.
pub const MIN_PERIOD: Duration = Duration::from_secs(1);

/// Most blackouts of one schedule.
pub const MAX_BLACKOUTS: usize = 256;

/// Steps after which a search gives up; never reached by a schedule with a time that exists.
const MAX_STEPS: usize = 100_000;

/// Why a schedule was refused. The texts never repeat the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Neither five nor six fields, nor a known `@` word.
    #[error(
        "not a cron expression: write five fields (minute hour day month weekday), six with seconds first, or @daily \
         and its like"
    )]
    Syntax,
    /// One field.
    #[error("the field {field} of a cron expression must be {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What may stand there.
        expected: &'static str,
    },
    /// No such day exists, as in 30 February.
    #[error("the cron expression names no date that exists")]
    Never,
    /// Not in the IANA database.
    #[error("unknown time zone: write an IANA name, as in Europe/Berlin")]
    Zone,
    /// A period of less than [`MIN_PERIOD`] or more than [`crate::ttl::MAX`].
    #[error("a period must be at least one second and at most 100 years")]
    Period,
    /// A blackout that does not end after it begins, or too many.
    #[error("a blackout needs two dates (2026-12-24) or times (2026-12-24T18:00), the later one last; at most 256")]
    Blackout,
}

/// A standing order in time.
#[derive(Debug, Clone)]
pub struct Schedule {
    beat: Beat,
    zone: Tz,
    window: Option<TimeDelta>,
    /// Sorted, without overlap: start and end, the end not part of it.
    blackouts: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    offset: TimeDelta,
}

/// The times before window, blackouts and jitter.
#[derive(Debug, Clone)]
enum Beat {
    /// Wall-clock times; two sets when day of month and day of week are both given: either is enough.
    Cron(Vec<cron::Schedule>),
    Every {
        seconds: i64,
        anchor: DateTime<Utc>,
    },
}

impl Schedule {
    /// Reads a cron expression for a time zone.
    ///
    /// `expression`: five fields as in a crontab, or six with seconds first; names of months and days; `@yearly`,
    /// `@annually`, `@monthly`, `@weekly`, `@daily`, `@midnight`, `@hourly`. Sunday is 0 and 7. When day of month and day
    /// of week are both restricted, either is enough (POSIX crontab). `zone`: an IANA name; empty is UTC.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        let zone = parse_zone(zone)?;
        let expressions = fields::translate(expression)?;
        let sets: Result<Vec<cron::Schedule>, _> = expressions.iter().map(|text| text.parse()).collect();
        let sets = sets.map_err(|_| ScheduleError::Syntax)?;
        let schedule = Self::of(Beat::Cron(sets), zone);
        // 28 years hold every combination of date and weekday, 29 February included.
        match schedule.next_after(fields::some_time()) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never),
        }
    }

    /// Every `period`, in whole seconds, after `anchor` (the last run, say), the anchor itself excluded.
    pub fn every(period: Duration, anchor: DateTime<Utc>) -> Result<Self, ScheduleError> {
        if !(MIN_PERIOD..=crate::ttl::MAX).contains(&period) || !(1970..2200).contains(&anchor.year()) {
            return Err(ScheduleError::Period);
        }
        let seconds = i64::try_from(period.as_secs()).map_err(|_| ScheduleError::Period)?;
        Ok(Self::of(Beat::Every { seconds, anchor }, Tz::UTC))
    }

    fn of(beat: Beat, zone: Tz) -> Self {
        Self { beat, zone, window: None, blackouts: Vec::new(), offset: TimeDelta::zero() }
    }

    /// A run may start at most `window` after it is due; what is missed longer is left to the next time.
    pub fn with_window(mut self, window: Duration) -> Result<Self, ScheduleError> {
        let window = TimeDelta::from_std(window.min(crate::ttl::MAX)).map_err(|_| ScheduleError::Period)?;
        self.window = Some(window);
        self.offset = self.offset.min(window);
        Ok(self)
    }

    /// Nothing starts between the two dates or times of each pair, read in the schedule's zone; a last date is
    /// included. What falls into a blackout is due at its end, unless the window has closed by then.
    pub fn with_blackouts(mut self, pairs: &[(&str, &str)]) -> Result<Self, ScheduleError> {
        if pairs.len() > MAX_BLACKOUTS {
            return Err(ScheduleError::Blackout);
        }
        let mut ranges = Vec::new();
        for (from, to) in pairs {
            let (start, _) = moment(from).ok_or(ScheduleError::Blackout)?;
            let (end, is_date) = moment(to).ok_or(ScheduleError::Blackout)?;
            let end = if is_date { end.checked_add_signed(TimeDelta::days(1)) } else { Some(end) };
            let placed = |naive| place(naive, self.zone);
            let (start, end) = placed(start).zip(end.and_then(placed)).ok_or(ScheduleError::Blackout)?;
            if end <= start {
                return Err(ScheduleError::Blackout);
            }
            ranges.push((start, end));
        }
        ranges.sort_unstable();
        let mut merged: Vec<(DateTime<Utc>, DateTime<Utc>)> = Vec::new();
        for (start, end) in ranges {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        self.blackouts = merged;
        Ok(self)
    }

    /// Moves every time by the same amount below `bound`, chosen by `seed`, so that a thousand rotations on one
    /// schedule do not start at once. Never moves out of the window.
    pub fn with_jitter(mut self, bound: Duration, seed: u64) -> Self {
        let bound = self.window.and_then(|window| window.to_std().ok()).map_or(bound, |window| bound.min(window));
        let bound = bound.min(crate::ttl::MAX).as_secs();
        // Seeds are often small or alike: spread them over the whole range first (Fibonacci hashing).
        let spread = (u128::from(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) * u128::from(bound)) >> 64;
        self.offset = TimeDelta::seconds(i64::try_from(spread).unwrap_or(0));
        self
    }

    /// The first time after `now` at which a run is due; `None` when there is none before the year 2100.
    pub fn next_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if now.year() < 1970 {
            return self.next_after(DateTime::UNIX_EPOCH);
        }
        if now.year() > 2100 {
            return None;
        }
        // What fell into the blackout that holds at `now` is due at its end.
        let from = self.blackout_at(now).map_or(now, |(start, _)| start - TimeDelta::nanoseconds(1));
        let mut cursor = from.checked_sub_signed(self.offset)?;
        for _ in 0..MAX_STEPS {
            let beat = self.beat_after(cursor)?;
            let start = beat.checked_add_signed(self.offset)?;
            let Some((_, end)) = self.blackout_at(start) else {
                if start > now {
                    return Some(start);
                }
                cursor = beat;
                continue;
            };
            match self.window.and_then(|window| end.checked_sub_signed(window)) {
                // Too early to be still in its window at the end: so is every other beat up to there.
                Some(earliest) if beat < earliest => cursor = beat.max(earliest - TimeDelta::nanoseconds(1)),
                _ if end > now => return Some(end),
                _ => cursor = beat,
            }
        }
        None
    }

    /// The latest time in (`since`, `now`] at which a run was due and may still start: after downtime, one run catches
    /// up for all that were missed. `None` during a blackout and when the window has closed.
    pub fn last_due(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.blackout_at(now).is_some() {
            return None;
        }
        let since = match self.window.and_then(|window| now.checked_sub_signed(window)) {
            Some(earliest) => since.max(earliest - TimeDelta::nanoseconds(1)),
            None => since,
        };
        let is_due = |after: DateTime<Utc>| self.next_after(after).filter(|due| *due <= now);
        let mut latest = is_due(since)?;
        // `next_after` never decreases, so halving finds the last one.
        let mut too_late = now;
        while too_late - latest > TimeDelta::nanoseconds(1) {
            let middle = latest + (too_late - latest) / 2;
            match is_due(middle) {
                Some(due) => latest = due,
                None => too_late = middle,
            }
        }
        Some(latest)
    }

    fn blackout_at(&self, time: DateTime<Utc>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let after = self.blackouts.partition_point(|(start, _)| *start <= time);
        self.blackouts.get(after.checked_sub(1)?).copied().filter(|(_, end)| time < *end)
    }

    /// The first beat after `now`.
    fn beat_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.beat {
            Beat::Every { seconds, anchor } => {
                let passed = (now - anchor).num_seconds().max(0) / seconds;
                anchor.checked_add_signed(TimeDelta::try_seconds(seconds.checked_mul(passed + 1)?)?)
            }
            Beat::Cron(sets) => {
                let local = now.with_timezone(&self.zone).naive_local();
                sets.iter()
                    .filter_map(|set| {
                        // In the second pass of a doubled hour, times are passed over that were due in the first.
                        set.after(&local.and_utc())
                            .take(MAX_STEPS)
                            .filter_map(|wall| place(wall.naive_utc(), self.zone))
                            .find(|placed| *placed > now)
                    })
                    .min()
            }
        }
    }
}

/// Reads a zone's IANA name; empty is UTC.
fn parse_zone(name: &str) -> Result<Tz, ScheduleError> {
    if name.is_empty() { Ok(Tz::UTC) } else { name.parse().map_err(|_| ScheduleError::Zone) }
}

/// The moment at which clocks in a zone first show a time; for a skipped one, the end of the gap.
fn place(wall: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(time) => Some(time.to_utc()),
        LocalResult::Ambiguous(one, two) => Some(one.min(two).to_utc()),
        LocalResult::None => {
            let minute = wall.with_second(0)?.with_nanosecond(0)?;
            // The longest gap in the database is a day that Samoa left out.
            (1..=26 * 60)
                .filter_map(|later| zone.from_local_datetime(&(minute + TimeDelta::minutes(later))).earliest())
                .next()
                .map(|time| time.to_utc())
        }
    }
}

/// A date or a time as written for a blackout, and whether it was a date.
fn moment(text: &str) -> Option<(NaiveDateTime, bool)> {
    let (naive, is_date) = match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(date) => (date.and_hms_opt(0, 0, 0)?, true),
        Err(_) => (NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").ok()?, false),
    };
    (1970..=2100).contains(&naive.year()).then_some((naive, is_date))
}
