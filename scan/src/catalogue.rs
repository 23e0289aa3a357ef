//! The form in which rules are written in TOML, with the words that rules know. The build script reads the built-in ones
//! with it, so that nothing is parsed when the program starts, and a word that does not exist fails the build.

use std::borrow::Cow;

use serde::Deserialize;

/// Several texts.
pub(crate) type Texts = Cow<'static, [Cow<'static, str>]>;

/// A file of rules.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catalogue {
    #[serde(default)]
    rule: Vec<Written>,
    #[serde(default)]
    assigned: Vec<Assigned>,
}

/// `[[rule]]`: see the fields of [`crate::rule::Rule`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    pub(crate) id: Cow<'static, str>,
    pub(crate) description: Cow<'static, str>,
    pub(crate) keywords: Texts,
    #[serde(default)]
    pub(crate) pattern: Cow<'static, str>,
    #[serde(default)]
    pub(crate) group: usize,
    #[serde(default)]
    pub(crate) entropy: f32,
    pub(crate) certainty: f32,
    #[serde(default)]
    pub(crate) reach: Option<Reach>,
    #[serde(default)]
    pub(crate) setting: Option<Kind>,
    #[serde(skip)]
    pub(crate) assigned: bool,
    #[serde(default)]
    pub(crate) check: Check,
    #[serde(default)]
    pub(crate) only: Texts,
    #[serde(default)]
    pub(crate) tags: Texts,
    /// Texts that it must find, each cut into parts so that no scanner takes the file for a leak.
    #[serde(default)]
    pub(crate) positive: Vec<Vec<String>>,
    /// Texts that it must not find, cut likewise.
    #[serde(default)]
    pub(crate) negative: Vec<Vec<String>>,
}

/// The checks by the name that rules give them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Refuses only values that stand for one.
    #[default]
    Plausible,
    /// The same for a value that only a name beside it speaks for: refuses words as well.
    Example,
    /// The last six characters are the CRC-32 of the characters between prefix (to the first `_`) and them, in base62.
    Crc32Base62,
    /// Prefix and alphabet are so particular that the checksum of Bech32 alone is asked.
    Bech32,
    /// A token of turnlock: the checksum must hold.
    Turnlock,
    /// Header and payload are base64url of JSON objects, and the header names an algorithm or the payload makes a claim.
    Jwt,
    /// The body between the lines is base64 of DER or of an OpenSSH key.
    Pem,
    /// Base64 of exactly 64 bytes.
    Base64Of64,
    /// The value looks drawn at random.
    Random,
    /// The value can be a password that somebody chose.
    Password,
    /// The password of a connection string, where all is data: even words, unless they speak of a password.
    ConnectionPassword,
    /// The password that a sentence tells: even that of an account which has its own name for one.
    ToldPassword,
    /// The password for a host, in a URL or a line of .netrc: neither a template nor a well-known default nor one of
    /// documentation.
    HostPassword,
    /// A line that the scanner says of a file, not one that a text holds.
    Said,
    /// A private key in DER, or a store with one, in base64: the bytes are those of one.
    KeyInBase64,
    /// A manifest of kind Secret: each value under `data` and `stringData` by itself.
    KubernetesSecret,
}

/// What a name says of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A password that a person may have chosen: `DB_PASS`, `keystorePassword`.
    Password,
    /// A key, token or secret that was drawn at random: `apiKey`, `DB_SECRET`, `bot-token`.
    Secret,
}

/// How far a match may lie from its keyword, for rules that span lines.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Bytes before the keyword; extended to the start of the line.
    pub before: usize,
    /// Bytes after the keyword; extended to the end of the line.
    pub after: usize,
}

/// `[[assigned]]`, the short form for credentials that only the name of their provider tells: a value near one of `names`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Assigned {
    id: Cow<'static, str>,
    description: Cow<'static, str>,
    names: Texts,
    value: String,
    #[serde(default)]
    entropy: Option<f32>,
    #[serde(default)]
    certainty: Option<f32>,
    #[serde(default)]
    check: Option<Check>,
    #[serde(default)]
    only: Texts,
    #[serde(default)]
    tags: Texts,
    #[serde(default)]
    positive: Vec<Vec<String>>,
    #[serde(default)]
    negative: Vec<Vec<String>>,
}

impl Catalogue {
    /// All rules in the long form.
    pub(crate) fn rules(self) -> impl Iterator<Item = Written> {
        self.rule.into_iter().chain(self.assigned.into_iter().map(Written::from))
    }
}

impl From<Assigned> for Written {
    fn from(short: Assigned) -> Self {
        Self {
            id: short.id,
            description: short.description,
            keywords: short.names,
            pattern: behind_delimiter(&short.value).into(),
            group: 1,
            // Below zero: the least that a random value of this length and alphabet has.
            entropy: short.entropy.unwrap_or(-1.0),
            certainty: short.certainty.unwrap_or(0.75),
            reach: None,
            setting: None,
            assigned: true,
            check: short.check.unwrap_or(Check::Example),
            only: short.only,
            tags: short.tags,
            positive: short.positive,
            negative: short.negative,
        }
    }
}

/// The pattern of a whole `value` behind a delimiter, or behind a word that speaks of it: `SECRET-…`. Behind `@` stands the
/// commit that a name is pinned to, or a host.
fn behind_delimiter(value: &str) -> String {
    format!("(?:[^0-9A-Za-z_+/.@-]|(?i:key|token|secret|private|access|auth)[_.-])({value})")
}
