//! `turnlock rotate history`: what became of each attempt, and which target was in its way, when and why.

use chrono::{DateTime, SecondsFormat, Utc};
use turnlock_agent::{Client, Reply};
use turnlock_core::rotation::{Attempt, State, Step};

use super::found;
use crate::failure::Failure;
use crate::output::{Format, Output, line, note};

#[derive(serde::Deserialize)]
struct History {
    attempts: Vec<Attempt>,
}

/// Shows the open attempt and the last ones, newest first.
pub(super) async fn show(client: &Client, name: &str, output: &Output) -> Result<(), Failure> {
    let reply = found(client.read(&format!("rotation/history/{name}")).await, name)?;
    let Some(data) = reply.data() else { return Err(Failure::remote("the server's answer holds no data")) };
    if output.format != Format::Table {
        return output.document(data.get());
    }
    let History { attempts } = reply.data_as()?;
    if attempts.is_empty() {
        note(&format!("turnlock: nothing was run yet; `turnlock rotate run {name}` does it now"));
        return Ok(());
    }
    output.table(
        &["Started", "Ended", "State", "Step", "Version", "Failure", "Tries", "Cause"],
        attempts.iter().map(attempt).collect(),
    )?;
    let obstacles = obstacles(&attempts);
    if !obstacles.is_empty() {
        line("")?;
        output.table(&["Last seen", "Attempt of", "Step", "Target", "Times", "Reason"], obstacles)?;
    }
    if let Some(open) = attempts.first() {
        hint(open, name);
    }
    Ok(())
}

fn attempt(attempt: &Attempt) -> Vec<String> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        seconds(attempt.started),
        or_none(attempt.finished.map(seconds)),
        word(&attempt.state),
        attempt.step.as_str().to_owned(),
        or_none(attempt.version.map(|version| version.to_string())),
        or_none(attempt.failure.map(|failure| word(&failure))),
        or_none((attempt.tries > 0).then(|| attempt.tries.to_string())),
        attempt.cause.clone(),
    ]
}

/// A row for each target that was in the way of an attempt for a reason, newest first.
fn obstacles(attempts: &[Attempt]) -> Vec<Vec<String>> {
    let rows = attempts.iter().flat_map(|attempt| attempt.obstacles.iter().rev().map(move |found| (attempt, found)));
    rows.map(|(attempt, found)| {
        let step = found.step.as_str().to_owned();
        let (last, begun) = (seconds(found.last), seconds(attempt.started));
        vec![last, begun, step, found.target.clone(), found.times.to_string(), found.reason.clone()]
    })
    .collect()
}

/// What an attempt that was given up leaves behind.
pub(super) fn given_up(reply: &Reply) -> Result<String, Failure> {
    #[derive(serde::Deserialize)]
    struct Answer {
        attempt: Attempt,
    }
    let Answer { attempt } = reply.data_as()?;
    let promoted = matches!(attempt.step, Step::Push | Step::Settle | Step::Retire | Step::Prove);
    Ok(match attempt.version.filter(|_| promoted) {
        None => "Success! The attempt was given up; readers get what they got before".to_owned(),
        Some(version) => format!(
            "Success! The attempt was given up; version {version} stays in force. Acknowledged by: {}",
            if attempt.acknowledged.is_empty() { "nobody".to_owned() } else { attempt.acknowledged.join(", ") }
        ),
    })
}

/// Says what an attempt that does not go on by itself waits for.
fn hint(attempt: &Attempt, name: &str) {
    match attempt.state {
        State::Failed if attempt.failed_without_effect() => note(&format!(
            "turnlock: nothing was changed. The next run by schedule begins anew, and so does `turnlock rotate run \
             {name}`; `turnlock rotate abort {name}` clears it away"
        )),
        State::Failed => note(&format!(
            "turnlock: no other try mends what is in the way: end it, and `turnlock rotate resume {name}` tries the step again; \
             `turnlock rotate abort {name}` gives it up"
        )),
        State::Running if attempt.tries > 0 => note(&format!(
            "turnlock: the last attempt has come to nothing {} and is tried again at {}, and for as long as it takes: \
             `turnlock rotate resume {name}` does it now, `turnlock rotate abort {name}` gives it up",
            times(attempt.tries),
            seconds(attempt.not_before)
        )),
        State::Running | State::Succeeded | State::Aborted => {}
    }
}

fn times(tries: u32) -> String {
    if tries == 1 { "once".to_owned() } else { format!("{tries} times in a row") }
}

pub(super) fn seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The lower-case word that stands in the JSON.
fn word(value: &impl serde::Serialize) -> String {
    let word = serde_json::to_value(value).ok();
    word.as_ref().and_then(serde_json::Value::as_str).unwrap_or("-").to_owned()
}
