//! Where a webhook may lie: what its URL says of that, known when it is defined, and which addresses its host may turn out to have.

use core::net::IpAddr;

use url::{Host, ParseError, Url};

const PLAIN: &str = "must start with https:// unless it leads to the agent's own machine: localhost, 127.0.0.1 or another loopback address";
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
    let plain = url.scheme() == "http";
    match url.host().ok_or(NO_HOST)? {
        Host::Ipv4(ip) => allow(ip.into(), plain)?,
        Host::Ipv6(ip) => allow(ip.into(), plain)?,
        Host::Domain(name) if plain && !is_local(name) => return Err(PLAIN),
        Host::Domain(_) => {}
    }
    Ok(url)
}

/// Whether something may be sent to `ip`: over TLS anywhere but to link-local and unspecified addresses, where clouds answer with
/// credentials of the machine; over plain HTTP to this machine only.
pub fn allow(ip: IpAddr, plain: bool) -> Result<(), &'static str> {
    let ip = ip.to_canonical();
    match () {
        () if is_forbidden(ip) => {
            Err("must not lead to a link-local address, a metadata service, or no single machine")
        }
        () if plain && !ip.is_loopback() => Err(PLAIN),
        () => Ok(()),
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
    use super::webhook;

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
}
