//! What the order that made a table says of its rows: the names of their values, in the order in which they are stored.

use std::collections::HashMap;

/// Words that begin a constraint of a table in the place of a column.
const CONSTRAINTS: &[&str] = &["constraint", "primary", "unique", "foreign", "check"];

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(Vec<u8>),
    /// A name or a text in quotes, without them.
    Quoted(Vec<u8>),
    Sign(u8),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(bytes) if bytes.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// As a name in a setting: whatever cannot stand in one is an underscore.
    fn name(&self) -> Option<Vec<u8>> {
        let (Self::Word(bytes) | Self::Quoted(bytes)) = self else { return None };
        let part = |byte: &u8| if byte.is_ascii_alphanumeric() || !byte.is_ascii() { *byte } else { b'_' };
        Some(bytes.iter().map(part).collect())
    }
}

/// The names of the values in a row of the table that `sql` makes: `CREATE TABLE t (a TEXT, "b" INT, PRIMARY KEY (a))`. A table
/// `WITHOUT ROWID` stores its key first; a column that is computed when it is read is not stored.
pub(super) fn columns(sql: &[u8]) -> Vec<Vec<u8>> {
    let mut tokens = tokens(sql).into_iter();
    if !tokens.any(|token| token == Token::Sign(b'(')) {
        return Vec::new();
    }
    let (parts, rest) = parts(tokens);
    let (mut columns, mut key) = (Vec::new(), Vec::new());
    for part in parts {
        let top = at_the_top(&part);
        let makes_key =
            top.windows(2).any(|pair| matches!(pair, [first, second] if first.is("primary") && second.is("key")));
        let Some(first) = part.first() else { continue };
        if CONSTRAINTS.iter().any(|word| first.is(word)) {
            if makes_key {
                key.extend(names_of_key(&part));
            }
            continue;
        }
        let Some(name) = first.name() else { continue };
        let is_computed = top.iter().any(|token| token.is("as")) && !top.iter().any(|token| token.is("stored"));
        if makes_key {
            key.push(name.clone());
        }
        if !is_computed {
            columns.push(name);
        }
    }
    if rest.windows(2).any(|pair| matches!(pair, [first, second] if first.is("without") && second.is("rowid"))) {
        // For a name that is there twice the first place counts, which comes last into the map.
        let places = key.iter().enumerate().rev().map(|(place, name)| (name.to_ascii_lowercase(), place));
        let places: HashMap<_, _> = places.collect();
        // The sort is stable: behind the key the others stay in order.
        columns.sort_by_cached_key(|name| places.get(&name.to_ascii_lowercase()).copied().unwrap_or(usize::MAX));
    }
    columns
}

/// What stands between the commas up to the closing bracket, and what stands behind that.
fn parts(tokens: impl Iterator<Item = Token>) -> (Vec<Vec<Token>>, Vec<Token>) {
    let (mut parts, mut rest) = (vec![Vec::new()], Vec::new());
    let mut depth = 1usize;
    for token in tokens {
        match token {
            _ if depth == 0 => rest.push(token),
            Token::Sign(b',') if depth == 1 => parts.push(Vec::new()),
            token => {
                depth = match token {
                    Token::Sign(b'(') => depth + 1,
                    Token::Sign(b')') => depth - 1,
                    _ => depth,
                };
                if let Some(part) = parts.last_mut().filter(|_| depth > 0) {
                    part.push(token);
                }
            }
        }
    }
    (parts, rest)
}

/// The tokens of `part` that stand in no brackets.
fn at_the_top(part: &[Token]) -> Vec<&Token> {
    let mut depth = 0usize;
    let is_top = |token: &&Token| {
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    part.iter().filter(is_top).collect()
}

/// The columns in `PRIMARY KEY (a, b COLLATE NOCASE DESC)`.
fn names_of_key(part: &[Token]) -> Vec<Vec<u8>> {
    let tokens = part.iter().cloned().skip_while(|token| !token.is("primary"));
    let inner = tokens.skip_while(|token| *token != Token::Sign(b'(')).skip(1);
    parts(inner).0.iter().filter_map(|part| part.first()?.name()).collect()
}

/// The tokens of SQL, without comments.
fn tokens(sql: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'-' if after.starts_with(b"-") => behind(after, b"\n"),
            b'/' if after.starts_with(b"*") => behind(after.get(1..).unwrap_or_default(), b"*/"),
            b'"' | b'`' | b'\'' | b'[' => {
                let (text, rest) = quoted(after, if *byte == b'[' { b']' } else { *byte });
                tokens.push(Token::Quoted(text));
                rest
            }
            byte if is_of_word(byte) => {
                let end = rest.iter().position(|byte| !is_of_word(byte)).unwrap_or(rest.len());
                let (word, rest) = rest.split_at(end);
                tokens.push(Token::Word(word.to_vec()));
                rest
            }
            byte if byte.is_ascii_whitespace() => after,
            byte => {
                tokens.push(Token::Sign(*byte));
                after
            }
        };
    }
    tokens
}

fn is_of_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

/// What `text` holds up to the quote that closes it, and what follows that. A doubled quote stands for one; brackets know none.
fn quoted(text: &[u8], quote: u8) -> (Vec<u8>, &[u8]) {
    let mut content = Vec::new();
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == quote {
            match after.split_first() {
                Some((next, after)) if *next == quote && quote != b']' => rest = after,
                _ => break,
            }
        }
        content.push(*byte);
    }
    (content, rest)
}

/// What follows the first `end` in `text`.
fn behind<'t>(text: &'t [u8], end: &[u8]) -> &'t [u8] {
    memchr::memmem::find(text, end).and_then(|at| text.get(at + end.len()..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::columns;
    use proptest::prelude::*;

    #[track_caller]
    fn check(sql: &str, names: &[&str]) {
        let names: Vec<_> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        assert_eq!(columns(sql.as_bytes()), names, "{sql}");
    }

    #[test]
    fn columns_are_named_in_order() {
        check(
            "CREATE TABLE t (id INTEGER, \"user_name\" TEXT, [token] TEXT, PRIMARY KEY (id, token))",
            &["id", "user_name", "token"],
        );
        check("CREATE TABLE \"t (a, b)\" (`check` TEXT, 'key' TEXT, CONSTRAINT c UNIQUE (a))", &["check", "key"]);
        check("CREATE TABLE t(a,b,c)", &["a", "b", "c"]);
        check("CREATE TABLE t", &[]);
    }

    #[test]
    fn commas_that_part_no_columns_shift_none() {
        check(
            "CREATE TABLE t (a TEXT DEFAULT ',', b TEXT DEFAULT ('x,y'), c NUMERIC(10, 2), d)",
            &["a", "b", "c", "d"],
        );
        check("CREATE TABLE t (a, -- one, two ( \n b /* three, ) */, c)", &["a", "b", "c"]);
        check("CREATE TABLE t (\"a, b\", [c (d], `e``,f`, g DEFAULT 'it''s, so')", &["a__b", "c__d", "e__f", "g"]);
        check("CREATE TABLE t (a CHECK (a IN ('(', ')')), b)", &["a", "b"]);
    }

    #[test]
    fn a_column_that_is_computed_when_it_is_read_is_not_stored() {
        check("CREATE TABLE t (a, b AS (a || 'x'), c GENERATED ALWAYS AS (a) STORED, d)", &["a", "c", "d"]);
        check("CREATE TABLE t (a DEFAULT (CAST('x' AS TEXT)), b)", &["a", "b"]);
    }

    #[test]
    fn a_table_without_row_ids_stores_its_key_first() {
        check(
            "CREATE TABLE t (a, b, c, d, PRIMARY KEY (d DESC, B COLLATE NOCASE)) WITHOUT ROWID",
            &["d", "b", "a", "c"],
        );
        check("CREATE TABLE t (a, name TEXT PRIMARY KEY NOT NULL) STRICT, without rowid", &["name", "a"]);
    }

    proptest! {
        #[test]
        fn any_order_has_an_answer(sql in "CREATE TABLE t \\([a-c,()\"'`\\[\\]/*-]{0,60}") {
            columns(sql.as_bytes());
        }
    }
}
