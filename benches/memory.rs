//! Resident memory idle and with 100,000 secrets, and the time from start to unsealed.

use std::time::{Duration, Instant};

use crate::harness::Instance;
use crate::load::{Tls, rate, request};
use crate::process::resident;
use crate::reads::workload_token;
use crate::verdict;

const SECRETS: usize = 100_000;
const CLIENTS: usize = 64;

pub(crate) async fn run() {
    let tls = Tls::fresh();
    let mut instance = Instance::start_tls(&tls.certificate, &tls.key).await;
    let token = workload_token(&instance).await;
    let idle = resident(instance.pid());
    println!("memory idle: {idle:.1} MiB (goal 25: {})", verdict(idle <= 25.0));

    let writer = token.clone();
    let made = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    while made.load(std::sync::atomic::Ordering::SeqCst) < SECRETS {
        let (writer, made) = (writer.clone(), made.clone());
        rate(&tls.connector, instance.port, CLIENTS, Duration::from_secs(1), 200, move |_, _| {
            let number = made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let body = format!("{{\"data\":{{\"user\":\"svc\",\"password\":\"value-{number}-{}\"}}}}", "x".repeat(60));
            request("POST", &format!("secret/data/app/team{}/secret{number}", number % 100), &writer, &body)
        })
        .await;
    }
    let full = resident(instance.pid());
    println!("memory with {SECRETS} secrets, after writing them: {full:.1} MiB (goal 120: {})", verdict(full <= 120.0));

    assert!(instance.stop().success());
    let clean = start_to_unsealed(&mut instance).await;
    println!("memory with {SECRETS} secrets, after a start: {:.1} MiB", resident(instance.pid()));
    let disk: u64 = std::fs::read_dir(instance.dir.path().join("data"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().metadata().ok().filter(std::fs::Metadata::is_file))
        .map(|meta| meta.len())
        .sum();
    println!("disk with {SECRETS} secrets, commit log: {:.1} MiB", disk as f64 / 1_048_576.0);
    instance.kill();
    let crashed = start_to_unsealed(&mut instance).await;
    println!(
        "start to unsealed with {SECRETS} secrets: {clean:.2} s (goal 0.20: {}), after kill -9 {crashed:.2} s",
        verdict(clean <= 0.2)
    );
}

async fn start_to_unsealed(instance: &mut Instance) -> f64 {
    let start = Instant::now();
    instance.spawn().await;
    instance.unseal().await;
    start.elapsed().as_secs_f64()
}
