//! Why a TLS handshake failed, in words that say which end is to be mended and how.

use rustls::{CertificateError, Error};

/// What went wrong and what to do about it.
pub(super) struct Handshake {
    pub(super) reason: String,
    pub(super) hint: &'static str,
}

const AUTHORITY: &str = "name the authority that signed the server's certificate with TURNLOCK_CACERT; certificates are always \
     checked, whatever VAULT_SKIP_VERIFY says";

/// The words for `error`.
pub(super) fn explain(error: &Error) -> Handshake {
    use CertificateError as Certificate;
    let (reason, hint) = match error {
        // What comes back is no TLS, as from a listener with `tls_disable`.
        Error::InvalidMessage(_) => (
            "the server does not speak TLS at this address".to_owned(),
            "check TURNLOCK_ADDR: this port may be for http:// or for another service",
        ),
        // The verifier's own name for this is of a crate that is not among ours.
        Error::InvalidCertificate(cause) if cause.to_string().contains("CaUsedAsEndEntity") => (
            "the server's certificate is one of an authority (CA:TRUE), not of a server".to_owned(),
            "make it with basicConstraints=CA:FALSE: `openssl req -x509` adds CA:TRUE unless told otherwise",
        ),
        // Besides an unknown name: an authority of the same name with another key.
        #[allow(deprecated, reason = "what older verifiers answer")]
        Error::InvalidCertificate(
            Certificate::UnknownIssuer
            | Certificate::BadSignature
            | Certificate::UnsupportedSignatureAlgorithm
            | Certificate::UnsupportedSignatureAlgorithmContext { .. }
            | Certificate::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => ("no authority that is trusted here signed the server's certificate".to_owned(), AUTHORITY),
        Error::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            (error.to_string(), "set TURNLOCK_ADDR to a name or address that the certificate is for")
        }
        Error::InvalidCertificate(
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. },
        ) => (error.to_string(), "give the server a certificate that is valid now, and check the clock"),
        _ => (error.to_string(), AUTHORITY),
    };
    Handshake { reason, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_the_hint_that_mends_it() {
        let hint = |cause| explain(&Error::InvalidCertificate(cause)).hint;
        assert!(hint(CertificateError::UnknownIssuer).contains("TURNLOCK_CACERT"));
        assert!(hint(CertificateError::BadSignature).contains("TURNLOCK_CACERT"));
        assert!(hint(CertificateError::NotValidForName).contains("TURNLOCK_ADDR"));
        assert!(hint(CertificateError::Expired).contains("clock"));
        let clear = explain(&Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType));
        assert!(clear.hint.contains("http://") && !clear.reason.contains("ContentType"));
    }
}
