//! Locks names after wrong passwords, known and unknown names alike, in bounded memory.
//!
//! Kept in memory: a restart forgets counts, which helps an attacker no more than waiting does.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

/// Names that are counted at once. Each failure costs a slow hash, so that filling this takes longer than a lock lasts.
const NAMES: usize = 16_384;

/// When a name is locked, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Failures in a row.
    pub threshold: u32,
    /// How long a lock lasts.
    pub duration: Duration,
    /// Without a failure for this long the count starts anew.
    pub reset: Duration,
}

impl Default for Rule {
    fn default() -> Self {
        let quarter = Duration::from_secs(900);
        Self { threshold: 5, duration: quarter, reset: quarter }
    }
}

/// Whether an attempt may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Yes; tell the outcome with [`Lockout::finish`].
    Go,
    /// As many attempts run already as may fail. Not a lock: try again in a moment.
    Wait,
    /// The name is locked.
    Locked,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The right password.
    Success,
    /// A wrong one.
    Failure,
    /// None was tried.
    NotTried,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    failures: u32,
    running: u32,
    last: DateTime<Utc>,
}

/// Failures by mount and name.
#[derive(Debug, Default)]
pub struct Lockout {
    rule: Rule,
    // Held for one look or change, never across a wait.
    counts: Mutex<HashMap<(String, String), Count>>,
}

impl Lockout {
    /// Counts by `rule`.
    pub fn new(rule: Rule) -> Self {
        Self { rule, counts: Mutex::default() }
    }

    /// Asks for an attempt. `name` is in the same form that the login uses to find the user.
    pub fn begin(&self, mount: &str, name: &str, now: DateTime<Utc>) -> Admission {
        let mut counts = self.counts.lock();
        if counts.len() >= NAMES {
            self.make_room(&mut counts, now);
        }
        let count = counts.entry((mount.to_owned(), name.to_owned())).or_default();
        if self.is_over(count, now) {
            count.failures = 0;
        }
        if count.failures >= self.rule.threshold {
            return Admission::Locked;
        }
        // Attempts at the same time must not try more passwords than one after the other.
        if count.failures + count.running >= self.rule.threshold {
            return Admission::Wait;
        }
        count.running += 1;
        Admission::Go
    }

    /// Tells the outcome of an attempt that was let go.
    pub fn finish(&self, mount: &str, name: &str, outcome: Outcome, now: DateTime<Utc>) {
        let mut counts = self.counts.lock();
        let key = (mount.to_owned(), name.to_owned());
        let count = counts.entry(key.clone()).or_default();
        count.running = count.running.saturating_sub(1);
        match outcome {
            Outcome::Success => count.failures = 0,
            Outcome::Failure => {
                count.failures = count.failures.saturating_add(1);
                count.last = now;
            }
            Outcome::NotTried => {}
        }
        if count.failures == 0 && count.running == 0 {
            counts.remove(&key);
        }
    }

    /// Forgets a name, as when its password was changed by an operator.
    pub fn unlock(&self, mount: &str, name: &str) {
        if let Some(count) = self.counts.lock().get_mut(&(mount.to_owned(), name.to_owned())) {
            count.failures = 0;
        }
    }

    fn is_over(&self, count: &Count, now: DateTime<Utc>) -> bool {
        let limit = if count.failures >= self.rule.threshold { self.rule.duration } else { self.rule.reset };
        now - count.last >= TimeDelta::from_std(limit).unwrap_or(TimeDelta::MAX)
    }

    /// Drops what has no meaning any more, else the names with the oldest failures.
    fn make_room(&self, counts: &mut HashMap<(String, String), Count>, now: DateTime<Utc>) {
        counts.retain(|_, count| count.running > 0 || !self.is_over(count, now));
        if counts.len() >= NAMES {
            let mut times: Vec<_> = counts.values().map(|count| count.last).collect();
            times.sort_unstable();
            let oldest = times.get(NAMES / 8).copied().unwrap_or(now);
            counts.retain(|_, count| count.running > 0 || count.last > oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::{Admission, Lockout, NAMES, Outcome};

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default()
    }

    fn fail(lockout: &Lockout, name: &str, now: DateTime<Utc>) {
        assert_eq!(lockout.begin("m", name, now), Admission::Go);
        lockout.finish("m", name, Outcome::Failure, now);
    }

    #[test]
    fn five_failures_lock_for_a_quarter_of_an_hour() {
        let (lockout, now) = (Lockout::default(), start());
        (0..5).for_each(|_| fail(&lockout, "alice", now));
        assert_eq!(lockout.begin("m", "alice", now), Admission::Locked);
        assert_eq!(lockout.begin("m", "bob", now), Admission::Go);
        assert_eq!(lockout.begin("other", "alice", now), Admission::Go);
        assert_eq!(lockout.begin("m", "alice", now + TimeDelta::seconds(899)), Admission::Locked);
        assert_eq!(lockout.begin("m", "alice", now + TimeDelta::seconds(900)), Admission::Go);
    }

    #[test]
    fn a_success_and_a_quiet_time_start_the_count_anew() {
        let (lockout, now) = (Lockout::default(), start());
        (0..4).for_each(|_| fail(&lockout, "alice", now));
        assert_eq!(lockout.begin("m", "alice", now), Admission::Go);
        lockout.finish("m", "alice", Outcome::Success, now);
        (0..4).for_each(|_| fail(&lockout, "alice", now));
        let later = now + TimeDelta::seconds(901);
        (0..4).for_each(|_| fail(&lockout, "alice", later));
        assert_eq!(lockout.begin("m", "alice", later), Admission::Go);
    }

    #[test]
    fn attempts_at_the_same_time_are_no_more_than_one_after_the_other() {
        let (lockout, now) = (Lockout::default(), start());
        (0..5).for_each(|_| assert_eq!(lockout.begin("m", "alice", now), Admission::Go));
        assert_eq!(lockout.begin("m", "alice", now), Admission::Wait);
        lockout.finish("m", "alice", Outcome::NotTried, now);
        assert_eq!(lockout.begin("m", "alice", now), Admission::Go);
        (0..5).for_each(|_| lockout.finish("m", "alice", Outcome::Failure, now));
        assert_eq!(lockout.begin("m", "alice", now), Admission::Locked);
    }

    #[test]
    fn any_number_of_names_takes_bounded_memory_and_recent_locks_stay() {
        let (lockout, now) = (Lockout::default(), start());
        let later = now + TimeDelta::seconds(1);
        (0..3 * NAMES).for_each(|index| fail(&lockout, &format!("user-{index}"), now));
        (0..5).for_each(|_| fail(&lockout, "alice", later));
        (0..NAMES).for_each(|index| fail(&lockout, &format!("late-{index}"), now));
        assert!(lockout.counts.lock().len() <= NAMES);
        assert_eq!(lockout.begin("m", "alice", later), Admission::Locked);
    }
}
