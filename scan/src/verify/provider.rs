//! How one provider is asked about a credential, and what its answers mean.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regex::bytes::Regex;
use serde::Deserialize;
use turnlock_core::Protected;
use turnlock_core::finding::Verdict;
use zeroize::Zeroizing;

use super::{Answer, Question};

/// `[[provider]]`. In `urls`, `headers`, `basic` and `body`, `{secret}` stands for the credential and `{pair}` for its other
/// half.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Provider {
    /// Ids of the rules whose credentials it gave out.
    rules: Vec<String>,
    /// Which of these credentials it can be asked about; all without it.
    #[serde(default)]
    only: Option<String>,
    /// The form of those that nobody else gives out. Of others its refusal says nothing.
    #[serde(default)]
    own_form: Option<String>,
    /// What must stand in the line of those that have no form of its own, for it to be asked.
    #[serde(default)]
    named: Option<String>,
    #[serde(default = "get")]
    method: String,
    /// The same question in each region: a credential is known in one.
    urls: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// `user:password` of basic authentication.
    #[serde(default)]
    basic: Option<String>,
    #[serde(default)]
    body: String,
    /// Id of the rule that finds the other half, in the same file.
    #[serde(default)]
    pub(super) pair: Option<String>,
    /// What answers mean; the first that matches counts.
    #[serde(default = "usual")]
    answers: Vec<Meaning>,
    /// Whether people run servers of their own that give out such credentials: a refusal elsewhere says nothing then.
    #[serde(default)]
    pub(super) own_servers: bool,
    /// Where the provider documents it.
    #[allow(dead_code, reason = "for who reads the file")]
    docs: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meaning {
    status: u16,
    /// Text that the answer must hold, white space aside.
    #[serde(default)]
    holds: String,
    says: Says,
    /// Of an answer that says nothing: why.
    #[serde(default)]
    because: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Says {
    Live,
    Dead,
    Unknown,
}

fn get() -> String {
    "GET".to_owned()
}

fn usual() -> Vec<Meaning> {
    [(200, Says::Live), (401, Says::Dead)]
        .map(|(status, says)| Meaning { status, holds: String::new(), says, because: String::new() })
        .into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: Vec<Provider>,
}

/// All providers that can be asked.
pub(super) struct Providers {
    list: Vec<Provider>,
    by_rule: HashMap<String, usize>,
}

impl Providers {
    /// Those that come with the crate.
    pub(super) fn built_in() -> Result<Self, toml::de::Error> {
        let list = toml::from_str::<File>(include_str!("providers.toml"))?.provider;
        let rules = list.iter().enumerate();
        let by_rule = rules.flat_map(|(index, one)| one.rules.iter().map(move |rule| (rule.clone(), index))).collect();
        Ok(Self { list, by_rule })
    }

    /// The provider of what `rule` finds.
    pub(super) fn of(&self, rule: &str) -> Option<&Provider> {
        self.list.get(*self.by_rule.get(rule)?)
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.list.iter().flat_map(|provider| &provider.urls).map(|url| host(url))
    }
}

/// A credential that a request can carry, with its other half.
pub(super) struct Credential {
    secret: Zeroizing<String>,
    pair: Zeroizing<String>,
    is_hidden: bool,
}

impl Credential {
    /// `None`: a line feed within a header would be a header of its own, and the like.
    pub(super) fn of(secret: &Protected, pair: Option<&Protected>) -> Option<Self> {
        let plain = |value: &Protected| {
            let text = value.expose_str()?;
            text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Zeroizing::new(text.to_owned()))
        };
        let pair = pair.map_or_else(|| Some(Zeroizing::default()), plain)?;
        Some(Self { secret: plain(secret)?, pair, is_hidden: false })
    }

    /// What is shown in the place of one.
    pub(super) fn hidden() -> Self {
        let hidden = || Zeroizing::new("REDACTED".to_owned());
        Self { secret: hidden(), pair: hidden(), is_hidden: true }
    }
}

impl Provider {
    /// The host that is asked first.
    pub(super) fn host(&self) -> &str {
        self.urls.first().map_or("", |url| host(url))
    }

    /// Whether it can be asked about `credential`, which stands in `lines`.
    pub(super) fn knows(&self, credential: &Credential, lines: &[u8]) -> bool {
        let is_kind = self.only.as_deref().is_none_or(|only| matches(only, credential.secret.as_bytes()));
        let is_named = || self.named.as_deref().is_none_or(|named| matches(named, lines));
        is_kind && (self.is_own_form(credential) || is_named())
    }

    /// Whether nobody else can have given out `credential`, by its form.
    pub(super) fn is_own_form(&self, credential: &Credential) -> bool {
        self.own_form.as_deref().is_some_and(|form| matches(form, credential.secret.as_bytes()))
    }

    /// What to ask about `credential`, once for each region.
    pub(super) fn questions(&self, credential: &Credential) -> Vec<Question> {
        let Credential { secret, pair, is_hidden } = credential;
        let quoted = |text: &str| Zeroizing::new(utf8_percent_encode(text, URL_UNSAFE).to_string());
        let (quoted_secret, quoted_pair) = (quoted(secret), quoted(pair));
        let basic = self.basic.as_ref().map(|basic| {
            let basic = filled(basic, secret, pair);
            // What is shown must tell what is hidden.
            let value = if *is_hidden {
                format!("Basic base64({})", *basic)
            } else {
                format!("Basic {}", *Zeroizing::new(STANDARD.encode(basic.as_bytes())))
            };
            ("authorization".to_owned(), Zeroizing::new(value))
        });
        let question = |url: &String| Question {
            method: self.method.clone(),
            url: filled(url, &quoted_secret, &quoted_pair),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), filled(value, secret, pair)))
                .chain(basic.clone())
                .collect(),
            body: filled(&self.body, secret, pair),
        };
        self.urls.iter().map(question).collect()
    }

    /// What `answer` means.
    pub(super) fn verdict(&self, answer: &Answer) -> Verdict {
        let squeezed =
            |text: &[u8]| -> Vec<u8> { text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect() };
        let body = squeezed(&answer.body);
        let holds = |text: &str| memchr::memmem::find(&body, &squeezed(text.as_bytes())).is_some();
        let fits = |meaning: &&Meaning| meaning.status == answer.status && holds(&meaning.holds);
        match self.answers.iter().find(fits) {
            Some(Meaning { says: Says::Live, .. }) => Verdict::Live,
            Some(Meaning { says: Says::Dead, .. }) => Verdict::Dead,
            Some(Meaning { says: Says::Unknown, because, .. }) => Verdict::Unknown(because.clone()),
            None => Verdict::Unknown(format!("the provider answered with status {}", answer.status)),
        }
    }
}

fn matches(pattern: &str, text: &[u8]) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

fn host(url: &str) -> &str {
    url.split('/').nth(2).unwrap_or_default()
}

/// What must be encoded within a URL, except `:`, which one provider's tokens hold in the path.
const URL_UNSAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

fn filled(template: &str, secret: &str, pair: &str) -> Zeroizing<String> {
    // One after the other: what stands for the one is never taken for the other. Of the right size at once: text that
    // moves leaves a copy behind.
    let room = template.len() + template.matches('{').count() * secret.len().max(pair.len());
    let mut text = Zeroizing::new(String::with_capacity(room));
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        text.push_str(before);
        rest = if let Some(rest) = from.strip_prefix("{secret}") {
            text.push_str(secret);
            rest
        } else if let Some(rest) = from.strip_prefix("{pair}") {
            text.push_str(pair);
            rest
        } else {
            text.push('{');
            from.get(1..).unwrap_or_default()
        };
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_question_is_for_a_rule_that_exists_goes_over_tls_and_can_be_answered() {
        let rules: HashSet<String> = crate::rule::built_in().iter().map(|rule| rule.id.to_string()).collect();
        let providers = Providers::built_in().unwrap();
        assert!(providers.list.len() >= 35, "{}", providers.list.len());
        let mut seen = HashSet::new();
        for provider in &providers.list {
            for rule in provider.rules.iter().chain(&provider.pair) {
                assert!(rules.contains(rule), "{rule}");
            }
            for rule in &provider.rules {
                assert!(seen.insert(rule.clone()), "{rule} is asked about twice");
            }
            assert!(provider.docs.starts_with("https://"), "{}", provider.docs);
            assert!(["GET", "POST"].contains(&provider.method.as_str()), "{}", provider.docs);
            let texts = [&provider.body].into_iter().chain(provider.headers.values()).chain(&provider.basic);
            let all = texts.chain(&provider.urls).map(String::as_str).collect::<Vec<_>>().concat();
            assert!(all.contains("{secret}") && all.contains("{pair}") == provider.pair.is_some(), "{}", provider.docs);
            assert!(!provider.urls.is_empty());
            for url in &provider.urls {
                // Never to a host that the credential chooses.
                assert!(url.starts_with("https://") && !host(url).contains(['{', '@', ':']), "{url}");
            }
            let says = |wanted| provider.answers.iter().any(|meaning| meaning.says == wanted);
            assert!(says(Says::Live) && (says(Says::Dead) || says(Says::Unknown)), "{}", provider.docs);
            for meaning in &provider.answers {
                assert_eq!(meaning.says == Says::Unknown, !meaning.because.is_empty(), "{}", provider.docs);
            }
            for pattern in [&provider.only, &provider.own_form, &provider.named].into_iter().flatten() {
                assert!(Regex::new(pattern).is_ok(), "{pattern}");
            }
        }
    }

    #[test]
    fn who_says_dead_knows_a_form_that_no_random_value_and_no_other_provider_has() {
        const OTHERS: [&str; 9] = ["secret_", "EAAA", "EAAG", "MTA", "sk_live_", "sk_test_", "sk-", "key-", "token_"];
        let (letters, hex) = ("q7Zr4Lk0Pw2VxB9mTc5Yd8Hn3Js6Gf1".repeat(5), "9f1c4ab07de25836".repeat(8));
        let random = (16..80).flat_map(|length| [letters[..length].to_owned(), hex[..length].to_owned()]);
        let uuid = format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[..4], &hex[..3], &hex[..3], &hex[..12]);
        let values: Vec<String> = random
            .chain([uuid])
            .flat_map(|value| OTHERS.map(|start| format!("{start}{value}")).into_iter().chain([value]))
            .collect();
        let providers = Providers::built_in().unwrap();
        let forms: Vec<&str> = providers.list.iter().filter_map(|provider| provider.own_form.as_deref()).collect();
        assert!(forms.len() >= 25, "{}", forms.len());
        for form in forms {
            assert!(form.starts_with('^'), "{form}");
            assert_eq!(values.iter().find(|value| matches(form, value.as_bytes())), None, "{form}");
        }
    }

    #[test]
    fn answers_mean_what_the_provider_says() {
        let providers = Providers::built_in().unwrap();
        let verdict = |rule: &str, status, body: &str| {
            let answer = Answer { status, body: body.as_bytes().to_vec(), is_named: false };
            match providers.of(rule).unwrap().verdict(&answer) {
                Verdict::Unknown(_) => "unknown",
                sure => sure.word(),
            }
        };
        for (rule, status, body, says) in [
            ("github-token", 200, "{}", "live"),
            ("github-token", 401, "{}", "dead"),
            ("github-token", 503, "", "unknown"),
            ("slack-token", 200, "{\"ok\": true}", "live"),
            ("slack-token", 200, "{\"ok\":false,\"error\":\"token_revoked\"}", "dead"),
            // Slack answers so to an address that is not allowed, too.
            ("slack-token", 200, "{\"ok\":false,\"error\":\"invalid_auth\"}", "unknown"),
            ("slack-token", 200, "{\"ok\":false,\"error\":\"ratelimited\"}", "unknown"),
            ("figma-token", 403, "{\"status\":403,\"err\":\"Invalid token\"}", "dead"),
            ("figma-token", 403, "{\"status\":403,\"err\":\"Invalid scope(s): files:read\"}", "live"),
            ("figma-token", 403, "blocked", "unknown"),
            ("vercel-token", 403, "{\"error\":{\"code\":\"forbidden\",\"invalidToken\":true}}", "dead"),
            ("vercel-token", 403, "{\"error\":{\"code\":\"forbidden\"}}", "unknown"),
            ("dropbox-access-token", 401, "{\"error_summary\":\"missing_scope/..\"}", "live"),
            ("linear-api-key", 200, "{\"data\":{\"viewer\":{\"id\":\"x\"}}}", "live"),
            ("linear-api-key", 200, "{\"errors\":[{\"path\":[\"viewer\"]}]}", "unknown"),
            ("mapbox-access-token", 200, "{\"code\":\"TokenRevoked\"}", "dead"),
            ("mailgun-key", 401, "Forbidden", "unknown"),
        ] {
            assert_eq!(verdict(rule, status, body), says, "{rule} {status} {body}");
        }
    }

    #[test]
    fn a_credential_stays_within_its_place() {
        let providers = Providers::built_in().unwrap();
        let ask = |rule: &str, secret: &str| {
            let credential = Credential::of(&Protected::copy_of(secret.as_bytes()), None)?;
            Some(providers.of(rule).unwrap().questions(&credential).remove(0))
        };
        let question = ask("telegram-bot-token", "1:a/../b?c#d").unwrap();
        assert_eq!(&*question.url, "https://api.telegram.org/bot1:a%2F..%2Fb%3Fc%23d/getMe");
        assert!(ask("github-token", "a\r\nx: y").is_none());
        let question = ask("stripe-access-token", "{pair}").unwrap();
        assert_eq!(question.headers[0].1.as_str(), "Basic e3BhaXJ9Og==");
    }
}
