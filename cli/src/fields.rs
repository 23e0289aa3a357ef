//! What a command shall write: `key=value`, `key=@file`, `key=-`, `@file.json` and `-`, as one JSON object.

use std::io::{IsTerminal as _, Read as _};

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output::{note, printable};
use crate::terminal;

/// Largest file or input that is read: the largest request that a server takes.
const LIMIT_BYTES: u64 = 32 * 1024 * 1024;

/// Where values come from that are not on the command line.
pub(crate) trait Source {
    /// All of standard input.
    fn input(&mut self) -> Result<Zeroizing<Vec<u8>>, Failure>;
    /// One value, for `key`.
    fn value(&mut self, key: &str) -> Result<Zeroizing<Vec<u8>>, Failure>;
    /// All of a file.
    fn file(&mut self, path: &str) -> Result<Zeroizing<Vec<u8>>, Failure>;
}

/// Standard input and the file system.
pub(crate) struct Machine;

impl Source for Machine {
    fn input(&mut self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        read("standard input", std::io::stdin().lock())
    }

    /// A terminal is asked, without echo and for one line; anything else gives its bytes as they are.
    fn value(&mut self, key: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if std::io::stdin().is_terminal() {
            return Ok(terminal::secret(&printable(key))?.into_inner());
        }
        let bytes = self.input()?;
        if bytes.iter().position(|byte| *byte == b'\n').is_some_and(|at| at + 1 == bytes.len()) {
            let key = printable(key);
            note(&format!("turnlock: note: the value of {key} ends with a line feed, which is kept"));
        }
        Ok(bytes)
    }

    fn file(&mut self, path: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let file = std::fs::File::open(path).map_err(|error| Failure::file(path, &error))?;
        read(path, file)
    }
}

fn read(what: &str, from: impl std::io::Read) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024));
    from.take(LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(|error| Failure::file(what, &error))?;
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(Failure::local(format!("{what} is larger than the 32 MiB that a server takes")));
    }
    Ok(bytes)
}

/// Reads `arguments` as the fields of one object. A key that comes twice becomes a list, as with Vault.
///
/// `key=\@text` is the text `@text`. Errors name the key, never the value.
pub(crate) fn parse(arguments: &[String], source: &mut dyn Source) -> Result<Map<String, Value>, Failure> {
    let mut fields = Map::new();
    let mut input_used = false;
    let mut input_once = |source: &mut dyn Source, key: Option<&str>| {
        if std::mem::replace(&mut input_used, true) {
            return Err(Failure::local("standard input can be read only once"));
        }
        match key {
            Some(key) => source.value(key),
            None => source.input(),
        }
    };
    for argument in arguments {
        if argument == "-" {
            merge(&mut fields, "standard input", &input_once(source, None)?)?;
            continue;
        }
        if let Some(path) = argument.strip_prefix('@') {
            merge(&mut fields, path, &source.file(path)?)?;
            continue;
        }
        let Some((key, value)) = argument.split_once('=') else {
            return Err(Failure::local("an argument is neither key=value nor @file nor -")
                .hint("write `key=-` and give the value on standard input: other users can read arguments"));
        };
        if key.is_empty() {
            return Err(Failure::local("an argument has nothing before its ="));
        }
        let value = match value.strip_prefix('@') {
            _ if value == "-" => text(key, &input_once(source, Some(key))?)?,
            Some(path) => text(key, &source.file(path)?)?,
            None => value.strip_prefix('\\').filter(|rest| rest.starts_with('@')).unwrap_or(value).to_owned(),
        };
        add(&mut fields, key, Value::String(value));
    }
    Ok(fields)
}

/// `fields` as the bytes of a request, in a buffer that is wiped.
pub(crate) fn body(value: &impl serde::Serialize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut json = Zeroizing::new(Vec::with_capacity(64 * 1024));
    serde_json::to_writer(&mut *json, value).map_err(|_| Failure::local("the request cannot be written as JSON"))?;
    Ok(json)
}

fn text(key: &str, bytes: &[u8]) -> Result<String, Failure> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| {
        Failure::local(format!("the value of {key} is not UTF-8 text"))
            .hint("encode binary values, for example with base64")
    })
}

fn merge(fields: &mut Map<String, Value>, what: &str, bytes: &[u8]) -> Result<(), Failure> {
    // The parser's own message would repeat bytes of the input.
    let object: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| {
        Failure::local(format!("{what} is not a JSON object (line {}, column {})", error.line(), error.column()))
    })?;
    if holds_inexact_number(bytes) {
        return Err(Failure::local(format!("{what} holds a number that JSON numbers cannot carry exactly"))
            .hint("write it as a string"));
    }
    for (key, value) in object {
        fields.insert(key, value);
    }
    Ok(())
}

/// Whether a number of the document would change its digits on the way through a 64-bit number.
fn holds_inexact_number(bytes: &[u8]) -> bool {
    fn inexact(raw: &RawValue) -> bool {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') => serde_json::from_str::<std::collections::BTreeMap<String, &RawValue>>(text)
                .is_ok_and(|members| members.values().any(|member| inexact(member))),
            Some(b'[') => {
                serde_json::from_str::<Vec<&RawValue>>(text).is_ok_and(|items| items.iter().any(|item| inexact(item)))
            }
            Some(b'-' | b'0'..=b'9') => {
                let integer = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
                integer && text.parse::<i64>().is_err() && text.parse::<u64>().is_err()
            }
            _ => false,
        }
    }
    serde_json::from_slice::<&RawValue>(bytes).is_ok_and(inexact)
}

fn add(fields: &mut Map<String, Value>, key: &str, value: Value) {
    match fields.get_mut(key) {
        None => {
            fields.insert(key.to_owned(), value);
        }
        Some(Value::Array(list)) => list.push(value),
        Some(earlier) => {
            let first = earlier.take();
            *earlier = Value::Array(vec![first, value]);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    struct Fixed;

    impl Source for Fixed {
        fn input(&mut self) -> Result<Zeroizing<Vec<u8>>, Failure> {
            Ok(Zeroizing::new(b"{\"from\":\"input\"}".to_vec()))
        }

        fn value(&mut self, _key: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
            self.input()
        }

        fn file(&mut self, path: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
            match path {
                "broken" => Ok(Zeroizing::new(b"{\"a\": tlk_canary_broken}".to_vec())),
                "binary" => Ok(Zeroizing::new(vec![0xff, 0xfe])),
                "huge" => Ok(Zeroizing::new(b"{\"a\":[123456789012345678901234567890]}".to_vec())),
                _ => Ok(Zeroizing::new(b"{\"n\":9007199254740993,\"deep\":{\"a\":[1]}}".to_vec())),
            }
        }
    }

    fn fields(arguments: &[&str]) -> Result<Value, Failure> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        parse(&arguments, &mut Fixed).map(Value::Object)
    }

    #[test]
    fn values_may_hold_equals_signs_and_be_empty() {
        assert_eq!(fields(&["a=b=c", "empty="]).unwrap(), json!({"a": "b=c", "empty": ""}));
    }

    #[test]
    fn values_come_from_files_and_standard_input() {
        assert_eq!(
            fields(&["file=@x", "input=-"]).unwrap(),
            json!({"file": "{\"n\":9007199254740993,\"deep\":{\"a\":[1]}}", "input": "{\"from\":\"input\"}"}),
        );
    }

    #[test]
    fn whole_objects_keep_their_types() {
        assert_eq!(fields(&["@x"]).unwrap(), json!({"n": 9_007_199_254_740_993_u64, "deep": {"a": [1]}}));
        assert_eq!(fields(&["-", "k=v"]).unwrap(), json!({"from": "input", "k": "v"}));
    }

    #[test]
    fn an_escaped_at_sign_is_text() {
        assert_eq!(fields(&["a=\\@x", "b=\\n"]).unwrap(), json!({"a": "@x", "b": "\\n"}));
    }

    #[test]
    fn a_key_that_comes_twice_becomes_a_list() {
        assert_eq!(fields(&["p=a", "p=b", "p=c"]).unwrap(), json!({"p": ["a", "b", "c"]}));
    }

    #[test]
    fn standard_input_is_read_only_once() {
        assert!(fields(&["a=-", "b=-"]).is_err());
        assert!(fields(&["-", "b=-"]).is_err());
    }

    #[test]
    fn numbers_that_would_lose_digits_are_refused() {
        assert!(fields(&["@huge"]).is_err());
    }

    #[test]
    fn errors_do_not_repeat_the_input() {
        for arguments in [["tlk_canary_bare"], ["@broken"], ["a=@binary"], ["=tlk_canary_nameless"]] {
            let failure = fields(&arguments).unwrap_err();
            assert!(!failure.lines().contains("tlk_canary"), "{}", failure.lines());
        }
    }

    proptest! {
        #[test]
        fn plain_values_arrive_byte_for_byte(key in "[a-z_]{1,8}", value in "[^@\\\\-]\\PC{0,20}") {
            let argument = format!("{key}={value}");
            prop_assert_eq!(fields(&[&argument]).unwrap(), json!({key: value}));
        }
    }
}
