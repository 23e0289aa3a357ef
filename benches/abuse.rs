//! One client's abuse beside another's reads: the 99th percentile of a reader at 50 requests a second during each attack,
//! against a control that burns as much processor time as the attackers do, elsewhere.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::Instance;
use crate::load::{Connection, Tls, percentile, request};
use crate::process::{Helper, processor_seconds, resident};
use crate::reads::workload_token;
use crate::verdict;

const TIME: Duration = Duration::from_secs(10);
const PERIOD: Duration = Duration::from_millis(20);
const ATTACKS: [&str; 6] =
    ["unknown-users", "wrong-passwords", "large-bodies", "nested-bodies", "http2-resets", "slow-clients"];

/// The attacks that are named, or all of them.
pub(crate) async fn run(named: &[String]) {
    let tls = Tls::fresh();
    let instance = Instance::start_tls(&tls.certificate, &tls.key).await;
    let token = workload_token(&instance).await;
    let root = instance.as_root();
    let stored = json!({"data": {"password": "correct-horse-battery-staple"}});
    assert_eq!(root.put("secret/data/app/db", stored).await.0, 200);
    assert_eq!(root.put("sys/auth/userpass", json!({"type": "userpass"})).await.0, 204);
    let (status, answer) = root.put("auth/userpass/users/alice", json!({"password": "correct horse"})).await;
    assert_eq!(status, 204, "{answer}");
    let read = request("GET", "secret/data/app/db", &token, "");

    let mut quiet = reader(&tls.connector, instance.port, &read, TIME).await;
    let before = resident(instance.pid());
    println!("abuse: quiet p99 {:.2} ms, resident {before:.1} MiB", percentile(&mut quiet, 0.99));
    let wanted = |attack: &str| named.iter().any(|name| name == attack);
    let all = !ATTACKS.iter().any(|attack| wanted(attack));
    for attack in ATTACKS.into_iter().filter(|attack| all || wanted(attack)) {
        let attackers = Helper::start(&["attack", attack, &instance.port.to_string()]);
        let (mut latencies, highest) =
            tokio::join!(reader(&tls.connector, instance.port, &read, TIME), highest_memory(instance.pid(), TIME),);
        let share = processor_seconds(attackers.pid()) / TIME.as_secs_f64();
        drop(attackers);
        let after = settled_memory(instance.pid(), before + 32.0).await;
        let burner = Helper::start(&["burn", &format!("{share:.3}")]);
        let mut control = reader(&tls.connector, instance.port, &read, TIME).await;
        drop(burner);
        let (attacked, control) = (percentile(&mut latencies, 0.99), percentile(&mut control, 0.99));
        let (ratio, kept) = (attacked / control, after - before);
        println!(
            "abuse {attack}: p99 {attacked:.2} ms, control {control:.2} ms burning {share:.2} cores, ratio {ratio:.2} \
             (goal 1.50: {}); memory at most {highest:.0} MiB (goal 256: {}), afterwards {kept:+.0} MiB (goal 32: {})",
            verdict(ratio <= 1.5),
            verdict(highest <= 256.0),
            verdict(kept <= 32.0),
        );
    }
}

/// Latencies in milliseconds, counted from when each request was due, so that a stall counts for all it delays.
async fn reader(tls: &TlsConnector, port: u16, read: &[u8], time: Duration) -> Vec<f64> {
    let mut connection = Connection::open(tls, port).await.unwrap();
    let start = Instant::now();
    let mut latencies = Vec::new();
    let mut due = Duration::ZERO;
    while due < time {
        tokio::time::sleep_until((start + due).into()).await;
        assert_eq!(connection.call(read).await.unwrap(), 200);
        latencies.push((start.elapsed() - due).as_secs_f64() * 1000.0);
        due += PERIOD;
    }
    latencies
}

async fn highest_memory(pid: u32, time: Duration) -> f64 {
    let start = Instant::now();
    let mut highest = 0.0_f64;
    while start.elapsed() < time {
        highest = highest.max(resident(pid));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    highest
}

/// Resident memory once it is below `goal`, or after half a minute.
async fn settled_memory(pid: u32, goal: f64) -> f64 {
    let start = Instant::now();
    loop {
        let now = resident(pid);
        if now < goal || start.elapsed() > Duration::from_secs(30) {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Uses `share` of the cores, in slices of 10 ms, until it is killed or a minute is over.
pub(crate) fn burn(share: f64) {
    let workers: Vec<_> = (0..2)
        .map(|_| {
            std::thread::spawn(move || {
                let start = Instant::now();
                let slice = Duration::from_millis(10);
                let busy = slice.mul_f64((share / 2.0).min(1.0));
                while start.elapsed() < Duration::from_secs(60) {
                    let begun = Instant::now();
                    while begun.elapsed() < busy {
                        std::hint::spin_loop();
                    }
                    std::thread::sleep(slice.saturating_sub(begun.elapsed()));
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

/// Attacks until it is killed or a minute is over. Trusts any certificate: it only wants to be a nuisance.
pub(crate) async fn attack(kind: &str, port: u16) {
    let connector = careless();
    let end = Instant::now() + Duration::from_secs(60);
    let clients = match kind {
        "slow-clients" => 200,
        "large-bodies" => 16,
        _ => 32,
    };
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (connector, kind) = (connector.clone(), kind.to_owned());
            tokio::spawn(async move {
                while Instant::now() < end {
                    // A refused or cut connection is opened again, as an attacker would.
                    let _ = once(&connector, port, &kind, client).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn once(connector: &TlsConnector, port: u16, kind: &str, client: usize) -> std::io::Result<()> {
    match kind {
        "unknown-users" | "wrong-passwords" => {
            let mut connection = Connection::open(connector, port).await?;
            for number in 0..1000 {
                let user = if kind == "wrong-passwords" { "alice".into() } else { format!("nobody-{client}-{number}") };
                let body = format!("{{\"password\":\"guess-{number}\"}}");
                connection.call(&request("POST", &format!("auth/userpass/login/{user}"), "", &body)).await?;
            }
        }
        "large-bodies" => {
            let mut stream = raw(connector, port, b"http/1.1").await?;
            let length = 30 << 20;
            stream
                .write_all(
                    format!(
                        "POST /v1/auth/userpass/login/alice HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
                    )
                    .as_bytes(),
                )
                .await?;
            let chunk = vec![b'x'; 64 << 10];
            for _ in 0..length / chunk.len() {
                stream.write_all(&chunk).await?;
            }
            // The refusal, most likely.
            let _ = stream.read(&mut [0; 1024]).await?;
        }
        "nested-bodies" => {
            let mut connection = Connection::open(connector, port).await?;
            let nested = request("POST", "auth/userpass/login/alice", "", &"[".repeat(60_000));
            let wide = request(
                "POST",
                "auth/userpass/login/alice",
                "",
                &format!("{{\"password\":[{}1]}}", "1,".repeat(25_000)),
            );
            for _ in 0..1000 {
                connection.call(&nested).await?;
                connection.call(&wide).await?;
            }
        }
        "http2-resets" => {
            let mut stream = raw(connector, port, b"h2").await?;
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await?;
            for stream_id in (1u32..100_000).step_by(2) {
                // HEADERS (indexed GET, https, "/" and a literal authority "x"), then RST_STREAM with CANCEL.
                let block = b"\x82\x87\x84\x41\x01x";
                let mut frames = vec![0, 0, block.len() as u8, 1, 0x05];
                frames.extend(stream_id.to_be_bytes());
                frames.extend(block);
                frames.extend([0, 0, 4, 3, 0]);
                frames.extend(stream_id.to_be_bytes());
                frames.extend(8u32.to_be_bytes());
                stream.write_all(&frames).await?;
            }
        }
        _ if client.is_multiple_of(2) => {
            let mut stream = raw(connector, port, b"http/1.1").await?;
            for byte in
                b"POST /v1/auth/userpass/login/alice HTTP/1.1\r\nHost: x\r\nX-Slow: ".iter().chain(&[b'x'; 4096])
            {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        _ => {
            let mut stream = raw(connector, port, b"http/1.1").await?;
            for _ in 0..20_000 {
                stream.write_all(b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n").await?;
            }
        }
    }
    Ok(())
}

async fn raw(
    connector: &TlsConnector,
    port: u16,
    protocol: &[u8],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut config = rustls::ClientConfig::clone(connector.config());
    config.alpn_protocols = vec![protocol.to_vec()];
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(std::sync::Arc::new(config)).connect(name, tcp).await
}

/// A client that accepts every certificate.
fn careless() -> TlsConnector {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};

    #[derive(Debug)]
    struct Anyone;
    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &[rustls::pki_types::CertificateDer<'_>],
            _: &rustls::pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = rustls::ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(std::sync::Arc::new(Anyone))
        .with_no_client_auth();
    TlsConnector::from(std::sync::Arc::new(config))
}
