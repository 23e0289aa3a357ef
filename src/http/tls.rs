//! TLS of a listener: certificate and key from files, read again when asked.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{Acceptor, ServerConfig};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use super::turns::Line;
use crate::config::NamedFile;

/// Where certificate and key are, and the oldest version of TLS that is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain as PEM, the server's own certificate first.
    pub certificate: NamedFile,
    /// The key as PEM.
    pub key: NamedFile,
    /// Refuses TLS 1.2.
    pub only_tls13: bool,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or is not PEM.
    #[error("{file} cannot be read as PEM")]
    Pem {
        /// The file.
        file: NamedFile,
        /// What is wrong.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key do not fit together, or are of a kind that is not supported.
    #[error("{} with {} cannot be used", .files.certificate, .files.key)]
    Unusable {
        /// The files.
        files: Box<TlsFiles>,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
}

/// The TLS of a listener as it is now.
pub struct Tls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let config = ArcSwap::from(load(&files)?);
        Ok(Self { files, config })
    }

    /// Reads the files again. On an error the old certificate stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.config.store(load(&self.files)?);
        Ok(())
    }

    /// Shakes hands, as a `line` allows; `time` is how long the client may let either half of it wait.
    pub(super) async fn accept<S>(
        &self,
        stream: S,
        line: &Line,
        time: Duration,
    ) -> io::Result<tokio_rustls::server::TlsStream<S>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let hello = timeout(time, LazyConfigAcceptor::new(Acceptor::default(), stream)).await??;
        // The time begins with the turn: those who shake hands all the time must not cut off who waits behind them.
        let shaken = async { timeout(time, hello.into_stream(self.config.load_full())).await? };
        line.take(true, pin!(shaken)).await
    }
}

fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let failed = |file: &NamedFile| {
        let file = file.clone();
        move |source| TlsError::Pem { file, source }
    };
    let unusable = |source| TlsError::Unusable { files: Box::new(files.clone()), source };
    let chain = CertificateDer::pem_file_iter(&files.certificate.path).map_err(failed(&files.certificate))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(failed(&files.certificate))?;
    if chain.is_empty() {
        return Err(failed(&files.certificate)(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key.path).map_err(failed(&files.key))?;
    let versions: &[&rustls::SupportedProtocolVersion] =
        if files.only_tls13 { &[&rustls::version::TLS13] } else { &[&rustls::version::TLS13, &rustls::version::TLS12] };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(versions).map_err(unusable)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
