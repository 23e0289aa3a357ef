//! Templates in patterns: `{{identity.entity.id}}` and its like, replaced by who asks.

use std::collections::BTreeMap;

use super::pattern::{Pattern, PatternError};
use crate::path::is_invisible;

/// What templates stand for, by the text between the braces: `identity.entity.id`, `identity.entity.name`,
/// `identity.entity.metadata.KEY`, `identity.entity.aliases.ACCESSOR.name` (also `id`, `metadata.KEY`),
/// `identity.groups.ids.ID.name`, `identity.groups.names.NAME.id`, `token.display_name`, `token.metadata.KEY`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateValues(BTreeMap<String, String>);

impl TemplateValues {
    /// Sets what `expression` stands for. An empty value counts as missing.
    pub fn set(&mut self, expression: impl Into<String>, value: impl Into<String>) {
        self.0.insert(expression.into(), value.into());
    }

    /// The same, for building in one expression.
    pub fn with(mut self, expression: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(expression, value);
        self
    }

    /// The value, unless it could change what the pattern means: wildcards, slashes, dots alone, control characters.
    fn safe(&self, expression: &str) -> Option<&str> {
        let value = self.0.get(expression)?;
        let hostile = value.is_empty()
            || matches!(value.as_str(), "." | "..")
            || value.contains(|c: char| matches!(c, '*' | '+' | '/') || is_invisible(c));
        if hostile { None } else { Some(value) }
    }
}

/// A pattern with templates in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Plain(String),
    Expression(String),
}

/// A template after replacement.
#[derive(Debug, PartialEq)]
pub(super) enum Resolved {
    /// All values were there.
    Whole(Pattern),
    /// A value is missing or hostile; what stands before it, as a prefix pattern.
    Partial(Pattern),
}

impl Template {
    /// Parses a pattern that contains `{{`; the rest of it must be a valid pattern around any value.
    pub(super) fn parse(written: &str) -> Result<Self, PatternError> {
        let mut parts = Vec::new();
        let mut rest = written;
        while let Some((plain, after)) = rest.split_once("{{") {
            let (expression, next) = after.split_once("}}").ok_or(PatternError::OpenTemplate)?;
            let expression = expression.trim();
            if !is_known(expression) {
                return Err(PatternError::UnknownTemplate);
            }
            parts.push(Part::Plain(plain.to_owned()));
            parts.push(Part::Expression(expression.to_owned()));
            rest = next;
        }
        parts.push(Part::Plain(rest.to_owned()));
        if parts.iter().any(|part| matches!(part, Part::Plain(plain) if plain.contains("}}"))) {
            return Err(PatternError::OpenTemplate);
        }
        let template = Self { text: written.to_owned(), parts };
        let sample: String = template
            .parts
            .iter()
            .map(|part| match part {
                Part::Plain(plain) => plain,
                Part::Expression(_) => "x",
            })
            .collect();
        Pattern::parse(&sample)?;
        Ok(template)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Puts the values in, once: a value that looks like a template stays text.
    pub(super) fn resolve(&self, values: &TemplateValues) -> Resolved {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Plain(plain) => text.push_str(plain),
                Part::Expression(expression) => match values.safe(expression) {
                    Some(value) => text.push_str(value),
                    None => return Resolved::Partial(prefix(&text)),
                },
            }
        }
        match Pattern::parse(&text) {
            Ok(pattern) => Resolved::Whole(pattern),
            // Too long, or a value that made a relative segment together with its neighbours.
            Err(_) => Resolved::Partial(prefix(self.static_text())),
        }
    }

    fn static_text(&self) -> &str {
        match self.parts.first() {
            Some(Part::Plain(plain)) => plain,
            _ => "",
        }
    }
}

/// The pattern for everything that begins with `text`, or with as much of it as can stand before a `*`.
fn prefix(text: &str) -> Pattern {
    let mut text = text;
    loop {
        if let Ok(pattern) = Pattern::parse(&format!("{text}*")) {
            return pattern;
        }
        // Ends within a segment that no `*` may follow: fall back to the folder. "*" itself always parses.
        text = match text.char_indices().next_back() {
            Some((last, _)) => text.get(..last).unwrap_or_default(),
            None => return Pattern::everything(),
        };
    }
}

fn is_known(expression: &str) -> bool {
    let named = |prefix: &str| expression.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
    let plain =
        expression.chars().all(|c| !c.is_whitespace() && !is_invisible(c) && !matches!(c, '{' | '}' | '*' | '/'));
    plain
        && (matches!(expression, "identity.entity.id" | "identity.entity.name" | "token.display_name")
            || named("identity.entity.metadata.")
            || named("identity.entity.aliases.")
            || named("identity.groups.ids.")
            || named("identity.groups.names.")
            || named("token.metadata."))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{PatternError, Resolved, Template, TemplateValues};

    fn resolved(template: &str, value: &str) -> (bool, String) {
        let values = TemplateValues::default().with("identity.entity.name", value);
        match Template::parse(template).unwrap().resolve(&values) {
            Resolved::Whole(pattern) => (true, pattern.as_str().to_owned()),
            Resolved::Partial(pattern) => (false, pattern.as_str().to_owned()),
        }
    }

    #[test]
    fn values_are_put_in_once() {
        assert_eq!(resolved("home/{{ identity.entity.name }}/*", "anna"), (true, "home/anna/*".into()));
        assert_eq!(
            resolved("home/{{identity.entity.name}}", "{{identity.entity.name}}"),
            (true, "home/{{identity.entity.name}}".into())
        );
    }

    #[test]
    fn a_hostile_or_missing_value_leaves_only_the_static_prefix() {
        for value in ["", "*", "a*", "+", "a+b", "a/b", "/", "..", ".", "a\nb", "a\u{200b}b"] {
            assert_eq!(resolved("home/{{identity.entity.name}}/*", value), (false, "home/*".into()), "{value:?}");
        }
        assert_eq!(resolved("+/{{identity.entity.name}}", "*"), (false, "+/*".into()));
        assert_eq!(resolved("+{{identity.entity.name}}", "*"), (false, "*".into()));
        assert_eq!(resolved("a/.{{identity.entity.name}}", "."), (false, "a/.*".into()));
    }

    #[test]
    fn unknown_and_open_templates_are_refused() {
        assert_eq!(Template::parse("a/{{entity.id}}"), Err(PatternError::UnknownTemplate));
        assert_eq!(Template::parse("a/{{identity.entity.id"), Err(PatternError::OpenTemplate));
        assert_eq!(Template::parse("a/{{identity.entity.id}}}}"), Err(PatternError::OpenTemplate));
        assert_eq!(Template::parse("a/{{identity.entity.id}}/*/b"), Err(PatternError::Star));
    }
}
