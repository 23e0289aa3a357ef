//! `turnlock scan --verify`: carries questions about credentials to their providers, slowly, and to nobody else.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::{Client, ClientBuilder, Method, Url};
use tokio::runtime::Runtime;
use turnlock_core::counted;
use turnlock_scan::Report;
use turnlock_scan::report::{printable, where_found};
use turnlock_scan::verify::{self, Answer, Ask, Question};

use super::ScanFailure;

/// Time between two questions to the same host.
const PACE: Duration = Duration::from_millis(250);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most of an answer that is read.
const ANSWER_BYTES: usize = 64 << 10;

/// So many credentials are listed with what would be asked about them.
const MAX_LISTED: usize = 100;

/// Who is asked in place of a provider's host.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    host: String,
    url: Url,
}

impl Endpoint {
    /// Reads `HOST=URL`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (host, url) = text.split_once('=').ok_or("write HOST=URL, as in gitlab.com=https://gitlab.example.com")?;
        let url = Url::parse(url).map_err(|error| format!("this is no URL: {error}"))?;
        if url.scheme() != "https" && !(url.scheme() == "http" && is_this_machine(&url)) {
            return Err("credentials are sent over https, or by http to an address of this machine only".to_owned());
        }
        if url.path() != "/" || url.query().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err("give a scheme, a host and a port only".to_owned());
        }
        Ok(Self { host: host.to_ascii_lowercase(), url })
    }
}

/// By its address: what a name leads to is decided elsewhere.
fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Refuses endpoints of hosts that nobody asks, before anything is scanned.
pub(super) fn check(endpoints: &[Endpoint]) -> Result<(), ScanFailure> {
    let hosts = verify::hosts()?;
    match endpoints.iter().find(|endpoint| !hosts.contains(&endpoint.host)) {
        Some(unknown) => Err(ScanFailure::NobodyAsked { host: unknown.host.clone() }),
        None => Ok(()),
    }
}

/// Notes in `report` what the providers say.
pub(super) fn run(report: &mut Report, endpoints: &[Endpoint]) -> Result<(), ScanFailure> {
    let mut providers = Web::new(endpoints)?;
    Ok(verify::verify(report, &mut providers)?)
}

/// Says what would be asked, about what, and how much it is in all.
pub(super) fn preview(report: &Report, endpoints: &[Endpoint]) -> Result<(), ScanFailure> {
    let mut to = io::stderr().lock();
    let (mut questions, mut credentials, mut unasked, mut hosts) = (0, 0, 0, BTreeSet::new());
    let mut listed = 0;
    for planned in verify::plan(report)? {
        hosts.extend(planned.host.clone());
        let lines = match &planned.questions {
            Ok(asked) => {
                credentials += 1;
                questions += asked.len();
                asked.iter().map(|question| shown(question, endpoints)).collect()
            }
            Err(why) => {
                unasked += 1;
                vec![format!("would not be asked about: {why}")]
            }
        };
        listed += 1;
        if listed > MAX_LISTED {
            continue;
        }
        let more = match planned.places {
            0 | 1 => String::new(),
            places => format!(" and {}", counted(places - 1, "more place")),
        };
        let place = format!("{} {}{more}", planned.rule, where_found(&planned.place));
        for line in lines {
            writeln!(to, "{}", printable(&format!("{place}: {line}"))).map_err(ScanFailure::Write)?;
        }
    }
    if listed > MAX_LISTED {
        writeln!(to, "and {}", counted(listed - MAX_LISTED, "more credential")).map_err(ScanFailure::Write)?;
    }
    let asked = format!("{} about {}", counted(questions, "question"), counted(credentials, "credential"));
    let asked = format!("would ask at most {asked}, of {}", counted(hosts.len(), "provider"));
    writeln!(to, "{asked}; not asked about: {}", counted(unasked, "credential")).map_err(ScanFailure::Write)
}

/// A question without credentials.
fn shown(question: &Question, endpoints: &[Endpoint]) -> String {
    let url = target(question, endpoints).map_or_else(|why| why, |(url, _)| url.to_string());
    let headers: Vec<String> = question.headers.iter().map(|(name, value)| format!("{name}: {}", **value)).collect();
    let mut line = format!("{} {url}", question.method);
    if !headers.is_empty() {
        line += &format!(" ({})", headers.join(", "));
    }
    if !question.body.is_empty() {
        line += &format!(" {}", *question.body);
    }
    line
}

/// Where the question goes: to the server that the user named in place of the provider's, if there is one.
fn target(question: &Question, endpoints: &[Endpoint]) -> Result<(Url, bool), String> {
    let url = Url::parse(&question.url).map_err(|_| "its question has no valid address".to_owned())?;
    let host = url.host_str().unwrap_or_default();
    let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.host == host) else { return Ok((url, false)) };
    let mut instead = endpoint.url.clone();
    instead.set_path(url.path());
    instead.set_query(url.query());
    Ok((instead, true))
}

/// The providers, one question at a time.
struct Web<'a> {
    runtime: Runtime,
    /// Over TLS only, through the proxy that the environment names.
    outside: Client,
    /// Past any proxy: it would be sent the question in the clear.
    this_machine: Client,
    endpoints: &'a [Endpoint],
    hosts: HashMap<String, Host>,
}

/// A host that was asked.
struct Host {
    last: Instant,
    /// Why it is asked no more.
    given_up: Option<&'static str>,
}

impl<'a> Web<'a> {
    fn new(endpoints: &'a [Endpoint]) -> Result<Self, ScanFailure> {
        // Refused only when a provider is installed already, and every part of turnlock installs this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = |builder: ClientBuilder| {
            builder
                .user_agent(concat!("turnlock/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                // One that the provider closes between two questions would look as if it gave no answer.
                .pool_max_idle_per_host(0)
                .connect_timeout(PATIENCE)
                .timeout(PATIENCE)
                .build()
                .map_err(|error| ScanFailure::Network(io::Error::other(error.without_url())))
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ScanFailure::Network)?;
        Ok(Self {
            runtime,
            outside: client(Client::builder().https_only(true))?,
            this_machine: client(Client::builder().no_proxy())?,
            endpoints,
            hosts: HashMap::new(),
        })
    }
}

impl Ask for Web<'_> {
    fn ask(&mut self, question: &Question) -> Result<Answer, String> {
        let (url, is_named) = target(question, self.endpoints)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        if let Some(host) = self.hosts.get(&host) {
            if let Some(why) = host.given_up {
                return Err(why.to_owned());
            }
            if let Some(wait) = PACE.checked_sub(host.last.elapsed()) {
                std::thread::sleep(wait);
            }
        }
        let client = if is_this_machine(&url) { &self.this_machine } else { &self.outside };
        let mut request = client.request(if question.method == "POST" { Method::POST } else { Method::GET }, url);
        for (name, value) in &question.headers {
            let mut value =
                http::HeaderValue::from_str(value).map_err(|_| "its question has an invalid header".to_owned())?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        if !question.body.is_empty() {
            request = request.body(question.body.as_bytes().to_vec());
        }
        let answer = self.runtime.block_on(fetch(request));
        // Who is out of reach or asks for a pause is not troubled again: each try could take long.
        let given_up = match &answer {
            Ok((429, _)) => Some("the provider asks for a pause"),
            Err(error) if error.is_timeout() => Some("the provider did not answer in time"),
            Err(error) if error.is_connect() => Some("the provider cannot be reached"),
            _ => None,
        };
        self.hosts.insert(host, Host { last: Instant::now(), given_up });
        match (given_up, answer) {
            (Some(why), _) => Err(why.to_owned()),
            (None, Ok((status, body))) => Ok(Answer { status, body, is_named }),
            // The library's own words could hold the address, and with it the credential.
            (None, Err(_)) => Err("the provider's answer cannot be read".to_owned()),
        }
    }
}

async fn fetch(request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>), reqwest::Error> {
    let mut response = request.send().await?;
    let (status, mut body) = (response.status().as_u16(), Vec::new());
    while let Some(chunk) = response.chunk().await? {
        body.extend(chunk.iter().take(ANSWER_BYTES - body.len()));
        if body.len() == ANSWER_BYTES {
            break;
        }
    }
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_over_tls_or_stay_on_the_machine() {
        assert!(Endpoint::parse("gitlab.com=https://gitlab.example.com").is_ok());
        assert!(Endpoint::parse("gitlab.com=http://127.0.0.1:8080").is_ok());
        assert!(Endpoint::parse("gitlab.com=http://[::1]:8080").is_ok());
        for bad in [
            "gitlab.com",
            "a=http://example.com",
            "a=http://localhost",
            "a=http://127.0.0.1.example.com",
            "a=ftp://127.0.0.1",
            "a=https://u:p@b",
            "a=https://b/c",
            "a=b",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }
}
