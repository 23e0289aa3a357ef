//! The form in which a target is written: which member is wrong is told, what stands in it never.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{Fault, Target};

/// What a member holds.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Text,
    Flag,
}

/// The members of one kind of target: name, what it holds, whether it must be there.
struct Kind {
    members: &'static [(&'static str, Form, bool)],
    known: &'static str,
}

const WEBHOOK: Kind = Kind {
    members: &[
        ("name", Form::Text, true),
        ("type", Form::Text, true),
        ("url", Form::Text, true),
        ("signing_key", Form::Text, true),
        ("ca_file", Form::Text, false),
    ],
    known: "must have no members but those of a webhook: name, type, url, signing_key, ca_file",
};

const FILE: Kind = Kind {
    members: &[
        ("name", Form::Text, true),
        ("type", Form::Text, true),
        ("path", Form::Text, true),
        ("mode", Form::Text, false),
        ("pid_file", Form::Text, false),
        ("signal", Form::Text, false),
        ("adopt", Form::Flag, false),
    ],
    known: "must have no members but those of a file: name, type, path, mode, pid_file, signal, adopt",
};

impl Target {
    /// The target that this JSON is, checked.
    pub fn parse(json: &str) -> Result<Self, Fault> {
        let whole = |demand| Fault { member: "", demand };
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_str(json).map_err(|_| whole("must be a JSON object"))?;
        let kind = match members.get("type").map(|kind| kind.get()) {
            Some("\"webhook\"") => WEBHOOK,
            Some("\"file\"") => FILE,
            _ => return Err(Fault { member: "type", demand: "must be \"webhook\" or \"file\"" }),
        };
        if members.keys().any(|name| kind.members.iter().all(|(known, ..)| known != name)) {
            return Err(whole(kind.known));
        }
        for (member, form, required) in kind.members {
            let found = members.get(*member).map(|value| value.get()).filter(|text| *text != "null");
            let demand = match (found, form) {
                (None, _) if *required => "must be there",
                (Some(text), Form::Text) if !text.starts_with('"') => "must be text",
                (Some(text), Form::Flag) if text != "true" && text != "false" => "must be true or false",
                _ => continue,
            };
            return Err(Fault { member, demand });
        }
        let target: Self =
            serde_json::from_str(json).map_err(|_| whole("must name each member once, and none that is null"))?;
        target.check()?;
        Ok(target)
    }
}

impl Fault {
    /// What is to be done, with the place of the target in its list.
    pub fn at(&self, index: usize) -> String {
        let dot = if self.member.is_empty() { "" } else { "." };
        format!("targets[{index}]{dot}{}: {}", self.member, self.demand)
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn the_member_that_is_wrong_is_named_and_nothing_is_repeated() {
        for (json, said) in [
            (r#""tlk_canary""#, "targets[2]: must be a JSON object"),
            (r#"{}"#, r#"targets[2].type: must be "webhook" or "file""#),
            (r#"{"name":"a","type":"tlk_canary"}"#, r#"targets[2].type: must be "webhook" or "file""#),
            (r#"{"name":"a","type":["tlk_canary"]}"#, r#"targets[2].type: must be "webhook" or "file""#),
            (r#"{"name":"a","type":"file"}"#, "targets[2].path: must be there"),
            (r#"{"type":"file","path":"/run/tlk_canary"}"#, "targets[2].name: must be there"),
            (r#"{"name":7,"type":"file","path":"/run/tlk_canary"}"#, "targets[2].name: must be text"),
            (
                r#"{"name":"a","type":"file","path":"/run/key","adopt":"tlk_canary"}"#,
                "targets[2].adopt: must be true or false",
            ),
            (
                r#"{"name":"a","type":"file","path":"/run/key","tlk_canary":1}"#,
                "targets[2]: must have no members but those of a file: name, type, path, mode, pid_file, signal, adopt",
            ),
            (
                r#"{"name":"a","name":"tlk_canary","type":"file","path":"/a"}"#,
                "targets[2]: must name each member once, and none that is null",
            ),
            (
                r#"{"name":"a","type":"file","path":"/a","mode":null}"#,
                "targets[2]: must name each member once, and none that is null",
            ),
            (
                r#"{"name":"a","type":"webhook","url":"https://app.test/","signing_key":["tlk_canary"]}"#,
                "targets[2].signing_key: must be text",
            ),
            (
                r#"{"name":"a","type":"webhook","url":"https://app.test/","signing_key":"tlk_canary"}"#,
                "targets[2].signing_key: needs at least 16 characters",
            ),
        ] {
            let found = Target::parse(json).map_err(|fault| fault.at(2));
            assert_eq!(found.err().as_deref(), Some(said), "{json}");
        }
        let fine = r#"{"name":"a","type":"webhook","url":"https://app.test/","signing_key":"tlk_canary_signing","ca_file":null}"#;
        assert!(Target::parse(fine).is_ok());
    }
}
