//! One stanza as typed settings: each is taken once, and what is left over is named.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value};
use turnlock_core::ttl;

use super::ConfigError;

pub(super) const LEVELS: &str = "error, warn, info, debug or trace";

/// A stanza and its name for messages.
pub(super) struct Stanza {
    name: String,
    members: Map<String, Value>,
}

impl Stanza {
    pub(super) fn new(name: impl Into<String>, members: Map<String, Value>) -> Self {
        Self { name: name.into(), members }
    }

    pub(super) fn place(&self, name: &str) -> String {
        if self.name.is_empty() { name.to_owned() } else { format!("{} in {}", name, self.name) }
    }

    pub(super) fn invalid(&self, name: &str, expected: &'static str) -> ConfigError {
        ConfigError::Invalid { place: self.place(name), expected }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ConfigError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "a text")),
        }
    }

    pub(super) fn required(&mut self, name: &str) -> Result<String, ConfigError> {
        let missing = ConfigError::Missing { place: self.place(name) };
        self.text(name)?.filter(|text| !text.is_empty()).ok_or(missing)
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, ConfigError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(Value::Number(number)) if number.as_u64() == Some(0) => Ok(Some(false)),
            Some(Value::Number(number)) if number.as_u64() == Some(1) => Ok(Some(true)),
            Some(Value::String(text)) if matches!(text.as_str(), "true" | "1") => Ok(Some(true)),
            Some(Value::String(text)) if matches!(text.as_str(), "false" | "0") => Ok(Some(false)),
            Some(_) => Err(self.invalid(name, "true or false")),
        }
    }

    pub(super) fn duration(&mut self, name: &str) -> Result<Option<Duration>, ConfigError> {
        let text = match self.take(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => String::from("-"),
        };
        let expected = "a duration such as \"30s\" or \"768h\"";
        ttl::parse(&text).map(Some).map_err(|_| self.invalid(name, expected))
    }

    /// Whole bytes, or a number with KiB, MiB or GiB.
    pub(super) fn bytes(&mut self, name: &str) -> Result<Option<u64>, ConfigError> {
        let bytes = match self.take(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => {
                let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
                let unit: Option<u64> = match unit.trim() {
                    "" | "B" => Some(1),
                    "KiB" | "k" => Some(1 << 10),
                    "MiB" | "m" => Some(1 << 20),
                    "GiB" | "g" => Some(1 << 30),
                    _ => None,
                };
                number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit))
            }
            Some(_) => None,
        };
        bytes.map(Some).ok_or_else(|| self.invalid(name, "a size in bytes, or with KiB, MiB or GiB"))
    }

    pub(super) fn address(&mut self, name: &str, default: &str) -> Result<SocketAddr, ConfigError> {
        let text = self.text(name)?.unwrap_or_else(|| default.to_owned());
        text.parse().map_err(|_| self.invalid(name, "an IP address and a port, as in \"127.0.0.1:8200\""))
    }

    /// A list of texts, or one text with commas.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<String>, ConfigError> {
        let expected = "a list of texts";
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(text.split(',').map(|item| item.trim().to_owned()).collect()),
            Some(Value::Array(items)) => {
                let texts =
                    items.into_iter().map(|item| if let Value::String(text) = item { Some(text) } else { None });
                texts.collect::<Option<_>>().ok_or_else(|| self.invalid(name, expected))
            }
            Some(_) => Err(self.invalid(name, expected)),
        }
    }

    /// Blocks of this name with their labels; HCL and JSON write them in several shapes.
    pub(super) fn blocks(&mut self, name: &'static str) -> Result<Vec<(Option<String>, Stanza)>, ConfigError> {
        let mut found = Vec::new();
        let expected = "a block, as in `storage \"sled\" { … }`";
        let values = match self.take(name) {
            None => return Ok(found),
            Some(Value::Array(items)) => items,
            Some(value) => vec![value],
        };
        for value in values {
            let Value::Object(members) = value else { return Err(self.invalid(name, expected)) };
            let labelled = !members.is_empty()
                && members.values().all(|value| match value {
                    Value::Object(_) => true,
                    Value::Array(items) => items.iter().all(Value::is_object),
                    _ => false,
                });
            if !labelled {
                found.push((None, Stanza::new(name, members)));
                continue;
            }
            for (label, value) in members {
                let bodies = if let Value::Array(items) = value { items } else { vec![value] };
                for body in bodies {
                    let Value::Object(body) = body else { return Err(self.invalid(name, expected)) };
                    found.push((Some(label.clone()), Stanza::new(format!("{name} {label:?}"), body)));
                }
            }
        }
        Ok(found)
    }

    /// Takes settings that mean nothing here and whose lack harms nobody; answers their places.
    pub(super) fn without_effect(&mut self, names: &[&str]) -> Vec<String> {
        names.iter().filter_map(|name| self.take(name).map(|_| self.place(name))).collect()
    }

    /// Whatever was not taken is not supported.
    pub(super) fn end(self) -> Result<(), ConfigError> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => Err(ConfigError::Unsupported { place: self.place(name) }),
        }
    }
}
