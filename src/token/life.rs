//! How long a token lives: pure arithmetic over what request, role, mount and server say.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// The server's own lifetimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// When nobody asks for another; 768 hours unless configured.
    pub default: Duration,
    /// What no token exceeds unless its mount allows more; 768 hours unless configured.
    pub max: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let month = Duration::from_secs(768 * 3600);
        Self { default: month, max: month }
    }
}

/// What bounds one token's life. Seconds; 0 where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The role's or the mount's default.
    pub default: u64,
    /// The mount's, else the server's maximum; never 0.
    pub max: u64,
    /// The role's maximum.
    pub role_max: u64,
    /// The token's own maximum, which holds for periodic tokens too.
    pub explicit_max: u64,
    /// Length of a renewal of a periodic token, which has no other maximum.
    pub period: u64,
}

/// A grant of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Seconds from now.
    pub seconds: u64,
    /// Whether less was granted than was asked.
    pub capped: bool,
}

impl Bounds {
    /// Seconds that a token that was made at `created` is given at `now`, when `asked` were asked for (0 for the
    /// default). `None` when its maximum has been reached. The end never lies behind `created` plus a maximum.
    pub fn grant(&self, created: DateTime<Utc>, now: DateTime<Utc>, asked: u64) -> Option<Grant> {
        let wanted = match (self.period, asked) {
            (0, 0) => self.default,
            (0, asked) => asked,
            (period, _) => period,
        };
        let smallest = |limits: [u64; 3]| limits.into_iter().filter(|limit| *limit > 0).min();
        let of_one = smallest([self.max, 0, 0]).unwrap_or(u64::MAX);
        let since_creation = if self.period > 0 {
            smallest([self.explicit_max, 0, 0])
        } else {
            smallest([self.max, self.role_max, self.explicit_max])
        };
        // A clock that reads earlier than the creation counts as no time gone by.
        let age = seconds_between(created, now);
        let left = since_creation.map_or(u64::MAX, |limit| limit.saturating_sub(age));
        let seconds = wanted.min(of_one).min(left);
        (seconds > 0).then_some(Grant { seconds, capped: seconds < wanted })
    }
}

/// Whole seconds from `start` to `end`, rounded up; 0 when `end` is earlier.
pub fn seconds_between(start: DateTime<Utc>, end: DateTime<Utc>) -> u64 {
    let milliseconds = u64::try_from((end - start).num_milliseconds()).unwrap_or(0);
    milliseconds.div_ceil(1000)
}

/// `time` plus `seconds`, which are bounded by a hundred years on their way in.
pub fn after(time: DateTime<Utc>, seconds: u64) -> DateTime<Utc> {
    let longest = turnlock_core::ttl::MAX.as_secs();
    let delta = TimeDelta::try_seconds(i64::try_from(seconds.min(longest)).unwrap_or(0)).unwrap_or_default();
    time.checked_add_signed(delta).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Bounds, Grant, after, seconds_between};

    fn at(seconds: i64) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap_or_default()
    }

    #[test]
    fn request_comes_before_default_and_maximum_before_both() {
        let bounds = Bounds { default: 100, max: 1000, ..Bounds::default() };
        assert_eq!(bounds.grant(at(0), at(0), 0), Some(Grant { seconds: 100, capped: false }));
        assert_eq!(bounds.grant(at(0), at(0), 300), Some(Grant { seconds: 300, capped: false }));
        assert_eq!(bounds.grant(at(0), at(0), 3000), Some(Grant { seconds: 1000, capped: true }));
        assert_eq!(bounds.grant(at(0), at(900), 300), Some(Grant { seconds: 100, capped: true }));
        assert_eq!(bounds.grant(at(0), at(1000), 300), None);
    }

    #[test]
    fn a_periodic_token_lives_on_until_its_explicit_maximum() {
        let bounds = Bounds { default: 100, max: 1000, period: 50, ..Bounds::default() };
        assert_eq!(bounds.grant(at(0), at(5000), 900), Some(Grant { seconds: 50, capped: false }));
        let bounds = Bounds { explicit_max: 60, ..bounds };
        assert_eq!(bounds.grant(at(0), at(40), 0), Some(Grant { seconds: 20, capped: true }));
        assert_eq!(bounds.grant(at(0), at(60), 0), None);
    }

    proptest! {
        #[test]
        fn no_chain_of_renewals_outlives_the_maximum(
            max in 1u64..10_000, role_max in 0u64..10_000, explicit_max in 0u64..10_000, period in 0u64..500,
            steps in proptest::collection::vec((-500i64..500, 0u64..20_000), 1..40),
        ) {
            let bounds = Bounds { default: 100, max, role_max, explicit_max, period };
            let (created, mut clock, mut latest) = (at(0), 0i64, 0i64);
            let mut end = after(created, bounds.grant(created, created, 0).map_or(0, |grant| grant.seconds));
            for (step, asked) in steps {
                clock += step;
                latest = latest.max(clock);
                if at(latest) >= end { break }
                let Some(grant) = bounds.grant(created, at(latest), asked) else { break };
                end = after(at(latest), grant.seconds);
                prop_assert!(grant.seconds > 0 && grant.seconds <= max);
                let limits = [if period > 0 { 0 } else { max }, if period > 0 { 0 } else { role_max }, explicit_max];
                for limit in limits.into_iter().filter(|limit| *limit > 0) {
                    prop_assert!(seconds_between(created, end) <= limit);
                }
            }
        }
    }
}
