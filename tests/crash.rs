//! What was acknowledged survives: kill -9 and power cuts at random moments under many writers.

mod random;
mod replay;
mod workload;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{BINARY, Instance, rounds, top};
use random::Random;
use workload::Workload;

const WRITERS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_kill_9_under_32_writers() {
    let rounds = rounds(300, 8);
    let mut random = Random::seeded("kill");
    let mut instance = Instance::start().await;
    let mut workload = Workload::prepare(&instance, WRITERS).await;
    for round in 0..rounds {
        let pause = Duration::from_millis(20 + random.below(250));
        workload.run_until(&instance, async { tokio::time::sleep(pause).await }).await;
        instance.kill();
        workload.settle().await;
        instance.spawn().await;
        instance.unseal().await;
        workload.check(&instance, &format!("kill round {round}")).await;
    }
    verify_audit(&mut instance);
    println!("kill -9: {rounds} rounds, {WRITERS} writers, {}", workload.summary());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_power_cut_that_loses_every_unsynced_byte() {
    let rounds = rounds(100, 4);
    let mut random = Random::seeded("power");
    let mut instance = Instance::start().await;
    let mut workload = Workload::prepare(&instance, WRITERS).await;
    assert!(instance.stop().success());
    let shim = build_shim(instance.dir.path());
    let disk = instance.dir.path().canonicalize().unwrap();
    for round in 0..rounds {
        let before = replay::Image::of(&disk);
        let trace = disk.with_extension("trace");
        instance.environment("LD_PRELOAD", shim.to_str().unwrap());
        instance.environment("POWERCUT_DIR", disk.to_str().unwrap());
        instance.environment("POWERCUT_TRACE", trace.to_str().unwrap());
        instance.spawn().await;
        instance.unseal().await;
        workload.check(&instance, &format!("before power cut {round}")).await;
        let pause = Duration::from_millis(20 + random.below(250));
        workload.run_until(&instance, async { tokio::time::sleep(pause).await }).await;
        instance.kill();
        workload.settle().await;
        // Every second round keeps a random part of what was not synced, torn where it falls; the others nothing.
        let mut keep = |_: usize| if round % 2 == 0 { 0 } else { random.below(101) };
        before.after(&std::fs::read(&trace).unwrap(), &mut keep).restore(&disk);
        std::fs::remove_file(&trace).unwrap();
    }
    instance.spawn().await;
    instance.unseal().await;
    workload.check(&instance, "after the last power cut").await;
    verify_audit(&mut instance);
    println!("power cut: {rounds} rounds, {WRITERS} writers, {}", workload.summary());
}

/// Compiles the library that records what the server writes and syncs.
fn build_shim(dir: &Path) -> PathBuf {
    let shim = dir.with_extension("powercut.so");
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

/// The audit chain over all files holds.
fn verify_audit(instance: &mut Instance) {
    assert!(instance.stop().success(), "{}", instance.log());
    let mut files: Vec<_> =
        std::fs::read_dir(instance.dir.path().join("audit")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let output = Command::new(BINARY).args(["audit", "verify"]).args(&files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
