//! Verdicts of providers: who is asked about what, and when a refusal proves something.

use turnlock_core::finding::Verdict;
use turnlock_scan::config::Config;
use turnlock_scan::verify::{self, Answer, Ask, Question};
use turnlock_scan::{Options, Report, Scanner};

use crate::{scanner, token};

/// A provider that answers each question as it is told, and remembers where it was asked.
struct Told<F> {
    answer: F,
    urls: Vec<String>,
}

impl<F: FnMut(&str) -> Result<Answer, String>> Ask for Told<F> {
    fn ask(&mut self, question: &Question) -> Result<Answer, String> {
        self.urls.push(question.url.to_string());
        (self.answer)(&question.url)
    }
}

fn answer(status: u16, body: &str) -> Result<Answer, String> {
    Ok(Answer { status, body: body.as_bytes().to_vec(), is_named: false })
}

/// The verdicts on what is found in `text`, by rule, and where was asked.
fn verdicts(
    text: &str,
    answer: impl FnMut(&str) -> Result<Answer, String>,
) -> (Vec<(String, Option<Verdict>)>, Vec<String>) {
    let mut report: Report = scanner().scan_bytes("f", text.as_bytes());
    let mut told = Told { answer, urls: Vec::new() };
    verify::verify(&mut report, &mut told).unwrap();
    let verdicts = report.findings.iter().map(|found| (found.rule.clone(), found.verdict.clone())).collect();
    (verdicts, told.urls)
}

fn one(text: &str, rule: &str, answer: impl FnMut(&str) -> Result<Answer, String>) -> (String, Vec<String>) {
    let (verdicts, urls) = verdicts(text, answer);
    let verdict = verdicts.iter().find(|(found, _)| found == rule).unwrap_or_else(|| panic!("{rule}: {verdicts:?}"));
    let said = match verdict.1.clone().unwrap() {
        Verdict::Unknown(why) => why,
        sure => sure.word().to_owned(),
    };
    (said, urls)
}

#[test]
fn who_is_known_in_one_region_lives_and_who_is_known_in_none_is_dead() {
    let key = ["NRAK", "-7Q2MXK4Z9VWB", "J3T8RLC5YHDPG6Q"].concat();
    let (said, urls) = one(&key, "new-relic-key", |url| {
        if url.contains(".eu.") { answer(200, r#"{"data":{"actor":{"user":{"id":1}}}}"#) } else { answer(401, "") }
    });
    assert_eq!((said.as_str(), urls.len()), ("live", 2));
    assert_eq!(one(&key, "new-relic-key", |_| answer(401, "")).0, "dead");
    let (said, urls) =
        one(
            &key,
            "new-relic-key",
            |url| {
                if url.contains(".eu.") { Err("out of reach".into()) } else { answer(401, "") }
            },
        );
    assert_eq!((said.as_str(), urls.len()), ("out of reach", 2));
}

#[test]
fn a_refusal_elsewhere_proves_nothing_of_what_a_server_of_ones_own_may_have_given_out() {
    let token = ["glp", "at-", "Zq7Xw3Vb9Nm2", "Kc5Td8Rf"].concat();
    let (said, urls) = one(&token, "gitlab-token", |_| answer(401, ""));
    assert!(said.contains("--verify-endpoint gitlab.com=URL"), "{said}");
    assert_eq!(urls, ["https://gitlab.com/api/v4/personal_access_tokens/self"]);
    let (said, _) = one(&token, "gitlab-token", |_| Ok(Answer { status: 401, body: Vec::new(), is_named: true }));
    assert_eq!(said, "dead");
    assert_eq!(one(&token, "gitlab-token", |_| answer(403, r#"{"error": "insufficient_scope"}"#)).0, "live");
}

#[test]
fn kinds_that_the_question_is_not_for_are_not_sent() {
    let refresh = token(1).replace("dop_", "dor_");
    let (said, urls) = one(&refresh, "digitalocean-token", |_| answer(401, ""));
    assert_eq!((said.as_str(), urls.len()), ("its provider has no question for this kind", 0));
}

#[test]
fn a_pair_is_sent_together_and_a_refusal_kills_nothing_of_a_form_that_others_have() {
    let secret = ["b4aee89d", "589a20a3", "6d6557c6", "33167f10"].concat();
    let account = |middle: &str| ["A", "C", "52f104b9", middle, "4d985832", "67e2aa48"].concat();
    let line = |name: &str, value: &str| format!("twilio_{name} = \"{value}\"\n");
    let alone = line("auth_token", &secret);
    let (said, urls) = one(&alone, "twilio-auth-token", |_| answer(401, ""));
    assert!(said.contains("was not found in the same file") && urls.is_empty(), "{said}");
    let pair = line("account", &account("cbaae7b0")) + &alone;
    let (said, urls) = one(&pair, "twilio-auth-token", |_| answer(401, ""));
    assert!(said.contains("not every credential of this form"), "{said}");
    assert_eq!(urls[0], format!("https://api.twilio.com/2010-04-01/Accounts/{}.json", account("cbaae7b0")));
    let more = pair + &line("account", &account("aaaae7b1"));
    let (said, _) = one(&more, "twilio-auth-token", |_| answer(401, ""));
    assert!(said.contains("more than one other half"), "{said}");
}

#[test]
fn what_would_be_asked_is_shown_without_the_credential() {
    let report = scanner().scan_bytes("f", token(7).as_bytes());
    let planned = verify::plan(&report).unwrap();
    let question = &planned[0].questions.as_ref().unwrap()[0];
    assert_eq!(&*question.url, "https://api.digitalocean.com/v2/account");
    assert_eq!(question.headers[0].1.as_str(), "Bearer REDACTED");
    assert!(!format!("{planned:?}").contains(&token(7)));
}

#[test]
fn what_may_be_another_credential_is_not_dead_when_it_is_refused() {
    let hex = ["b4aee89d", "589a20a3", "6d6557c6", "33167f10"].concat();
    let letters = ["q7Zr4Lk0Pw2V", "xB9mTc5Yd8Hn", "3Js6Gf1AaRuE", "iQoW2zXv4Kp9"].concat();
    let sid = ["A", "C", "52f104b9cbaae7b0", "4d98583267e2aa48"].concat();
    let uuid = ["3f0e9ab1-c7d2", "-4856-9b0c-", "9e8f7a6d5c4b"].concat();
    let user = ["MTA4NzY1NDMy", "MTk4NzY1NDMy", ".GhT7xQ.", &letters[..38]].concat();
    let unasked = [
        format!("TWILIO_ACCOUNT_SID={sid}\nTWILIO_API_SECRET={hex}\n"),
        format!("FB_TOKEN={}{letters}{}\n", "EAAA", &letters[..12]),
        format!("OTHER={}{}\n", "secret_", &letters[..43]),
        format!("PAYSTACK_KEY={}_{}_{hex}\n", "sk", "live"),
    ];
    for text in &unasked {
        let (verdicts, urls) = verdicts(text, |_| answer(200, ""));
        assert!(!verdicts.is_empty() && urls.is_empty(), "{text}: {verdicts:?}");
    }
    let refused = [
        format!("HEROKU_OAUTH_SECRET={uuid}\n"),
        format!("HEROKU_API_KEY={uuid}\n"),
        format!("FASTLY_WEBHOOK_SECRET={}\n", &letters[..32]),
        format!("PAGERDUTY_CLIENT_SECRET={}\n", &letters[..20]),
        format!("DISCORD_TOKEN={user}\n"),
        format!("LINODE_OBJ_SECRET={}\n", hex.repeat(2)),
        format!("DROPBOX_REFRESH_TOKEN={letters}{}\n", &letters[..16]),
        format!("DATADOG_CLIENT_TOKEN={hex}\n"),
    ];
    for text in unasked.iter().chain(&refused) {
        let body = r#"{"reason": "Invalid Token", "error": "invalid_access_token", "errors": []}"#;
        for status in [401, 403] {
            let (verdicts, _) = verdicts(text, |_| answer(status, body));
            assert!(!verdicts.is_empty(), "{text}");
            assert!(verdicts.iter().all(|(_, said)| *said != Some(Verdict::Dead)), "{text}: {verdicts:?}");
        }
    }
}

#[test]
fn what_a_rule_of_a_configuration_finds_is_sent_to_nobody() {
    let rules = "[[rules]]\nid = \"notion-token\"\nregex = \"internal-([a-z0-9]{20})\"\n";
    let config = Config::parse(rules, "c", &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let scanner = Scanner::new(Options { config, ..Options::usual() }).unwrap();
    let mut report = scanner.scan_bytes("f", b"internal-q7zr4lk0pw2vxb9mtc5y");
    assert_eq!(report.findings[0].rule, "notion-token");
    let mut told = Told { answer: |_: &str| answer(200, ""), urls: Vec::new() };
    verify::verify(&mut report, &mut told).unwrap();
    assert!(told.urls.is_empty());
    assert!(matches!(&report.findings[0].verdict, Some(Verdict::Unknown(why)) if why.contains("configuration")));
}
