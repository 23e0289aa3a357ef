//! The secrets of one mount: reads, and changes as one commit each.

use std::ops::Range;

use chrono::{DateTime, Utc};
use turnlock_core::Protected;

use super::config::Config;
use super::draft::{Aside, Draft};
use super::labels::{self, CURRENT, PENDING};
use super::record::{Secret, Version, decode_version, encode_version};
use super::{MAX_DATA_BYTES, json};
use crate::barrier::{Barrier, BarrierError, Changes, View};
use crate::engine::Seen;
use crate::error::Error;
use crate::store::Revision;

/// How often a change is tried again when another one came first. Each round lets at least one writer through.
const TRIES: usize = 256;

/// Which version is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// By number, from 1.
    Number(u32),
    /// By staging label.
    Label(&'a str),
}

/// A version that was found, and its data unless it is gone.
pub struct Found {
    /// What is known of the secret.
    pub secret: Secret,
    /// What is known of the version.
    pub version: Version,
    buffer: Protected,
    data: Option<Range<usize>>,
}

impl Found {
    /// The data as it was sent; `None` when the version is deleted or destroyed.
    pub fn data(&self) -> Option<&[u8]> {
        self.data.clone().and_then(|range| self.buffer.expose().get(range))
    }
}

/// How a version is written.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions<'a> {
    /// The version that the label must point at, 0 for none.
    pub cas: Option<u64>,
    /// The label that moves to the new version.
    pub label: &'a str,
}

impl Default for WriteOptions<'_> {
    fn default() -> Self {
        Self { cas: None, label: CURRENT }
    }
}

/// A secret as it is stored.
struct Stored {
    secret: Secret,
    buffer: Protected,
    data: Option<Range<usize>>,
    revision: Revision,
}

/// The secrets of one mount at one moment.
#[derive(Clone, Copy)]
pub struct Secrets<'a> {
    barrier: &'a Barrier,
    view: &'a View,
    now: DateTime<Utc>,
    seen: Option<&'a Seen>,
}

impl<'a> Secrets<'a> {
    /// The secrets in a mount's part of the barrier. `now` is the time of reads and changes.
    pub fn new(barrier: &'a Barrier, view: &'a View, now: DateTime<Utc>) -> Self {
        Self { barrier, view, now, seen: None }
    }

    /// With what [`Secrets::exists`] leaves there, or has left, in place of the first read. All is for one secret.
    pub(super) fn beginning_with(self, seen: &'a Seen) -> Self {
        Self { seen: Some(seen), ..self }
    }

    /// The moment at which lifetimes are judged.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Whether there is a secret, even one without versions.
    pub async fn exists(&self, path: &str) -> Result<bool, Error> {
        let record = self.view.get(&secret_name(path)).await?;
        let exists = record.is_some();
        if let Some(seen) = self.seen {
            *seen.lock() = record;
        }
        Ok(exists)
    }

    /// One version. [`Error::NotFound`] when it never was, was pruned, or the label points nowhere; without data when
    /// it is deleted or destroyed.
    pub async fn read(&self, path: &str, which: Which<'_>) -> Result<Found, Error> {
        for _ in 0..TRIES {
            let Stored { secret, buffer, data, revision } = self.load(path).await?.ok_or(Error::NotFound)?;
            let number = match which {
                Which::Number(number) => number,
                Which::Label(label) => secret.labels.get(label).copied().ok_or(Error::NotFound)?,
            };
            let version = *secret.version(number).ok_or(Error::NotFound)?;
            if version.is_gone(self.now) {
                return Ok(Found { secret, version, buffer, data: None });
            }
            if number == secret.current() {
                return Ok(Found { secret, version, buffer, data });
            }
            if let Some(buffer) = self.read_aside(path, &version).await? {
                let data = Some(0..buffer.len());
                return Ok(Found { secret, version, buffer, data });
            }
            // The version moved or went between the two reads, or its record is lost.
            if self.load(path).await?.is_some_and(|again| again.revision == revision) {
                return Err(Error::internal("the record of a version is missing"));
            }
        }
        Err(busy())
    }

    /// The metadata. [`Error::NotFound`] when there is no secret.
    pub async fn metadata(&self, path: &str) -> Result<Secret, Error> {
        Ok(self.load(path).await?.ok_or(Error::NotFound)?.secret)
    }

    /// Stores `data`, a JSON object, as a new version.
    pub async fn write(
        &self,
        path: &str,
        data: &str,
        options: WriteOptions<'_>,
        config: &Config,
    ) -> Result<(Secret, Version), Error> {
        check_data(data)?;
        self.change(path, |draft| {
            draft.check_and_set(options.label, options.cas, config)?;
            let version = draft.add_version(Protected::copy_of(data.as_bytes()), options.label, config)?;
            Ok((draft.secret.clone(), version))
        })
        .await
    }

    /// Stores the current version with a merge patch (RFC 7396) applied as a new version. `Ok(Err(found))` when the
    /// current version is deleted or destroyed; [`Error::NotFound`] when there is none.
    pub async fn patch(
        &self,
        path: &str,
        patch: &str,
        cas: Option<u64>,
        config: &Config,
    ) -> Result<Result<(Secret, Version), (Secret, Version)>, Error> {
        check_data(patch)?;
        self.change(path, |draft| {
            let current = *draft.secret.version(draft.secret.current()).ok_or(Error::NotFound)?;
            let live = draft.data.as_ref().filter(|_| !current.is_gone(self.now));
            let Some(target) = live else { return Ok(Err((draft.secret.clone(), current))) };
            draft.check_and_set(CURRENT, cas, config)?;
            let target = target.expose_str().ok_or_else(|| Error::internal("stored data is not text"))?;
            let merged = json::merge_patch(target, patch)?;
            if merged.len() > MAX_DATA_BYTES {
                return Err(Error::TooLarge(MAX_DATA_BYTES));
            }
            let version = draft.add_version(merged, CURRENT, config)?;
            Ok(Ok((draft.secret.clone(), version)))
        })
        .await
    }

    /// Changes versions or metadata of a secret. A secret that is not there stays away unless `edit` touches it.
    pub(super) async fn change<T>(
        &self,
        path: &str,
        mut edit: impl FnMut(&mut Draft) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.change_with(path, |draft, _| edit(draft)).await
    }

    /// As [`Secrets::change`]; what `edit` puts into the changes happens in the same commit.
    async fn change_with<T>(
        &self,
        path: &str,
        mut edit: impl FnMut(&mut Draft, &mut Changes) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..TRIES {
            let stored = self.load(path).await?;
            let revision = stored.as_ref().map(|stored| stored.revision);
            let (mut draft, mut changes) = (self.draft(stored), Changes::new());
            let answer = edit(&mut draft, &mut changes)?;
            if self.commit(path, draft, revision, changes).await? {
                return Ok(answer);
            }
        }
        Err(busy())
    }

    /// Points `label` at version `number`, with what [`labels::move_label`] moves along, as one commit.
    ///
    /// Nothing is written when the label is there already. [`Error::NotFound`] when there is no secret, status 400
    /// when the version is unknown, deleted or destroyed.
    pub async fn set_label(&self, path: &str, label: &str, number: u32) -> Result<(), Error> {
        self.set_label_with(path, label, number, |_, _| Ok(())).await
    }

    /// As [`Secrets::set_label`]; what `also` puts into the changes happens in the same commit. `also` is told the
    /// secret as it was before.
    async fn set_label_with<T>(
        &self,
        path: &str,
        label: &str,
        number: u32,
        mut also: impl FnMut(&Secret, &mut Changes) -> Result<T, Error>,
    ) -> Result<T, Error> {
        labels::check_name(label)?;
        for _ in 0..TRIES {
            let stored = self.load(path).await?.ok_or(Error::NotFound)?;
            let revision = stored.revision;
            let is_current = stored.secret.current() == number;
            let data = match stored.secret.version(number) {
                Some(version) if label == CURRENT && !is_current && !version.is_gone(self.now) => {
                    match self.read_aside(path, version).await? {
                        Some(data) => Some(data),
                        // Gone since: seen on the next round, where the revision has changed.
                        None if self.load(path).await?.is_none_or(|again| again.revision != revision) => continue,
                        None => return Err(Error::internal("the record of a version is missing")),
                    }
                }
                _ => None,
            };
            let (mut draft, mut changes) = (self.draft(Some(stored)), Changes::new());
            let answer = also(&draft.secret, &mut changes)?;
            draft.label(label, number, data)?;
            if self.commit(path, draft, Some(revision), changes).await? {
                return Ok(answer);
            }
        }
        Err(busy())
    }

    /// Stores a version with one member of the current data replaced under `pending`, without changing what readers get.
    /// What `also` puts into the changes happens in the same commit. [`Error::NotFound`] when there is no secret, or its current
    /// version is deleted or destroyed: whoever took it away must not get it back, with one member and without the others.
    pub async fn stage<T>(
        &self,
        path: &str,
        patch: &str,
        config: &Config,
        mut also: impl FnMut(&Version, &mut Changes) -> Result<T, Error>,
    ) -> Result<T, Error> {
        check_data(patch)?;
        self.change_with(path, |draft, changes| {
            if !self.is_there(&draft.secret) {
                return Err(Error::NotFound);
            }
            let target = draft.data.as_ref().and_then(Protected::expose_str).unwrap_or("{}");
            let merged = json::merge_patch(target, patch)?;
            let version = draft.add_version(merged, PENDING, config)?;
            also(&version, changes)
        })
        .await
    }

    /// Moves `current` to version `number` and `previous` to the version that it replaces, as one commit with what `also`
    /// puts into the changes; it is told the version that was current before. Idempotent. [`Error::NotFound`] as in
    /// [`Secrets::stage`].
    pub async fn promote<T>(
        &self,
        path: &str,
        number: u32,
        mut also: impl FnMut(u32, &mut Changes) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.set_label_with(path, CURRENT, number, |before, changes| match self.is_there(before) {
            true => also(before.current(), changes),
            false => Err(Error::NotFound),
        })
        .await
    }

    /// Whether readers get something.
    fn is_there(&self, secret: &Secret) -> bool {
        secret.version(secret.current()).is_some_and(|current| !current.is_gone(self.now))
    }

    /// Removes a secret with all its versions; a missing one is no error.
    pub async fn remove(&self, path: &str) -> Result<(), Error> {
        for _ in 0..TRIES {
            let Some(stored) = self.load(path).await? else { return Ok(()) };
            let mut changes = Changes::new();
            let name = secret_name(path);
            changes.require(self.view, &name, stored.revision);
            for version in &stored.secret.versions {
                changes.delete(self.view, &version_name(path, version.number));
            }
            self.view.delete_with_folders(&name, &mut changes).await?;
            match self.barrier.commit(changes).await {
                Ok(_) => return Ok(()),
                Err(BarrierError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// Names directly below a folder (`""` or `a/b`), sorted; those of folders end with a slash.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, Error> {
        Ok(self.view.list(&folder_name(folder)).await?)
    }

    async fn load(&self, path: &str) -> Result<Option<Stored>, Error> {
        let record = match self.seen.and_then(|seen| seen.lock().take()) {
            Some(seen) => Some(seen),
            None => self.view.get(&secret_name(path)).await?,
        };
        let Some(record) = record else { return Ok(None) };
        let (secret, data) = Secret::decode(record.value.expose())?;
        Ok(Some(Stored { secret, buffer: record.value, data, revision: record.revision }))
    }

    async fn read_aside(&self, path: &str, version: &Version) -> Result<Option<Protected>, Error> {
        match self.view.get(&version_name(path, version.number)).await? {
            Some(record) => Ok(decode_version(&record.value, version.created)?),
            None => Ok(None),
        }
    }

    fn draft(&self, stored: Option<Stored>) -> Draft {
        let secret = stored.map(|Stored { secret, buffer, data, .. }| {
            let data = data.and_then(|range| buffer.expose().get(range)).map(Protected::copy_of);
            (secret, data)
        });
        Draft::new(secret, self.now)
    }

    /// Whether the draft is stored now; `false` when another change came first.
    async fn commit(
        &self,
        path: &str,
        draft: Draft,
        revision: Option<Revision>,
        mut changes: Changes,
    ) -> Result<bool, Error> {
        if !draft.changed && changes.is_empty() {
            return Ok(true);
        }
        let name = secret_name(path);
        let record = draft.secret.encode(draft.data.as_ref().map(Protected::expose));
        match revision {
            Some(revision) => {
                changes.require(self.view, &name, revision);
                changes.put(self.view, &name, &record);
            }
            None => changes.create(self.view, &name, &record),
        }
        for (number, aside) in &draft.aside {
            let name = version_name(path, *number);
            match aside {
                Aside::Put { created, data } => {
                    changes.put(self.view, &name, &encode_version(*created, data.expose()));
                }
                Aside::Delete => changes.delete(self.view, &name),
            }
        }
        match self.barrier.commit(changes).await {
            Ok(_) => Ok(true),
            Err(BarrierError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn check_data(data: &str) -> Result<(), Error> {
    if data.len() > MAX_DATA_BYTES {
        return Err(Error::TooLarge(MAX_DATA_BYTES));
    }
    json::check_object(data)
}

fn busy() -> Error {
    Error::Unavailable("the secret changes too often, try again")
}

fn secret_name(path: &str) -> String {
    format!("secret/{path}")
}

fn folder_name(folder: &str) -> String {
    if folder.is_empty() { "secret/".to_owned() } else { format!("secret/{folder}/") }
}

fn version_name(path: &str, number: u32) -> String {
    format!("version/{number}/{path}")
}
