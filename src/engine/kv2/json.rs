//! Changes to JSON objects as text: whatever is not changed keeps the bytes that were sent.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use turnlock_core::Protected;
use zeroize::Zeroizing;

use crate::error::Error;

/// One member of an object: its name as it was written and as it is meant, and its value as it was written.
struct Member<'a> {
    written: &'a str,
    name: Cow<'a, str>,
    value: &'a str,
}

/// The members in order. A text that is not an object has none to give.
fn members(text: &str) -> Option<Vec<Member<'_>>> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(&'de RawValue, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    if !is_object(text) {
        return None;
    }
    let raw = serde_json::Deserializer::from_str(text).deserialize_map(Members).ok()?;
    raw.into_iter()
        .map(|(name, value)| {
            let inner = name.get().strip_prefix('"')?.strip_suffix('"')?;
            let meant = match inner.contains('\\') {
                true => Cow::Owned(serde_json::from_str(name.get()).ok()?),
                false => Cow::Borrowed(inner),
            };
            Some(Member { written: name.get(), name: meant, value: value.get() })
        })
        .collect()
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Checks that `text` is an object whose names are unique; two readers could take a name that stands twice for two
/// different values.
pub(super) fn check_object(text: &str) -> Result<(), Error> {
    let not_object = || Error::invalid("field \"data\" must be a JSON object");
    let found = members(text).ok_or_else(not_object)?;
    let mut seen = HashSet::new();
    match found.iter().all(|member| seen.insert(&member.name)) {
        true => Ok(()),
        false => Err(Error::invalid("field \"data\" holds a name twice")),
    }
}

/// Applies a merge patch (RFC 7396) to an object. Members that the patch does not name keep their bytes and order.
pub(super) fn merge_patch(target: &str, patch: &str) -> Result<Protected, Error> {
    // Reserved once: the result is never longer, and growing would leave copies of secrets behind in freed memory.
    let mut out = Zeroizing::new(Vec::with_capacity(target.len() + patch.len() + 2));
    merge(Some(target), patch, &mut out).ok_or_else(|| Error::internal("a stored value or a patch is not JSON"))?;
    Ok(Protected::new(std::mem::take(&mut *out)))
}

fn merge(target: Option<&str>, patch: &str, out: &mut Vec<u8>) -> Option<()> {
    if !is_object(patch) {
        out.extend(patch.as_bytes());
        return Some(());
    }
    let kept = target.filter(|text| is_object(text)).map_or_else(|| Some(Vec::new()), members)?;
    let changes = members(patch)?;
    // The last one of a name counts, as it does for most readers.
    let wanted: HashMap<&str, usize> = changes.iter().enumerate().map(|(at, change)| (&*change.name, at)).collect();
    let last: HashMap<&str, usize> = kept.iter().enumerate().map(|(at, member)| (&*member.name, at)).collect();
    let mut separator = b'{';
    let mut begin = |out: &mut Vec<u8>, written: &str| {
        out.push(separator);
        separator = b',';
        out.extend(written.as_bytes());
        out.push(b':');
    };
    for (at, member) in kept.iter().enumerate() {
        if last.get(&*member.name) != Some(&at) {
            continue;
        }
        match wanted.get(&*member.name).and_then(|change| changes.get(*change)) {
            Some(change) if change.value == "null" => {}
            Some(change) => {
                begin(out, member.written);
                merge(Some(member.value), change.value, out)?;
            }
            None => {
                begin(out, member.written);
                out.extend(member.value.as_bytes());
            }
        }
    }
    for (at, change) in changes.iter().enumerate() {
        let counts = wanted.get(&*change.name) == Some(&at) && !last.contains_key(&*change.name);
        if counts && change.value != "null" {
            begin(out, change.written);
            merge(None, change.value, out)?;
        }
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Some(())
}

/// The object with every value that is not an object replaced by `null`; objects below `depth` levels too, unless
/// `depth` is 0.
pub(super) fn subkeys(text: &str, depth: u64, out: &mut Vec<u8>) -> Result<(), Error> {
    names_only(text, depth, 1, out).ok_or_else(|| Error::internal("a stored value is not JSON"))
}

fn names_only(text: &str, depth: u64, level: u64, out: &mut Vec<u8>) -> Option<()> {
    out.push(b'{');
    for (at, member) in members(text)?.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend(member.written.as_bytes());
        out.push(b':');
        if is_object(member.value) && (depth == 0 || level < depth) {
            names_only(member.value, depth, level + 1, out)?;
        } else {
            out.extend(b"null");
        }
    }
    out.push(b'}');
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::{check_object, merge_patch, subkeys};

    fn merged(target: &str, patch: &str) -> String {
        merge_patch(target, patch).unwrap().expose_str().unwrap().to_owned()
    }

    fn names(text: &str, depth: u64) -> String {
        let mut out = Vec::new();
        subkeys(text, depth, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_a_patch_does_not_name_keeps_its_bytes() {
        assert_eq!(
            merged(r#"{"n": 9007199254740993, "f":1.0,"\u0061":"\u0041","x":1}"#, r#"{"x":null,"y": 2.50}"#),
            r#"{"n":9007199254740993,"f":1.0,"\u0061":"\u0041","y":2.50}"#
        );
        assert_eq!(merged(r#"{"\u0061":1}"#, r#"{"a":2}"#), r#"{"\u0061":2}"#);
    }

    #[test]
    fn the_examples_of_the_standard_hold() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merged(target, patch), result);
        }
    }

    #[test]
    fn subkeys_show_names_and_no_values() {
        let text = r#"{"a":{"b":{"c":"tlk_canary_subkeys"}},"d":[1],"e":{}}"#;
        assert_eq!(names(text, 0), r#"{"a":{"b":{"c":null}},"d":null,"e":{}}"#);
        assert_eq!(names(text, 1), r#"{"a":null,"d":null,"e":null}"#);
        assert_eq!(names(text, 2), r#"{"a":{"b":null},"d":null,"e":{}}"#);
    }

    #[test]
    fn only_objects_with_unique_names_are_taken() {
        assert!(check_object(r#"{"a":1,"b":{"a":1}}"#).is_ok());
        for text in [r#"{"a":1,"\u0061":2}"#, "[1]", "null", "\"text\"", "1"] {
            assert!(check_object(text).is_err(), "{text}");
        }
    }

    /// The pseudo code of RFC 7396 §2.
    fn model(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut target = match target {
            Value::Object(target) => target,
            _ => Map::new(),
        };
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                let old = target.remove(name).unwrap_or(Value::Null);
                target.insert(name.clone(), model(old, value));
            }
        }
        Value::Object(target)
    }

    fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a\"\\\\é\n]{0,3}".prop_map(Value::from)
        ];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[ab\"é]{1,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        proptest::collection::btree_map("[ab\"é]{1,2}", value, 0..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn a_patch_means_what_the_standard_says(target in object(), patch in object()) {
            let result = merged(&target.to_string(), &patch.to_string());
            prop_assert_eq!(serde_json::from_str::<Value>(&result).unwrap(), model(target, &patch));
        }
    }
}
