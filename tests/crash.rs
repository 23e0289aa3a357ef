//! What was acknowledged survives: kill -9 and power cuts at random moments under many writers.

mod random;
mod record;
mod replay;
mod workload;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Instance, rounds, top};
use random::Random;
use workload::Workload;

const WRITERS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_kill_9_under_32_writers() {
    let rounds = rounds(300, 8);
    let mut random = Random::seeded("kill");
    let mut instance = prepare();
    instance.spawn().await;
    instance.initialize().await;
    let mut workload = Workload::prepare(&instance, WRITERS).await;
    for round in 0..rounds {
        let pause = Duration::from_millis(20 + random.below(250));
        let (errand, delay) = (random.below(4), random.below(100));
        workload.run_until(&instance, disturb(&instance, errand, Duration::from_millis(delay), pause)).await;
        // While it ends in order: the store and the audit are being closed.
        if random.below(3) == 0 {
            instance.signal(Signal::TERM);
            tokio::time::sleep(Duration::from_millis(random.below(60))).await;
        }
        instance.kill();
        workload.settle().await;
        // While it starts: the log is being replayed, torn ends are being cut off.
        if random.below(3) == 0 {
            instance.launch();
            tokio::time::sleep(Duration::from_millis(random.below(150))).await;
            instance.kill();
        }
        instance.spawn().await;
        instance.unseal().await;
        workload.check(&instance, &format!("kill round {round}")).await;
    }
    let turned = turned_over(&instance);
    assert!(instance.stop().success(), "{}", instance.log());
    let proved = record::check(&instance, workload.answered(), &["request", "answer"]);
    println!("kill -9: {rounds} rounds, {WRITERS} writers, {}, {proved}, {turned}", workload.summary());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_power_cut_that_loses_every_unsynced_byte() {
    let rounds = rounds(100, 4);
    let mut random = Random::seeded("power");
    let mut instance = prepare();
    // Beside the disk, which is put back round after round; gone with the test, however that ends.
    let aside = tempfile::Builder::new().prefix("turnlock-powercut-").tempdir().unwrap();
    let shim = build_shim(aside.path());
    let disk = instance.dir.path().canonicalize().unwrap();
    let trace = aside.path().join("trace");
    instance.environment("LD_PRELOAD", shim.to_str().unwrap());
    instance.environment("POWERCUT_DIR", disk.to_str().unwrap());
    instance.environment("POWERCUT_TRACE", trace.to_str().unwrap());
    let mut workload = None;
    for round in 0..rounds {
        let before = replay::Image::of(&disk);
        instance.spawn().await;
        // The first cut falls on a store and an audit file that have just been made.
        let workload = match &mut workload {
            None => {
                instance.initialize().await;
                workload.insert(Workload::prepare(&instance, WRITERS).await)
            }
            Some(workload) => {
                instance.unseal().await;
                workload.check(&instance, &format!("after {round} power cuts")).await;
                workload
            }
        };
        let pause = Duration::from_millis(20 + random.below(250));
        let (errand, delay) = (random.below(4), random.below(100));
        workload.run_until(&instance, disturb(&instance, errand, Duration::from_millis(delay), pause)).await;
        if random.below(4) == 0 {
            instance.signal(Signal::TERM);
            tokio::time::sleep(Duration::from_millis(random.below(60))).await;
        }
        instance.kill();
        workload.settle().await;
        // Every second round keeps a random part of what was not synced, torn where it falls; the others nothing.
        let mut keep = |_: usize| if round % 2 == 0 { 0 } else { random.below(101) };
        before.after(&std::fs::read(&trace).unwrap(), &mut keep).restore(&disk);
        std::fs::remove_file(&trace).unwrap();
    }
    let mut workload = workload.unwrap();
    instance.spawn().await;
    instance.unseal().await;
    workload.check(&instance, "after the last power cut").await;
    let turned = turned_over(&instance);
    assert!(instance.stop().success(), "{}", instance.log());
    // The record of an answer is not brought to the disk one by one; that of what was asked is.
    let proved = record::check(&instance, workload.answered(), &["request"]);
    println!("power cut: {rounds} rounds, {WRITERS} writers, {}, {proved}, {turned}", workload.summary());
}

/// A server whose log and audit file turn over so often that kills and cuts fall into that too.
fn prepare() -> Instance {
    let instance = Instance::prepare("");
    let path = instance.dir.path().join("turnlock.hcl");
    let config = std::fs::read_to_string(&path).unwrap();
    let small = config
        .replace("data\" }", "data\" compact_bytes = 65536 }")
        .replace("audit.log\" }", "audit.log\" rotate_bytes = 65536 }");
    assert_eq!(small.matches("65536").count(), 2);
    std::fs::write(path, small).unwrap();
    instance
}

/// Lets the writers write for a while; in the midst of it something else happens that moves files or keys.
async fn disturb(instance: &Instance, errand: u64, delay: Duration, pause: Duration) {
    let api = instance.as_root();
    let other = tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        match errand {
            0 => drop(api.try_call(reqwest::Method::PUT, "sys/rotate", Some(json!({}))).await),
            1 => drop(api.try_call(reqwest::Method::GET, "sys/storage/raft/snapshot", None).await),
            _ => {}
        }
    });
    tokio::time::sleep(pause).await;
    if errand == 2 {
        instance.signal(Signal::HUP);
    }
    // It ends with the process that is killed.
    drop(other);
}

/// Compactions and finished audit files: the proof that both were reached.
fn turned_over(instance: &Instance) -> String {
    let names = |folder: &str| {
        let entries = std::fs::read_dir(instance.dir.path().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let generation = names("data").iter().find_map(|name| name.strip_prefix("log.")?.parse::<u64>().ok()).unwrap();
    let finished = names("audit").len() - 1;
    assert!(finished > 0, "no audit file was finished");
    assert!(!crate::harness::full() || generation > 5, "the log was compacted {} times only", generation - 1);
    format!("{} compactions, {finished} audit files finished", generation - 1)
}

/// Compiles the library that records what the server writes and syncs.
fn build_shim(dir: &Path) -> PathBuf {
    let shim = dir.join("powercut.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&shim)
        .arg(top().join("tests/crash/powercut.c"))
        .arg("-lpthread")
        .status()
        .unwrap();
    assert!(built.success());
    shim
}
