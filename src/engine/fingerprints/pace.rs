//! How many fingerprints somebody may ask about: a scan needs many, who guesses passwords needs more.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::engine::Call;
use crate::error::Error;

/// Fingerprints that may be asked about at once, and that come back within an hour. Since one string in 64 or fewer has
/// to be asked about, a scan of sixteen million different strings gets through.
const BUDGET: u32 = 1 << 18;

/// Who is counted at once. Whoever asked nothing for an hour is forgotten.
const ASKERS: usize = 4096;

const HOUR: Duration = Duration::from_secs(3600);

/// Who has asked how much, and the one place for a walk over the store.
#[derive(Debug)]
pub struct Pace {
    // Held for one look or change, never across a wait.
    spent: Mutex<HashMap<String, Spent>>,
    walks: Semaphore,
}

#[derive(Debug, Clone, Copy)]
struct Spent {
    fingerprints: f64,
    at: DateTime<Utc>,
}

impl Spent {
    /// What is still spent at `now`. A clock that steps back gives nothing.
    fn left_at(self, now: DateTime<Utc>) -> f64 {
        let passed = now.signed_duration_since(self.at).to_std().unwrap_or_default();
        (self.fingerprints - f64::from(BUDGET) * passed.as_secs_f64() / HOUR.as_secs_f64()).max(0.0)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { spent: Mutex::default(), walks: Semaphore::new(1) }
    }
}

impl Pace {
    /// Lets `who` ask about `count` fingerprints, or answers how long to wait.
    pub fn take(&self, who: &str, count: usize, now: DateTime<Utc>) -> Result<(), Duration> {
        let mut askers = self.spent.lock();
        if askers.len() >= ASKERS && !askers.contains_key(who) {
            askers.retain(|_, spent| spent.left_at(now) > 0.0);
            if askers.len() >= ASKERS {
                return Err(HOUR);
            }
        }
        let before = askers.get(who).map_or(0.0, |spent| spent.left_at(now));
        let after = before + f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let over = after - f64::from(BUDGET);
        if over > 0.0 {
            return Err(Duration::from_secs_f64((over / f64::from(BUDGET) * HOUR.as_secs_f64()).ceil()));
        }
        let at = askers.get(who).map_or(now, |spent| spent.at.max(now));
        askers.insert(who.to_owned(), Spent { fingerprints: after, at });
        Ok(())
    }

    /// Waits for the place; it is free again when the answer is dropped.
    pub(super) async fn walk(&self) -> Option<SemaphorePermit<'_>> {
        self.walks.acquire().await.ok()
    }
}

/// Who asks: the token, or of a line of tokens the first below root, so that making tokens makes no budget (root can read
/// everything and has no need to guess); of one that came from a login the role or user, so that logging in again makes
/// none either.
pub(super) async fn asker(call: &Call) -> Result<String, Error> {
    let first = call.parts.tokens.first_of_line(call.caller()?).await?;
    Ok(match &first.entry.role {
        Some(role) if first.entry.path.starts_with("auth/") && !first.entry.path.starts_with("auth/token/") => {
            format!("{}/{role}", first.entry.mount_uuid)
        }
        _ => first.hash.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap_or_default()
    }

    #[test]
    fn a_budget_is_spent_and_comes_back_within_the_hour() {
        let pace = Pace::default();
        let all = BUDGET as usize;
        assert_eq!(pace.take("a", all, at(0)), Ok(()));
        assert_eq!(pace.take("a", all / 2, at(0)), Err(HOUR / 2));
        assert_eq!(pace.take("b", all, at(0)), Ok(()), "each has one of its own");
        assert_eq!(pace.take("a", all / 2, at(1800)), Ok(()));
        assert!(pace.take("a", 1, at(1800)).is_err());
        assert!(pace.take("a", 1, at(0)).is_err(), "a clock that steps back gives nothing");
        assert!(pace.take("a", all + 1, at(90_000)).is_err(), "nor does waiting give more than one budget");
    }

    #[test]
    fn who_is_counted_is_bounded_and_nobody_gets_out_of_it() {
        let pace = Pace::default();
        for number in 0..ASKERS {
            assert_eq!(pace.take(&number.to_string(), BUDGET as usize, at(0)), Ok(()));
        }
        assert_eq!(pace.take("one more", 1, at(1)), Err(HOUR));
        assert_eq!(pace.take("one more", 1, at(3601)), Ok(()));
    }
}
