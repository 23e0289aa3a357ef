//! Durable writes over TLS against grouped fdatasync: bare, and behind the same HTTP and TLS.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::bare::{Bare, Commits};
use crate::harness::Instance;
use crate::load::{Connection, Measured, Tls, median, request};
use crate::reads::workload_token;
use crate::verdict;

const CLIENTS: usize = 64;
const TIME: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;

pub(crate) async fn run() {
    let tls = Tls::fresh();
    let instance = Instance::start_tls(&tls.certificate, &tls.key).await;
    let token = workload_token(&instance).await;
    let mut probe = Connection::open(&tls.connector, instance.port).await.unwrap();
    assert_eq!(probe.call(&write(&token, 0, 0, 0)).await.unwrap(), 200);
    let bare = Bare::start(instance.dir.path(), probe.body()).await;

    let (mut ours, mut stack) = (Measured::new(instance.port, instance.pid()), Measured::new(bare.port, bare.pid()));
    let mut limits = Vec::new();
    for round in 0..ROUNDS {
        let file = instance.dir.path().join("grouped.log");
        limits.push(tokio::task::spawn_blocking(move || grouped_sync(&file)).await.unwrap());
        for side in [&mut stack, &mut ours] {
            let token = token.clone();
            let make = move |client, number| write(&token, round, client, number);
            side.round(&tls.connector, CLIENTS, TIME, make).await;
        }
    }
    let ratio = ours.rate() / median(&limits);
    println!(
        "writes: {:.0}/s with two files synced for each (commit log and audit); bare grouped fdatasync of one file {:.0}/s, \
         ratio {ratio:.2} (goal 0.50: {}); the same behind axum and rustls {:.0}/s, ratio {:.2}; processor time of the \
         server for each {:.1} µs and {:.1} µs; {CLIENTS} clients, median of {ROUNDS}",
        ours.rate(),
        median(&limits),
        verdict(ratio >= 0.5),
        stack.rate(),
        ours.rate() / stack.rate(),
        ours.cost(),
        stack.cost(),
    );
}

fn write(token: &str, round: usize, client: usize, number: usize) -> Vec<u8> {
    let body = format!("{{\"data\":{{\"password\":\"value-{round}-{client}-{number}\"}}}}");
    request("POST", &format!("secret/data/app/client{client}/{}", number % 16), token, &body)
}

/// Commits a second when as many threads ask for them.
fn grouped_sync(path: &Path) -> f64 {
    let commits = Commits::start(path, |answer: mpsc::SyncSender<()>| answer.send(()).unwrap());
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let commits = commits.clone();
            std::thread::spawn(move || {
                let (answer, answered) = mpsc::sync_channel(1);
                let mut count = 0;
                while start.elapsed() < TIME {
                    commits.0.send(answer.clone()).unwrap();
                    answered.recv().unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    let total: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    total as f64 / start.elapsed().as_secs_f64()
}
