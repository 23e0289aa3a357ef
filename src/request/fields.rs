//! A JSON body as named fields over one guarded buffer; values stay the bytes that were sent.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use memchr::{memchr, memchr2};
use serde::de::{self, Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use turnlock_core::{Protected, ttl};

use crate::error::Error;

/// Deepest nesting of a body. Deeper ones are refused before anything is parsed.
pub const MAX_DEPTH: usize = 64;

/// Most values and members in one body.
pub const MAX_ITEMS: usize = 50_000;

/// Values that ask for nothing: clients send them for what they leave as it is.
const NOTHING: [&str; 6] = ["null", "false", "0", "\"\"", "[]", "{}"];

/// The top-level fields of a JSON object.
///
/// Each value is kept as the slice that was sent, so that a large number or an odd escape comes back byte for byte,
/// and the only copy of a secret is wiped with the request.
pub struct Fields {
    text: Protected,
    spans: Vec<(String, Range<usize>)>,
    /// Which of them were asked for, in their order: the others had no effect.
    asked: Vec<AtomicBool>,
}

impl Fields {
    /// No fields at all: an absent body.
    pub fn empty() -> Self {
        Self::spanning(Protected::new(Vec::new()), Vec::new())
    }

    /// Parses one JSON object (RFC 8259). Blank text is no fields; anything behind the object, a name that stands
    /// twice, a nesting over [`MAX_DEPTH`] or more than [`MAX_ITEMS`] items is refused with status 400.
    pub fn parse(text: Protected) -> Result<Self, Error> {
        if text.expose().iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::empty());
        }
        check_limits(text.expose())?;
        let Some(body) = text.expose_str() else { return Err(Error::invalid("request body is not valid UTF-8")) };
        let spans = spans_of(body)?;
        Ok(Self::spanning(text, spans))
    }

    fn spanning(text: Protected, spans: Vec<(String, Range<usize>)>) -> Self {
        let asked = spans.iter().map(|_| AtomicBool::new(false)).collect();
        Self { text, spans, asked }
    }

    /// A body that is no JSON: it has no fields, and [`Fields::body`] is all there is.
    pub fn opaque(text: Protected) -> Self {
        Self::spanning(text, Vec::new())
    }

    /// The fields of a value that was serialized here, for calls between engines and for tests.
    pub fn of(value: &impl serde::Serialize) -> Result<Self, Error> {
        Self::parse(Protected::new(serde_json::to_vec(value).map_err(Error::internal)?))
    }

    /// The JSON text of a field, exactly as sent. `null` counts as sent.
    pub fn raw(&self, name: &str) -> Option<&str> {
        let ((_, span), asked) = self.spans.iter().zip(&self.asked).find(|((key, _), _)| key == name)?;
        asked.store(true, Ordering::Relaxed);
        self.text.expose_str()?.get(span.clone())
    }

    /// Names that nobody asked for, with values that ask for something: misspelled, or not supported.
    pub fn without_effect(&self) -> Vec<&str> {
        let asked = self.asked.iter().map(|asked| asked.load(Ordering::Relaxed));
        let ignored = self.iter().zip(asked).filter(|((_, text), asked)| !asked && !NOTHING.contains(text));
        ignored.map(|((name, _), _)| name).collect()
    }

    /// Whether the field was sent and is not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|text| text != "null")
    }

    /// Names and JSON texts in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = self.text.expose_str().unwrap_or_default();
        self.spans.iter().filter_map(move |(name, span)| Some((name.as_str(), text.get(span.clone())?)))
    }

    /// Whether no field was sent.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The whole body as it was sent.
    pub fn body(&self) -> &Protected {
        for asked in &self.asked {
            asked.store(true, Ordering::Relaxed);
        }
        &self.text
    }

    /// The fields of these names alone, for endpoints that set one thing and take no other along.
    pub fn restricted_to(&self, names: &[&str]) -> Result<Self, Error> {
        let kept: BTreeMap<&str, &RawValue> = names
            .iter()
            .filter_map(|name| Some((*name, self.raw(name)?)))
            .map(|(name, text)| serde_json::from_str(text).map(|value| (name, value)))
            .collect::<Result<_, _>>()
            .map_err(Error::internal)?;
        Self::of(&kept)
    }

    /// Refuses fields that are not in `known`; for endpoints that have no older clients to be lenient with.
    pub fn only(&self, known: &[&str]) -> Result<(), Error> {
        match self.spans.iter().all(|(name, _)| known.contains(&name.as_str())) {
            true => Ok(()),
            false => Err(Error::invalid(format!("unknown field in request; known are {}", known.join(", ")))),
        }
    }

    /// Deserializes a field with serde.
    pub fn typed<T: de::DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, Error> {
        match self.raw(name) {
            None | Some("null") => Ok(None),
            Some(text) => serde_json::from_str(text).map(Some).map_err(|_| wrong_type(name)),
        }
    }

    /// Text. Numbers and booleans are taken as their text, as clients of the protocol expect.
    pub fn string(&self, name: &'static str) -> Result<Option<String>, Error> {
        Ok(self.protected(name)?.and_then(|value| value.expose_str().map(str::to_owned)))
    }

    /// Text, required and not empty.
    pub fn required_string(&self, name: &'static str) -> Result<String, Error> {
        self.string(name)?.filter(|text| !text.is_empty()).ok_or_else(|| Error::missing(name))
    }

    /// Text that is a secret.
    pub fn protected(&self, name: &'static str) -> Result<Option<Protected>, Error> {
        match self.raw(name) {
            None | Some("null") => Ok(None),
            Some(text) if text.starts_with('"') => serde_json::from_str::<String>(text)
                .map(|text| Some(Protected::from(text)))
                .map_err(|_| wrong_type(name)),
            Some(text) if text.starts_with(['{', '[']) => Err(wrong_type(name)),
            Some(text) => Ok(Some(Protected::copy_of(text.as_bytes()))),
        }
    }

    /// A duration: seconds as a number or text, or text with units.
    pub fn duration(&self, name: &'static str) -> Result<Option<Duration>, Error> {
        match self.string(name)? {
            None => Ok(None),
            Some(text) => {
                ttl::parse(&text).map(Some).map_err(|reason| Error::invalid(format!("field {name:?}: {reason}")))
            }
        }
    }

    /// A whole number ≥ 0, also as text.
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, Error> {
        match self.string(name)? {
            None => Ok(None),
            Some(text) => text.trim().parse().map(Some).map_err(|_| wrong_type(name)),
        }
    }

    /// A boolean, also as text or 0 and 1.
    pub fn flag(&self, name: &'static str) -> Result<Option<bool>, Error> {
        match self.string(name)?.as_deref() {
            None => Ok(None),
            Some("true" | "True" | "TRUE" | "1" | "t" | "T") => Ok(Some(true)),
            Some("false" | "False" | "FALSE" | "0" | "f" | "F") => Ok(Some(false)),
            Some(_) => Err(wrong_type(name)),
        }
    }

    /// A list of texts: a JSON array, or one text with commas. Blanks around items and empty items are dropped.
    pub fn list(&self, name: &'static str) -> Result<Option<Vec<String>>, Error> {
        let items: Vec<String> = match self.raw(name) {
            None | Some("null") => return Ok(None),
            Some(text) if text.starts_with('[') => serde_json::from_str(text).map_err(|_| wrong_type(name))?,
            Some(_) => self.string(name)?.unwrap_or_default().split(',').map(str::to_owned).collect(),
        };
        Ok(Some(items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()).map(str::to_owned).collect()))
    }

    /// A map of texts: a JSON object with text values, or such an object written as text, or `k=v` pairs with commas.
    pub fn map(&self, name: &'static str) -> Result<Option<BTreeMap<String, String>>, Error> {
        match self.raw(name) {
            None | Some("null") => Ok(None),
            Some(text) if text.starts_with('{') => serde_json::from_str(text).map(Some).map_err(|_| wrong_type(name)),
            Some(_) => {
                let text = self.string(name)?.unwrap_or_default();
                if text.trim().is_empty() {
                    return Ok(Some(BTreeMap::new()));
                }
                if text.trim_start().starts_with('{') {
                    return serde_json::from_str(&text).map(Some).map_err(|_| wrong_type(name));
                }
                let pair = |item: &str| {
                    item.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
                };
                text.split(',').map(pair).collect::<Option<_>>().map(Some).ok_or_else(|| wrong_type(name))
            }
        }
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.spans.iter().map(|(name, _)| name)).finish()
    }
}

fn wrong_type(name: &str) -> Error {
    Error::invalid(format!("field {name:?} has the wrong type"))
}

/// Passes without recursion or allocation, so that a hostile body costs no more than its length, and one that is nested too
/// deeply no more than its beginning.
fn check_limits(text: &[u8]) -> Result<(), Error> {
    let (mut depth, mut items, mut rest) = (0usize, 0usize, text.iter());
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => skip_string(&mut rest),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' | b':' => items += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Error::invalid(format!("request body is nested deeper than {MAX_DEPTH} levels")));
        }
        if items > MAX_ITEMS {
            return Err(Error::invalid(format!("request body has more than {MAX_ITEMS} items")));
        }
    }
    if has_half_a_character(text) {
        return Err(Error::invalid(
            "request body escapes half a character (\\ud800 to \\udfff without its other half)",
        ));
    }
    Ok(())
}

/// Goes behind the quotation mark that ends a string.
fn skip_string(rest: &mut std::slice::Iter<'_, u8>) {
    while let Some(at) = memchr2(b'"', b'\\', rest.as_slice()) {
        match rest.nth(at) {
            Some(b'\\') => drop(rest.next()),
            _ => return,
        }
    }
    *rest = [].iter();
}

/// Whether an escape names a surrogate without the other one. It is no text: clients read it differently or not at all.
fn has_half_a_character(text: &[u8]) -> bool {
    let unit = |escape: &[u8]| {
        let digits = escape.strip_prefix(b"\\u")?.get(..4)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        rest = rest.get(at..).unwrap_or_default();
        let length = match unit(rest) {
            Some(0xd800..=0xdbff) => match rest.get(6..).and_then(unit) {
                Some(0xdc00..=0xdfff) => 12,
                _ => return true,
            },
            Some(0xdc00..=0xdfff) => return true,
            Some(_) => 6,
            None => 2,
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    false
}

fn spans_of(body: &str) -> Result<Vec<(String, Range<usize>)>, Error> {
    struct Members<'a>(&'a str);
    impl<'de> Visitor<'de> for Members<'de> {
        type Value = Vec<(String, Range<usize>)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut seen = HashSet::new();
            let mut spans = Vec::new();
            while let Some(name) = map.next_key::<String>()? {
                let value: &'de RawValue = map.next_value()?;
                let start = value.get().as_ptr() as usize - self.0.as_ptr() as usize;
                if !seen.insert(name.clone()) {
                    return Err(de::Error::custom("duplicate"));
                }
                spans.push((name, start..start + value.get().len()));
            }
            Ok(spans)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(body);
    // The parser's own text would repeat bytes of the body, so only the place is passed on.
    let malformed = |error: serde_json::Error| {
        Error::invalid(format!(
            "request body is not one JSON object with unique names (line {}, column {})",
            error.line(),
            error.column()
        ))
    };
    let spans = deserializer.deserialize_map(Members(body)).map_err(malformed)?;
    deserializer.end().map_err(malformed)?;
    Ok(spans)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use proptest::prelude::*;
    use turnlock_core::Protected;

    use super::Fields;

    fn fields(text: &str) -> Fields {
        Fields::parse(Protected::copy_of(text.as_bytes())).unwrap()
    }

    fn refused(text: &str) -> String {
        Fields::parse(Protected::copy_of(text.as_bytes())).unwrap_err().to_string()
    }

    #[test]
    fn values_come_back_byte_for_byte() {
        let body = fields(r#"{"data": {"n": 9007199254740993, "f": 1.0, "s": "\u0041"} , "x":null}"#);
        assert_eq!(body.raw("data"), Some(r#"{"n": 9007199254740993, "f": 1.0, "s": "\u0041"}"#));
        assert!(!body.has("x") && body.has("data"));
    }

    #[test]
    fn numbers_and_texts_stand_for_each_other() {
        let body = fields(
            r#"{"a":"3600","b":3600,"c":"1h","d":true,"e":"false","f":"x, y,,z","g":["x","y"],"h":{"k":"v"},"i":"{\"k\":\"v\"}","j":"k=v"}"#,
        );
        for name in ["a", "b", "c"] {
            assert_eq!(body.duration(name).unwrap(), Some(Duration::from_secs(3600)));
        }
        assert_eq!((body.flag("d").unwrap(), body.flag("e").unwrap()), (Some(true), Some(false)));
        assert_eq!(body.list("f").unwrap().unwrap(), ["x", "y", "z"]);
        assert_eq!(body.list("g").unwrap().unwrap(), ["x", "y"]);
        for name in ["h", "i", "j"] {
            assert_eq!(body.map(name).unwrap().unwrap().get("k").map(String::as_str), Some("v"));
        }
    }

    #[test]
    fn what_is_not_one_object_is_refused_without_repeating_it() {
        for text in [
            "[1]",
            "{\"a\":1}{\"b\":2}",
            "{\"a\":1} x",
            "{not json",
            "\"tlk_canary_body\"",
            "{\"tlk_canary_body\":1,\"tlk_canary_body\":2}",
            "1",
        ] {
            assert!(!refused(text).contains("canary"), "{}", refused(text));
        }
    }

    #[test]
    fn half_a_character_is_refused_and_a_whole_one_is_not() {
        for text in [
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00\ud800"}"#,
            r#"{"a":"\ud83d\u0041"}"#,
            r#"{"\uDBFF":1}"#,
            r#"{"a":"\ud83dx"}"#,
        ] {
            assert!(refused(text).contains("half a character"), "{text}");
        }
        for text in [r#"{"a":"\ud83d\uDD11"}"#, r#"{"a":"\\ud800"}"#, r#"{"a":"\u00e9\n\\"}"#, r#"{"a":"\\\\udc00"}"#] {
            fields(text);
        }
    }

    #[test]
    fn what_nobody_asked_for_and_asks_for_something_is_named() {
        let body =
            fields(r#"{"ttl":"1h","tll":"1h","local":true,"seal_wrap":false,"options":{},"name":"","x":null,"n":0}"#);
        body.duration("ttl").unwrap();
        assert_eq!(body.without_effect(), ["tll", "local"]);
        body.restricted_to(&["local"]).unwrap();
        assert_eq!(body.without_effect(), ["tll"]);
        body.body();
        assert!(body.without_effect().is_empty());
    }

    #[test]
    fn deep_and_wide_bodies_are_refused() {
        assert!(refused(&format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000))).contains("deeper"));
        assert!(refused(&format!("{{\"a\":[{}1]}}", "1,".repeat(100_000))).contains("items"));
    }

    proptest! {
        #[test]
        fn no_body_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Fields::parse(Protected::new(bytes));
        }
    }
}
