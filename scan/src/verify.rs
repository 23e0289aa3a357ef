//! Asks providers whether the credentials that were found live. Off unless it is asked for: a question sends a credential
//! to its provider. What is asked stands in `verify/providers.toml`; how it gets there is the caller's, so that this crate
//! stays free of a network.

mod provider;

use std::collections::{HashMap, HashSet};
use std::fmt;

use turnlock_core::Protected;
use turnlock_core::finding::{Finding, Fingerprint, Place, Verdict};
use zeroize::Zeroizing;

use crate::inspect::identity;
use crate::report::Report;
use provider::{Credential, Provider, Providers};

/// Most credentials that are asked about in one scan.
const MAX_CREDENTIALS: usize = 1000;

/// A request to a provider. Holds a credential.
pub struct Question {
    /// `GET` or `POST`.
    pub method: String,
    /// Where to.
    pub url: Zeroizing<String>,
    /// Names and values.
    pub headers: Vec<(String, Zeroizing<String>)>,
    /// The body; empty for none.
    pub body: Zeroizing<String>,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("method", &self.method).finish_non_exhaustive()
    }
}

/// What a provider answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, cut to a sensible length by whoever fetched it.
    pub body: Vec<u8>,
    /// Whether the user named the server that was asked.
    pub is_named: bool,
}

/// The way to the providers. Follows no redirect, which would carry the credential on, and bounds what it reads.
pub trait Ask {
    /// Sends `question`. The error is a text for people, without the credential.
    fn ask(&mut self, question: &Question) -> Result<Answer, String>;
}

/// What would be asked about one credential.
#[derive(Debug)]
pub struct Planned {
    /// The rule that found it.
    pub rule: String,
    /// The first of its places.
    pub place: Place,
    /// How many places it has.
    pub places: usize,
    /// Host of who would be asked.
    pub host: Option<String>,
    /// The questions with the credential hidden, or why there are none.
    pub questions: Result<Vec<Question>, String>,
}

/// Why nobody is asked.
#[derive(Debug, thiserror::Error)]
enum Unasked {
    #[error("no question is known for its provider")]
    NoProvider,
    #[error("its rule is one of the configuration, which says nothing of who gave it out")]
    OwnRule,
    #[error("its provider has no question for this kind")]
    NotThisKind,
    #[error("its other half, {0}, was not found in the same file")]
    NoPair(String),
    #[error("it holds characters that no request can carry")]
    Characters,
    #[error("a thousand credentials were asked about already")]
    TooMany,
}

/// What the providers are asked cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("what the providers are asked cannot be read")]
pub struct BadProviders(#[from] toml::de::Error);

/// Asks about each credential in `report` once, and notes the verdicts in it.
pub fn verify(report: &mut Report, ask: &mut dyn Ask) -> Result<(), BadProviders> {
    let providers = Providers::built_in()?;
    let verdicts: HashMap<Fingerprint, Verdict> = inquiries(&providers, report)
        .into_iter()
        .map(|inquiry| {
            (inquiry.name, inquiry.what.map_or_else(|why| Verdict::Unknown(why.to_string()), |what| what.verdict(ask)))
        })
        .collect();
    let same = identity();
    for finding in report.findings.iter_mut().filter(|finding| is_askable(finding)) {
        let Some(verdict) = verdicts.get(&same.fingerprint(finding.secret.expose())) else { continue };
        finding.tags.push(format!("verified:{}", verdict.word()));
        finding.verdict = Some(verdict.clone());
    }
    Ok(())
}

/// What [`verify`] would ask, with the credentials hidden.
pub fn plan(report: &Report) -> Result<Vec<Planned>, BadProviders> {
    let providers = Providers::built_in()?;
    let planned = |inquiry: Inquiry<'_>| Planned {
        rule: inquiry.rule.to_owned(),
        place: inquiry.place.clone(),
        places: inquiry.places,
        host: inquiry.what.as_ref().ok().map(|what| what.provider.host().to_owned()),
        questions: inquiry
            .what
            .map(|what| what.provider.questions(&Credential::hidden()))
            .map_err(|why| why.to_string()),
    };
    Ok(inquiries(&providers, report).into_iter().map(planned).collect())
}

/// The hosts that are asked, each once.
pub fn hosts() -> Result<HashSet<String>, BadProviders> {
    Ok(Providers::built_in()?.hosts().map(str::to_owned).collect())
}

/// One credential, however often it was found.
struct Inquiry<'a> {
    name: Fingerprint,
    rule: &'a str,
    /// The first of its places by which it can be asked about, and how many it has.
    place: &'a Place,
    places: usize,
    what: Result<Subject<'a>, Unasked>,
}

/// Whom to ask about what.
struct Subject<'a> {
    provider: &'a Provider,
    credential: Credential,
    /// Whether there is only one other half that it can belong to.
    is_pair_sure: bool,
}

/// Values of the store are known to live; what has no credential cannot be asked about.
fn is_askable(finding: &Finding) -> bool {
    finding.live.is_none() && !finding.secret.is_empty()
}

/// One for each credential; by the first of its places where it can be asked about.
fn inquiries<'a>(providers: &'a Providers, report: &'a Report) -> Vec<Inquiry<'a>> {
    let same = identity();
    let mut known: HashMap<Fingerprint, usize> = HashMap::new();
    let mut inquiries: Vec<Inquiry<'a>> = Vec::new();
    let mut asked = 0;
    for finding in report.findings.iter().filter(|finding| is_askable(finding)) {
        let name = same.fingerprint(finding.secret.expose());
        let earlier = known.get(&name).copied();
        let mut places = 1;
        if let Some(earlier) = earlier.and_then(|place| inquiries.get_mut(place)) {
            earlier.places += 1;
            places = earlier.places;
            if earlier.what.is_ok() {
                continue;
            }
        }
        let what = match subject(providers, finding, report) {
            Ok(_) if asked >= MAX_CREDENTIALS => Err(Unasked::TooMany),
            what => what,
        };
        asked += usize::from(what.is_ok());
        let inquiry = Inquiry { name, rule: &finding.rule, place: &finding.place, places, what };
        match earlier.and_then(|place| inquiries.get_mut(place)) {
            Some(earlier) if inquiry.what.is_ok() => *earlier = inquiry,
            Some(_) => {}
            None => {
                known.insert(name, inquiries.len());
                inquiries.push(inquiry);
            }
        }
    }
    inquiries
}

fn subject<'a>(providers: &'a Providers, finding: &Finding, report: &Report) -> Result<Subject<'a>, Unasked> {
    // Under the id of a built-in rule it could send anybody's values to a provider.
    if report.own_rules.contains(&finding.rule) {
        return Err(Unasked::OwnRule);
    }
    let provider = providers.of(&finding.rule).ok_or(Unasked::NoProvider)?;
    let asked = |credential: Credential, is_pair_sure: bool| match provider.knows(&credential, finding.lines.expose()) {
        true => Ok(Subject { provider, credential, is_pair_sure }),
        false => Err(Unasked::NotThisKind),
    };
    let Some(rule) = &provider.pair else {
        let credential = Credential::of(&finding.secret, None).ok_or(Unasked::Characters)?;
        return asked(credential, true);
    };
    let is_pair = |other: &&Finding| {
        other.rule == *rule
            && !report.own_rules.contains(rule)
            && other.place.file == finding.place.file
            && other.secret.expose() != finding.secret.expose()
    };
    let pairs = || report.findings.iter().filter(is_pair);
    let nearest = pairs().min_by_key(|other| other.place.start_line.abs_diff(finding.place.start_line));
    let pair: &Protected = &nearest.ok_or_else(|| Unasked::NoPair(rule.clone()))?.secret;
    let is_pair_sure = pairs().all(|other| other.secret.expose() == pair.expose());
    let credential = Credential::of(&finding.secret, Some(pair)).ok_or(Unasked::Characters)?;
    asked(credential, is_pair_sure)
}

impl Subject<'_> {
    /// Asks in every region of the provider until it is known in one. It is dead when all refuse it and nobody else can
    /// know it.
    fn verdict(&self, ask: &mut dyn Ask) -> Verdict {
        let mut unsure = None;
        let mut is_named = false;
        for question in self.provider.questions(&self.credential) {
            let verdict = match ask.ask(&question) {
                Err(why) => Verdict::Unknown(why),
                Ok(answer) => {
                    is_named |= answer.is_named;
                    self.provider.verdict(&answer)
                }
            };
            match verdict {
                Verdict::Live => return Verdict::Live,
                Verdict::Dead => {}
                Verdict::Unknown(why) => unsure = unsure.or(Some(why)),
            }
        }
        match unsure {
            Some(why) => Verdict::Unknown(why),
            None if !self.is_pair_sure => {
                Verdict::Unknown("it is refused, but more than one other half stands in the file".to_owned())
            }
            None if !self.provider.is_own_form(&self.credential) => Verdict::Unknown(format!(
                "{} refuses it, but not every credential of this form is from there",
                self.provider.host()
            )),
            None if self.provider.own_servers && !is_named => Verdict::Unknown(format!(
                "{host} refuses it; if a server of your own may know it, ask that: --verify-endpoint {host}=URL",
                host = self.provider.host()
            )),
            None => Verdict::Dead,
        }
    }
}
