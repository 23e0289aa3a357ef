//! Changes to one secret before they are committed: pure, so that they can be tried again when another change came
//! first.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use turnlock_core::Protected;

use super::config::Config;
use super::labels::{self, CURRENT};
use super::record::{Secret, Version, nanoseconds};
use crate::error::Error;

/// Versions that are kept when neither the secret nor the mount says how many.
const DEFAULT_MAX_VERSIONS: u32 = 10;
/// Most versions that may be kept: each write carries the metadata of all.
pub(super) const MAX_VERSIONS: u32 = 4096;

/// What happens to the record of a version that is not current.
#[derive(Debug)]
pub(super) enum Aside {
    Put { created: i64, data: Protected },
    Delete,
}

/// A secret as it will be.
pub(super) struct Draft {
    pub(super) secret: Secret,
    /// The current version's data.
    pub(super) data: Option<Protected>,
    /// Whether there was a secret before.
    pub(super) existed: bool,
    /// Whether there is something to write.
    pub(super) changed: bool,
    /// Records of versions by number.
    pub(super) aside: BTreeMap<u32, Aside>,
    now: DateTime<Utc>,
}

impl Draft {
    pub(super) fn new(stored: Option<(Secret, Option<Protected>)>, now: DateTime<Utc>) -> Self {
        let existed = stored.is_some();
        let (secret, data) = stored.unwrap_or_else(|| (Secret::new(now), None));
        Self { secret, data, existed, changed: false, aside: BTreeMap::new(), now }
    }

    /// Notes that the secret changes.
    pub(super) fn touch(&mut self) {
        self.changed = true;
        self.secret.updated = nanoseconds(self.now);
    }

    /// Checks what a writer expects of the version that `label` points at (0 for none).
    pub(super) fn check_and_set(&self, label: &str, expected: Option<u64>, config: &Config) -> Result<(), Error> {
        let found = self.secret.labels.get(label).copied().unwrap_or(0);
        match expected {
            None if self.secret.cas_required || config.cas_required => {
                Err(Error::invalid("check-and-set parameter required for this call"))
            }
            Some(expected) if expected != u64::from(found) => {
                Err(Error::invalid("check-and-set parameter did not match the current version"))
            }
            _ => Ok(()),
        }
    }

    /// Adds a version and points `label` at it. Every version of every secret comes into being here.
    pub(super) fn add_version(&mut self, data: Protected, label: &str, config: &Config) -> Result<Version, Error> {
        let exhausted = || Error::invalid("the secret has no version numbers left");
        let number = self.secret.newest.checked_add(1).ok_or_else(exhausted)?;
        let deletion = self.deletion_of_new(config);
        let version = Version { number, created: nanoseconds(self.now), deletion, destroyed: false };
        self.secret.newest = number;
        self.secret.versions.push(version);
        if label == CURRENT {
            self.set_current_aside();
            self.data = Some(data);
        } else {
            self.aside.insert(number, Aside::Put { created: version.created, data });
        }
        labels::move_label(&mut self.secret.labels, label, number)?;
        self.prune(config);
        self.touch();
        Ok(version)
    }

    /// Points `label` at a version. `data` is that version's, needed when `label` is `current`.
    pub(super) fn label(&mut self, label: &str, number: u32, data: Option<Protected>) -> Result<(), Error> {
        if self.secret.labels.get(label) == Some(&number) {
            return Ok(());
        }
        match self.secret.version(number) {
            Some(version) if !version.is_gone(self.now) => {}
            Some(_) => return Err(Error::invalid("the version is deleted or destroyed")),
            None => return Err(Error::invalid("the secret has no such version")),
        }
        if label == CURRENT {
            let data = data.ok_or_else(|| Error::internal("a version became current without its data"))?;
            self.set_current_aside();
            self.data = Some(data);
            self.aside.insert(number, Aside::Delete);
        }
        labels::move_label(&mut self.secret.labels, label, number)?;
        self.touch();
        Ok(())
    }

    /// Takes a label off; the versions stay.
    pub(super) fn remove_label(&mut self, label: &str) -> Result<(), Error> {
        if label == CURRENT {
            return Err(Error::invalid("the label current moves and is never removed"));
        }
        if self.secret.labels.remove(label).is_some() {
            self.touch();
        }
        Ok(())
    }

    /// Deletes versions, so that they can be undeleted.
    pub(super) fn delete(&mut self, numbers: &[u32]) {
        let now = nanoseconds(self.now);
        self.each(numbers, |version| {
            let lives = !version.destroyed && (version.deletion == 0 || version.deletion > now);
            if lives {
                version.deletion = now;
            }
            lives
        });
    }

    /// Brings deleted versions back, for as long as new ones would last.
    pub(super) fn undelete(&mut self, numbers: &[u32], config: &Config) {
        let deletion = self.deletion_of_new(config);
        self.each(numbers, |version| {
            let deleted = !version.destroyed && version.deletion != 0;
            if deleted {
                version.deletion = deletion;
            }
            deleted
        });
    }

    /// Removes the data of versions for good.
    pub(super) fn destroy(&mut self, numbers: &[u32]) {
        let current = self.secret.current();
        for number in numbers {
            let Some(version) = self.secret.version_mut(*number).filter(|version| !version.destroyed) else { continue };
            version.destroyed = true;
            if *number == current {
                self.data = None;
            } else {
                self.aside.insert(*number, Aside::Delete);
            }
            self.touch();
        }
    }

    fn each(&mut self, numbers: &[u32], change: impl Fn(&mut Version) -> bool) {
        let mut changed = false;
        for number in numbers {
            changed |= self.secret.version_mut(*number).is_some_and(&change);
        }
        if changed {
            self.touch();
        }
    }

    /// When a version made now is deleted; 0 for never. The shorter of the secret's and the mount's time holds.
    fn deletion_of_new(&self, config: &Config) -> i64 {
        let times = [self.secret.delete_version_after, config.delete_version_after];
        match times.into_iter().filter(|time| *time != Duration::ZERO).min() {
            Some(time) => nanoseconds(self.now).saturating_add(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)),
            None => 0,
        }
    }

    /// Moves the data of the version that ceases to be current into a record of its own.
    fn set_current_aside(&mut self) {
        let number = self.secret.current();
        if let (Some(data), Some(version)) = (self.data.take(), self.secret.version(number)) {
            self.aside.insert(number, Aside::Put { created: version.created, data });
        }
    }

    /// Removes the oldest versions that no label holds until no more are left than are kept.
    fn prune(&mut self, config: &Config) {
        let own = [self.secret.max_versions, config.max_versions].into_iter().find(|limit| *limit != 0);
        let limit = own.unwrap_or(DEFAULT_MAX_VERSIONS).min(MAX_VERSIONS) as usize;
        let Secret { versions, labels, .. } = &mut self.secret;
        let mut surplus = versions.len().saturating_sub(limit);
        if surplus == 0 {
            return;
        }
        let (held, removed): (Vec<_>, Vec<_>) = versions.drain(..).partition(|version| {
            let removes = surplus > 0 && !labels::holds(labels, version.number);
            surplus -= usize::from(removes);
            !removes
        });
        for version in &removed {
            self.aside.insert(version.number, Aside::Delete);
        }
        let gone = |number: &u32| removed.iter().any(|version| version.number == *number);
        labels.retain(|_: &String, number: &mut u32| !gone(number));
        *versions = held;
        self.secret.oldest = versions.first().map_or(0, |version| version.number);
    }
}
