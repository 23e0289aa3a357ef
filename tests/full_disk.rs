//! A full disk: clear refusals, nothing lost, nothing torn, and work goes on once there is room. A limit on the size of the
//! server's files stands in for the disk: writes are stored in part and then refused, as on a disk that fills up.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::harness::{BINARY, Instance, wait_for};
use crate::small_disk::SmallDisk;

/// Lets no file of the server grow beyond `bytes`.
fn limit(instance: &Instance, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(instance.pid()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

fn refusal(answer: &Value) -> String {
    answer["errors"][0].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_full_audit_refuses_with_its_reason_and_no_record_is_glued_to_a_torn_one() {
    let mut instance = Instance::start().await;
    let root = instance.as_root();
    root.put("cubbyhole/a", json!({"value": "1"})).await;
    // Only the audit grows by reads, so that it is what meets the limit.
    while length(&instance.audit_path()) < 3 * length(&instance.dir.path().join("data/log.1")) {
        root.get("cubbyhole/a").await;
    }
    limit(&instance, Some(length(&instance.audit_path()) + 1300));
    let start = Instant::now();
    let answer =
        wait_for("a refusal", async || Some(root.get("cubbyhole/a").await).filter(|(status, _)| *status != 200)).await;
    assert_eq!(answer.0, 503, "{}", answer.1);
    assert!(refusal(&answer.1).contains("no space is left for the audit"), "{}", answer.1);
    assert!(start.elapsed() < Duration::from_secs(10));
    let (_, health) = root.get("sys/health").await;
    assert!(health["audit"].as_str().unwrap().contains("no space"), "{health}");
    let (status, _) = root.put("cubbyhole/b", json!({"value": "2"})).await;
    assert_eq!(status, 503);
    limit(&instance, None);
    assert_eq!(root.get("cubbyhole/a").await.0, 200);
    let (status, answer) = root.get("cubbyhole/b").await;
    assert_eq!(status, 404, "what was not recorded was not done: {answer}");
    assert_eq!(root.get("sys/health").await.1.get("audit"), None);
    assert!(instance.stop().success(), "{}", instance.log());
    let text = std::fs::read_to_string(instance.audit_path()).unwrap();
    assert!(text.ends_with('\n') && text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    let proof = Command::new(BINARY).args(["audit", "verify"]).arg(instance.audit_path()).output().unwrap();
    assert!(proof.status.success(), "{}", String::from_utf8_lossy(&proof.stderr));
}

#[tokio::test]
async fn a_full_store_refuses_the_write_keeps_the_old_value_and_survives_a_kill() {
    let mut instance = Instance::start().await;
    let root = instance.as_root();
    let log = instance.dir.path().join("data/log.1");
    let value = |number: u32| json!({"value": number.to_string().repeat(20_000)});
    for number in 1..4 {
        assert_eq!(root.put("cubbyhole/a", value(number)).await.0, 204);
    }
    assert!(length(&log) > 2 * length(&instance.audit_path()));
    limit(&instance, Some(length(&log) + 5000));
    let (status, answer) = root.put("cubbyhole/a", value(4)).await;
    assert_eq!(status, 503, "{answer}");
    assert!(refusal(&answer).contains("no space is left for the store"), "{answer}");
    assert_eq!(root.get("cubbyhole/a").await.1["data"], value(3));
    limit(&instance, None);
    assert_eq!(root.put("cubbyhole/b", value(5)).await.0, 204);
    instance.kill();
    instance.spawn().await;
    instance.unseal().await;
    assert_eq!(root.get("cubbyhole/a").await.1["data"], value(3));
    assert_eq!(root.get("cubbyhole/b").await.1["data"], value(5));
    assert!(instance.stop().success(), "{}", instance.log());
}

#[tokio::test]
async fn a_store_on_a_full_disk_is_read_ended_and_started_as_ever() {
    let mut instance = Instance::prepare("");
    let data = instance.dir.path().join("data");
    let Some(_disk) = SmallDisk::mount(&data, "12m") else { return };
    let ballast = data.join("ballast");
    // Until nothing more fits, and larger than what is there.
    let fill = || drop(std::fs::write(&ballast, vec![0; 16 << 20]));
    instance.spawn().await;
    instance.initialize().await;
    let root = instance.as_root();
    let value = |number: u32| json!({"value": number.to_string().repeat(500)});
    for number in 0..300 {
        assert_eq!(root.put(&format!("cubbyhole/{number}"), value(number)).await.0, 204);
    }
    fill();
    wait_for("a refusal", async || {
        let (status, answer) = root.put("cubbyhole/more", value(7)).await;
        (status == 503 && refusal(&answer).contains("no space is left for the store")).then_some(())
    })
    .await;
    let whole = async |instance: &Instance| {
        for number in (0..300).step_by(13) {
            let (status, answer) = instance.as_root().get(&format!("cubbyhole/{number}")).await;
            assert_eq!((status, &answer["data"]), (200, &value(number)), "{}", instance.log());
        }
    };
    whole(&instance).await;
    let said = |instance: &Instance, what| instance.log().matches(what).count();
    // The second and third time the start found no room for the index either.
    for starts in 1..=3 {
        if starts == 3 {
            instance.kill();
        } else {
            assert!(instance.stop().success(), "{}", instance.log());
            assert_eq!(said(&instance, "the next start reads the whole log again"), starts, "{}", instance.log());
        }
        let _ = std::fs::remove_dir_all(data.join("index.1"));
        fill();
        instance.spawn().await;
        instance.unseal().await;
        wait_for("the index to find no room", async || {
            (said(&instance, "the index cannot be written and stays in memory") == starts).then_some(())
        })
        .await;
        whole(&instance).await;
    }
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(root.put("cubbyhole/more", value(8)).await.0, 204);
    assert!(instance.stop().success(), "{}", instance.log());
    assert!(data.join("clean").exists(), "{}", instance.log());
    instance.spawn().await;
    instance.unseal().await;
    whole(&instance).await;
    assert_eq!(instance.as_root().get("cubbyhole/more").await.1["data"], value(8));
    assert!(instance.stop().success(), "{}", instance.log());
}
