//! Who gets a secret: targets that are pushed to.

pub mod address;
mod form;

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place that a new version is pushed to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Unique within the rotation; stands in the attempt's acknowledgements.
    pub name: String,
    /// What kind of place.
    #[serde(flatten)]
    pub place: Place,
}

/// The kinds of place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// An HTTP endpoint that takes a signed POST and acknowledges with 2xx.
    Webhook {
        /// `https://…`, or `http://` to the loopback interface.
        url: String,
        /// Key of the HMAC-SHA-256 signature.
        signing_key: SigningKey,
        /// PEM file on the agent's machine with the authority that signed the endpoint's certificate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_file: Option<String>,
    },
    /// A file on the agent's machine, replaced atomically.
    File {
        /// Absolute path.
        path: String,
        /// Permission bits in octal, as in `"0600"`.
        #[serde(default = "private")]
        mode: String,
        /// File with the process id to signal after a change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid_file: Option<String>,
        /// Signal name, as in `HUP`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<String>,
        /// Whether a file that turnlock did not write may be taken over.
        #[serde(default)]
        adopt: bool,
    },
}

/// Signals that a reader of a file may be sent; with or without `SIG` in front.
pub const SIGNALS: [&str; 5] = ["HUP", "USR1", "USR2", "INT", "TERM"];

/// Longest name, and longest path or address, of a target in bytes.
const LONGEST: (usize, usize) = (64, 2048);

/// Fewest characters of a signing key.
const SIGNING_KEY: usize = 16;

/// What makes a target impossible on any machine. Names the member and never its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{member} {demand}")]
pub struct Fault {
    /// Which member; empty when it is the target as a whole.
    pub member: &'static str,
    /// What it must be.
    pub demand: &'static str,
}

impl Target {
    /// Whether it lies on the agent's own machine, and is written or asked with rights that who holds a secret does not have: a file,
    /// a signal, a service that trusts its loopback interface, and whatever else answers there.
    pub fn is_on_agents_machine(&self) -> bool {
        match &self.place {
            Place::File { .. } => true,
            Place::Webhook { url, ca_file, .. } => {
                ca_file.is_some() || address::webhook(url).map_or(true, |url| address::is_own_machine(&url))
            }
        }
    }

    /// Whether it can work at all. Whether it does on the agent's machine, only the agent can tell.
    pub fn check(&self) -> Result<(), Fault> {
        let demand = |member, holds: bool, demand| if holds { Ok(()) } else { Err(Fault { member, demand }) };
        let name = !self.name.is_empty() && is_plain(&self.name, LONGEST.0) && self.name.trim() == self.name;
        demand("name", name, "must be 1 to 64 bytes without control characters and without blanks around it")?;
        match &self.place {
            Place::Webhook { url, signing_key, ca_file } => {
                let plain = is_plain(url, LONGEST.1) && !url.contains(char::is_whitespace);
                demand("url", plain, "must be at most 2048 bytes without spaces and control characters")?;
                address::webhook(url).map_err(|demand| Fault { member: "url", demand })?;
                demand("signing_key", signing_key.0.len() >= SIGNING_KEY, "needs at least 16 characters")?;
                demand("ca_file", ca_file.as_deref().is_none_or(is_path), PATH)
            }
            Place::File { path, mode, pid_file, signal, .. } => {
                demand("path", is_path(path), PATH)?;
                demand("mode", mode_bits(mode).is_some(), "must be permission bits in octal, as in \"0600\"")?;
                demand("pid_file", pid_file.as_deref().is_none_or(is_path), PATH)?;
                let signal = signal.as_deref();
                demand("signal", signal.is_none() || pid_file.is_some(), "needs a pid_file that says whom to send it")?;
                let known = signal.is_none_or(|name| SIGNALS.contains(&name.strip_prefix("SIG").unwrap_or(name)));
                demand("signal", known, "must be HUP, USR1, USR2, INT or TERM")
            }
        }
    }
}

/// What is demanded of a path.
const PATH: &str =
    "must be an absolute path of at most 2048 bytes, without \"..\", \".\", control characters and a slash at the end";

/// The bits of a file's mode; `None` when the text is none, or asks for more than permissions.
pub fn mode_bits(mode: &str) -> Option<u32> {
    let octal = (3..=4).contains(&mode.len()) && mode.bytes().all(|digit| digit.is_ascii_digit());
    u32::from_str_radix(mode, 8).ok().filter(|bits| octal && bits & !0o777 == 0)
}

fn is_plain(text: &str, longest: usize) -> bool {
    text.len() <= longest && !text.contains(char::is_control)
}

/// Whether `text` is the path of a file in the one form that leaves no question where it leads.
fn is_path(text: &str) -> bool {
    let mut parts = text.split('/');
    is_plain(text, LONGEST.1)
        && parts.next() == Some("")
        && text.len() > 1
        && parts.all(|part| !matches!(part, "" | "." | ".."))
}

fn private() -> String {
    "0600".to_owned()
}

/// A key that signs what is pushed. Does not print; serialized only into sealed records and to the agent that holds
/// the claim.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SigningKey(pub zeroize::Zeroizing<String>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Place, Target};

    #[test]
    fn a_target_is_one_flat_object_and_unknown_members_are_refused() {
        let target: Target = serde_json::from_str(r#"{"name":"app","type":"file","path":"/run/app/key"}"#).unwrap();
        assert!(matches!(&target.place, Place::File { mode, adopt: false, .. } if mode == "0600"));
        let odd = r#"{"name":"app","type":"file","path":"/run/app/key","owner":"root"}"#;
        assert!(serde_json::from_str::<Target>(odd).is_err());
    }

    #[test]
    fn what_can_work_nowhere_is_refused_by_the_member_that_is_wrong() {
        let check = |members: &str| {
            let target = serde_json::from_str::<Target>(&format!(r#"{{"name":"app",{members}}}"#)).unwrap();
            target.check().map_err(|fault| fault.member)
        };
        for path in ["key", "./key", "/run/../etc/key", "/run/./key", "/run//key", "/run/key/", "/", "", "/run/k\\ney"]
        {
            assert_eq!(check(&format!(r#""type":"file","path":"{path}""#)), Err("path"), "{path}");
            let members = format!(r#""type":"file","path":"/run/key","pid_file":"{path}""#);
            assert_eq!(check(&members), Err("pid_file"), "{path}");
        }
        for mode in ["4755", "rw", "", "6", "+600", "00600", "0800"] {
            assert_eq!(check(&format!(r#""type":"file","path":"/run/key","mode":"{mode}""#)), Err("mode"), "{mode}");
        }
        let file = |more: &str| check(&format!(r#""type":"file","path":"/run/key",{more}"#));
        assert_eq!(file(r#""signal":"HUP""#), Err("signal"));
        assert_eq!(file(r#""pid_file":"/run/pid","signal":"KILL""#), Err("signal"));
        assert_eq!(file(r#""pid_file":"/run/pid","signal":"SIGUSR1","mode":"640""#), Ok(()));
        let hook = |url: &str, key: &str, more: &str| {
            check(&format!(r#""type":"webhook","url":"{url}","signing_key":"{key}"{more}"#))
        };
        let key = "tlk_canary_signing";
        assert_eq!(hook("https://app.test/", key, ""), Ok(()));
        assert_eq!(hook("ftp://app.test/", key, ""), Err("url"));
        assert_eq!(hook("https://app.test/a b", key, ""), Err("url"));
        assert_eq!(hook("https://app.test/", "short", ""), Err("signing_key"));
        assert_eq!(hook("https://app.test/", key, r#","ca_file":"ca.pem""#), Err("ca_file"));
    }

    #[test]
    fn a_signing_key_does_not_print() {
        let text = r#"{"name":"app","type":"webhook","url":"https://app.test/","signing_key":"tlk_canary_signing"}"#;
        let target: Target = serde_json::from_str(text).unwrap();
        assert!(!format!("{target:?}").contains("canary"));
    }
}
