//! Reads the literal form of HCL and JSON in which policies are written: fields, blocks with labels, texts, numbers,
//! booleans, lists, objects. No expressions, no templates, no functions.
//!
//! A reader of its own, because policies are written in HCL 1: several fields on one line, quoted field names and
//! `${` as plain text are common there and are errors to a reader of HCL 2. It runs in linear time, never deeper than
//! [`MAX_DEPTH`], keeps a field that stands twice (a reader that silently drops one could drop a deny), and its errors
//! name a line and never repeat the text.

/// Longest text that is read, in bytes.
pub const MAX_BYTES: usize = 128 * 1024;

/// Deepest nesting of lists and objects.
pub const MAX_DEPTH: usize = 16;

/// Why a text could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StanzaError {
    /// More than [`MAX_BYTES`].
    #[error("text is longer than 128 KiB")]
    TooLong,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("line {line}: nested too deeply")]
    TooDeep {
        /// Counted from 1.
        line: usize,
    },
    /// Something else stands where `expected` belongs.
    #[error("line {line}: expected {expected}")]
    Expected {
        /// Counted from 1.
        line: usize,
        /// What belongs there.
        expected: &'static str,
    },
    /// HCL that has no place in a literal text.
    #[error("line {line}: {what} is not supported")]
    Unsupported {
        /// Counted from 1.
        line: usize,
        /// The name of the construct.
        what: &'static str,
    },
}

impl StanzaError {
    /// The line that it is about, counted from 1.
    pub fn line(&self) -> usize {
        match self {
            Self::TooLong => 1,
            Self::TooDeep { line } | Self::Expected { line, .. } | Self::Unsupported { line, .. } => *line,
        }
    }

    /// What is wrong, for those who tell the line in their own way.
    pub fn reason(&self) -> String {
        let (text, line) = (self.to_string(), format!("line {}: ", self.line()));
        text.strip_prefix(&line).unwrap_or(&text).to_owned()
    }
}

/// A literal value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text, without its quotes and escapes.
    Text(String),
    /// A number as it was written.
    Number(String),
    /// `true` or `false`.
    Bool(bool),
    /// `[…]`
    List(Vec<Value>),
    /// `{…}`, in the order written; names may stand more than once.
    Object(Vec<Field>),
}

/// A field or a block: `name = value`, `name "label" { … }`, `"name": value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The name.
    pub name: String,
    /// What stands between the name and the value.
    pub labels: Vec<String>,
    /// The value; a block's is an object.
    pub value: Value,
    /// Where the name stands, counted from 1.
    pub line: usize,
}

/// Reads a whole text; JSON when it begins with `{`.
pub fn read(text: &str) -> Result<Vec<Field>, StanzaError> {
    if text.len() > MAX_BYTES {
        return Err(StanzaError::TooLong);
    }
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    reader.skip_blank()?;
    let fields = if reader.take('{') {
        let fields = reader.fields(1, true)?;
        reader.skip_blank()?;
        fields
    } else {
        reader.fields(0, false)?
    };
    if reader.rest.is_empty() { Ok(fields) } else { Err(reader.expected("the end of the text")) }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    fn expected(&self, expected: &'static str) -> StanzaError {
        StanzaError::Expected { line: self.line, expected }
    }

    fn unsupported(&self, what: &'static str) -> StanzaError {
        StanzaError::Unsupported { line: self.line, what }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next()?;
        self.rest = characters.as_str();
        self.line += usize::from(next == '\n');
        Some(next)
    }

    fn take(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Skips white space and comments: `#`, `//` to the end of the line, `/* … */`.
    fn skip_blank(&mut self) -> Result<(), StanzaError> {
        loop {
            if self.rest.starts_with("//") || self.rest.starts_with('#') {
                while self.peek().is_some_and(|character| character != '\n') {
                    self.next();
                }
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                let Some(length) = comment.find("*/") else { return Err(self.expected("the end of the comment")) };
                let (comment, rest) = comment.split_at(length);
                self.line += comment.bytes().filter(|byte| *byte == b'\n').count();
                self.rest = rest.strip_prefix("*/").unwrap_or(rest);
            } else if self.peek().is_some_and(char::is_whitespace) {
                self.next();
            } else {
                return Ok(());
            }
        }
    }

    /// Fields until the closing brace (which is consumed), or until the end when `braced` is false.
    fn fields(&mut self, depth: usize, braced: bool) -> Result<Vec<Field>, StanzaError> {
        let mut fields = Vec::new();
        loop {
            self.skip_blank()?;
            if braced && self.take('}') {
                return Ok(fields);
            }
            if !braced && self.rest.is_empty() {
                return Ok(fields);
            }
            fields.push(self.field(depth)?);
            self.skip_blank()?;
            self.take(',');
        }
    }

    fn field(&mut self, depth: usize) -> Result<Field, StanzaError> {
        let line = self.line;
        let name = match self.peek() {
            Some('"') => self.quoted()?,
            Some(character) if is_word(character) => self.word().to_owned(),
            _ => return Err(self.expected("a field's name")),
        };
        let mut labels = Vec::new();
        loop {
            self.skip_blank()?;
            match self.peek() {
                Some('"') => labels.push(self.quoted()?),
                Some('=' | ':') => {
                    self.next();
                    let value = self.value(depth)?;
                    return Ok(Field { name, labels, value, line });
                }
                Some('{') => {
                    let value = self.value(depth)?;
                    return Ok(Field { name, labels, value, line });
                }
                _ => return Err(self.expected("\"=\" or \"{\" after a field's name")),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, StanzaError> {
        self.skip_blank()?;
        if depth >= MAX_DEPTH {
            return Err(StanzaError::TooDeep { line: self.line });
        }
        match self.peek() {
            Some('"') => self.quoted().map(Value::Text),
            Some('{') => {
                self.next();
                self.fields(depth + 1, true).map(Value::Object)
            }
            Some('[') => {
                self.next();
                let mut items = Vec::new();
                loop {
                    self.skip_blank()?;
                    if self.take(']') {
                        return Ok(Value::List(items));
                    }
                    items.push(self.value(depth + 1)?);
                    self.skip_blank()?;
                    if !self.take(',') && self.peek() != Some(']') {
                        return Err(self.expected("\",\" or \"]\" in a list"));
                    }
                }
            }
            Some('<') if self.rest.starts_with("<<") => Err(self.unsupported("a heredoc")),
            Some(character) if character.is_ascii_digit() || character == '-' => self.number(),
            Some(character) if is_word(character) => match self.word() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(self.expected("a value; texts stand in quotes")),
            },
            _ => Err(self.expected("a value")),
        }
    }

    fn number(&mut self) -> Result<Value, StanzaError> {
        let length = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '+' | '.'))
            .unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(length);
        if number.len() > 32 || serde_json::from_str::<serde_json::Number>(number).is_err() {
            return Err(self.expected("a number"));
        }
        self.rest = rest;
        Ok(Value::Number(number.to_owned()))
    }

    fn word(&mut self) -> &'a str {
        let length = self.rest.find(|c: char| !is_word(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        word
    }

    fn quoted(&mut self) -> Result<String, StanzaError> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                None | Some('\n' | '\r') => return Err(self.expected("the closing quote of a text")),
                Some(character) => text.push(character),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, StanzaError> {
        match self.next() {
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some(same @ ('"' | '\\' | '/')) => Ok(same),
            Some('U') => self.code(8),
            Some('u') => match self.code_unit(4)? {
                // Two escapes of UTF-16 make one character (RFC 8259 §7).
                high @ 0xd800..=0xdbff => {
                    if !(self.take('\\') && self.take('u')) {
                        return Err(self.expected("the second half of a surrogate pair"));
                    }
                    match self.code_unit(4)? {
                        low @ 0xdc00..=0xdfff => {
                            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                            char::from_u32(code).ok_or_else(|| self.expected("a character"))
                        }
                        _ => Err(self.expected("the second half of a surrogate pair")),
                    }
                }
                code => char::from_u32(code).ok_or_else(|| self.expected("a character")),
            },
            _ => Err(self.expected("a known escape after \"\\\"")),
        }
    }

    fn code(&mut self, digits: usize) -> Result<char, StanzaError> {
        char::from_u32(self.code_unit(digits)?).ok_or_else(|| self.expected("a character"))
    }

    fn code_unit(&mut self, digits: usize) -> Result<u32, StanzaError> {
        let (number, rest) =
            self.rest.split_at_checked(digits).ok_or_else(|| self.expected("hexadecimal digits after \"\\u\""))?;
        if !number.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.expected("hexadecimal digits after \"\\u\""));
        }
        self.rest = rest;
        u32::from_str_radix(number, 16).map_err(|_| self.expected("hexadecimal digits after \"\\u\""))
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use proptest::prelude::*;

    use super::{Field, MAX_BYTES, StanzaError, Value, read};

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    fn field(name: &str, labels: &[&str], value: Value, line: usize) -> Field {
        Field { name: name.to_owned(), labels: labels.iter().map(|label| (*label).to_owned()).collect(), value, line }
    }

    #[test]
    fn blocks_fields_and_comments_are_read() {
        let written =
            "# first\nlength = 20 // second\n/* third\n*/ path \"a/*\" {\n  list = [\"x\", true, 1,],\n \"k\" = {} }";
        let expected = vec![
            field("length", &[], Value::Number("20".into()), 2),
            field(
                "path",
                &["a/*"],
                Value::Object(vec![
                    field("list", &[], Value::List(vec![text("x"), Value::Bool(true), Value::Number("1".into())]), 5),
                    field("k", &[], Value::Object(vec![]), 6),
                ]),
                4,
            ),
        ];
        assert_eq!(read(written), Ok(expected));
    }

    #[test]
    fn several_fields_may_stand_on_one_line() {
        let fields = read("a = 1 b = \"2\" c { d = 3 }").unwrap_or_default();
        assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn json_is_read_and_a_doubled_name_is_kept() {
        let expected = vec![field("a", &[], text("é/😀"), 1), field("a", &[], Value::List(vec![]), 1)];
        assert_eq!(read("{\"a\": \"\\u00e9\\/\\ud83d\\ude00\", \"a\": []}"), Ok(expected));
    }

    #[test]
    fn interpolation_is_plain_text() {
        assert_eq!(read("a = \"${x} %{y} {{z}}\""), Ok(vec![field("a", &[], text("${x} %{y} {{z}}"), 1)]));
    }

    #[test]
    fn errors_name_the_line_and_not_the_text() {
        for broken in ["\na = tlk_canary_word", "\na = \"tlk_canary_open", "\n\"tlk_canary\" tlk_canary", "\na = [1 2]"]
        {
            let error = read(broken).expect_err("broken text must be refused").to_string();
            assert!(error.contains("line 2") && !error.contains("canary"), "{error}");
        }
        assert_eq!(read("a = <<EOF\nEOF"), Err(StanzaError::Unsupported { line: 1, what: "a heredoc" }));
    }

    #[test]
    fn deep_and_long_texts_are_refused() {
        assert_eq!(read(&format!("a = {}", "[".repeat(100_000))), Err(StanzaError::TooDeep { line: 1 }));
        assert_eq!(read(&format!("a {}", "{ a ".repeat(30_000))), Err(StanzaError::TooDeep { line: 1 }));
        assert_eq!(read(&" ".repeat(MAX_BYTES + 1)), Err(StanzaError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_answered_without_a_panic(text in "\\PC{0,60}") {
            let _ = read(&text);
        }

        #[test]
        fn any_mix_of_tokens_is_answered_without_a_panic(
            tokens in prop::collection::vec(
                prop::sample::select(vec!["a", "=", ":", "\"b\"", "{", "}", "[", "]", ",", "1", "-", "\n", "/*", "*/", "#", "\\", "\"", "<<", "\"\\u12\""]),
                0..40,
            )
        ) {
            let _ = read(&tokens.concat());
        }

        #[test]
        fn any_json_object_of_texts_is_read_back(pairs in prop::collection::vec(("\\PC{0,8}", "\\PC{0,8}"), 0..6)) {
            let written = pairs.iter()
                .map(|(name, value)| format!("{}: {}", serde_json::json!(name), serde_json::json!(value)))
                .collect::<Vec<_>>().join(",\n");
            let fields = read(&format!("{{{written}}}")).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let got: Vec<_> = fields.into_iter().map(|field| (field.name, field.value)).collect();
            let wanted: Vec<_> = pairs.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            prop_assert_eq!(got, wanted);
        }
    }
}
