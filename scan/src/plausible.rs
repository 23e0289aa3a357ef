//! Whether a value only stands for a credential: a template, an example, a word of the trade.

/// Parts of words that authors of examples write where a credential would stand, in lower case.
const STAND_INS: &[&str] = &[
    "example",
    "changeme",
    "change_me",
    "change-me",
    "placeholder",
    "your_",
    "your-",
    "yourpass",
    "yourtoken",
    "yoursecret",
    "yourkey",
    "yourapi",
    "xxxxx",
    "*****",
    ".....",
    "-----",
    "_____",
    "#####",
    "dummy",
    "redacted",
    "fixme",
    "fake",
    "notreal",
    "not_real",
    "not-a-real",
    "foobar",
    "undefined",
    "goes_here",
    "goes-here",
    "enter_",
    "secret_here",
    "lorem",
    "0001020304",
    "000000000000",
    "ffffffffffff",
    "my_secret",
    "my-secret",
    "mysecret",
    "my_password",
    "mypassword",
    "some_secret",
    "some-secret",
    "somesecret",
];

/// The same, but parts of other words too: they count where a word begins.
const STAND_IN_WORDS: &[&str] = &["insert", "todo", "sample", "replace", "null"];

/// Runs that authors of examples type where a random value would stand, in lower case.
const RUNS: &[&str] = &["00000000", "11111111", "123456789", "abcdefgh", "qwertyui", "aaaaaa", "deadbeef"];

/// Values that are a word of the trade and no credential, in lower case.
const WORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secrets",
    "token",
    "tokens",
    "apikey",
    "api_key",
    "api-key",
    "true",
    "false",
    "none",
    "nil",
    "bearer",
    "basic",
    "string",
    "username",
    "optional",
    "required",
    "default",
    "hidden",
    "private",
    "public",
    "credentials",
    "authorization",
    "text",
    "input",
    "localhost",
    "test",
    "testing",
    "testpass",
    "admin",
    "root",
    "postgres",
    "mysql",
    "guest",
    "user",
    "pass",
    "demo",
    "value",
    "enabled",
    "disabled",
    "unknown",
    "anonymous",
    "postgresql",
    "rabbitmq",
    "redis",
    "mongodb",
    "development",
    "production",
    "staging",
    "passwort",
    "kennwort",
    "wachtwoord",
    "motdepasse",
    "contraseña",
    "contrasena",
    "senha",
    "parola",
    "hasło",
    "haslo",
    "heslo",
    "jelszo",
    "salasana",
    "lösenord",
    "foo",
    "bar",
    "baz",
    "qux",
];

/// Values that standards show as examples (RFC 5849, 6455, 6749, 7009, OpenID Connect Core), in lower case.
const STANDARD_EXAMPLES: &[&str] = &[
    "2yotnfzfejr1zcsicmwpaa",
    "tgzv3jokf0xg5qx2tlkwia",
    "czzcagrsa3f0mzpnwdfmqmf0m2jw",
    "gx1fbat3bv",
    "7fjfp0zbr1ktdrbnfvdmiw",
    "h480djs93hd8",
    "ad180jjd733klru7",
    "0685bd9184jfhq22",
    "45ghiukldjahdnhzdauz",
    "dghlihnhbxbszsbub25jzq",
    "slav32hkkg",
];

/// Whether `value` merely stands for a credential: a template, a word of the trade, one repeated character, a run of
/// the alphabet.
pub(crate) fn stands_in(value: &[u8]) -> bool {
    names_none(value) || holds_any(value, RUNS) || is_run(&value.to_ascii_lowercase()) || is_typed(value)
}

/// The same for a value that is known to be of a credential's form: runs alone do not speak against it.
pub(crate) fn names_none(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    is_template(value)
        || WORDS.iter().any(|word| word.as_bytes() == lower.as_slice())
        || is_example(value)
        || STAND_IN_WORDS.iter().any(|word| begins_within(value, word.as_bytes()))
        || distinct(&lower) < 4.min(value.len())
}

/// Whether `value` says that it is an example, or standards show it as one.
pub(crate) fn is_example(value: &[u8]) -> bool {
    holds_any(value, STAND_INS) || holds_any(value, STANDARD_EXAMPLES)
}

/// What is left of `value` without words and runs that stand in for a credential, if it holds one. Random text and
/// passwords of several words have them by chance.
pub(crate) fn without_chance_words(value: &[u8]) -> Option<Vec<u8>> {
    let mut rest = value.to_vec();
    for word in STAND_IN_WORDS.iter().chain(RUNS) {
        while let Some(at) = memchr::memmem::find(&rest.to_ascii_lowercase(), word.as_bytes()) {
            rest.drain(at..at + word.len());
        }
    }
    (rest.len() < value.len()).then_some(rest)
}

/// Whether `word` stands in `value` where a word begins: behind no letter, or as `Word` behind a small one.
fn begins_within(value: &[u8], word: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    memchr::memmem::find_iter(&lower, word).any(|at| {
        let before = at.checked_sub(1).and_then(|at| value.get(at));
        before.is_none_or(|before| {
            !before.is_ascii_alphabetic()
                || (before.is_ascii_lowercase() && value.get(at).is_some_and(u8::is_ascii_uppercase))
        })
    })
}

fn holds_any(value: &[u8], parts: &[&str]) -> bool {
    let lower = value.to_ascii_lowercase();
    parts.iter().any(|part| memchr::memmem::find(&lower, part.as_bytes()).is_some())
}

/// Whether `value` is the name of an account whose password often is the same.
pub(crate) fn is_account(value: &[u8]) -> bool {
    const ACCOUNTS: [&[u8]; 8] = [b"admin", b"root", b"postgres", b"mysql", b"guest", b"test", b"demo", b"user"];
    ACCOUNTS.iter().any(|account| account.eq_ignore_ascii_case(value))
}

/// A reference to a value elsewhere, or the output of `x` in backticks.
pub(crate) fn is_template(value: &[u8]) -> bool {
    is_reference(value) || value.iter().filter(|byte| **byte == b'`').count() >= 2
}

/// A reference to a value elsewhere: `${X}`, `{{ x }}`, `<x>`, `%X%`, `$(x)`, `$X`, `[x]`, `env:X`.
pub(crate) fn is_reference(value: &[u8]) -> bool {
    let holds = |part: &[u8]| memchr::memmem::find(value, part).is_some();
    let wrapped = |open: u8, close: u8| value.first() == Some(&open) && value.last() == Some(&close);
    holds(b"${")
        || holds(b"{{")
        || holds(b"}}")
        || holds(b"$(")
        || holds(b"#{")
        || holds(b"%(")
        || holds(b"<%")
        || holds(b"@{")
        || holds(b"$[")
        || wrapped(b'`', b'`')
        || wrapped(b'<', b'>')
        || wrapped(b'%', b'%')
        || wrapped(b'{', b'}')
        || wrapped(b'[', b']')
        || wrapped(b'(', b')')
        || wrapped(b'_', b'_')
        || (value.first() == Some(&b'$')
            && value.get(1).is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
            && value
                .iter()
                .skip(1)
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'>' | b'-')))
        || value.starts_with(b"[]")
        || is_address_or_type(value)
        || value.starts_with(b"turnlock://")
        || value.starts_with(b"vault:")
        || value.starts_with(b"op://")
        || value.starts_with(b"env:")
        || value.starts_with(b"arn:aws:")
}

/// What program code takes the address of, or points to: `&entries[0]`, `*tls.Secret`, `*(*uint32)(key)`.
fn is_address_or_type(value: &[u8]) -> bool {
    let Some((b'*' | b'&', rest)) = value.split_first() else { return false };
    let of_code =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'[' | b']' | b'(' | b')' | b'*');
    rest.iter().all(of_code) && rest.iter().any(|byte| matches!(byte, b'.' | b'[' | b'('))
}

fn distinct(value: &[u8]) -> usize {
    let mut seen = [false; 256];
    value
        .iter()
        .filter(|byte| seen.get_mut(usize::from(**byte)).is_some_and(|seen| !std::mem::replace(seen, true)))
        .count()
}

/// Whether a person typed `value` in the order of the alphabet: runs make up half of it, or its letters by themselves are
/// one (`a1b2c3d4e5f6`), or letters and digits are one each (`1a2b3c4d`).
pub(crate) fn is_typed(value: &[u8]) -> bool {
    const LEAST: usize = 8;
    let lower = value.to_ascii_lowercase();
    const SHORT: usize = 4;
    let in_order = |pair: &[u8]| matches!(pair, [a, b] if b.wrapping_sub(*a) == 1);
    let steps: Vec<bool> = lower.windows(2).map(in_order).collect();
    let runs: Vec<usize> = steps.split(|step| !step).map(|run| run.len() + 1).filter(|run| *run >= SHORT).collect();
    let (longest, together) = (runs.iter().copied().max().unwrap_or(1), runs.iter().sum::<usize>());
    let letters: Vec<u8> = lower.iter().copied().filter(u8::is_ascii_alphabetic).collect();
    let by_letters = letters.len() >= LEAST && letters.len() * 3 >= lower.len() && is_run(&letters);
    let digits: Vec<u8> = lower.iter().copied().filter(u8::is_ascii_digit).collect();
    let ordered = |part: &[u8]| part.len() >= SHORT && part.windows(2).all(in_order);
    let by_turns = letters.len() + digits.len() == lower.len() && ordered(&letters) && ordered(&digits);
    by_turns
        || (longest >= LEAST && longest * 2 >= value.len())
        || (runs.len() > 1 && together * 2 >= value.len())
        || by_letters
}

/// Whether nearly every byte follows its neighbour by one: `abcdef`, `123456`.
pub(crate) fn is_run(value: &[u8]) -> bool {
    let steps = value.iter().zip(value.iter().skip(1)).filter(|(a, b)| b.wrapping_sub(**a) <= 1).count();
    value.len() >= 8 && steps * 10 >= (value.len() - 1) * 8
}

#[cfg(test)]
mod tests {
    use super::{is_typed, stands_in};

    #[test]
    fn what_is_typed_in_order_is_told_from_what_was_drawn() {
        for value in
            ["sk_abcdefghijklmnopqrstuvwxyz123", "a1b2c3d4e5f6g7h8i9j0k1l2m3n4", "abcdefg12346+FJQCK", "1a2b3c4d"]
        {
            assert!(is_typed(value.as_bytes()), "{value}");
        }
        for value in ["9f3c1e77ab0d4c5512ee8bd1", "q8Zr4Lk0Pw2Vx7Nd5Ty1abcd", "12345678-f3a9-4c1e-8d27-b6e05a91c7d4"] {
            assert!(!is_typed(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn templates_and_words_stand_for_a_value() {
        for value in [
            "${DB_PASSWORD}",
            "{{ .Values.key }}",
            "<your key>",
            "%SECRET%",
            "$DB_PASSWORD",
            "changeme",
            "xxxxxxxxxxxx",
            "password",
            "AKIAIOSFODNN7EXAMPLE",
            "abcdefghijklmnop",
        ] {
            assert!(stands_in(value.as_bytes()), "{value}");
        }
        for value in ["hV7$kq2Lw0z", "9f3c1e77ab0d4c5512ee8bd1", "Tr0ub4dor&3"] {
            assert!(!stands_in(value.as_bytes()), "{value}");
        }
    }
}
