//! Rotations: the standing order to change one secret, and the steps that it takes. One run of it is an
//! [`Attempt`].

mod attempt;
mod obstacle;

use serde::{Deserialize, Serialize};

pub use attempt::{Attempt, CLAIM, Claim, Failure, Outcome, Refused, State, StepRecord, TRIES_UNTOLD};
pub use obstacle::{Obstacle, Reason};

use crate::consumer::Target;

/// A standing order: how and when one secret is changed, and who must get it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Path of the mount, as in `secret`.
    pub mount: String,
    /// Path of the secret below the mount, as in `app/api-key`.
    pub path: String,
    /// Member of the secret's data that changes; the others are copied.
    pub field: String,
    /// Code for this kind of credential.
    pub rotator: Rotator,
    /// When it runs by itself; `None` only by hand.
    pub schedule: Option<Timing>,
    /// Who is pushed to.
    pub targets: Vec<Target>,
    /// Seconds that the replaced value stays valid while consumers move.
    pub grace_seconds: u64,
    /// Which agents may work on it; empty for any.
    pub pool: String,
    /// Whether runs by schedule are held back.
    pub paused: bool,
}

/// Code for one kind of credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rotator {
    /// A random value that turnlock itself is the source of, as for an API key that consumers check.
    Generate {
        /// Characters, 16 to 512.
        length: usize,
        /// Put in front of the random part, so that the value can be recognised.
        #[serde(default)]
        prefix: String,
    },
}

/// When a rotation is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Cron expression, five fields or six with seconds first.
    pub cron: String,
    /// IANA time zone.
    pub zone: String,
}

/// One thing that is done in an attempt, in this order. Each can be repeated without harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Makes the new value and stores it as a version labelled `pending`.
    Create,
    /// Makes the target accept it.
    Set,
    /// Uses it once.
    Test,
    /// Moves `current` to it and `previous` to the one before, as one commit.
    Promote,
    /// Hands it to every target.
    Push,
    /// Waits until every consumer has moved.
    Settle,
    /// Ends the old value.
    Retire,
    /// Tries the old value and demands a refusal.
    Prove,
}

impl Step {
    /// The lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Set => "set",
            Self::Test => "test",
            Self::Promote => "promote",
            Self::Push => "push",
            Self::Settle => "settle",
            Self::Retire => "retire",
            Self::Prove => "prove",
        }
    }
}

impl Rotator {
    /// The steps that this kind of credential has.
    pub fn steps(&self) -> &'static [Step] {
        match self {
            Self::Generate { .. } => &[Step::Create, Step::Promote, Step::Push, Step::Settle],
        }
    }
}
