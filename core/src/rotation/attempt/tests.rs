//! Attempts as their workers and people move them.
#![allow(clippy::unwrap_used)]
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::super::{Rotator, Step};
use super::{Attempt, CLAIM, Failure, Outcome, Reason, Refused, State};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn attempt() -> Attempt {
    let rotator = Rotator::Generate { length: 32, prefix: String::new() };
    Attempt::begin("a".into(), "secret/app".into(), &rotator, "schedule".into(), now())
}

#[test]
fn a_run_without_failures_passes_every_step_once() {
    let mut row = attempt();
    let mut seen = Vec::new();
    while row.state == State::Running {
        seen.push(row.step);
        row = row.next(&Outcome::Done, 1, now());
    }
    assert_eq!(seen, [Step::Create, Step::Promote, Step::Push, Step::Settle]);
    assert_eq!((row.state, row.finished), (State::Succeeded, Some(now())));
}

#[test]
fn a_worker_that_lost_its_claim_is_fenced_off() {
    let first = attempt().claimed("one", now()).unwrap();
    assert_eq!(first.clone().claimed("two", now()).unwrap_err(), Refused::NotDue);
    let second = first.clone().claimed("two", now() + CLAIM).unwrap();
    assert_eq!(second.accepts(first.epoch, Step::Create), Err(Refused::Fenced));
    assert_eq!(second.accepts(second.epoch, Step::Create), Ok(()));
}

#[test]
fn a_worker_that_says_so_keeps_its_claim_for_as_long_as_a_step_takes() {
    let mut row = attempt().claimed("slow", now()).unwrap();
    for minute in 0..60 {
        let time = now() + TimeDelta::seconds(20 * minute);
        assert!(row.clone().claimed("other", time).is_err());
        row = row.renewed(time);
    }
    assert_eq!((row.accepts(1, Step::Create), row.tries), (Ok(()), 0));
    assert!(row.claimed("other", now() + TimeDelta::seconds(20 * 59) + CLAIM).is_ok());
    assert_eq!(attempt().renewed(now()).claim, None);
}

#[test]
fn a_worker_that_is_gone_lets_go_of_what_is_its_own_only() {
    let row = attempt().claimed("one", now()).unwrap();
    assert!(!row.clone().let_go_by("two").is_due(now()));
    let again = row.clone().let_go_by("one").claimed("one", now()).unwrap();
    assert_eq!(again.accepts(row.epoch, Step::Create), Err(Refused::Fenced));
}

#[test]
fn failures_back_off_are_told_of_and_are_tried_again_for_as_long_as_it_takes() {
    for failure in [Failure::Unreachable, Failure::Refused, Failure::Malformed, Failure::Local] {
        let (mut row, mut time, mut pauses) = (attempt(), now(), Vec::new());
        while time - now() < TimeDelta::days(60) {
            row = row.next(&Outcome::Failed(failure), 1, time);
            assert_eq!((row.state, row.is_stuck()), (State::Running, row.tries >= 10));
            pauses.push((row.not_before - time).num_seconds());
            time = row.due_at(time).unwrap();
        }
        assert_eq!(pauses.get(..4), Some(&[1, 2, 4, 8][..]));
        assert_eq!(pauses.iter().max(), Some(&300));
        assert!(row.records.len() == 64 && row.clone().claimed("one", time).is_ok());
        let resumed = row.resumed(now()).unwrap();
        assert!(resumed.is_due(now()) && resumed.tries == 0);
    }
}

/// Cause: claims and pauses were believed however far ahead they lay. Loss: a clock that was once wrong by a year held an
/// attempt back for a year.
#[test]
fn a_claim_or_a_pause_from_a_clock_that_was_ahead_holds_nobody_back() {
    let ahead = now() + TimeDelta::days(365);
    let claimed = attempt().claimed("one", ahead);
    assert!(claimed.is_ok_and(|row| row.is_due(now())));
    let failed = attempt().next(&Outcome::Failed(Failure::Unreachable), 1, ahead);
    assert!(failed.is_due(now()));
    // A moment is no such thing.
    let claimed = attempt().claimed("one", now()).unwrap();
    assert!(!claimed.is_due(now() - TimeDelta::seconds(1)));
}

#[test]
fn a_wrong_definition_is_not_tried_again() {
    assert_eq!(attempt().next(&Outcome::Failed(Failure::Misconfigured), 1, now()).state, State::Failed);
}

#[test]
fn a_target_in_the_way_is_named_once_for_each_reason_and_counted() {
    let app = |reason| [("app".to_owned(), reason)];
    let mut row = attempt();
    for (second, reason) in [Reason::Missing, Reason::Missing, Reason::Forbidden].into_iter().enumerate() {
        row = row.hindered_by(&app(reason), now() + TimeDelta::seconds(second as i64));
    }
    let [missing, forbidden] = &row.obstacles[..] else { panic!("{:?}", row.obstacles) };
    assert_eq!((missing.times, missing.last - missing.first), (2, TimeDelta::seconds(1)));
    assert_eq!((forbidden.times, forbidden.failure), (1, Failure::Local));
    let many: Vec<_> = (0..500).map(|number| (format!("target {number}"), Reason::Unreachable)).collect();
    assert_eq!(row.hindered_by(&many, now() + CLAIM).obstacles.len(), 64);
}

#[test]
fn what_is_in_the_way_is_what_the_last_try_found() {
    let found = |row: Attempt, names: &[&str], second| {
        let found: Vec<_> = names.iter().map(|name| ((*name).to_owned(), Reason::Unreachable)).collect();
        let time = now() + TimeDelta::seconds(second);
        row.hindered_by(&found, time).next(&Outcome::Failed(Failure::Unreachable), 1, time)
    };
    let names = |row: &Attempt| row.in_the_way().map(|found| found.target.clone()).collect::<Vec<_>>();
    let row = found(attempt(), &["a", "b"], 1);
    assert_eq!(names(&row), ["a", "b"]);
    let row = found(row, &["b"], 2);
    assert_eq!(names(&row), ["b"]);
    assert!(names(&row.next(&Outcome::Done, 1, now())).is_empty());
}

#[test]
fn a_failure_is_without_effect_until_there_is_a_version() {
    let failed = |row: Attempt| row.next(&Outcome::Failed(Failure::Misconfigured), 1, now());
    assert!(failed(attempt()).failed_without_effect());
    assert!(!failed(Attempt { version: Some(2), ..attempt() }).failed_without_effect());
    assert!(!attempt().failed_without_effect());
}

proptest! {
    #[test]
    fn steps_never_go_back_and_an_ended_attempt_stays_ended(outcomes in proptest::collection::vec(0u8..4, 0..60)) {
        let mut row = attempt();
        let mut time = now();
        for outcome in outcomes {
            let before = row.clone();
            time += TimeDelta::seconds(1);
            if row.accepts(row.epoch, row.step).is_err() {
                prop_assert!(row.finished.is_some());
                break;
            }
            row = row.next(&match outcome {
                0 | 1 => Outcome::Done,
                2 => Outcome::Waiting,
                _ => Outcome::Failed(Failure::Refused),
            }, 1, time);
            let place = |row: &Attempt| row.steps.iter().position(|step| *step == row.step);
            prop_assert!(place(&row) >= place(&before));
            prop_assert!(row.epoch >= before.epoch);
        }
    }
}
