//! The text of a configuration: TOML in the format that gitleaks defined, read without judging what it says.
//!
//! Keys may be written in any case. Unknown keys are passed over, as other programs of the format have more of them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::ConfigError;

/// A whole file.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) min_version: Option<String>,
    pub(super) extend: ExtendTable,
    pub(super) rules: Vec<RuleTable>,
    pub(super) allowlists: Vec<AllowlistTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ExtendTable {
    #[serde(rename = "usedefault")]
    pub(super) use_default: bool,
    pub(super) path: String,
    pub(super) url: String,
    #[serde(rename = "disabledrules")]
    pub(super) disabled_rules: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RuleTable {
    pub(super) id: String,
    pub(super) description: String,
    pub(super) regex: String,
    pub(super) path: String,
    #[serde(rename = "secretgroup")]
    pub(super) secret_group: Number,
    pub(super) entropy: Number,
    pub(super) keywords: List,
    pub(super) tags: List,
    #[serde(rename = "skipreport")]
    pub(super) skip_report: bool,
    pub(super) required: Vec<RequiredTable>,
    /// From `allowlist` or `allowlists`, whichever is there.
    #[serde(skip)]
    pub(super) allowlists: Vec<AllowlistTable>,
    /// Keys that other programs give a meaning that is none here.
    #[serde(skip)]
    pub(super) without_meaning: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RequiredTable {
    pub(super) id: String,
    #[serde(rename = "withinlines")]
    pub(super) within_lines: Option<u32>,
    #[serde(rename = "withincolumns")]
    pub(super) within_columns: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AllowlistTable {
    pub(super) condition: String,
    pub(super) commits: List,
    pub(super) paths: List,
    pub(super) regexes: List,
    #[serde(rename = "regextarget")]
    pub(super) regex_target: String,
    pub(super) stopwords: List,
    #[serde(rename = "targetrules")]
    pub(super) target_rules: List,
}

/// A list of texts; one text by itself is a list too, and a number is a text.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "OneOrMany")]
pub(super) struct List(pub(super) Vec<String>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a list of texts")]
enum OneOrMany {
    One(Scalar),
    Many(Vec<Scalar>),
}

impl From<OneOrMany> for List {
    fn from(from: OneOrMany) -> Self {
        let text = |scalar| match scalar {
            Scalar::Text(text) => text,
            Scalar::Whole(number) => number.to_string(),
            Scalar::Fraction(number) => number.to_string(),
        };
        Self(match from {
            OneOrMany::One(scalar) => vec![text(scalar)],
            OneOrMany::Many(scalars) => scalars.into_iter().map(text).collect(),
        })
    }
}

/// A number, also when it is written as a text.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(try_from = "Scalar")]
pub(super) struct Number(pub(super) f64);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a number")]
enum Scalar {
    Text(String),
    Whole(i64),
    Fraction(f64),
}

impl TryFrom<Scalar> for Number {
    type Error = &'static str;

    fn try_from(from: Scalar) -> Result<Self, Self::Error> {
        let number = match from {
            Scalar::Whole(number) => number as f64,
            Scalar::Fraction(number) => number,
            Scalar::Text(text) => text.trim().parse().map_err(|_| "this is no number")?,
        };
        if number.is_finite() && number >= 0.0 { Ok(Self(number)) } else { Err("this is no number from 0 on") }
    }
}

/// Reads `text`.
pub(super) fn read(text: &str) -> Result<File, ConfigError> {
    let table: Table =
        toml::from_str(text).map_err(|error| ConfigError::Syntax { cause: one_line(error.message(), text, &error) })?;
    let mut table = lower(table);
    let min_version = table.remove("minversion").and_then(|value| value.as_str().map(str::to_owned));
    let extend = match table.remove("extend") {
        None => ExtendTable::default(),
        Some(value) => decode(value, "[extend]")?,
    };
    let mut rules = Vec::new();
    for (number, mut rule) in tables(table.remove("rules"), "[[rules]]")?.into_iter().enumerate() {
        let name = match rule.get("id").and_then(Value::as_str) {
            Some(id) => format!("rule {id}"),
            None => format!("rule number {}", number + 1),
        };
        let allowlists = allowlists(&mut rule, &name)?;
        let without_meaning = without_meaning(&rule);
        let rule = decode(Value::Table(rule), &name)?;
        rules.push(RuleTable { allowlists, without_meaning, ..rule });
    }
    let allowlists = allowlists(&mut table, "the file")?;
    Ok(File { min_version, extend, rules, allowlists })
}

/// The allowlists of a rule or of the file: `[[allowlists]]`, or one `[allowlist]` as it was called before.
fn allowlists(of: &mut Table, name: &str) -> Result<Vec<AllowlistTable>, ConfigError> {
    let value = match (of.remove("allowlist"), of.remove("allowlists")) {
        (Some(_), Some(_)) => {
            return Err(ConfigError::Shape {
                place: name.to_owned(),
                cause: "has both [allowlist] and [[allowlists]]: the first is the old name of the second".to_owned(),
            });
        }
        (old, new) => old.or(new),
    };
    let of_what = format!("an allowlist of {name}");
    tables(value, &of_what)?.into_iter().map(|table| decode(Value::Table(table), &of_what)).collect()
}

/// Keys of a rule by which betterleaks asks a provider about a hit or filters hits by expressions.
fn without_meaning(rule: &Table) -> Vec<String> {
    const KEYS: &[&str] =
        &["validate", "filter", "tokenefficiency", "specificity", "confidence", "components", "prefilter"];
    KEYS.iter().filter(|key| rule.contains_key(**key)).map(|key| (*key).to_owned()).collect()
}

fn decode<T: DeserializeOwned>(value: Value, place: &str) -> Result<T, ConfigError> {
    value.try_into().map_err(|error: toml::de::Error| ConfigError::Shape {
        place: place.to_owned(),
        cause: error.to_string().trim().replace('\n', " "),
    })
}

/// A list of tables; one table by itself is a list too.
fn tables(value: Option<Value>, place: &str) -> Result<Vec<Table>, ConfigError> {
    let shape = || ConfigError::Shape { place: place.to_owned(), cause: "is no list of tables".to_owned() };
    match value {
        None => Ok(Vec::new()),
        Some(Value::Table(table)) => Ok(vec![table]),
        Some(Value::Array(values)) => values
            .into_iter()
            .map(|value| match value {
                Value::Table(table) => Ok(table),
                _ => Err(shape()),
            })
            .collect(),
        Some(_) => Err(shape()),
    }
}

fn lower(table: Table) -> Table {
    table.into_iter().map(|(key, value)| (key.to_lowercase(), lower_value(value))).collect()
}

fn lower_value(value: Value) -> Value {
    match value {
        Value::Table(table) => Value::Table(lower(table)),
        Value::Array(values) => Value::Array(values.into_iter().map(lower_value).collect()),
        other => other,
    }
}

/// What is wrong and in which line; the text around it may hold what nobody shall see.
fn one_line(message: &str, text: &str, error: &toml::de::Error) -> String {
    let message = message.trim().replace('\n', ", ");
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}
