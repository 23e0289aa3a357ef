//! `turnlock scan --store --rotate`: starts the rotation of the live secrets that were found.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use turnlock_agent::{Call, Client, ClientError};
use turnlock_core::finding::LiveSecret;
use turnlock_scan::report::printable;
use turnlock_scan::{Coverage, Report, Why};

use super::ScanFailure;
use super::live::LiveStore;

/// What is to be done about one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Advice {
    /// Its rotation changes what was found.
    Rotate,
    /// It cannot be helped by a rotation, and why.
    Leave(String),
}

/// Refuses what could not be answered at the end of the scan.
pub(super) fn check(agreed: bool) -> Result<(), ScanFailure> {
    if agreed || io::stdin().is_terminal() && io::stderr().is_terminal() {
        Ok(())
    } else {
        Err(ScanFailure::NobodyToAsk)
    }
}

/// Starts the rotations that `report` calls for, after asking unless `agreed`. What is done goes to standard error: the
/// report has standard output.
pub(super) fn run(report: &Report, store: &LiveStore, agreed: bool) -> Result<(), ScanFailure> {
    // What the store did not say could be the reason to leave a secret alone; nothing half known is acted upon. Of very
    // many omissions not all are listed, so that its silence may be among the others.
    let Coverage { omissions, omitted, .. } = &report.coverage;
    let is_unconfirmed = omissions.iter().any(|omission| matches!(omission.why, Why::Unconfirmed(_)));
    if is_unconfirmed || *omitted > omissions.len() as u64 {
        return Err(ScanFailure::Unconfirmed);
    }
    let mut found: BTreeMap<&str, Vec<&LiveSecret>> = BTreeMap::new();
    for live in report.findings.iter().filter_map(|finding| finding.live.as_ref()) {
        found.entry(&live.path).or_default().push(live);
    }
    let mut due = Vec::new();
    for (path, values) in found {
        let advice = store.wait(|client| advice(client, path, &values)).map_err(|error| not_asked(path, &error))?;
        match advice {
            Advice::Rotate => due.push(path),
            Advice::Leave(why) => say(&format!("{path} is not rotated: {why}"))?,
        }
    }
    if due.is_empty() {
        return say("nothing to rotate");
    }
    if !agreed && !agrees(&due)? {
        return say("nothing was rotated");
    }
    let mut failed = 0;
    for path in &due {
        let call = Call::new(Method::PUT, format!("rotation/run/{path}")).json(&json!({}));
        match store.wait(|client| async move { client.send(call?).await }) {
            Ok(_) => say(&format!("{path}: an attempt was started; see turnlock rotate history {path}"))?,
            Err(error) => {
                failed += 1;
                say(&format!("{path} could not be rotated: {}", error.to_string().replace('\n', " ")))?;
            }
        }
    }
    if failed > 0 { Err(ScanFailure::NotRotated { failed }) } else { Ok(()) }
}

/// What to do about the secret at `path`, of which `values` were found.
async fn advice(client: Client, path: &str, values: &[&LiveSecret]) -> Result<Advice, ClientError> {
    #[derive(Deserialize)]
    struct Definition {
        field: String,
    }
    let asked = format!("rotation/definitions/{path}");
    let reply = client.execute(Call::get(asked.as_str())).await?;
    match reply.status() {
        StatusCode::NOT_FOUND => {
            return Ok(Advice::Leave(format!("no rotation is defined; see turnlock rotate set {path} --help")));
        }
        StatusCode::FORBIDDEN => return Ok(Advice::Leave("the token may not read its rotation".to_owned())),
        status if !status.is_success() => return Err(client.failure_of(&reply, &asked)),
        _ => {}
    }
    Ok(judge(&reply.data_as::<Definition>()?.field, values))
}

/// Whether a rotation that changes `field` helps against the leak of `values`.
fn judge(field: &str, values: &[&LiveSecret]) -> Advice {
    let (changed, others): (Vec<&LiveSecret>, Vec<&LiveSecret>) = values.iter().partition(|value| value.field == field);
    if changed.is_empty() {
        let fields: BTreeSet<&str> = others.iter().map(|value| value.field.as_str()).collect();
        let fields: Vec<&str> = fields.into_iter().collect();
        return Advice::Leave(format!("its rotation changes {field}, and what was found is {}", fields.join(", ")));
    }
    if changed.iter().any(|value| value.labels.iter().any(|label| label == "current")) {
        return Advice::Rotate;
    }
    Advice::Leave("only values were found that are no longer current".to_owned())
}

fn agrees(due: &[&str]) -> Result<bool, ScanFailure> {
    say("to be rotated, as these are live and were found:")?;
    for path in due {
        say(&format!("  {path}"))?;
    }
    let mut to = io::stderr().lock();
    let prompt = write!(to, "rotate {} now? [y/N] ", if due.len() == 1 { "it" } else { "them" });
    prompt.and_then(|()| to.flush()).map_err(ScanFailure::Write)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(ScanFailure::Input)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn not_asked(path: &str, error: &ClientError) -> ScanFailure {
    ScanFailure::NoDefinition { path: path.to_owned(), reason: error.to_string().replace('\n', " ") }
}

fn say(text: &str) -> Result<(), ScanFailure> {
    writeln!(io::stderr().lock(), "{}", printable(text)).map_err(ScanFailure::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(field: &str, labels: &[&str]) -> LiveSecret {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        LiveSecret { path: "secret/app".to_owned(), field: field.to_owned(), version: 2, labels }
    }

    #[test]
    fn only_what_a_rotation_would_change_is_rotated() {
        let (now, before, user) = (live("key", &["current"]), live("key", &["previous"]), live("user", &["current"]));
        assert_eq!(judge("key", &[&user, &now]), Advice::Rotate);
        assert_eq!(judge("key", &[&before, &now]), Advice::Rotate);
        assert!(matches!(judge("key", &[&before]), Advice::Leave(why) if why.contains("no longer current")));
        assert!(matches!(judge("key", &[&user]), Advice::Leave(why) if why.contains("changes key")));
    }
}
