//! What stood between a rotation and one of its targets: a closed list of reasons, so that nothing which a target answered
//! and no value can get into a history.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Failure, Step};

/// Most obstacles kept in one attempt; those that are longest gone go first.
pub(super) const MAX_OBSTACLES: usize = 64;

/// Why a target could not be given a new version, or would not take one. The text is for people, and all that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// A webhook is not there, or does not answer in time.
    #[error("no connection, or no answer in time")]
    Unreachable,
    /// A webhook's name leads nowhere.
    #[error("the name in its url has no address")]
    Name,
    /// A webhook cannot prove who it is, or speaks no TLS.
    #[error(
        "its certificate is not accepted: signed by an authority unknown here (ca_file), for another name, or expired"
    )]
    Certificate,
    /// A webhook answered that it will not.
    #[error("it answered with status {status}")]
    Answered {
        /// The status of HTTP.
        status: u16,
    },
    /// A webhook's answer is no acknowledgement.
    #[error("its answer acknowledges another version, or does not end")]
    Malformed,
    /// Nothing may be sent to a webhook's address.
    #[error(
        "nothing may be sent to its address: plain HTTP goes to the agent's own machine only, that one is named as localhost, and \
         nothing goes to link-local addresses"
    )]
    Address,
    /// The authority's certificate is missing.
    #[error("its ca_file cannot be read, or holds no certificate")]
    Authority,
    /// The file is out of the agent's reach.
    #[error("it lies in no folder that the agent was given (-target-dir, or target_dirs in the stanza agent)")]
    Folder,
    /// The file's folder is missing.
    #[error("its folder does not exist")]
    Missing,
    /// The file's folder is closed to the agent.
    #[error("the agent's user may not write in its folder")]
    Forbidden,
    /// The file's folder cannot be changed by anybody.
    #[error("its file system is read-only")]
    ReadOnly,
    /// The file has no room.
    #[error("its file system is full")]
    Full,
    /// The place of the file is taken.
    #[error("a folder is in its place")]
    Occupied,
    /// The file is somebody else's.
    #[error("a file that turnlock did not write is in its place: set adopt to take it over")]
    NotOwned,
    /// The file is being replaced by somebody else.
    #[error("another agent, or an earlier try that hangs, is at work on it")]
    InUse,
    /// The file must not go back.
    #[error(
        "it has a later version of the secret already; if the secret was made anew since, remove the file .NAME.turnlock beside it \
         and set adopt"
    )]
    Newer,
    /// The file cannot be written for a reason that is not in this list.
    #[error("the system refused to write it; the agent's log has the cause")]
    System,
    /// Whom to tell of the file is out of the agent's reach.
    #[error(
        "its pid_file lies in no folder that the agent was given (-target-dir, or target_dirs in the stanza agent)"
    )]
    PidFolder,
    /// It is not known whom to tell.
    #[error("its pid_file does not exist: the process does not run, or writes it elsewhere")]
    PidMissing,
    /// The agent may not know whom to tell.
    #[error("the agent's user may not read its pid_file, or that is a symbolic link")]
    PidUnreadable,
    /// Nobody is named.
    #[error("its pid_file holds no process id, which is a number above 1")]
    PidContent,
    /// Anybody could have written whom to tell.
    #[error("its pid_file belongs neither to root, nor to the agent's user, nor to that of the process")]
    PidOwner,
    /// The reader of the file is gone.
    #[error("no process has the id in its pid_file: it has ended, and left that behind")]
    Ended,
    /// The reader of the file cannot be told.
    #[error("the agent's user may not signal the process that its pid_file names")]
    Signal,
    /// Not a target: the secret itself.
    #[error("the secret, its mount or the version that was made is gone, or it cannot take the value")]
    Secret,
    /// Not a target: somebody has deleted the secret.
    #[error("the secret is gone, and a rotation does not bring it back: restore it, or end this with rotate delete")]
    Gone,
    /// The definition cannot work.
    #[error("its definition is not valid for this agent")]
    Definition,
}

impl Reason {
    /// The class of the failure: whether trying again can help.
    pub fn failure(self) -> Failure {
        match self {
            // A name may have another address tomorrow, and a file may be there again.
            Self::Unreachable | Self::Name | Self::Certificate | Self::Address => Failure::Unreachable,
            Self::Answered { .. } => Failure::Refused,
            Self::Malformed => Failure::Malformed,
            Self::Missing
            | Self::Forbidden
            | Self::ReadOnly
            | Self::Full
            | Self::System
            | Self::InUse
            | Self::Authority
            | Self::PidMissing
            | Self::PidUnreadable
            | Self::PidContent
            | Self::PidOwner
            | Self::Ended
            | Self::Signal => Failure::Local,
            Self::Folder
            | Self::PidFolder
            | Self::Occupied
            | Self::NotOwned
            | Self::Newer
            | Self::Secret
            | Self::Gone
            | Self::Definition => Failure::Misconfigured,
        }
    }
}

/// That one target was in the way of one step, once or again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// Name of the target, or of the secret when that itself is in the way.
    pub target: String,
    /// The step that it was in the way of.
    pub step: Step,
    /// The class.
    pub failure: Failure,
    /// The text of a [`Reason`].
    pub reason: String,
    /// When this was found first.
    pub first: DateTime<Utc>,
    /// When it was found last.
    pub last: DateTime<Utc>,
    /// How often in all.
    pub times: u32,
}

/// Puts what was found at `now` in `step` into `obstacles`: the same again is counted, not repeated.
pub(super) fn note(obstacles: &mut Vec<Obstacle>, step: Step, found: &[(String, Reason)], now: DateTime<Utc>) {
    for (target, reason) in found {
        let text = reason.to_string();
        let known =
            obstacles.iter_mut().find(|known| known.step == step && known.target == *target && known.reason == text);
        match known {
            Some(known) => {
                known.last = now;
                known.times = known.times.saturating_add(1);
            }
            None => obstacles.push(Obstacle {
                target: target.clone(),
                step,
                failure: reason.failure(),
                reason: text,
                first: now,
                last: now,
                times: 1,
            }),
        }
    }
    obstacles.sort_by_key(|obstacle| obstacle.last);
    let surplus = obstacles.len().saturating_sub(MAX_OBSTACLES);
    obstacles.drain(..surplus);
}
