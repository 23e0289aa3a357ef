//! A load generator that costs little: prepared HTTP/1.1 requests over kept TLS connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::process::processor_seconds;

/// A certificate for 127.0.0.1 and the client side that trusts it.
pub(crate) struct Tls {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) connector: TlsConnector,
}

impl Tls {
    pub(crate) fn fresh() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            connector: TlsConnector::from(Arc::new(config)),
        }
    }
}

/// One kept connection.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(tls: &TlsConnector, port: u16) -> std::io::Result<Self> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        let stream = tls.connect(ServerName::try_from("127.0.0.1").unwrap(), tcp).await?;
        Ok(Self { stream, buffer: Vec::with_capacity(8192) })
    }

    /// Sends a whole request and reads the whole answer; its status.
    pub(crate) async fn call(&mut self, request: &[u8]) -> std::io::Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:"))
                    .map_or(0, |text| text.trim().parse::<usize>().unwrap());
                while self.buffer.len() < end + 4 + length {
                    self.more().await?;
                }
                return Ok(head[9..12].parse().unwrap());
            }
            self.more().await?;
        }
    }

    /// The last answer's body.
    pub(crate) fn body(&self) -> &[u8] {
        let end = self.buffer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |end| end + 4);
        &self.buffer[end..]
    }

    async fn more(&mut self) -> std::io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} /v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Vault-Token: {token}\r\n{length}\r\n{body}")
        .into_bytes()
}

/// Requests a second that `connections` clients get answered with `status` within `time`; `make(client, number)` makes
/// each request.
pub(crate) async fn rate(
    tls: &TlsConnector,
    port: u16,
    connections: usize,
    time: Duration,
    status: u16,
    make: impl Fn(usize, usize) -> Vec<u8> + Send + Sync + 'static,
) -> f64 {
    let make = Arc::new(make);
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Connection::open(tls, port).await.unwrap());
    }
    let start = Instant::now();
    let tasks: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(client, mut connection)| {
            let make = make.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while start.elapsed() < time {
                    let answered = connection.call(&make(client, count)).await.unwrap();
                    assert_eq!(answered, status, "{}", String::from_utf8_lossy(connection.body()));
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await.unwrap();
    }
    total as f64 / start.elapsed().as_secs_f64()
}

/// One of the servers that are compared: requests a second, and microseconds of its processor time for each.
pub(crate) struct Measured {
    port: u16,
    pid: u32,
    rates: Vec<f64>,
    costs: Vec<f64>,
}

impl Measured {
    pub(crate) fn new(port: u16, pid: u32) -> Self {
        Self { port, pid, rates: Vec::new(), costs: Vec::new() }
    }

    /// One more round of [`rate`].
    pub(crate) async fn round(
        &mut self,
        tls: &TlsConnector,
        connections: usize,
        time: Duration,
        make: impl Fn(usize, usize) -> Vec<u8> + Send + Sync + 'static,
    ) {
        let before = processor_seconds(self.pid);
        let rate = rate(tls, self.port, connections, time, 200, make).await;
        self.costs.push((processor_seconds(self.pid) - before) * 1e6 / (rate * time.as_secs_f64()));
        self.rates.push(rate);
    }

    /// Requests a second in the middle round.
    pub(crate) fn rate(&self) -> f64 {
        median(&self.rates)
    }

    /// Microseconds of the server's processor time for one request in the middle round.
    pub(crate) fn cost(&self) -> f64 {
        median(&self.costs)
    }
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value below which `share` of all lie.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}
