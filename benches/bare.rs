//! The limit for reads: axum and rustls with a handler that answers fixed bytes. Runs as a process of its own.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::any;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::free_port;

/// The process.
pub(crate) struct Bare {
    pub(crate) port: u16,
    child: Child,
}

impl Bare {
    /// Starts a process that answers `body` to everything.
    pub(crate) async fn start(folder: &std::path::Path, body: &[u8]) -> Self {
        let port = free_port();
        std::fs::write(folder.join("body"), body).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["bare", &port.to_string()])
            .args(["tls.crt", "tls.key", "body"].map(|name| folder.join(name)))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Self { port, child }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process's side.
pub(crate) async fn serve(arguments: &[String]) {
    let [port, certificate, key, body] = arguments else { panic!("bare PORT CERTIFICATE KEY BODY") };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config =
        rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let body: &'static [u8] = std::fs::read(body).unwrap().leak();
    let app = Router::new().fallback(any(move || async move {
        ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body)
    }));
    let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).await.unwrap();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (acceptor, app) = (acceptor.clone(), app.clone());
        tokio::spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let service = hyper_util::service::TowerToHyperService::new(app);
            let io = hyper_util::rt::TokioIo::new(tls);
            let executor = hyper_util::rt::TokioExecutor::new();
            let _ = hyper_util::server::conn::auto::Builder::new(executor).serve_connection(io, service).await;
        });
    }
}
