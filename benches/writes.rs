//! Durable writes over TLS against grouped fdatasync: bare, and behind the same HTTP and TLS.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::harness::Instance;
use crate::load::{Tls, median, rate, request};
use crate::reads::workload_token;

const CLIENTS: usize = 64;
const TIME: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;

pub(crate) async fn run() {
    let tls = Tls::fresh();
    let instance = Instance::start_tls(&tls.certificate, &tls.key).await;
    let token = workload_token(&instance).await;
    let (mut ours, mut limits) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let folder = instance.dir.path().to_owned();
        limits.push(tokio::task::spawn_blocking(move || grouped_sync(&folder.join("bare"))).await.unwrap());
        let token = token.clone();
        ours.push(
            rate(&tls.connector, instance.port, CLIENTS, TIME, 200, move |client, number| {
                let body = format!("{{\"data\":{{\"password\":\"value-{round}-{client}-{number}\"}}}}");
                request("POST", &format!("secret/data/app/client{client}/{}", number % 16), &token, &body)
            })
            .await,
        );
    }
    let (ours, limit) = (median(ours), median(limits));
    println!(
        "writes: {ours:.0}/s, bare grouped fdatasync {limit:.0}/s, ratio {:.2} (goal 0.50); {CLIENTS} clients, median of {ROUNDS}",
        ours / limit
    );
}

/// Commits a second when as many threads hand records of a write's size to one that appends and syncs them in groups.
fn grouped_sync(path: &std::path::Path) -> f64 {
    let file = File::create(path).unwrap();
    let (sender, receiver) = mpsc::channel::<mpsc::SyncSender<()>>();
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let (answer, answered) = mpsc::sync_channel(1);
                let mut count = 0;
                while start.elapsed() < TIME {
                    sender.send(answer.clone()).unwrap();
                    answered.recv().unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    drop(sender);
    let record = [7; 600];
    let mut length = 0;
    while let Ok(first) = receiver.recv() {
        let group: Vec<_> = std::iter::once(first).chain(receiver.try_iter()).collect();
        let bytes = record.repeat(group.len());
        file.write_all_at(&bytes, length).unwrap();
        length += bytes.len() as u64;
        file.sync_data().unwrap();
        group.iter().for_each(|answer| answer.send(()).unwrap());
    }
    let total: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    total as f64 / start.elapsed().as_secs_f64()
}
