//! For tests: a service over TLS on this machine, with a certificate that nobody knows.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A listener on the loopback interface, and what proves who it is.
pub(crate) struct Certified {
    /// `https://127.0.0.1:PORT`.
    pub(crate) address: String,
    /// The certificate in PEM, which is its own authority.
    pub(crate) pem: String,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Certified {
    pub(crate) async fn listen() -> Self {
        // Refused when another test has installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: format!("https://{}", listener.local_addr().unwrap()),
            pem: made.cert.pem(),
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }

    /// The next connection, before a word was said.
    pub(crate) async fn connection(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    /// The next connection, once both sides trust each other.
    pub(crate) async fn accept(&self) -> std::io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(self.connection().await).await
    }
}
