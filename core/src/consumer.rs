//! Who gets a secret: targets that are pushed to.

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
    fn a_signing_key_does_not_print() {
        let text = r#"{"name":"app","type":"webhook","url":"https://app.test/","signing_key":"tlk_canary_signing"}"#;
        let target: Target = serde_json::from_str(text).unwrap();
        assert!(!format!("{target:?}").contains("canary"));
    }
}
