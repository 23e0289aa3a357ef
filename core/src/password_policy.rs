//! Password policies: how long a generated password is, of which characters, and how many of each kind at least.

use std::collections::BTreeSet;

use zeroize::Zeroize;

use crate::Protected;
use crate::path::is_invisible;
use crate::stanza::{self, Field, StanzaError, Value};

/// Lengths that may be asked for; Vault's lower bound.
pub const LENGTHS: std::ops::RangeInclusive<usize> = 4..=512;

/// Most rules in one policy.
pub const MAX_RULES: usize = 64;

/// The policy of those who name none: 20 characters with a lower-case letter, an upper-case one, a digit and a dash.
pub const DEFAULT: &str = r#"length = 20

rule "charset" {
  charset = "abcdefghijklmnopqrstuvwxyz"
  min-chars = 1
}
rule "charset" {
  charset = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
  min-chars = 1
}
rule "charset" {
  charset = "0123456789"
  min-chars = 1
}
rule "charset" {
  charset = "-"
  min-chars = 1
}
"#;

/// How often a password that misses a rule is drawn again before the generator gives up.
const MAX_TRIES: usize = 2_000;

/// Why a policy was refused, or made no password. The texts never repeat the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordPolicyError {
    /// Neither HCL nor JSON.
    #[error(transparent)]
    Text(#[from] StanzaError),
    /// A field that a password policy does not have.
    #[error("line {line}: unknown field; known are length, rule \"charset\" with charset and min-chars")]
    UnknownField {
        /// Counted from 1.
        line: usize,
    },
    /// A field's value.
    #[error("line {line}: {field} must be {expected}")]
    Value {
        /// Counted from 1.
        line: usize,
        /// The field.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// No length, or one outside [`LENGTHS`].
    #[error("length must be a number from 4 to 512")]
    Length,
    /// No rule, or more than [`MAX_RULES`].
    #[error("a password policy needs 1 to 64 rules \"charset\"")]
    Rules,
    /// The least numbers of characters add up to more than the length.
    #[error("the rules' min-chars add up to more than the length")]
    TooMany,
    /// The rules can hardly be met by chance.
    #[error("the rules are too seldom met by a random password: ask for fewer min-chars or a greater length")]
    TooSeldom,
}

/// A parsed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordPolicy {
    length: usize,
    /// All characters of all rules, each once, sorted.
    characters: Vec<char>,
    rules: Vec<Charset>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Charset {
    characters: BTreeSet<char>,
    at_least: usize,
}

impl PasswordPolicy {
    /// Parses a policy in HCL or JSON.
    pub fn parse(text: &str) -> Result<Self, PasswordPolicyError> {
        let mut length = None;
        let mut rules = Vec::new();
        for field in stanza::read(text)? {
            let unknown = PasswordPolicyError::UnknownField { line: field.line };
            match (field.name.as_str(), field.labels.as_slice()) {
                ("length", []) if length.is_none() => {
                    length = Some(number(&field.value).ok_or(PasswordPolicyError::Length)?);
                }
                ("rule", [kind]) if kind == "charset" => rules.push(charset(&field.value, field.line)?),
                ("rule", []) => nested(&field, &mut rules)?,
                _ => return Err(unknown),
            }
        }
        let length = length.filter(|length| LENGTHS.contains(length)).ok_or(PasswordPolicyError::Length)?;
        if rules.is_empty() || rules.len() > MAX_RULES {
            return Err(PasswordPolicyError::Rules);
        }
        let least: usize = rules.iter().map(|rule: &Charset| rule.at_least).sum();
        if least > length {
            return Err(PasswordPolicyError::TooMany);
        }
        let characters: BTreeSet<char> = rules.iter().flat_map(|rule| rule.characters.iter().copied()).collect();
        Ok(Self { length, characters: characters.into_iter().collect(), rules })
    }

    /// Draws a password, every one that meets the rules being equally likely. `random` fills a buffer from a
    /// cryptographic source. [`PasswordPolicyError::TooSeldom`] when none of 2,000 drawn met the rules; whoever stores
    /// a policy tries it once first.
    pub fn generate(&self, random: &mut dyn FnMut(&mut [u8])) -> Result<Protected, PasswordPolicyError> {
        let mut source = Source { random, bytes: [0; 256], used: 256 };
        let mut drawn: Vec<char> = Vec::with_capacity(self.length);
        for _ in 0..MAX_TRIES {
            drawn.clear();
            while drawn.len() < self.length {
                let Some(character) = self.characters.get(source.below(self.characters.len())) else { continue };
                drawn.push(*character);
            }
            // The whole is drawn again, not a part of it changed: that would make some passwords likelier than others.
            let meets = |rule: &Charset| drawn.iter().filter(|c| rule.characters.contains(c)).count() >= rule.at_least;
            if self.rules.iter().all(meets) {
                let mut text = String::with_capacity(self.length * 4);
                text.extend(drawn.iter());
                let password = Protected::copy_of(text.as_bytes());
                text.zeroize();
                drawn.zeroize();
                return Ok(password);
            }
        }
        drawn.zeroize();
        Err(PasswordPolicyError::TooSeldom)
    }
}

/// Random bytes by the block, wiped behind itself.
struct Source<'a> {
    random: &'a mut dyn FnMut(&mut [u8]),
    bytes: [u8; 256],
    used: usize,
}

impl Source<'_> {
    fn byte(&mut self) -> u32 {
        if self.used >= self.bytes.len() {
            (self.random)(&mut self.bytes);
            self.used = 0;
        }
        let byte = self.bytes.get(self.used).copied().unwrap_or_default();
        self.used += 1;
        u32::from(byte)
    }

    /// A number below `bound` (1 to 65,536), all equally likely: what lies above the last whole multiple is drawn again.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound).unwrap_or(1 << 16).clamp(1, 1 << 16);
        let limit = (1 << 16) / bound * bound;
        loop {
            let drawn = self.byte() << 8 | self.byte();
            if drawn < limit {
                return usize::try_from(drawn % bound).unwrap_or_default();
            }
        }
    }
}

impl Drop for Source<'_> {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// The JSON form: `"rule": [{"charset": {…}}, …]` or one object.
fn nested(field: &Field, rules: &mut Vec<Charset>) -> Result<(), PasswordPolicyError> {
    let objects = match &field.value {
        Value::List(objects) => objects.as_slice(),
        one => std::slice::from_ref(one),
    };
    for object in objects {
        let Value::Object(fields) = object else {
            return Err(PasswordPolicyError::UnknownField { line: field.line });
        };
        for inner in fields {
            let blocks = match (inner.name.as_str(), inner.labels.as_slice(), &inner.value) {
                ("charset", [], Value::List(blocks)) => blocks.as_slice(),
                ("charset", [], block) => std::slice::from_ref(block),
                _ => return Err(PasswordPolicyError::UnknownField { line: inner.line }),
            };
            for block in blocks {
                rules.push(charset(block, inner.line)?);
            }
        }
    }
    Ok(())
}

fn charset(value: &Value, line: usize) -> Result<Charset, PasswordPolicyError> {
    let wrong = |line, field, expected| PasswordPolicyError::Value { line, field, expected };
    let Value::Object(fields) = value else { return Err(wrong(line, "rule", "a block")) };
    let (mut characters, mut at_least) = (None, None);
    for field in fields {
        match (field.name.as_str(), &field.value) {
            ("charset", Value::Text(text)) if characters.is_none() && field.labels.is_empty() => {
                let set: BTreeSet<char> = text.chars().collect();
                if set.is_empty() || set.iter().any(|character| is_invisible(*character)) {
                    return Err(wrong(field.line, "charset", "a text of visible characters"));
                }
                characters = Some(set);
            }
            ("charset", _) => return Err(wrong(field.line, "charset", "one text of visible characters")),
            ("min-chars" | "min_chars", value) if at_least.is_none() && field.labels.is_empty() => {
                let least = number(value).ok_or(wrong(field.line, "min-chars", "a number from 0 to 512"))?;
                at_least = Some(least);
            }
            _ => return Err(PasswordPolicyError::UnknownField { line: field.line }),
        }
    }
    let characters = characters.ok_or(wrong(line, "charset", "given in every rule"))?;
    Ok(Charset { characters, at_least: at_least.unwrap_or(0) })
}

fn number(value: &Value) -> Option<usize> {
    let (Value::Number(text) | Value::Text(text)) = value else { return None };
    text.parse().ok().filter(|number| number <= LENGTHS.end())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{DEFAULT, PasswordPolicy, PasswordPolicyError};

    /// A simple generator (splitmix64), seeded: what is tested is what is made of its bytes.
    fn random(seed: u64) -> impl FnMut(&mut [u8]) {
        let mut state = seed;
        move |buffer| {
            for byte in buffer {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                *byte = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb).to_be_bytes()[0];
            }
        }
    }

    fn draw(policy: &PasswordPolicy, seed: u64) -> String {
        let password = policy.generate(&mut random(seed)).unwrap();
        password.expose_str().unwrap().to_owned()
    }

    #[test]
    fn the_default_has_twenty_characters_of_four_kinds() {
        let policy = PasswordPolicy::parse(DEFAULT).unwrap();
        for seed in 0..100 {
            let password = draw(&policy, seed);
            assert_eq!(password.len(), 20);
            assert!(password.contains('-') && password.contains(|c: char| c.is_ascii_digit()));
            assert!(password.contains(|c: char| c.is_ascii_lowercase()));
            assert!(password.contains(|c: char| c.is_ascii_uppercase()));
        }
        assert_ne!(draw(&policy, 1), draw(&policy, 2));
    }

    #[test]
    fn json_says_the_same_as_hcl() {
        let hcl =
            "length = 8 rule \"charset\" { charset = \"ab\" min-chars = 2 } rule \"charset\" { charset = \"éc\" }";
        for json in [
            r#"{"length": 8, "rule": [{"charset": {"charset": "ab", "min-chars": 2}}, {"charset": {"charset": "éc"}}]}"#,
            r#"{"length": "8", "rule": {"charset": [{"charset": "ab", "min-chars": 2}, {"charset": "éc"}]}}"#,
        ] {
            assert_eq!(PasswordPolicy::parse(hcl), PasswordPolicy::parse(json));
        }
    }

    #[test]
    fn every_character_is_equally_likely() {
        // 192 characters do not divide 256 or 65,536: a plain remainder would favour the first ones.
        let characters: String = ('\u{100}'..'\u{1c0}').collect();
        let policy =
            PasswordPolicy::parse(&format!("length = 512 rule \"charset\" {{ charset = {characters:?} }}")).unwrap();
        let mut counts: BTreeMap<char, u32> = BTreeMap::new();
        for seed in 0..200 {
            for character in draw(&policy, seed * 7919).chars() {
                *counts.entry(character).or_default() += 1;
            }
        }
        let expected = f64::from(200 * 512) / 192.0;
        let deviation: f64 = counts.values().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        // Chi-squared with 191 degrees of freedom lies below 270 in all but 0.02 % of cases.
        assert!(counts.len() == 192 && deviation < 270.0, "{} {deviation}", counts.len());
    }

    #[test]
    fn impossible_policies_are_refused() {
        let rule = "rule \"charset\" { charset = \"abc\" min-chars = 1 }";
        for (text, error) in [
            (rule.to_owned(), PasswordPolicyError::Length),
            (format!("length = 3 {rule}"), PasswordPolicyError::Length),
            (format!("length = 513 {rule}"), PasswordPolicyError::Length),
            (format!("length = -1 {rule}"), PasswordPolicyError::Length),
            ("length = 20".to_owned(), PasswordPolicyError::Rules),
            (format!("length = 4 {}", rule.repeat(5)), PasswordPolicyError::TooMany),
            (format!("length = 20 size = 1 {rule}"), PasswordPolicyError::UnknownField { line: 1 }),
            ("length = 20\nrule \"words\" {}".to_owned(), PasswordPolicyError::UnknownField { line: 2 }),
        ] {
            assert_eq!(PasswordPolicy::parse(&text), Err(error), "{text}");
        }
        assert!(PasswordPolicy::parse("length = 20 rule \"charset\" { charset = \"a\\n\" }").is_err());
        assert!(PasswordPolicy::parse("length = 20 rule \"charset\" { min-chars = 1 }").is_err());
    }

    #[test]
    fn rules_that_chance_never_meets_end_in_an_error() {
        let text = "length = 100 rule \"charset\" { charset = \"a\" min-chars = 100 } rule \"charset\" { charset = \"bcdef\" }";
        let policy = PasswordPolicy::parse(text).unwrap();
        assert_eq!(policy.generate(&mut random(1)).err(), Some(PasswordPolicyError::TooSeldom));
    }

    proptest! {
        #[test]
        fn any_text_is_answered_without_a_panic(text in "\\PC{0,60}") {
            let _ = PasswordPolicy::parse(&text);
        }

        #[test]
        fn what_is_generated_meets_the_rules(
            length in 8usize..60, least in 0usize..4, set in "[a-zA-Z0-9é€]{1,20}", other in "[!#%&]{1,4}", seed in any::<u64>(),
        ) {
            let text = format!(
                "length = {length} rule \"charset\" {{ charset = {set:?} min-chars = {least} }} rule \"charset\" {{ charset = {other:?} }}"
            );
            if let Ok(password) = PasswordPolicy::parse(&text).unwrap().generate(&mut random(seed)) {
                let text = password.expose_str().unwrap();
                prop_assert_eq!(text.chars().count(), length);
                prop_assert!(text.chars().filter(|c| set.contains(*c)).count() >= least);
                prop_assert!(text.chars().all(|c| set.contains(c) || other.contains(c)));
            }
        }
    }
}
