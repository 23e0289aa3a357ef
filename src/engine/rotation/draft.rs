//! A definition in the making: what the request names, over what was defined before. What it does not name stays.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use turnlock_core::Path;
use turnlock_core::consumer::Target;
use turnlock_core::rotation::{Rotation, Rotator, Timing};
use turnlock_core::schedule::Schedule;

use super::Stored;
use crate::engine::{Call, EngineKind};
use crate::error::Error;
use crate::request::fields::Fields;

/// Fields of a definition.
const FIELDS: [&str; 8] = ["field", "rotator", "schedule", "zone", "targets", "grace", "pool", "paused"];

/// Most targets of one rotation.
const MAX_TARGETS: usize = 64;

/// Longest name of a field or a pool in bytes.
const LONGEST_NAME: usize = 256;

/// Characters of the random part of a value, and seconds of grace, when nobody says.
const LENGTH: usize = 32;
const GRACE_SECONDS: u64 = 3600;

/// A rotator as it is asked for: members that are not named stay.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Asked {
    Generate { length: Option<usize>, prefix: Option<String> },
}

/// What a request makes of a definition.
pub(super) struct Draft {
    pub(super) rotation: Rotation,
    /// Fields that the request did not name, and that say something.
    pub(super) kept: Vec<&'static str>,
}

impl Draft {
    /// Reads the body strictly: a field that nobody knows is a mistake that would show only at the next run. `name`: mount
    /// and path of the secret.
    pub(super) fn parse(call: &Call, name: &str, before: Option<&Rotation>) -> Result<Self, Error> {
        let fields = &call.request.fields;
        fields.only(&FIELDS)?;
        let path = Path::parse(name).map_err(|reason| Error::invalid(reason.to_string()))?;
        let table = call.parts.mounts.table();
        let (mount, start) = table
            .resolve(&path)
            .filter(|(mount, _)| mount.entry.kind == EngineKind::Kv2)
            .ok_or_else(|| Error::invalid("the path must lie below a mount of kv version 2"))?;
        let secret = path.as_str().get(start..).filter(|secret| !secret.is_empty());
        let mut draft = Self {
            rotation: Rotation {
                mount: mount.entry.path.clone(),
                path: secret.ok_or_else(|| Error::invalid("name a secret below the mount"))?.to_owned(),
                ..before.cloned().unwrap_or_else(empty)
            },
            kept: Vec::new(),
        };
        draft.take(fields)?;
        if before.is_some() {
            draft.kept = draft.says().into_iter().filter(|name| !fields.has(name)).collect();
        }
        Ok(draft)
    }

    fn take(&mut self, fields: &Fields) -> Result<(), Error> {
        let rotation = &mut self.rotation;
        if let Some(field) = fields.string("field")? {
            rotation.field = name_of("field", field)?;
        }
        if rotation.field.is_empty() {
            return Err(Error::invalid("missing required field \"field\": the member of the secret that changes"));
        }
        if let Some(Asked::Generate { length: asked, prefix: put_first }) = fields.typed("rotator")? {
            let Rotator::Generate { length, prefix } = &mut rotation.rotator;
            *length = asked.unwrap_or(*length);
            *prefix = put_first.unwrap_or(std::mem::take(prefix));
            if !(16..=512).contains(length) || prefix.len() > 64 || prefix.chars().any(char::is_control) {
                return Err(Error::invalid(
                    "rotator: length must be 16 to 512, prefix at most 64 printable characters",
                ));
            }
        }
        rotation.schedule = timing(rotation.schedule.take(), fields.string("schedule")?, fields.string("zone")?)?;
        if let Some(list) = fields.raw("targets").filter(|list| *list != "null") {
            rotation.targets = targets(list)?;
        }
        if let Some(grace) = fields.duration("grace")? {
            rotation.grace_seconds = grace.as_secs();
        }
        if let Some(pool) = fields.string("pool")? {
            rotation.pool = name_of("pool", pool)?;
        }
        if let Some(paused) = fields.flag("paused")? {
            rotation.paused = paused;
        }
        Ok(())
    }

    /// The fields that hold something else than a new definition does by itself.
    fn says(&self) -> Vec<&'static str> {
        let (rotation, new) = (&self.rotation, empty());
        let says = [
            ("rotator", rotation.rotator != new.rotator),
            ("schedule", rotation.schedule.is_some()),
            ("zone", rotation.schedule.as_ref().is_some_and(|timing| timing.zone != UTC)),
            ("targets", !rotation.targets.is_empty()),
            ("grace", rotation.grace_seconds != new.grace_seconds),
            ("pool", !rotation.pool.is_empty()),
            ("paused", rotation.paused),
        ];
        says.into_iter().filter(|(_, says)| *says).map(|(name, _)| name).collect()
    }

    /// What is stored. The schedule counts from `now` if it is another one or was held back: what it would have asked for
    /// before is not made up for.
    pub(super) fn stored(&self, before: Option<&Stored>, now: DateTime<Utc>) -> Stored {
        let considered = match before {
            Some(before)
                if before.rotation.schedule == self.rotation.schedule
                    && (self.rotation.paused || !before.rotation.paused) =>
            {
                before.considered
            }
            _ => now,
        };
        Stored { rotation: self.rotation.clone(), considered, succeeded: before.and_then(|before| before.succeeded) }
    }
}

const UTC: &str = "UTC";

/// A definition of which nobody has said anything yet.
fn empty() -> Rotation {
    Rotation {
        mount: String::new(),
        path: String::new(),
        field: String::new(),
        rotator: Rotator::Generate { length: LENGTH, prefix: String::new() },
        schedule: None,
        targets: Vec::new(),
        grace_seconds: GRACE_SECONDS,
        pool: String::new(),
        paused: false,
    }
}

/// The timing after `cron` and `zone` were named; an empty cron expression ends it.
fn timing(before: Option<Timing>, cron: Option<String>, zone: Option<String>) -> Result<Option<Timing>, Error> {
    let (cron, kept) = match (cron, before) {
        (Some(cron), _) if cron.is_empty() && zone.is_none() => return Ok(None),
        (Some(cron), before) if !cron.is_empty() => (cron, before.map(|timing| timing.zone)),
        (None, Some(before)) => (before.cron, Some(before.zone)),
        _ if zone.is_some() => return Err(Error::invalid("zone needs a schedule")),
        _ => return Ok(None),
    };
    let timing = Timing { cron, zone: zone.or(kept).unwrap_or_else(|| UTC.to_owned()) };
    Schedule::parse(&timing.cron, &timing.zone).map_err(|reason| Error::invalid(format!("schedule: {reason}")))?;
    Ok(Some(timing))
}

fn name_of(what: &'static str, name: String) -> Result<String, Error> {
    match name.len() <= LONGEST_NAME && !name.contains(char::is_control) {
        true => Ok(name),
        false => Err(Error::invalid(format!("{what} must be at most {LONGEST_NAME} bytes without control characters"))),
    }
}

/// The targets of a JSON list, which holds signing keys and is therefore read where it stands.
fn targets(list: &str) -> Result<Vec<Target>, Error> {
    let list: Vec<&RawValue> =
        serde_json::from_str(list).map_err(|_| Error::invalid("targets must be a list of objects"))?;
    if list.len() > MAX_TARGETS {
        return Err(Error::invalid(format!("a rotation has at most {MAX_TARGETS} targets")));
    }
    let mut targets: Vec<Target> = Vec::with_capacity(list.len());
    for (index, json) in list.iter().enumerate() {
        let target = Target::parse(json.get()).map_err(|fault| Error::invalid(fault.at(index)))?;
        if let Some(first) = targets.iter().position(|other| other.name == target.name) {
            return Err(Error::invalid(format!("targets[{index}].name: must not be that of targets[{first}]")));
        }
        targets.push(target);
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn draft(cron: Option<&str>, paused: bool) -> Draft {
        let schedule = cron.map(|cron| Timing { cron: cron.to_owned(), zone: UTC.to_owned() });
        Draft { rotation: Rotation { schedule, paused, ..empty() }, kept: Vec::new() }
    }

    #[test]
    fn a_schedule_counts_from_when_it_was_given_or_let_go_on() {
        let days = 86_400;
        let by_hand = draft(None, false).stored(None, at(0));
        let scheduled = draft(Some("0 3 * * *"), false).stored(Some(&by_hand), at(3 * days));
        assert!(!scheduled.is_due(at(3 * days)), "a run was due before there was a schedule");
        // The same again changes nothing, so that what is due stays due.
        let again = draft(Some("0 3 * * *"), false).stored(Some(&scheduled), at(5 * days));
        assert!(again.is_due(at(5 * days)));
        let held = draft(Some("0 3 * * *"), true).stored(Some(&again), at(6 * days));
        assert!(!held.is_due(at(9 * days)));
        assert!(!draft(Some("0 3 * * *"), false).stored(Some(&held), at(9 * days)).is_due(at(9 * days)));
    }

    #[test]
    fn a_schedule_keeps_its_zone_and_ends_by_an_empty_one() {
        let some = |text: &str| Some(text.to_owned());
        let berlin = timing(None, some("0 3 * * 1"), some("Europe/Berlin")).unwrap();
        let moved = timing(berlin.clone(), some("0 4 * * 1"), None).unwrap().unwrap();
        assert_eq!((moved.cron.as_str(), moved.zone.as_str()), ("0 4 * * 1", "Europe/Berlin"));
        assert_eq!(timing(berlin.clone(), None, None).unwrap(), berlin);
        assert_eq!(timing(berlin.clone(), None, some("Asia/Tokyo")).unwrap().unwrap().zone, "Asia/Tokyo");
        assert_eq!(timing(berlin, some(""), None).unwrap(), None);
        assert!(timing(None, None, some("Asia/Tokyo")).is_err() && timing(None, some("nonsense"), None).is_err());
    }
}
