//! `turnlock rotate set`: defines a rotation, or changes what of it is named.

use chrono::{DateTime, Utc};
use serde_json::json;
use serde_json::value::RawValue;
use turnlock_agent::{Client, ClientError};
use turnlock_core::consumer::Target;
use zeroize::Zeroizing;

use super::history::seconds;
use super::{Name, found};
use crate::command::trimmed;
use crate::failure::Failure;
use crate::fields::{Machine, Source as _};
use crate::output::Output;

/// How targets are written, for who wrote them otherwise.
const FORM: &str = "targets are a JSON list, as it stands or in @FILE, as in \
                    '[{\"name\": \"app\", \"type\": \"file\", \"path\": \"/run/app/key\", \"mode\": \"0600\"}]'; \
                    `turnlock rotate set --help` shows a webhook";

/// Arguments of `turnlock rotate set`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  turnlock rotate set secret/app/api-key -field=key -schedule='0 3 * * 1' -zone=Europe/Berlin
  turnlock rotate set secret/app/api-key -field=key -prefix=app_ -targets=@targets.json
  turnlock rotate set secret/app/api-key -no-targets

What is not named stays as it was; -no-schedule and -no-targets take away. A list of targets
takes the place of the one before. Targets are a JSON list:
  [{\"name\": \"app\", \"type\": \"webhook\", \"url\": \"https://app.example/new-key\", \"signing_key\": \"…\"},
   {\"name\": \"file\", \"type\": \"file\", \"path\": \"/run/app/key\", \"pid_file\": \"/run/app/pid\"}]
A file takes mode (\"0600\"), signal (\"HUP\") and adopt besides, a webhook ca_file. A file, a
ca_file and a webhook at localhost or a loopback address lie on the agent's machine: a token that
names one needs `sudo` on rotation/definitions/SECRET. A file and a pid_file lie in a folder that
the agent was given, by `turnlock agent -target-dir=/run/app` or in the server's configuration by
agent { target_dirs = [\"/run/app\"] }. A pid_file belongs to root, to the user of the agent or
to that of the process.

Beside a file NAME lies a mark, .NAME.turnlock, with the version that was written last: by it
turnlock knows the file for its own. One without it is somebody else's and not replaced unless
adopt is true, so do not tidy it away. For a moment there is a .NAME.turnlock-new-XXXXXX too, the
value on its way.

Before a version is made, every target is looked at: a folder that is missing, a webhook that
does not answer (it is asked with OPTIONS) or a reader that does not run holds the attempt up, which
has changed nothing then and is tried again for as long as it takes.")]
pub(super) struct SetArgs {
    #[command(flatten)]
    name: Name,
    /// Field of the secret that changes; needed the first time
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
    /// When: a cron expression of five fields, or of six with seconds first; without it only by hand
    #[arg(long, value_name = "CRON")]
    schedule: Option<String>,
    /// IANA time zone of the schedule [default: UTC]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Only by hand from now on
    #[arg(long, conflicts_with_all = ["schedule", "zone"])]
    no_schedule: bool,
    /// Characters of the random part of a new value [default: 32]
    #[arg(long, value_name = "N")]
    length: Option<usize>,
    /// Text in front of the random part
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Who is pushed to: a JSON list, or @FILE, or - for standard input
    #[arg(long, alias = "target", value_name = "JSON|@FILE|-")]
    targets: Option<String>,
    /// Nobody is pushed to from now on
    #[arg(long, conflicts_with = "targets")]
    no_targets: bool,
    /// How long the replaced value stays valid [default: 1h]
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    /// Which agents may work on it; all without it
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
}

/// Targets as they were written.
#[derive(Default)]
struct Listed<'a> {
    list: Vec<&'a RawValue>,
    /// The first that lies on the agent's machine.
    local: Option<usize>,
}

/// What the server says of the definition.
#[derive(serde::Deserialize)]
struct Defined {
    created: bool,
    kept: Vec<String>,
    targets: Vec<String>,
    paused: bool,
    next_run: Option<DateTime<Utc>>,
}

impl SetArgs {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let text = self.targets.as_deref().map(read).transpose()?;
        let targets = match &text {
            None => self.no_targets.then(Listed::default),
            Some(text) => Some(targets(text)?),
        };
        let schedule = if self.no_schedule { Some(String::new()) } else { self.schedule };
        let rotator = (self.length.is_some() || self.prefix.is_some())
            .then(|| json!({"type": "generate", "length": self.length, "prefix": self.prefix}));
        let body = json!({
            "field": self.field, "schedule": schedule, "zone": self.zone, "grace": self.grace, "pool": self.pool,
            "targets": targets.as_ref().map(|targets| &targets.list), "rotator": rotator,
        });
        let name = trimmed(&self.name.name);
        let reply = client.write(&format!("rotation/definitions/{name}"), &body).await;
        let reply = match reply {
            Err(error @ ClientError::Denied { anonymous: false, .. }) => {
                return Err(Failure::from(error).hint(rights(name, targets.as_ref())));
            }
            Err(ClientError::Api { errors, .. }) if errors.iter().any(|line| line.contains("field \"field\"")) => {
                return Err(Failure::remote(format!("no rotation is defined for {name} yet, and no field is named"))
                    .hint("-field=NAME says which field of the secret changes"));
            }
            reply => found(reply, name)?,
        };
        output.done(&reply, &reply.data_as::<Defined>()?.told(name))
    }
}

impl Defined {
    /// For people: what is in force now, and that nothing was run yet.
    fn told(&self, name: &str) -> String {
        let verb = if self.created { "defined" } else { "changed" };
        let when = match (&self.next_run, self.paused) {
            (_, true) => "runs by schedule are held back (`turnlock rotate unpause`)".to_owned(),
            (Some(next), _) => format!("it runs next at {}", seconds(*next)),
            (None, _) => format!("it has no schedule and runs by `turnlock rotate run {name}`"),
        };
        let whom = match self.targets.is_empty() {
            true => "nobody is pushed to".to_owned(),
            false => format!("pushed to: {}", self.targets.join(", ")),
        };
        let kept = match self.kept.is_empty() {
            true => String::new(),
            false => format!("; kept as it was: {}", self.kept.join(", ")),
        };
        format!("Success! The rotation of {name} is {verb}: {when}; {whom}{kept}")
    }
}

fn read(text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    match text.strip_prefix('@') {
        Some(path) => Machine.file(path),
        None if text == "-" => Machine.input(),
        None => Ok(Zeroizing::new(text.as_bytes().to_vec())),
    }
}

/// The list that `json` is, checked, so that what is wrong is told by its place before anything is sent. A single target is a list of
/// one.
fn targets(json: &[u8]) -> Result<Listed<'_>, Failure> {
    // The parser's own words would repeat what was written, signing keys included.
    let wrong = |what: String| Failure::local(format!("-targets: {what}")).hint(FORM);
    let whole: &RawValue = serde_json::from_slice(json)
        .map_err(|error| wrong(format!("not JSON (line {}, column {})", error.line(), error.column())))?;
    let list = match whole.get() {
        list if list.starts_with('[') => serde_json::from_str(list).map_err(|_| wrong("not a JSON list".to_owned()))?,
        one if one.starts_with('{') => vec![whole],
        _ => return Err(wrong("not a JSON list".to_owned())),
    };
    let mut local = None;
    for (index, target) in list.iter().enumerate() {
        let target = Target::parse(target.get()).map_err(|fault| wrong(fault.at(index)))?;
        local = local.or(target.is_on_agents_machine().then_some(index));
    }
    Ok(Listed { list, local })
}

/// What a refused definition may have lacked: the server tells nobody which right it was.
fn rights(name: &str, targets: Option<&Listed<'_>>) -> String {
    let which = match targets.map(|targets| targets.local) {
        Some(Some(index)) => {
            format!(", and `sudo` there besides, because targets[{index}] lies on the agent's machine")
        }
        Some(None) => String::new(),
        None => ", and `sudo` there besides if one of its targets lies on the agent's machine".to_owned(),
    };
    format!(
        "this takes `read` and `update` on the secret itself, `create` or `update` on rotation/definitions/{name}{which}"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{rights, targets};

    #[test]
    fn what_is_wrong_with_targets_is_told_by_place_and_never_repeated() {
        for (json, said) in [
            ("@x", "not JSON (line 1, column 1)"),
            ("\"tlk_canary_targets\"", "not a JSON list"),
            ("[{\"name\": \"a\", \"type\": \"file\"}]", "targets[0].path: must be there"),
            (
                "[{\"name\": \"a\", \"type\": \"webhook\", \"url\": \"https://a\", \"signing_key\": [\"tlk_canary_key\"]}]",
                "targets[0].signing_key: must be text",
            ),
            (
                "{\"name\": \"a\", \"type\": \"file\", \"path\": \"tlk_canary/..\"}",
                "targets[0].path: must be an absolute path",
            ),
        ] {
            let lines = targets(json.as_bytes()).err().unwrap().lines();
            assert!(lines.contains(said) && lines.contains("\"type\": \"file\""), "{lines}");
            assert!(!lines.contains("canary"), "{lines}");
        }
        let one = targets(br#"{"name": "a", "type": "file", "path": "/run/key"}"#).unwrap();
        assert_eq!((one.list.len(), one.local), (1, Some(0)));
        let elsewhere =
            br#"[{"name": "a", "type": "webhook", "url": "https://a.test", "signing_key": "tlk_canary_key_1"}]"#;
        let elsewhere = targets(elsewhere).unwrap();
        assert!(!rights("secret/app", Some(&elsewhere)).contains("sudo"));
        assert!(rights("secret/app", Some(&one)).contains("sudo") && rights("secret/app", None).contains("sudo"));
    }
}
