//! Schedules against an evaluator that looks at every minute, and the laws of the search.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::{Schedule, ScheduleError};

const ZONES: [&str; 6] =
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago", "UTC"];

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn times(schedule: &Schedule, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    std::iter::successors(schedule.next_after(from), |time| schedule.next_after(*time))
        .take_while(|time| *time <= to)
        .collect()
}

/// A field as text, and the values that it means.
type Field = (String, Vec<u32>);

/// The five fields, and whether the wall clock shows a time that they name.
fn names(fields: &[Field; 5], wall: NaiveDateTime) -> bool {
    let [minute, hour, day, month, weekday] = fields;
    let on_day = day.1.contains(&wall.day());
    let on_weekday = weekday.1.contains(&wall.weekday().num_days_from_sunday());
    let either = !day.0.starts_with('*') && !weekday.0.starts_with('*');
    minute.1.contains(&wall.minute())
        && hour.1.contains(&wall.hour())
        && month.1.contains(&wall.month())
        && if either { on_day || on_weekday } else { on_day && on_weekday }
}

/// Every minute of (from, to] at which a run is due, by watching the clock on the wall.
fn watched(fields: &[Field; 5], zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let mut due = Vec::new();
    // Watch from two days before, to know what the wall has shown already.
    let mut now = from - TimeDelta::days(2);
    let mut shown = now.with_timezone(&zone).naive_local() - TimeDelta::minutes(1);
    while now <= to {
        let wall = now.with_timezone(&zone).naive_local();
        // What the wall shows for the first time now: one minute, several after a gap, none in a doubled hour.
        let mut fires = false;
        while shown < wall {
            shown += TimeDelta::minutes(1);
            fires |= names(fields, shown);
        }
        if fires && now > from {
            due.push(now);
        }
        now += TimeDelta::minutes(1);
    }
    due
}

fn field(least: u32, most: u32) -> impl Strategy<Value = Field> {
    let all = move |step: usize| (least..=most).step_by(step).collect::<Vec<_>>();
    prop_oneof![
        3 => Just(("*".to_owned(), all(1))),
        1 => (1..=most).prop_map(move |step| (format!("*/{step}"), all(step as usize))),
        3 => (least..=most).prop_map(|value| (value.to_string(), vec![value])),
        2 => (least..=most, least..=most).prop_map(|(one, two)| {
            let (first, last) = (one.min(two), one.max(two));
            (format!("{first}-{last}"), (first..=last).collect())
        }),
        1 => (least..=most, least..=most, 1u32..6).prop_map(|(one, two, step)| {
            let (first, last) = (one.min(two), one.max(two));
            (format!("{first}-{last}/{step}"), (first..=last).step_by(step as usize).collect())
        }),
        1 => (least..=most, least..=most).prop_map(|(one, two)| (format!("{one},{two}"), vec![one, two])),
    ]
}

fn fields() -> impl Strategy<Value = [Field; 5]> {
    let near_change = prop::sample::select(vec![0u32, 1, 2, 3]).prop_map(|hour| (hour.to_string(), vec![hour]));
    let hours = prop_oneof![field(0, 23), near_change];
    (field(0, 59), hours, field(1, 31), field(1, 12), field(0, 6)).prop_map(Into::into)
}

fn expression(fields: &[Field; 5]) -> String {
    fields.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Days around which clocks change somewhere.
fn start() -> impl Strategy<Value = DateTime<Utc>> {
    let changes = prop::sample::select(vec![
        "2024-03-30",
        "2024-10-26",
        "2025-03-29",
        "2025-10-25",
        "2026-03-28", // Berlin
        "2024-03-09",
        "2024-11-02",
        "2026-03-07",
        "2026-10-31", // New York
        "2024-04-06",
        "2024-10-05",
        "2025-04-05",
        "2026-10-03", // Lord Howe, half an hour
        "2024-09-07",
        "2025-04-05", // Santiago, at midnight
        "2023-12-30",
        "2024-02-27",
        "2099-02-27",
    ]);
    (changes, 0i64..3 * 24 * 60)
        .prop_map(|(day, minutes)| at(&format!("{day}T00:00:00Z")) - TimeDelta::days(1) + TimeDelta::minutes(minutes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_time_is_the_one_seen_by_watching_the_clock(
        fields in fields(), zone in prop::sample::select(ZONES.to_vec()), from in start(),
    ) {
        let to = from + TimeDelta::days(4);
        let expected = watched(&fields, zone.parse().unwrap(), from, to);
        match Schedule::parse(&expression(&fields), zone) {
            Ok(schedule) => prop_assert_eq!(times(&schedule, from, to), expected, "{} {}", expression(&fields), zone),
            Err(error) => prop_assert_eq!((error, expected), (ScheduleError::Never, vec![])),
        }
    }

    #[test]
    fn next_after_increases_and_lies_after_now(
        fields in fields(), zone in prop::sample::select(ZONES.to_vec()), from in start(),
        seconds in 0i64..10_000_000, nanoseconds in 0i64..1_000_000_000,
        window in prop::option::of(60u64..100_000), jitter in 0u64..7200, seed in any::<u64>(), blackout in any::<bool>(),
    ) {
        let Ok(mut schedule) = Schedule::parse(&expression(&fields), zone) else { return Ok(()) };
        if let Some(window) = window {
            schedule = schedule.with_window(Duration::from_secs(window)).unwrap();
        }
        if blackout {
            schedule = schedule.with_blackouts(&[("2024-03-30", "2024-04-02"), ("2025-01-01", "2025-04-05T01:30")]).unwrap();
        }
        let schedule = schedule.with_jitter(Duration::from_secs(jitter), seed);
        let now = from + TimeDelta::seconds(seconds) + TimeDelta::nanoseconds(nanoseconds);
        if let Some(next) = schedule.next_after(now) {
            prop_assert!(next > now);
            prop_assert!(schedule.blackout_at(next).is_none());
            // Nothing lies between: asked again just before, the answer is the same; asked at it, a later one.
            prop_assert_eq!(schedule.next_after(next - TimeDelta::nanoseconds(1)), Some(next));
            prop_assert!(schedule.next_after(next).is_none_or(|later| later > next));
            prop_assert_eq!(schedule.last_due(now, next), Some(next));
            prop_assert_eq!(schedule.last_due(now, next - TimeDelta::nanoseconds(1)), None);
        }
    }

    #[test]
    fn any_text_is_answered_without_a_panic(text in "[0-9a-z*/,@?# -]{0,24}", other in "\\PC{0,30}", zone in "\\PC{0,10}") {
        for expression in [&text, &other] {
            let _ = (Schedule::parse(expression, "UTC"), Schedule::parse(expression, &zone));
        }
        if let Ok(schedule) = Schedule::parse("0 0 * * *", "UTC") {
            let _ = schedule.with_blackouts(&[(&text, &other)]);
        }
    }

    #[test]
    fn last_due_is_the_last_of_all(fields in fields(), from in start(), hours in 1i64..60) {
        let Ok(schedule) = Schedule::parse(&expression(&fields), "Europe/Berlin") else { return Ok(()) };
        let to = from + TimeDelta::hours(hours);
        prop_assert_eq!(schedule.last_due(from, to), times(&schedule, from, to).last().copied());
    }
}

#[test]
fn a_whole_year_is_the_same_as_watched() {
    let list = |text: &str, values: &[u32]| (text.to_owned(), values.to_vec());
    let any = |least: u32, most: u32| ("*".to_owned(), (least..=most).collect::<Vec<_>>());
    let fields = [list("30", &[30]), list("1,2", &[1, 2]), list("13", &[13]), any(1, 12), list("fri", &[5])];
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
        let (from, to) = (at("2025-12-31T00:00:00Z"), at("2027-01-02T00:00:00Z"));
        let expected = watched(&fields, zone.parse().unwrap(), from, to);
        // 13 days of month and 52 Fridays, some of them the same, twice a day.
        assert!((120..140).contains(&expected.len()), "{}", expected.len());
        assert_eq!(times(&Schedule::parse("30 1,2 13 * fri", zone).unwrap(), from, to), expected, "{zone}");
    }
}

#[test]
fn a_skipped_time_is_due_after_the_gap_and_a_doubled_one_once() {
    let next = |expression: &str, zone: &str, now: &str| {
        Schedule::parse(expression, zone).unwrap().next_after(at(now)).unwrap()
    };
    // Berlin leaves out 02:00 to 03:00 on 2026-03-29 and shows 02:00 to 03:00 twice on 2026-10-25.
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"), at("2026-03-29T01:00:00Z"));
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z"), at("2026-03-30T00:30:00Z"));
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z"), at("2026-10-25T00:30:00Z"));
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z"), at("2026-10-26T01:30:00Z"));
    // Samoa left out the whole 2011-12-30.
    assert_eq!(next("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z"), at("2011-12-30T10:00:00Z"));
    // Seconds within a gap do not move its end.
    assert_eq!(next("15 30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"), at("2026-03-29T01:00:00Z"));
}

#[test]
fn what_people_write_is_read() {
    let from = at("2026-01-01T00:00:00Z"); // A Thursday.
    for (expression, next) in [
        ("@daily", "2026-01-02T00:00:00Z"),
        ("@Weekly", "2026-01-04T00:00:00Z"),
        ("@monthly", "2026-02-01T00:00:00Z"),
        ("@yearly", "2027-01-01T00:00:00Z"),
        ("@hourly", "2026-01-01T01:00:00Z"),
        ("0 0 * * 0", "2026-01-04T00:00:00Z"),
        ("0 0 * * 7", "2026-01-04T00:00:00Z"),
        ("0 0 * * 1", "2026-01-05T00:00:00Z"),
        ("0 0 * * SUN", "2026-01-04T00:00:00Z"),
        ("0 0 * * sat-sun", "2026-01-03T00:00:00Z"),
        ("0 0 * feb mon", "2026-02-02T00:00:00Z"),
        ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
        ("0 0 20 * 6", "2026-01-03T00:00:00Z"),
        ("15 0 0 * * *", "2026-01-01T00:00:15Z"),
        ("  */5 * * * ?  ", "2026-01-01T00:05:00Z"),
    ] {
        let schedule = Schedule::parse(expression, "").unwrap();
        assert_eq!(schedule.next_after(from), Some(at(next)), "{expression}");
    }
}

#[test]
fn what_is_not_a_schedule_is_refused_and_not_repeated() {
    for expression in [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "*/61 * * * *",
        "a * * * *",
        "1,,2 * * * *",
        "* * L * *",
        "* * * * 5#2",
        "@reboot",
        "-1 * * * *",
        "+1 * * * *",
        "1- * * * *",
        "0 0 31 2 *",
        "0 0 30 feb *",
        "tlk_canary_a * * * *",
        "* * * jan-foo *",
    ] {
        let error = Schedule::parse(expression, "UTC").expect_err(expression);
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    assert_eq!(Schedule::parse("@daily", "Mars/Olympus").err(), Some(ScheduleError::Zone));
}

#[test]
fn a_run_missed_by_downtime_is_caught_up_once() {
    let schedule = Schedule::parse("0 * * * *", "UTC").unwrap();
    let (stopped, back) = (at("2026-01-01T00:30:00Z"), at("2026-01-03T10:30:00Z"));
    let due = schedule.last_due(stopped, back).unwrap();
    assert_eq!(due, at("2026-01-03T10:00:00Z"));
    assert_eq!(schedule.last_due(due, back), None);
}

#[test]
fn outside_its_window_a_missed_run_waits_for_the_next() {
    let schedule = Schedule::parse("0 2 * * *", "UTC").unwrap().with_window(Duration::from_secs(3600)).unwrap();
    let before = at("2026-01-01T00:00:00Z");
    assert_eq!(schedule.last_due(before, at("2026-01-01T03:00:00Z")), Some(at("2026-01-01T02:00:00Z")));
    assert_eq!(schedule.last_due(before, at("2026-01-01T03:00:01Z")), None);
}

#[test]
fn a_blackout_defers_to_its_end_unless_the_window_has_closed() {
    let frozen = [("2026-12-24", "2026-12-26"), ("2026-12-27", "2026-12-27T06:00")];
    let daily = Schedule::parse("0 2 * * *", "Europe/Berlin").unwrap().with_blackouts(&frozen).unwrap();
    let before = at("2026-12-23T12:00:00Z");
    assert_eq!(daily.next_after(before), Some(at("2026-12-27T05:00:00Z")));
    assert_eq!(daily.next_after(at("2026-12-27T05:00:00Z")), Some(at("2026-12-28T01:00:00Z")));
    assert_eq!(daily.last_due(before, at("2026-12-25T12:00:00Z")), None);
    assert_eq!(daily.last_due(before, at("2026-12-27T05:00:00Z")), Some(at("2026-12-27T05:00:00Z")));

    let narrow = daily.clone().with_window(Duration::from_secs(3600)).unwrap();
    assert_eq!(narrow.next_after(before), Some(at("2026-12-28T01:00:00Z")));
    for pair in [("2026-12-24", "2026-12-23"), ("soon", "2026-12-23"), ("2026-12-24T10:00", "2026-12-24T10:00")] {
        assert_eq!(daily.clone().with_blackouts(&[pair]).err(), Some(ScheduleError::Blackout));
    }
}

#[test]
fn jitter_is_the_same_every_time_and_spreads_neighbours() {
    let plain = Schedule::parse("0 2 * * *", "UTC").unwrap();
    let from = at("2026-01-01T00:00:00Z");
    let offset = |seed| {
        let moved = plain.clone().with_jitter(Duration::from_secs(600), seed);
        let offset = moved.next_after(from).unwrap() - plain.next_after(from).unwrap();
        assert_eq!(
            moved.next_after(from + TimeDelta::days(9)).unwrap() - plain.next_after(from + TimeDelta::days(9)).unwrap(),
            offset
        );
        assert!((0..600).contains(&offset.num_seconds()));
        offset.num_seconds()
    };
    let offsets: std::collections::BTreeSet<_> = (0..50).map(offset).collect();
    assert!(offsets.len() > 40, "{offsets:?}");
}

#[test]
fn a_period_counts_from_its_anchor() {
    let anchor = at("2026-01-01T00:00:00Z");
    let schedule = Schedule::every(Duration::from_secs(90), anchor).unwrap();
    assert_eq!(schedule.next_after(anchor), Some(at("2026-01-01T00:01:30Z")));
    assert_eq!(schedule.next_after(at("2026-01-01T00:01:30Z")), Some(at("2026-01-01T00:03:00Z")));
    assert_eq!(schedule.next_after(at("2020-01-01T00:00:00Z")), Some(at("2026-01-01T00:01:30Z")));
    assert_eq!(schedule.last_due(anchor, at("2090-01-01T00:00:10Z")), Some(at("2090-01-01T00:00:00Z")));
    assert_eq!(Schedule::every(Duration::ZERO, anchor).err(), Some(ScheduleError::Period));
}

#[test]
fn times_at_the_end_of_the_calendar_are_answered() {
    let schedule = Schedule::parse("* * * * *", "Pacific/Apia").unwrap();
    assert_eq!(schedule.next_after(DateTime::<Utc>::MAX_UTC), None);
    assert!(schedule.next_after(DateTime::<Utc>::MIN_UTC).is_some());
    assert!(schedule.last_due(DateTime::<Utc>::MIN_UTC, at("2026-01-01T00:00:00Z")).is_some());
    assert_eq!(Utc.timestamp_opt(0, 0).single().and_then(|now| schedule.last_due(now, now)), None);
}
