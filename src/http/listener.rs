//! Listeners: accept connections within limits, serve HTTP/1.1 and HTTP/2 on them, drain at the end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Api;
use super::gate::{Gate, Pass};
use super::io::{Haste, Timed};
use super::limits::Limits;
use super::tls::Tls;
use crate::request::Peer;

/// Largest head of a request in bytes: a token of 8 KiB and the rest.
const HEAD_BYTES: usize = 32 << 10;
/// Most headers of a request.
const MAX_HEADERS: usize = 100;
/// Requests at one time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// What one HTTP/2 stream and one connection may send ahead.
const WINDOW_BYTES: u32 = 64 << 10;

/// How long a client may take for either half of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// So many requests a client may send without waiting for answers before it has to wait for others who do so. It takes
/// several, because a fast client may just have got its answer.
const MAX_AHEAD: u32 = 8;

/// What of its answers lies in the kernel's memory for a client that does not take them. More, up to megabytes, would be
/// work done for nobody.
const UNSENT_BYTES: u32 = 32 << 10;

/// Something that accepts connections.
pub enum Listener {
    /// TCP, with TLS unless there is none.
    Tcp(TcpListener, Option<Arc<Tls>>),
    /// A Unix socket.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket, removed when dropped: also by a start that comes to nothing.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens on `address`. So many connections wait in the kernel until they are accepted, or as many as it allows: of more
/// it would drop the first packet, and their clients would try again only after a second.
pub fn tcp(address: SocketAddr, waiting: usize) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart finds connections of the process before that are not yet forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(u32::try_from(waiting).unwrap_or(u32::MAX))
}

impl Listener {
    /// Binds a Unix socket that only its owner may connect to, unless `mode` says otherwise. Takes the place of a socket
    /// that nobody listens on any more.
    pub fn unix(path: PathBuf, mode: u32) -> io::Result<Self> {
        match std::os::unix::net::UnixStream::connect(&path) {
            // A file that is no socket refuses too, and somebody may need it.
            Err(error)
                if error.kind() == io::ErrorKind::ConnectionRefused
                    && std::fs::symlink_metadata(&path)?.file_type().is_socket() =>
            {
                std::fs::remove_file(&path)?;
            }
            _ => {}
        }
        // Nobody may connect between bind and chmod.
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(&path);
        rustix::process::umask(before);
        let (bound, file) = (bound?, SocketFile(path));
        std::fs::set_permissions(&file.0, std::fs::Permissions::from_mode(mode))?;
        Ok(Self::Unix(bound, file))
    }

    /// Accepts until `stop` changes, then waits up to `drain` for the requests under way.
    pub async fn run(self, api: Api, limits: Limits, mut stop: watch::Receiver<bool>, drain: Duration) {
        if let Self::Tcp(listener, _) = &self
            && let Err(error) = SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES)
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "answers that nobody takes may fill more memory");
        }
        let gate = Gate::new(&limits);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                _ = stop.changed() => break,
                // Reaps what has ended.
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = self.accept() => match accepted {
                    Ok((stream, peer, tls)) => {
                        let pass = Arc::new(gate.admit(peer));
                        let connection = Connection {
                            api: api.clone(), limits: limits.clone(), stop: stop.clone(), peer, tls, pass: pass.clone(),
                        };
                        connections.spawn(async move {
                            tokio::select! {
                                () = connection.run(stream) => {}
                                () = pass.given_up() => {}
                            }
                        });
                    }
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "a connection could not be accepted");
                        // Out of file descriptors, most likely: the next try would fail at once.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, drained).await.is_err() {
            tracing::warn!("connections were cut at the end of the time for draining");
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Peer, Option<Arc<Tls>>)> {
        match self {
            Self::Tcp(listener, tls) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), Peer::Ip(address.ip().to_canonical()), tls.clone()))
            }
            Self::Unix(listener, _) => Ok((Box::new(listener.accept().await?.0), Peer::Unix, None)),
        }
    }
}

/// A byte stream of either kind.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
type Stream = Box<dyn Duplex>;

/// One connection on its way through its life.
struct Connection {
    api: Api,
    limits: Limits,
    stop: watch::Receiver<bool>,
    peer: Peer,
    tls: Option<Arc<Tls>>,
    pass: Arc<Pass>,
}

impl Connection {
    async fn run(self, stream: Stream) {
        let haste = Haste::default();
        let stream = Timed::new(stream, self.limits.stall_timeout, 4 * self.limits.head_timeout, haste.clone());
        match self.tls.clone() {
            None => self.serve(stream, haste).await,
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream, &self.api.turns().handshakes, HANDSHAKE).await {
                    self.serve(stream, haste).await;
                }
            }
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(mut self, stream: S, haste: Haste) {
        let (api, peer, pass) = (self.api.clone(), self.peer, self.pass.clone());
        let service = service_fn(move |request: http::Request<_>| {
            let (api, pass) = (api.clone(), pass.clone());
            let under_way = pass.begin();
            // The streams of HTTP/2 are meant to be used side by side, but all beside the first wait for turns.
            let is_stream = request.version() >= http::Version::HTTP_2;
            let ahead = if is_stream { under_way.number } else { haste.begin() };
            async move {
                if ahead > MAX_AHEAD && !is_stream {
                    api.turns().line_up().await;
                }
                let answer = api.turns().requests.take(ahead > 1, pin!(api.serve(peer, request))).await;
                drop(under_way);
                Ok::<_, Infallible>(answer)
            }
        });
        let builder = builder(&self.limits);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = self.stop.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            // A client's fault nearly always, and it can make as many as it likes.
            tracing::debug!(error = error.as_ref() as &dyn std::error::Error, "a connection ended early");
        }
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .max_pending_accept_reset_streams(Some(20))
        .max_local_error_reset_streams(Some(64))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES)
        .max_send_buf_size(WINDOW_BYTES as usize)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
