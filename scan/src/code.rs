//! What program code has where a value could stand: types, addresses of literals, numbers, constants that are named as what
//! they hold. None of it is a credential.

use crate::setting::Form;

/// Types of numbers and of bytes in Go and languages near it.
const TYPES: &[&str] = &[
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "complex64",
    "complex128",
];

/// Most digits of a number in hexadecimal that a program computes with.
const NUMBER_DIGITS: usize = 16;

/// Shortest value that a name is said to repeat.
const MIN_REPEATED: usize = 6;

/// Whether `value`, in this form and behind `between`, which parts it from the name, is code.
pub(crate) fn is_code(between: &[u8], value: &[u8], form: Form) -> bool {
    is_characters(value)
        || (form != Form::Quoted
            && (is_type(between, value) || is_address_of_literal(value) || is_number(value) || is_index_or_cast(value)))
}

/// Whether `name` ends in what its value says: `KeyFormatX9Tr34 = "X9_TR34"`.
pub(crate) fn repeats(name: &[u8], value: &[u8]) -> bool {
    let plain = |text: &[u8]| -> Vec<u8> {
        text.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
    };
    let (name, value) = (plain(name), plain(value));
    value.len() >= MIN_REPEATED && value.len() < name.len() && name.ends_with(&value)
}

/// `password *uint16`, `Client s3iface.S3API`, `[]uint16{`: a type, behind nothing but blanks if it could be something else.
fn is_type(between: &[u8], value: &[u8]) -> bool {
    let pointed = value.strip_prefix(b"*").unwrap_or(value);
    let is_declared = between.iter().all(u8::is_ascii_whitespace);
    let is_identifier = |text: &[u8]| {
        text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(|byte| byte.is_ascii_alphanumeric())
    };
    let is_of_package = || match pointed.iter().position(|byte| *byte == b'.') {
        Some(at) => {
            let (package, name) = pointed.split_at(at);
            let name = name.get(1..).unwrap_or_default();
            is_identifier(package)
                && is_identifier(name)
                && !package.iter().any(u8::is_ascii_uppercase)
                && name.first().is_some_and(u8::is_ascii_uppercase)
        }
        None => pointed.len() < value.len() && is_identifier(pointed),
    };
    TYPES.iter().any(|name| name.as_bytes() == pointed)
        || (between.ends_with(b"[") && value.starts_with(b"]"))
        || (is_declared && is_of_package())
}

/// `&corev1.Secret{`, `&ClientV2{}`.
fn is_address_of_literal(value: &[u8]) -> bool {
    let Some(rest) = value.strip_prefix(b"&") else { return false };
    let name = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')).count();
    name > 0 && rest.get(name) == Some(&b'{')
}

/// `-0x7fdf969b`, `0x53c237_53c237`.
fn is_number(value: &[u8]) -> bool {
    let positive = value.strip_prefix(b"-").unwrap_or(value);
    let Some(digits) = positive.strip_prefix(b"0x") else { return false };
    let is_marked = positive.len() < value.len() || digits.contains(&b'_');
    is_marked && digits.len() <= NUMBER_DIGITS && digits.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'_')
}

/// `d[0].Target`, `*rfc3339)(&at)`.
fn is_index_or_cast(value: &[u8]) -> bool {
    let holds = |part: &[u8]| memchr::memmem::find(value, part).is_some();
    (value.first().is_some_and(u8::is_ascii_alphabetic) && value.contains(&b'[') && holds(b"].")) || holds(b")(&")
}

/// `\U0001f511`: characters beyond ASCII, written by their numbers.
fn is_characters(value: &[u8]) -> bool {
    let mut rest = value;
    while let [b'\\', kind @ (b'u' | b'U'), digits @ ..] = rest {
        let Some((number, after)) = digits.split_at_checked(if *kind == b'u' { 4 } else { 8 }) else { return false };
        // A letter or a digit by its number is one of a credential.
        let is_ascii = number.iter().rev().skip(2).all(|digit| *digit == b'0');
        if is_ascii || !number.iter().all(u8::is_ascii_hexdigit) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::{Form, is_code, repeats};

    #[test]
    fn code_is_told_from_what_could_be_a_credential() {
        for (between, value, form) in [
            (" ", "*uint16", Form::Line),
            (" = ", "uint16", Form::Line),
            ("  ", "*ClientV2", Form::Line),
            ("  ", "s3iface.S3API", Form::Line),
            (" = [", "]uint16{VersionTLS13}", Form::Line),
            (" := ", "&corev1.Secret{", Form::Line),
            (" = ", "&ClientV2{}", Form::Line),
            (" = ", "-0x7fdf969b", Form::Line),
            (" = ", "0x53c237_53c237", Form::Line),
            (" := ", "d[0].Target", Form::Line),
            (" = (", "*rfc3339)(&expiresAt)", Form::Bare),
            (": \"", "\\U0001f5dd\\ufe0f", Form::Quoted),
        ] {
            assert!(is_code(between.as_bytes(), value.as_bytes(), form), "{value}");
        }
        for (between, value, form) in [
            ("=", "*ClientV2", Form::Line),
            (" ", "q8Zr4Lk0.Pw2Vx7", Form::Line),
            ("=", "s3iface.S3API", Form::Line),
            ("=", "&corev1.Secret", Form::Line),
            (" = ", "0x9f3c1e77ab0d4c55", Form::Line),
            (" = ", "q8Zr4Lk0Pw2Vx7Nd5key", Form::Line),
            (": \"", "\\u0071\\u0038", Form::Quoted),
            (": \"", "", Form::Quoted),
        ] {
            assert_eq!(is_code(between.as_bytes(), value.as_bytes(), form), value.is_empty(), "{value}");
        }
    }

    #[test]
    fn a_constant_that_is_named_as_its_value_is_none() {
        for (name, value) in [
            ("KeyBlockFormatX9Tr342012", "X9_TR34_2012"),
            ("QualityMultiPassHq", "MULTI_PASS_HQ"),
            ("TypeWpa2Psk", "WPA2_PSK"),
        ] {
            assert!(repeats(name.as_bytes(), value.as_bytes()), "{name}");
        }
        for (name, value) in [("PASSWORD", "password"), ("db_password", "hunter22"), ("KeyTr34", "TR34")] {
            assert!(!repeats(name.as_bytes(), value.as_bytes()), "{name}");
        }
    }
}
