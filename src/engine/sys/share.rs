//! Shares of the unseal key as they are submitted: what can be one, and how fast they are taken.

use std::time::Duration;

use chrono::{DateTime, Utc};
use turnlock_core::Protected;

use crate::barrier::seal::{SHARE_BYTES, decode_share};
use crate::error::Error;
use crate::request::Fields;

/// Shares that are taken within one second, from all clients together.
const SUBMISSIONS_PER_SECOND: u32 = 20;

/// The share that is submitted. What cannot be one is refused at once: behind the last share, all would have to be
/// submitted again.
pub(super) fn share_of(fields: &Fields) -> Result<Protected, Error> {
    let text = fields.protected("key")?.ok_or_else(|| Error::missing("key"))?;
    let share = text.expose_str().and_then(decode_share).ok_or_else(|| Error::invalid("key must be hex or base64"))?;
    if share.expose().len() != SHARE_BYTES {
        return Err(Error::invalid(format!("key must be a share of {SHARE_BYTES} bytes; this one has another length")));
    }
    Ok(share)
}

/// How fast shares are taken for one purpose. Each has its own, so that whoever needs no token holds up nobody who has one.
#[derive(Debug, Default)]
pub struct SharePace {
    second: i64,
    submissions: u32,
}

impl SharePace {
    /// Takes one place in the second of `now`, or says when there is another.
    pub(super) fn admit(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        let second = now.timestamp();
        if self.second != second {
            *self = Self { second, submissions: 0 };
        }
        self.submissions = self.submissions.saturating_add(1);
        if self.submissions > SUBMISSIONS_PER_SECOND {
            return Err(Error::Busy(Duration::from_secs(1)));
        }
        Ok(())
    }
}
