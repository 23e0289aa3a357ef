//! The limits: axum and rustls in a process of its own with a handler that answers fixed bytes, or that answers them once
//! the body it was sent is on disk.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, mpsc};

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::any;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::harness::free_port;
use crate::process::Helper;

/// Size of the record that stands for a write: about that of a small secret's in the commit log.
pub(crate) const RECORD_BYTES: usize = 600;

/// The process.
pub(crate) struct Bare {
    pub(crate) port: u16,
    process: Helper,
}

impl Bare {
    /// Starts a process that answers `body` to everything, to a POST once a record is on disk in `folder`, which holds
    /// the certificate.
    pub(crate) async fn start(folder: &Path, body: &[u8]) -> Self {
        let port = free_port();
        std::fs::write(folder.join("body"), body).unwrap();
        let process = Helper::start(&["bare", &port.to_string(), folder.to_str().unwrap()]);
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Self { port, process }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// The process's side.
pub(crate) async fn serve(port: u16, folder: &Path) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_file(folder.join("tls.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("tls.key")).unwrap();
    let config =
        rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let body: &'static [u8] = std::fs::read(folder.join("body")).unwrap().leak();
    let commits = Commits::start(&folder.join("bare.log"), |answer: oneshot::Sender<()>| {
        let _ = answer.send(());
    });
    let app = Router::new().fallback(any(move |method: axum::http::Method, _sent: Bytes| {
        let commits = commits.clone();
        async move {
            if method == axum::http::Method::POST {
                let (answer, answered) = oneshot::channel();
                commits.0.send(answer).unwrap();
                answered.await.unwrap();
            }
            ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body)
        }
    }));
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
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

/// One thread that appends a record for each waiter and syncs once for all that wait. Ends when nobody can ask any more.
pub(crate) struct Commits<T>(pub(crate) mpsc::Sender<T>);

impl<T> Clone for Commits<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static> Commits<T> {
    pub(crate) fn start(path: &Path, answer: impl Fn(T) + Send + 'static) -> Self {
        let file = File::create(path).unwrap();
        let (sender, receiver) = mpsc::channel::<T>();
        std::thread::spawn(move || {
            let mut length = 0;
            while let Ok(first) = receiver.recv() {
                let group: Vec<_> = std::iter::once(first).chain(receiver.try_iter()).collect();
                let bytes = [7; RECORD_BYTES].repeat(group.len());
                file.write_all_at(&bytes, length).unwrap();
                length += bytes.len() as u64;
                file.sync_data().unwrap();
                group.into_iter().for_each(&answer);
            }
        });
        Self(sender)
    }
}
