//! Settings in any language: a name that speaks of a credential, and the value that it is given. Assignments, entries of
//! maps, arguments and comparisons in code; lines of configuration files; XML elements and attributes; command lines.

mod value;

use std::ops::Range;
use std::sync::LazyLock;

use memchr::{memchr, memrchr};
use regex::bytes::{Regex, RegexBuilder};

use crate::name;

/// Longest value.
const MAX_VALUE_BYTES: usize = 1024;

/// Bytes behind a name in which its value must begin.
const MAX_SEPARATOR_BYTES: usize = 160;

/// What a name is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) value: Range<usize>,
    pub(crate) form: Form,
}

/// How the value is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In quotes, or as the text of an XML element: data in any case.
    Quoted,
    /// As the rest of a line of configuration: `NAME=value`, `name: value`.
    Line,
    /// Behind an operator, without quotes: data or code.
    Bare,
    /// Behind nothing but a blank or a word: `--token value`, `the key is value`.
    Word,
}

/// What may stand between a name and its value, in the order in which it is tried, and what the value then is.
static SEPARATORS: LazyLock<Vec<(Value, Regex)>> = LazyLock::new(|| {
    let forms = [
        // `mailToken: String = "…"`, `token string = "…"`
        (Value::Quoted, r#"^[ \t]*:?[ \t]*&?(?:'static[ \t]+)?[A-Za-z_][\w<>.\[\]|?]{0,30}[ \t]*=[ \t]*"#),
        // `<add key="Token" value="…"`, `name: TOKEN, value: …`, `"name": "TOKEN", "value": "…"`
        (Value::Any, r#"^\\?["']?[ \t]*[ \t\r\n,-]{1,40}\\?["']?(?i:value|content)\\?["']?[ \t]*[=:][ \t]*"#),
        // `<key>Token</key> <string>…<`, `<setting name="Password"> <value>…<`
        (Value::Element, r#"^(?:"[^<>\n]{0,60}>|</key>)\s{0,40}<(?:value|string)>"#),
        // `<token>…<`, `<string name="token">…<`
        (Value::Element, r#"^"?(?:[ \t][^<>\n]{0,80})?>\s{0,40}"#),
        // `variable "db_password" { default = "…"`
        (
            Value::Quoted,
            r#"^"[ \t]*\{\s{0,40}(?:(?:type|description|sensitive)[ \t]*=[^\n]{0,80}\n\s{0,20}){0,3}default[ \t]*=[ \t]*"#,
        ),
        // `{default_pass, <<"…">>}`
        (Value::Quoted, r#"^[ \t]*,[ \t]*<<"#),
        (Value::Quoted, r#"^\\?["'`]?[\])]{0,2}[ \t]*(?:={2,3}|!==?|<>|-)[ \t]*"#),
        (
            Value::Any,
            r#"^\\?["'`]{0,3}[\])]{0,2}[ \t]*(?:=>|:{0,3}=|:|\+=|\.=|\?=|\|\|=|\?\?=|<-)[ \t]*(?:\[\](?:byte|string)[({]|[(\[{])?[ \t]*"#,
        ),
        // `set("token", "…")`
        (Value::Argument, r#"^\\?["'`][ \t]*,\s{0,40}"#),
        // `setToken("…")`
        (Value::Call, r#"^[ \t]*\([ \t]*"#),
        // `--token …`, `the token is "…"`, `token | …`
        // (the separator ends with `is` or `was` when a sentence says so)
        (Value::Word, r#"^["'`]?(?:[ \t]*\|[ \t]*| +(?:(?:is|was)[ \t]*:?[ \t]+)?)"#),
    ];
    forms.into_iter().filter_map(|(value, pattern)| Some((value, compile(pattern)?))).collect()
});

/// What stands before a name that a build gives to a program: `buildConfigField "String", "`, `resValue 'string', '`.
static BUILD_FIELD: LazyLock<Option<Regex>> =
    LazyLock::new(|| compile(r#"(?:buildConfigField|resValue)[ \t]*\(?[ \t]*["']\w{1,20}["'][ \t]*,[ \t]*["']$"#));

/// What stands before the name of a directive: the start of a line, or few words.
static DIRECTIVE: LazyLock<Option<Regex>> = LazyLock::new(|| compile(r#"^[ \t]*(?:[a-z][\w-]{0,40}[ \t]+){0,2}$"#));

/// Whether the setting is a line of an environment, `APP_PASSWORD=…`: what stands there is data.
pub(crate) fn is_of_environment(name: &[u8], form: Form) -> bool {
    form == Form::Line
        && name.contains(&b'_')
        && name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
}

/// Whether a word without quotes that is given to the variable at `name` of `text` is data: variables of this language
/// are marked, and the word is not.
pub(crate) fn is_bare_word(text: &[u8], name: &Range<usize>) -> bool {
    name.start.checked_sub(1).and_then(|at| text.get(at)) == Some(&b'$')
}

/// Compiles one of the patterns of settings.
pub(crate) fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).unicode(false).build().ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Any,
    Quoted,
    Element,
    Argument,
    Call,
    Word,
}

/// The whole name that holds the `word` of `text`.
pub(crate) fn name_around(text: &[u8], word: &Range<usize>) -> Range<usize> {
    let before = name::before(text.get(..word.start).unwrap_or_default());
    let after = name::at(text.get(word.end..).unwrap_or_default());
    // `key.` at the end of a sentence.
    let trimmed = after.iter().rposition(|byte| !matches!(byte, b'.' | b'-')).map_or(0, |at| at + 1);
    word.start - before..word.end + trimmed
}

/// The value that follows the `name` of `text`, if one does.
pub(crate) fn of(text: &[u8], name: &Range<usize>) -> Option<Setting> {
    let far = (name.end + MAX_SEPARATOR_BYTES).min(text.len());
    let rest = text.get(name.end..far)?;
    for (kind, separator) in SEPARATORS.iter() {
        let Some(found) = separator.find(rest) else { continue };
        let start = name.end + found.end();
        let parsed = match kind {
            Value::Quoted => value::quoted(text, start),
            Value::Any => value::quoted(text, start).or_else(|| value::bare(text, name, start)),
            Value::Element => is_element(text, name.start).then(|| value::element(text, start)).flatten(),
            Value::Argument => is_first_argument(text, name.start).then(|| value::quoted(text, start)).flatten(),
            Value::Call => {
                name::ends_with_credential(text.get(name.clone())?).then(|| value::quoted(text, start)).flatten()
            }
            // `/etc/passwd …`: a path.
            Value::Word if follows_slash(text, name) => None,
            Value::Word => {
                let says = rest.get(..found.end())?.trim_ascii().ends_with(b"s");
                let directs = !says && is_directive(text, name, start);
                match value::quoted(text, start) {
                    Some(content) if says || directs => Some(content),
                    content => {
                        let value = content.map_or_else(|| value::word_at(text, start), |(value, _)| value);
                        let form = match () {
                            () if is_environment(text, name) || directs => Form::Line,
                            () if is_flag(text, name) => Form::Bare,
                            () => Form::Word,
                        };
                        Some((value, form))
                    }
                }
            }
        };
        if let Some((value, form)) = parsed.filter(|(value, _)| !value.is_empty()) {
            return Some(Setting { value, form });
        }
    }
    None
}

/// Whether the name at `start` is that of an XML element, or of an attribute's value or a `<key>`.
fn is_element(text: &[u8], start: usize) -> bool {
    let before = text.get(..start).unwrap_or_default();
    before.last().is_some_and(|byte| matches!(byte, b'<' | b':' | b'"' | b'>'))
}

/// Whether the quoted name at `start` is the first argument of a call or the first entry of a list in braces, or what a
/// build names.
fn is_first_argument(text: &[u8], start: usize) -> bool {
    let before = text.get(start.saturating_sub(80)..start).unwrap_or_default();
    let quote = |byte: &u8| matches!(byte, b'"' | b'\'' | b'`' | b'\\');
    let open = before.iter().rposition(|byte| !quote(byte)).and_then(|at| before.get(..=at)).unwrap_or_default();
    open.trim_ascii_end().last().is_some_and(|byte| matches!(byte, b'(' | b'{'))
        || BUILD_FIELD.as_ref().is_some_and(|pattern| pattern.is_match(before))
}

/// Whether `name` is an option of a command line.
fn is_flag(text: &[u8], name: &Range<usize>) -> bool {
    text.get(name.start) == Some(&b'-')
}

/// Whether `name` is set by `ENV NAME value`.
fn is_environment(text: &[u8], name: &Range<usize>) -> bool {
    let before = text.get(name.start.saturating_sub(5)..name.start).unwrap_or_default();
    before.ends_with(b"ENV ") || before.ends_with(b"setx ")
}

/// Whether `name` and what starts at `start` make up a directive: a line of few words whose last one is in quotes or holds
/// a digit.
fn is_directive(text: &[u8], name: &Range<usize>, start: usize) -> bool {
    let line_start = text.get(..name.start).and_then(|before| memrchr(b'\n', before)).map_or(0, |at| at + 1);
    let lead = text.get(line_start.max(name.start.saturating_sub(100))..name.start).unwrap_or_default();
    let rest = text.get(start..(start + MAX_VALUE_BYTES).min(text.len())).unwrap_or_default();
    let rest = rest.get(..memchr(b'\n', rest).unwrap_or(rest.len())).unwrap_or_default().trim_ascii_end();
    let last = rest.strip_suffix(b";").unwrap_or(rest);
    let is_whole = !last.iter().any(u8::is_ascii_whitespace);
    let is_data = value::starts_with_quote(last) || last.iter().any(u8::is_ascii_digit);
    is_whole
        && is_data
        && text.get(name.end) != Some(&b'|')
        && DIRECTIVE.as_ref().is_some_and(|line| line.is_match(lead))
}

/// Whether `name` is the last part of a path.
fn follows_slash(text: &[u8], name: &Range<usize>) -> bool {
    name.start.checked_sub(1).and_then(|at| text.get(at)) == Some(&b'/')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::{Form, is_of_environment, name_around, of};

    /// Name, value and form of the setting around the first `word` in `text`.
    fn setting<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str, Form)> {
        let at = text.to_lowercase().find(word).unwrap();
        let name = name_around(text.as_bytes(), &(at..at + word.len()));
        let setting = of(text.as_bytes(), &name)?;
        Some((&text[name], &text[setting.value], setting.form))
    }

    #[test]
    fn settings_are_read_in_every_common_notation() {
        for (text, name, form) in [
            ("apiToken = \"v4lu3\"", "apiToken", Form::Quoted),
            ("{\"api_token\": \"v4lu3\"}", "api_token", Form::Quoted),
            ("{\\\"api_token\\\": \\\"v4lu3\\\"}", "api_token", Form::Quoted),
            ("config['token'] = 'v4lu3';", "token", Form::Quoted),
            ("'token' => 'v4lu3',", "token", Form::Quoted),
            ("let token: &'static str = \"v4lu3\";", "token", Form::Quoted),
            ("var mailToken string = `v4lu3`", "mailToken", Form::Quoted),
            ("System.setProperty(\"MAIL_TOKEN\", \"v4lu3\")", "MAIL_TOKEN", Form::Quoted),
            ("client.setToken(\"v4lu3\")", "client.setToken", Form::Quoted),
            ("if (token == 'v4lu3') {", "token", Form::Quoted),
            ("token=b'v4lu3'", "token", Form::Quoted),
            ("token := []byte(\"v4lu3\")", "token", Form::Quoted),
            ("Tokens: []string{\"v4lu3\"},", "Tokens", Form::Quoted),
            ("token = \"\"\"v4lu3\"\"\"", "token", Form::Quoted),
            ("\"token\": \"Bearer v4lu3\"", "token", Form::Quoted),
            ("<apiToken>v4lu3</apiToken>", "apiToken", Form::Quoted),
            ("<token>\n  {v4lu3}\n</token>", "token", Form::Quoted),
            ("<add key=\"Token\" value=\"v4lu3\"/>", "Token", Form::Quoted),
            ("<setting name=\"Token\" serializeAs=\"String\">\n  <value>v4lu3</value>", "Token", Form::Quoted),
            ("<key>Token</key>\n\t<string>v4lu3</string>", "Token", Form::Quoted),
            ("- name: MAIL_TOKEN\n  value: \"v4lu3\"", "MAIL_TOKEN", Form::Quoted),
            ("- name: MAIL_TOKEN\n  value: v4lu3\n", "MAIL_TOKEN", Form::Bare),
            ("export MAIL_TOKEN=v4lu3\n", "MAIL_TOKEN", Form::Line),
            ("ENV MAIL_TOKEN v4lu3", "MAIL_TOKEN", Form::Line),
            ("MAIL_TOKEN=v4lu3 mail -s x\n", "MAIL_TOKEN", Form::Line),
            ("web1 host=10.0.0.5 token=v4lu3\n", "token", Form::Line),
            ("Environment=\"MAIL_TOKEN=v4lu3\"\n", "MAIL_TOKEN", Form::Line),
            ("proxy_set_header X-Token \"v4lu3\";\n", "X-Token", Form::Quoted),
            ("  storeToken 'v4lu3'\n", "storeToken", Form::Quoted),
            ("user admin insecure-token v4lu3\n", "insecure-token", Form::Line),
            ("<string name=\"api_token\">v4lu3</string>", "api_token", Form::Quoted),
            ("variable \"api_token\" {\n  type = string\n  default = \"v4lu3\"\n}", "api_token", Form::Quoted),
            ("{api_token, <<\"v4lu3\">>}", "api_token", Form::Quoted),
            ("mail:\n  token: v4lu3 # comment\n", "token", Form::Line),
            ("spring.token=v4lu3", "spring.token", Form::Line),
            ("https://host/?token=v4lu3&x=1", "token", Form::Bare),
            ("buildConfigField 'String', 'API_TOKEN', '\"v4lu3\"'", "API_TOKEN", Form::Quoted),
            ("resValue(\"string\", \"api_token\", \"v4lu3\")", "api_token", Form::Quoted),
            ("put(\"API_TOKEN\", \"\\\"v4lu3\\\"\")", "API_TOKEN", Form::Quoted),
            ("mail --token v4lu3 --other", "token", Form::Bare),
            ("Your token is v4lu3", "token", Form::Word),
        ] {
            let (found, value, how) = setting(text, "token").unwrap_or_else(|| panic!("nothing in {text}"));
            assert_eq!((found.trim_start_matches('-'), value, how), (name, "v4lu3", form), "{text}");
        }
    }

    #[test]
    fn what_surely_is_data_is_told_by_its_notation() {
        assert!(is_of_environment(b"APP_PASSWORD", Form::Line));
        assert!(!is_of_environment(b"app.password", Form::Line) && !is_of_environment(b"APP_PASSWORD", Form::Bare));
    }

    #[test]
    fn a_call_or_a_word_in_a_text_is_no_value() {
        for text in [
            "token = getToken()",
            "token = tokens[0]",
            "token",
            "token\n",
            "token: ",
            "token = \"",
            "tokens = (",
            "<key>tokenFlag2</key>\n<true/>",
        ] {
            assert_eq!(setting(text, "token").filter(|(_, _, form)| *form != Form::Word), None, "{text}");
        }
    }
}
