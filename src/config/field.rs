//! One stanza as typed settings: each is taken once, and what is left over is named.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use turnlock_core::stanza::{Field, Value};
use turnlock_core::{nearest, ttl};

use super::{ConfigError, NamedFile, WithoutEffect};

pub(super) const LEVELS: &str = "error, warn, info, debug or trace";

/// A stanza, with its name and lines for messages.
pub(super) struct Stanza {
    name: String,
    line: Option<usize>,
    fields: Vec<Field>,
    /// Where each field stands or stood; of several with one name, the last.
    lines: HashMap<String, usize>,
    /// The names that were looked for: what it may hold.
    known: BTreeSet<String>,
}

impl Stanza {
    /// The top of a file.
    pub(super) fn root(fields: Vec<Field>) -> Result<Self, ConfigError> {
        Self::new(String::new(), None, fields)
    }

    /// Blocks may stand several times, settings once.
    fn new(name: String, line: Option<usize>, fields: Vec<Field>) -> Result<Self, ConfigError> {
        let mut seen: HashMap<&str, bool> = HashMap::new();
        for field in &fields {
            let is_block = matches!(field.value, Value::Object(_));
            if let Some(was_block) = seen.insert(&field.name, is_block)
                && !(was_block && is_block)
            {
                return Err(ConfigError::Twice { line: known(field.line) });
            }
        }
        let lines = fields.iter().map(|field| (field.name.clone(), field.line)).collect();
        Ok(Self { name, line, fields, lines, known: BTreeSet::new() })
    }

    pub(super) fn place(&self, name: &str) -> String {
        if self.name.is_empty() { name.to_owned() } else { format!("{} in {}", name, self.name) }
    }

    pub(super) fn line_of(&self, name: &str) -> Option<usize> {
        self.lines.get(name).copied().and_then(known).or(self.line)
    }

    pub(super) fn invalid(&self, name: &str, expected: &'static str) -> ConfigError {
        ConfigError::Invalid { line: self.line_of(name), place: self.place(name), expected }
    }

    /// Refuses that `name` is not there, or what stands in its place with another spelling.
    pub(super) fn missing(&self, name: &str) -> ConfigError {
        let misspelt = nearest(name, self.fields.iter().map(|field| field.name.as_str()));
        match misspelt.and_then(|misspelt| self.fields.iter().find(|field| field.name == misspelt)) {
            Some(field) => self.unsupported(field, Some(name)),
            None => ConfigError::Missing { line: self.line_of(name), place: self.place(name) },
        }
    }

    fn unsupported(&self, field: &Field, near: Option<&str>) -> ConfigError {
        let (line, place) = (known(field.line), self.place(&field.name));
        ConfigError::Unsupported { line, place, near: near.map(str::to_owned) }
    }

    /// For a stanza whose label is not one that there is, or has none.
    pub(super) fn unsupported_kind(&self, stanza: &str, label: Option<String>, known: &'static str) -> ConfigError {
        let line = self.line;
        match label {
            Some(label) => ConfigError::UnknownType { line, place: format!("{stanza} {label:?}"), known },
            None => ConfigError::Missing { line, place: format!("the type of {stanza}") },
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.known.insert(name.to_owned());
        let place = self.fields.iter().position(|field| field.name == name)?;
        let field = self.fields.remove(place);
        // No setting takes a label, and none is an object, so that its reader refuses it.
        Some(if field.labels.is_empty() { field.value } else { Value::Object(Vec::new()) })
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ConfigError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "a text")),
        }
    }

    /// A file that has to be there.
    pub(super) fn file(&mut self, name: &'static str) -> Result<Option<NamedFile>, ConfigError> {
        let path = self.text(name)?;
        Ok(path.map(|path| NamedFile { path: path.into(), setting: name, line: self.line_of(name) }))
    }

    pub(super) fn required(&mut self, name: &str) -> Result<String, ConfigError> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| self.missing(name))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, ConfigError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(Value::Text(text) | Value::Number(text)) if matches!(text.as_str(), "true" | "1") => Ok(Some(true)),
            Some(Value::Text(text) | Value::Number(text)) if matches!(text.as_str(), "false" | "0") => Ok(Some(false)),
            Some(_) => Err(self.invalid(name, "true or false")),
        }
    }

    pub(super) fn duration(&mut self, name: &str) -> Result<Option<Duration>, ConfigError> {
        let text = match self.take(name) {
            None => return Ok(None),
            Some(Value::Text(text) | Value::Number(text)) => text,
            Some(_) => String::from("-"),
        };
        let expected = "a duration such as \"30s\" or \"768h\"";
        ttl::parse(&text).map(Some).map_err(|_| self.invalid(name, expected))
    }

    /// Whole bytes, or a number with KiB, MiB or GiB.
    pub(super) fn bytes(&mut self, name: &str) -> Result<Option<u64>, ConfigError> {
        let bytes = match self.take(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.parse().ok(),
            Some(Value::Text(text)) => {
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
            Some(Value::Text(text)) => Ok(text.split(',').map(|item| item.trim().to_owned()).collect()),
            Some(Value::List(items)) => {
                let texts = items.into_iter().map(|item| if let Value::Text(text) = item { Some(text) } else { None });
                texts.collect::<Option<_>>().ok_or_else(|| self.invalid(name, expected))
            }
            Some(_) => Err(self.invalid(name, expected)),
        }
    }

    /// Blocks of this name with their labels; HCL and JSON write them in several shapes.
    pub(super) fn blocks(&mut self, name: &'static str) -> Result<Vec<(Option<String>, Stanza)>, ConfigError> {
        self.known.insert(name.to_owned());
        let mut found = Vec::new();
        let (taken, kept) = std::mem::take(&mut self.fields).into_iter().partition(|field| field.name == name);
        self.fields = kept;
        for field in taken {
            let line = known(field.line);
            for value in self.bodies(name, field.value)? {
                self.block(name, field.labels.clone(), value, line, &mut found)?;
            }
        }
        Ok(found)
    }

    /// Adds the block `value`, or those that it has one label further in.
    fn block(
        &self,
        name: &'static str,
        labels: Vec<String>,
        fields: Vec<Field>,
        line: Option<usize>,
        found: &mut Vec<(Option<String>, Self)>,
    ) -> Result<(), ConfigError> {
        let is_body = |value: &Value| match value {
            Value::Object(_) => true,
            Value::List(items) => items.iter().all(|item| matches!(item, Value::Object(_))),
            _ => false,
        };
        let mut labels = labels.into_iter();
        match labels.next() {
            Some(_) if labels.next().is_some() => {
                let place = format!("a second label of {name}");
                return Err(ConfigError::Unsupported { line, place, near: None });
            }
            Some(label) => {
                let stanza = Self::new(format!("{name} {label:?}"), line, fields)?;
                found.push((Some(label), stanza));
            }
            None if !fields.is_empty() && fields.iter().all(|field| is_body(&field.value)) => {
                for field in fields {
                    for body in self.bodies(name, field.value)? {
                        let stanza = Self::new(format!("{name} {:?}", field.name), known(field.line), body)?;
                        found.push((Some(field.name.clone()), stanza));
                    }
                }
            }
            None => found.push((None, Self::new(name.to_owned(), line, fields)?)),
        }
        Ok(())
    }

    /// The fields of a block, or of each in a list of them.
    fn bodies(&self, name: &'static str, value: Value) -> Result<Vec<Vec<Field>>, ConfigError> {
        let expected = "a block, as in `storage \"sled\" { … }`";
        let items = if let Value::List(items) = value { items } else { vec![value] };
        let fields = items.into_iter().map(|item| if let Value::Object(fields) = item { Some(fields) } else { None });
        fields.collect::<Option<_>>().ok_or_else(|| self.invalid(name, expected))
    }

    /// Takes settings that mean nothing here and whose lack harms nobody; answers what they are.
    pub(super) fn without_effect(&mut self, names: &[&str]) -> Vec<WithoutEffect> {
        let named = names.iter().filter(|name| self.fields.iter().any(|field| field.name == **name));
        let places = named.map(|name| WithoutEffect { line: self.line_of(name), place: self.place(name) }).collect();
        self.fields.retain(|field| !names.contains(&field.name.as_str()));
        places
    }

    /// Whatever was not taken is not supported.
    pub(super) fn end(self) -> Result<(), ConfigError> {
        match self.fields.first() {
            None => Ok(()),
            Some(field) => Err(self.unsupported(field, nearest(&field.name, self.known.iter().map(String::as_str)))),
        }
    }
}

/// A line that was told: of some JSON none is.
fn known(line: usize) -> Option<usize> {
    (line > 0).then_some(line)
}
