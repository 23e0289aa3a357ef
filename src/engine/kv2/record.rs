//! What is stored of a secret: one record with the metadata of all its versions and the current version's data.
//!
//! Big endian, in this order:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | format, 1 |
//! | 4, 4 | newest version; oldest kept version, 0 until one was pruned |
//! | 8, 8 | created, changed: nanoseconds since 1970, UTC |
//! | 4, 1, 8 | `max_versions`; `cas_required`; `delete_version_after` in seconds |
//! | 4 + n | custom metadata as JSON text; empty for none |
//! | 2, then 1 + n, 4 each | labels: name, version |
//! | 4, then 4, 8, 8, 1 each | versions, ascending: number, created, deletion (0 for none), destroyed |
//! | 1, then 4 + n | whether there is data; the current version's data as it was sent |
//!
//! The data of every other version that is not destroyed has a record of its own: when the version was created (8
//! bytes), data. The time tells a version from that of an earlier secret at the same path.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};
use turnlock_core::Protected;
use zeroize::Zeroizing;

use super::labels::{CURRENT, Labels};
use crate::error::Error;

const FORMAT: u8 = 1;
const VERSION_BYTES: usize = 21;

/// A record does not hold what was written: damaged, or from a later release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record of a secret is damaged")]
pub struct Damaged;

impl From<Damaged> for Error {
    fn from(damaged: Damaged) -> Self {
        Self::internal(damaged)
    }
}

/// What is known of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// From 1.
    pub number: u32,
    /// Nanoseconds since 1970, UTC.
    pub created: i64,
    /// When it is deleted, which may lie ahead; 0 for never.
    pub deletion: i64,
    /// Whether its data is gone for good.
    pub destroyed: bool,
}

impl Version {
    /// Whether its data is not to be shown at `now`.
    pub fn is_gone(&self, now: DateTime<Utc>) -> bool {
        self.destroyed || (self.deletion != 0 && self.deletion <= nanoseconds(now))
    }
}

/// The metadata of a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// Highest number ever given; 0 before the first version.
    pub newest: u32,
    /// Lowest number that is kept; 0 until a version was pruned.
    pub oldest: u32,
    /// Nanoseconds since 1970, UTC.
    pub created: i64,
    /// Nanoseconds since 1970, UTC.
    pub updated: i64,
    /// 0 for the mount's.
    pub max_versions: u32,
    /// Whether each write must name the version that it replaces.
    pub cas_required: bool,
    /// Zero for the mount's.
    pub delete_version_after: Duration,
    /// A JSON object of texts.
    pub custom_metadata: Option<String>,
    /// Which version each label points at; each of them is in `versions`.
    pub labels: Labels,
    /// The kept versions, ascending.
    pub versions: Vec<Version>,
}

impl Secret {
    /// A secret without versions.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self { created: nanoseconds(now), updated: nanoseconds(now), ..Self::default() }
    }

    /// The version that a read without a version gives; 0 when there is none.
    pub fn current(&self) -> u32 {
        self.labels.get(CURRENT).copied().unwrap_or(0)
    }

    /// The version of that number, if it is kept.
    pub fn version(&self, number: u32) -> Option<&Version> {
        self.versions.binary_search_by_key(&number, |version| version.number).ok().and_then(|at| self.versions.get(at))
    }

    /// As [`Secret::version`], to be changed.
    pub fn version_mut(&mut self, number: u32) -> Option<&mut Version> {
        let at = self.versions.binary_search_by_key(&number, |version| version.number).ok()?;
        self.versions.get_mut(at)
    }

    /// The record. `data` is the current version's, absent when there is none or it is destroyed.
    pub fn encode(&self, data: Option<&[u8]>) -> Zeroizing<Vec<u8>> {
        let custom = self.custom_metadata.as_deref().unwrap_or_default();
        let labels: usize = self.labels.keys().map(|name| name.len() + 5).sum();
        let length = 54 + custom.len() + labels + self.versions.len() * VERSION_BYTES + data.map_or(0, <[u8]>::len);
        // Reserved once: growing would leave a copy of the data behind in freed memory.
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        out.push(FORMAT);
        out.extend(self.newest.to_be_bytes());
        out.extend(self.oldest.to_be_bytes());
        out.extend(self.created.to_be_bytes());
        out.extend(self.updated.to_be_bytes());
        out.extend(self.max_versions.to_be_bytes());
        out.push(self.cas_required.into());
        out.extend(self.delete_version_after.as_secs().to_be_bytes());
        out.extend((custom.len() as u32).to_be_bytes());
        out.extend(custom.as_bytes());
        out.extend((self.labels.len() as u16).to_be_bytes());
        for (name, version) in &self.labels {
            out.push(name.len() as u8);
            out.extend(name.as_bytes());
            out.extend(version.to_be_bytes());
        }
        out.extend((self.versions.len() as u32).to_be_bytes());
        for version in &self.versions {
            out.extend(version.number.to_be_bytes());
            out.extend(version.created.to_be_bytes());
            out.extend(version.deletion.to_be_bytes());
            out.push(version.destroyed.into());
        }
        out.push(data.is_some().into());
        if let Some(data) = data {
            out.extend((data.len() as u32).to_be_bytes());
            out.extend(data);
        }
        out
    }

    /// Reads a record; the range is where the current version's data lies in it.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Option<Range<usize>>), Damaged> {
        let mut rest = bytes;
        if take::<1>(&mut rest)? != [FORMAT] {
            return Err(Damaged);
        }
        let mut secret = Self {
            newest: u32::from_be_bytes(take(&mut rest)?),
            oldest: u32::from_be_bytes(take(&mut rest)?),
            created: i64::from_be_bytes(take(&mut rest)?),
            updated: i64::from_be_bytes(take(&mut rest)?),
            max_versions: u32::from_be_bytes(take(&mut rest)?),
            cas_required: flag(&mut rest)?,
            delete_version_after: Duration::from_secs(u64::from_be_bytes(take(&mut rest)?)),
            ..Self::default()
        };
        let custom_bytes = u32::from_be_bytes(take(&mut rest)?);
        let custom = text(&mut rest, custom_bytes as usize)?;
        secret.custom_metadata = (!custom.is_empty()).then(|| custom.to_owned());
        for _ in 0..u16::from_be_bytes(take(&mut rest)?) {
            let [length] = take(&mut rest)?;
            let name = text(&mut rest, length.into())?.to_owned();
            secret.labels.insert(name, u32::from_be_bytes(take(&mut rest)?));
        }
        let count = u32::from_be_bytes(take(&mut rest)?) as usize;
        if count > rest.len() / VERSION_BYTES {
            return Err(Damaged);
        }
        secret.versions.reserve_exact(count);
        let mut last = 0;
        for _ in 0..count {
            let version = Version {
                number: u32::from_be_bytes(take(&mut rest)?),
                created: i64::from_be_bytes(take(&mut rest)?),
                deletion: i64::from_be_bytes(take(&mut rest)?),
                destroyed: flag(&mut rest)?,
            };
            if version.number <= last || version.number > secret.newest {
                return Err(Damaged);
            }
            last = version.number;
            secret.versions.push(version);
        }
        let data = match flag(&mut rest)? {
            false => None,
            true => {
                let length = u32::from_be_bytes(take(&mut rest)?) as usize;
                let start = bytes.len() - rest.len();
                rest = rest.get(length..).ok_or(Damaged)?;
                Some(start..start + length)
            }
        };
        let labelled = secret.labels.values().all(|version| secret.version(*version).is_some());
        let readable = secret.version(secret.current()).is_some_and(|version| !version.destroyed);
        match rest.is_empty() && labelled && readable == data.is_some() {
            true => Ok((secret, data)),
            false => Err(Damaged),
        }
    }
}

/// The record of a version that is not current.
pub fn encode_version(created: i64, data: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(8 + data.len()));
    out.extend(created.to_be_bytes());
    out.extend(data);
    out
}

/// The data of a version's record, or `None` when it belongs to an earlier secret at the same path.
pub fn decode_version(record: &Protected, created: i64) -> Result<Option<Protected>, Damaged> {
    let mut rest = record.expose();
    let stored = i64::from_be_bytes(take(&mut rest)?);
    Ok((stored == created).then(|| Protected::copy_of(rest)))
}

/// Nanoseconds since 1970.
pub fn nanoseconds(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt().unwrap_or(i64::MAX)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Damaged> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(Damaged)?;
    *rest = tail;
    Ok(*head)
}

fn flag(rest: &mut &[u8]) -> Result<bool, Damaged> {
    match take(rest)? {
        [0] => Ok(false),
        [1] => Ok(true),
        [_] => Err(Damaged),
    }
}

fn text<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a str, Damaged> {
    let (head, tail) = rest.split_at_checked(length).ok_or(Damaged)?;
    *rest = tail;
    std::str::from_utf8(head).map_err(|_| Damaged)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::time::Duration;

    use proptest::prelude::*;
    use turnlock_core::Protected;

    use super::{Damaged, Secret, Version, decode_version, encode_version};
    use crate::engine::kv2::labels::Labels;

    fn version(number: u32, destroyed: bool) -> Version {
        Version { number, created: 17 + i64::from(number), deletion: 0, destroyed }
    }

    fn sample() -> Secret {
        Secret {
            newest: 4,
            oldest: 2,
            created: 1,
            updated: 2,
            max_versions: 5,
            cas_required: true,
            delete_version_after: Duration::from_secs(60),
            custom_metadata: Some(r#"{"owner":"team"}"#.into()),
            labels: Labels::from([("current".into(), 4), ("previous".into(), 2)]),
            versions: vec![version(2, false), version(3, true), version(4, false)],
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let record = sample().encode(Some(b"{\"a\":1}"));
        let (secret, data) = Secret::decode(&record).unwrap();
        assert_eq!(secret, sample());
        assert_eq!(&record[data.unwrap()], b"{\"a\":1}");
        let empty = Secret { labels: Labels::new(), versions: vec![], newest: 0, ..sample() };
        assert_eq!(Secret::decode(&empty.encode(None)).unwrap(), (empty, None));
    }

    #[test]
    fn what_contradicts_itself_is_damaged() {
        let without_data = sample().encode(None);
        let unlabelled = Secret { versions: vec![version(4, false)], ..sample() }.encode(Some(b"{}"));
        let unordered = Secret { versions: vec![version(4, false), version(2, false)], ..sample() }.encode(Some(b"{}"));
        let beyond = Secret { newest: 3, ..sample() }.encode(Some(b"{}"));
        for record in [without_data, unlabelled, unordered, beyond] {
            assert_eq!(Secret::decode(&record), Err(Damaged));
        }
    }

    #[test]
    fn a_version_of_an_earlier_secret_is_not_taken_for_this_ones() {
        let record = Protected::copy_of(&encode_version(7, b"{}"));
        assert!(decode_version(&record, 7).unwrap().unwrap().same_as(b"{}"));
        assert!(decode_version(&record, 8).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn no_record_panics_and_no_cut_record_is_taken(cut in 0usize..120, flip in any::<(usize, u8)>()) {
            let whole = sample().encode(Some(b"{\"a\":1}")).to_vec();
            if cut < whole.len() {
                prop_assert_eq!(Secret::decode(&whole[..cut]), Err(Damaged));
            }
            let mut changed = whole.clone();
            let at = flip.0 % changed.len();
            changed[at] ^= flip.1;
            let _ = Secret::decode(&changed);
        }
    }
}
