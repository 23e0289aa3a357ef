//! Where a webhook may lie: what its URL says of that, known when it is defined, and which addresses its host may turn out to have.

use core::net::IpAddr;

use url::{Host, ParseError, Url};

const PLAIN: &str = "must start with https:// unless it leads to the agent's own machine: localhost, 127.0.0.1 or another loopback address";
const OWN: &str = "must name the agent's own machine as localhost or by its loopback address, which takes sudo";
const NO_HOST: &str = "must name a host";
const PORT: &str = "must have a port from 1 to 65535, or none";

/// The URL of a webhook, if something may be sent there as far as the text tells; otherwise what it must be.
pub fn webhook(text: &str) -> Result<Url, &'static str> {
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return Err("must start with https:// or http://");
    }
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::EmptyHost => NO_HOST,
        ParseError::InvalidPort => PORT,
        ParseError::InvalidIpv4Address | ParseError::InvalidIpv6Address => "must hold a valid IP address or a name",
        _ => "must be a valid URL",
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user and password: the signature proves who sends");
    }
    if url.port() == Some(0) {
        return Err(PORT);
    }
    match url.host().ok_or(NO_HOST)? {
        Host::Ipv4(ip) => allow(&url, ip.into())?,
        Host::Ipv6(ip) => allow(&url, ip.into())?,
        Host::Domain(_) if url.scheme() == "http" && !is_own_machine(&url) => return Err(PLAIN),
        Host::Domain(_) => {}
    }
    Ok(url)
}

/// Whether something may be sent to `ip`, which the host of `url` is or has for an address: over TLS anywhere but to link-local
/// and unspecified addresses, where clouds answer with credentials of the machine; over plain HTTP to this machine only; and to
/// this machine only if the text says so, by which it was judged.
pub fn allow(url: &Url, ip: IpAddr) -> Result<(), &'static str> {
    let ip = ip.to_canonical();
    match () {
        () if is_forbidden(ip) => {
            Err("must not lead to a link-local address, a metadata service, or no single machine")
        }
        () if url.scheme() == "http" && !ip.is_loopback() => Err(PLAIN),
        () if ip.is_loopback() && !is_own_machine(url) => Err(OWN),
        () => Ok(()),
    }
}

/// Whether `url` says that it leads to the machine itself, where services trust their loopback interface.
pub fn is_own_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => is_local(name),
        None => false,
    }
}

/// Names that mean the machine itself (RFC 6761, section 6.3).
fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

fn is_forbidden(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_broadcast()
                // Alibaba Cloud's metadata service; the others' are link-local.
                || ip.octets() == [100, 100, 100, 200]
        }
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                // AWS's metadata service.
                || ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{allow, is_own_machine, webhook};

    #[test]
    fn what_leads_nowhere_or_where_nothing_may_be_sent_is_told_from_the_text() {
        for (url, said) in [
            ("ftp://app.test/", "start with https:// or http://"),
            ("https://", "name a host"),
            ("https://:443/", "name a host"),
            ("https://app.test:65536/", "port"),
            ("https://app.test:port/", "port"),
            ("https://app.test:0/", "port"),
            ("https://256.1.1.1/", "IP address"),
            ("https://[::1/", "IP address"),
            ("https://exa<mple/", "valid URL"),
            ("https://user@app.test/", "no user"),
            (concat!("https://:", "word@app.test/"), "no user"),
            ("http://app.test/", "own machine"),
            ("http://localhost.app.test/", "own machine"),
            ("http://10.0.0.1/", "own machine"),
            ("http://[2001:db8::1]/", "own machine"),
            ("https://169.254.169.254/", "link-local"),
            ("http://169.254.169.254/", "link-local"),
            ("https://2852039166/", "link-local"),
            ("https://[::ffff:169.254.169.254]/", "link-local"),
            ("https://[fe80::1]/", "link-local"),
            ("https://[fd00:ec2::254]/", "link-local"),
            ("https://100.100.100.200/", "link-local"),
            ("https://0.0.0.0/", "link-local"),
            ("https://255.255.255.255/", "link-local"),
        ] {
            let found = webhook(url);
            assert!(found.as_ref().is_err_and(|demand| demand.contains(said)), "{url}: {found:?}");
        }
        for url in [
            "https://app.test",
            "https://app.test:8443/new-key?for=app#part",
            "https://10.0.0.1/",
            "https://[2001:db8::1]:1/",
            "http://localhost:8080/",
            "http://app.localhost/",
            "http://127.0.0.2/",
            "http://[::1]:1/",
        ] {
            assert!(webhook(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_leads_to_the_machine_itself_is_told_from_the_text_in_every_spelling() {
        for url in [
            "http://127.0.0.1/",
            "https://127.0.0.1:8200/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://127.9.9.9/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://app.localhost/",
        ] {
            assert!(is_own_machine(&webhook(url).unwrap()), "{url}");
        }
        for url in ["https://app.test/", "https://10.0.0.1/", "https://localhost.app.test/", "https://[2001:db8::1]/"] {
            assert!(!is_own_machine(&webhook(url).unwrap()), "{url}");
        }
    }

    #[test]
    fn a_name_that_turns_out_to_lead_to_the_machine_itself_does_not() {
        let allowed = |url: &str, ip: &str| allow(&webhook(url).unwrap(), ip.parse().unwrap());
        for ip in ["127.0.0.1", "127.0.1.1", "::1", "::ffff:127.0.0.1"] {
            assert!(allowed("https://app.test/", ip).is_err_and(|demand| demand.contains("sudo")), "{ip}");
            assert_eq!(allowed("https://localhost/", ip), Ok(()));
            assert_eq!(allowed("http://localhost/", ip), Ok(()));
        }
        assert_eq!(allowed("https://app.test/", "10.0.0.1"), Ok(()));
        assert!(allowed("http://localhost/", "10.0.0.1").is_err());
        assert!(allowed("https://app.test/", "169.254.169.254").is_err());
    }
}
