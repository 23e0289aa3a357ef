//! Attempts: what is stored of one run of a rotation, and the one function that decides what comes next.
//!
//! An attempt is a durable row. Whoever works on it claims it for a while under a fencing epoch, does one step, and
//! reports the outcome; [`Attempt::next`] turns row, outcome and time into the next row. A worker that comes back late carries an
//! old epoch and is refused, so that no step is done by two.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::obstacle::{Obstacle, Reason, note};
use super::{Rotator, Step};

/// How long a claim holds without a word of the worker. One that is at a step for longer says so in between, or another one takes
/// over.
pub const CLAIM: TimeDelta = TimeDelta::seconds(30);

/// First and longest pause between two tries of a step that failed for a reason that may pass.
const BACKOFF: (TimeDelta, TimeDelta) = (TimeDelta::seconds(1), TimeDelta::minutes(5));

/// Pause between two looks at consumers that have not acknowledged yet.
const SETTLE_POLL: TimeDelta = TimeDelta::seconds(1);

/// Tries of one step after which people are told: by then, some eight minutes later, the pauses are at their longest.
pub const TRIES_UNTOLD: u32 = 10;

/// Most step records kept in one attempt; the oldest go first.
const MAX_RECORDS: usize = 64;

/// One run of a rotation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Random id.
    pub id: String,
    /// Name of the rotation: mount and path of its secret.
    pub rotation: String,
    /// Where it stands.
    pub state: State,
    /// The step that is done next or was being done.
    pub step: Step,
    /// Steps of the whole run.
    pub steps: Vec<Step>,
    /// The version that was made, from [`Step::Create`] on.
    pub version: Option<u64>,
    /// The version that it replaced, from [`Step::Promote`] on.
    pub replaced: Option<u64>,
    /// Fencing number: grows with every claim.
    pub epoch: u64,
    /// Agent that holds the claim, and until when.
    pub claim: Option<Claim>,
    /// Not before this time.
    pub not_before: DateTime<Utc>,
    /// Failed tries of the current step in a row.
    pub tries: u32,
    /// Class of the last failure.
    pub failure: Option<Failure>,
    /// Targets that acknowledged the new version.
    pub acknowledged: Vec<String>,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it came to an end.
    pub finished: Option<DateTime<Utc>>,
    /// Who or what started it: `schedule`, or the display name of a token.
    pub cause: String,
    /// What happened, oldest first.
    pub records: Vec<StepRecord>,
    /// Which targets were in the way, and why; what was seen last comes last.
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
}

/// Who works on an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The agent's name.
    pub agent: String,
    /// The claim ends then, unless a report renews it.
    pub until: DateTime<Utc>,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Steps remain.
    Running,
    /// All steps are done.
    Succeeded,
    /// A step failed in a way that no other try mends; `resume` or `abort` decide.
    Failed,
    /// Given up by a person; the old value stays in force when nothing was promoted yet.
    Aborted,
}

/// One entry of an attempt's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which step.
    pub step: Step,
    /// When it was reported.
    pub at: DateTime<Utc>,
    /// How long it took, as the worker says.
    pub duration_ms: u64,
    /// What came of it.
    pub failure: Option<Failure>,
}

/// Why a step failed. A class, not a text: what a target answers is never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The target did not answer in time or not at all.
    Unreachable,
    /// The target answered that it will not.
    Refused,
    /// The target's answer made no sense.
    Malformed,
    /// Something on the worker's side, such as a file that cannot be written.
    Local,
    /// Trying again cannot help: the definition is wrong.
    Misconfigured,
}

impl Failure {
    /// The word that stands in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Local => "local",
            Self::Misconfigured => "misconfigured",
        }
    }
}

/// What a worker reports of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done, now or before.
    Done,
    /// Not yet; look again later.
    Waiting,
    /// It failed.
    Failed(Failure),
}

/// Why a report or a verb is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Somebody else has claimed the attempt since.
    #[error("the claim was taken over by another agent")]
    Fenced,
    /// The report is about a step that is not the current one.
    #[error("the attempt is at another step")]
    WrongStep,
    /// The attempt has ended.
    #[error("the attempt has ended")]
    Ended,
    /// Somebody works on it right now.
    #[error("the attempt is claimed or not due yet")]
    NotDue,
}

impl Attempt {
    /// A new run of `rotation` for the first time not before `now`.
    pub fn begin(id: String, name: String, rotator: &Rotator, cause: String, now: DateTime<Utc>) -> Self {
        let steps = rotator.steps().to_vec();
        Self {
            id,
            rotation: name,
            state: State::Running,
            step: steps.first().copied().unwrap_or(Step::Create),
            steps,
            version: None,
            replaced: None,
            epoch: 0,
            claim: None,
            not_before: now,
            tries: 0,
            failure: None,
            acknowledged: Vec::new(),
            started: now,
            finished: None,
            cause,
            records: Vec::new(),
            obstacles: Vec::new(),
        }
    }

    /// Whether a worker may take it now.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.due_at(now).is_some_and(|due| due <= now)
    }

    /// When a worker may take it, unless something else happens before; `None` when that is for a person to decide.
    pub fn due_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // What lies further ahead than it is ever put was written under a clock that went wrong, and binds nobody. Twice as far,
        // because a clock is also set back by a moment.
        let claimed = self.claim.as_ref().map(|claim| claim.until).filter(|until| *until <= now + CLAIM * 2);
        let paused = Some(self.not_before).filter(|until| *until <= now + BACKOFF.1 * 2);
        (self.state == State::Running).then(|| claimed.max(paused).unwrap_or(now))
    }

    /// Whether people should be told: it has come to nothing again and again, or does not go on by itself.
    pub fn is_stuck(&self) -> bool {
        match self.state {
            State::Running => self.tries >= TRIES_UNTOLD,
            State::Failed => true,
            State::Succeeded | State::Aborted => false,
        }
    }

    /// What was in the way at the last try of the step that it is at; empty once a try came further.
    pub fn in_the_way(&self) -> impl Iterator<Item = &Obstacle> {
        let last = self.obstacles.iter().map(|found| found.last).max();
        let is_open = matches!(self.state, State::Running | State::Failed) && self.failure.is_some();
        self.obstacles.iter().filter(move |found| is_open && found.step == self.step && Some(found.last) == last)
    }

    /// Whether it failed before it had changed anything: then the next run may begin in its place.
    pub fn failed_without_effect(&self) -> bool {
        self.state == State::Failed && self.version.is_none()
    }

    /// The row with what the current step found in its way.
    #[must_use]
    pub fn hindered_by(mut self, found: &[(String, Reason)], now: DateTime<Utc>) -> Self {
        note(&mut self.obstacles, self.step, found, now);
        self
    }

    /// The row after `agent` was found to work on it no more.
    #[must_use]
    pub fn let_go_by(self, agent: &str) -> Self {
        let claim = self.claim.filter(|claim| claim.agent != agent);
        Self { claim, ..self }
    }

    /// The row after its worker said that it is still at it.
    #[must_use]
    pub fn renewed(self, now: DateTime<Utc>) -> Self {
        let claim = self.claim.map(|claim| Claim { until: now + CLAIM, ..claim });
        Self { claim, ..self }
    }

    /// The row after its version was made anew as `version`, before the step that promotes it.
    #[must_use]
    pub fn remade(self, version: u64, now: DateTime<Utc>) -> Self {
        Self { version: Some(version), ..self.renewed(now) }
    }

    /// The row after `agent` has claimed it: a higher epoch, so that whoever held it before is fenced off.
    pub fn claimed(mut self, agent: &str, now: DateTime<Utc>) -> Result<Self, Refused> {
        if !self.is_due(now) {
            return Err(Refused::NotDue);
        }
        self.epoch += 1;
        self.claim = Some(Claim { agent: agent.to_owned(), until: now + CLAIM });
        Ok(self)
    }

    /// Whether a report about `step` under `epoch` may be taken.
    pub fn accepts(&self, epoch: u64, step: Step) -> Result<(), Refused> {
        match () {
            () if self.state != State::Running => Err(Refused::Ended),
            () if self.epoch != epoch => Err(Refused::Fenced),
            () if self.step != step => Err(Refused::WrongStep),
            () => Ok(()),
        }
    }

    /// The row after the current step had `outcome`. `duration_ms` is the worker's word.
    pub fn next(mut self, outcome: &Outcome, duration_ms: u64, now: DateTime<Utc>) -> Self {
        let failure = match outcome {
            Outcome::Failed(failure) => Some(*failure),
            Outcome::Done | Outcome::Waiting => None,
        };
        if *outcome != Outcome::Waiting {
            self.records.push(StepRecord { step: self.step, at: now, duration_ms, failure });
            let surplus = self.records.len().saturating_sub(MAX_RECORDS);
            self.records.drain(..surplus);
        }
        self.failure = failure;
        match outcome {
            Outcome::Done => {
                self.tries = 0;
                match self.steps.iter().skip_while(|step| **step != self.step).nth(1) {
                    Some(step) => {
                        self.step = *step;
                        self = self.renewed(now);
                    }
                    None => {
                        self.state = State::Succeeded;
                        self.finished = Some(now);
                        self.claim = None;
                    }
                }
            }
            Outcome::Waiting => {
                self.not_before = now + SETTLE_POLL;
                self.claim = None;
            }
            Outcome::Failed(failure) => {
                self.tries = self.tries.saturating_add(1);
                self.claim = None;
                // Whatever else was in the way may go away, however long that takes: a target that is down for a night must not
                // cost anybody a rotation.
                if *failure == Failure::Misconfigured {
                    self.state = State::Failed;
                    self.finished = Some(now);
                } else {
                    let doubled = BACKOFF.0 * 2i32.saturating_pow(self.tries.saturating_sub(1).min(16));
                    self.not_before = now + doubled.min(BACKOFF.1);
                }
            }
        }
        self
    }

    /// The row after a person asked to go on: the failed step is tried again at once.
    pub fn resumed(mut self, now: DateTime<Utc>) -> Result<Self, Refused> {
        match self.state {
            State::Succeeded | State::Aborted => return Err(Refused::Ended),
            State::Failed | State::Running => {}
        }
        self.state = State::Running;
        self.finished = None;
        self.tries = 0;
        self.not_before = now;
        self.claim = None;
        self.epoch += 1;
        Ok(self)
    }

    /// The row after a person gave it up.
    pub fn aborted(mut self, now: DateTime<Utc>) -> Result<Self, Refused> {
        match self.state {
            State::Succeeded | State::Aborted => return Err(Refused::Ended),
            State::Failed | State::Running => {}
        }
        self.state = State::Aborted;
        self.finished = Some(now);
        self.claim = None;
        self.epoch += 1;
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
