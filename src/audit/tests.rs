#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use turnlock_core::Protected;
use turnlock_core::audit::{FlawKind, Proof, verify};
use uuid::Uuid;

use super::{Audit, AuditConfig, Entry, Written, files};
use crate::clock::SystemClock;
use crate::error::Error;
use crate::request::{Fields, Operation, Peer, Query, Request};
use crate::response::Response;

fn config(path: &Path) -> AuditConfig {
    AuditConfig {
        name: "file".into(),
        path: path.to_owned(),
        rotate_bytes: 1 << 30,
        rotate_age: Duration::ZERO,
        description: String::new(),
    }
}

fn open(config: &AuditConfig) -> Audit {
    Audit::open(config.clone(), Arc::new(SystemClock)).unwrap()
}

fn request() -> Request {
    Request {
        id: Uuid::nil(),
        operation: Operation::Update,
        path: turnlock_core::Path::parse("secret/data/app").unwrap(),
        query: Query::default(),
        fields: Fields::of(&serde_json::json!({"data": "tlk_canary_field"})).unwrap(),
        token: Some(Protected::copy_of(b"tlk_canary_token")),
        wrap_ttl: None,
        peer: Peer::Ip([127, 0, 0, 1].into()),
        received: Utc::now(),
    }
}

fn entry(audit: &Audit) -> Entry {
    let request = request();
    let mut entry = audit.entry(request.id, request.received, request.peer);
    entry.path(&request.path);
    request.token.iter().for_each(|token| entry.token(token));
    entry.operation(request.operation);
    entry.request(&request);
    entry
}

async fn record(audit: &Audit) -> Result<(), Error> {
    let mut entry = entry(audit);
    let written = audit.intent(&mut entry).await?;
    audit.answer(entry.outcome(&Ok(Response::done())), &written).await
}

fn proof(path: &Path) -> Result<Proof, FlawKind> {
    let readers = files(path).unwrap().into_iter().map(|file| BufReader::new(std::fs::File::open(file).unwrap()));
    verify(readers.collect(), None).map_err(|flaw| flaw.kind)
}

#[tokio::test]
async fn the_chain_goes_on_over_restarts_and_rotations() {
    let folder = tempfile::tempdir().unwrap();
    let config = AuditConfig { rotate_bytes: 2000, ..config(&folder.path().join("audit.log")) };
    for _ in 0..3 {
        let audit = open(&config);
        for _ in 0..10 {
            record(&audit).await.unwrap();
        }
        audit.close().await;
    }
    assert!(files(&config.path).unwrap().len() > 3);
    let proof = proof(&config.path).unwrap();
    assert_eq!(proof.first_seq, 1);
    assert!(proof.records >= 60);
    let text: String = files(&config.path).unwrap().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    assert!(!text.contains("tlk_canary"));
}

#[tokio::test]
async fn a_line_torn_by_a_crash_is_cut_off_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("audit.log"));
    let audit = open(&config);
    record(&audit).await.unwrap();
    audit.close().await;
    let whole = std::fs::read_to_string(&config.path).unwrap();
    std::fs::write(&config.path, format!("{whole}{{\"seq\":9,\"ki")).unwrap();
    let audit = open(&config);
    record(&audit).await.unwrap();
    audit.close().await;
    proof(&config.path).unwrap();
    assert!(std::fs::read_to_string(&config.path).unwrap().contains("\"event\":\"torn record cut off\",\"bytes\":12"));
}

#[tokio::test]
async fn a_deleted_file_is_noticed_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("audit.log"));
    let audit = open(&config);
    record(&audit).await.unwrap();
    std::fs::rename(&config.path, folder.path().join("audit.log.1")).unwrap();
    audit.reopen();
    let appeared = async {
        while !config.path.exists() {
            record(&audit).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), appeared).await.unwrap();
    record(&audit).await.unwrap();
    audit.close().await;
    assert_eq!(proof(&config.path).unwrap().first_seq, 1);
    assert!(std::fs::read_to_string(&config.path).unwrap().contains("moved or deleted"));
}

#[tokio::test]
async fn a_full_disk_refuses_with_its_reason_and_hangs_nobody() {
    let audit = open_full();
    let error = record(&audit).await.unwrap_err();
    assert_eq!((error.status(), error.to_string().contains("no space")), (503, true));
    assert!(audit.trouble().is_some());
}

fn open_full() -> Audit {
    // The header of a device cannot be written to /dev/full either, so the file is swapped underneath: a file whose
    // size limit is reached behaves alike, and this one takes no byte at all.
    let folder = tempfile::tempdir().unwrap();
    let audit = open(&config(&folder.path().join("audit.log")));
    audit.writer.as_ref().unwrap().swap(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap(), false);
    audit
}

#[tokio::test]
async fn a_sync_that_fails_at_the_change_of_files_ends_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(&config(&folder.path().join("audit.log")));
    record(&audit).await.unwrap();
    // No pipe can be synced, and this one is taken for a file that was moved away.
    let (_reader, pipe) = std::io::pipe().unwrap();
    let file = std::fs::File::from(std::os::fd::OwnedFd::from(pipe));
    audit.writer.as_ref().unwrap().swap(file, true);
    audit.reopen();
    while audit.trouble() != Some(super::writer::FAILED) {
        tokio::task::yield_now().await;
    }
    assert_eq!(record(&audit).await.unwrap_err().status(), 503);
    assert_eq!(audit.close().await, None);
}

#[tokio::test]
async fn a_file_that_is_written_by_another_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("audit.log"));
    let audit = open(&config);
    assert!(matches!(Audit::open(config.clone(), Arc::new(SystemClock)), Err(super::OpenError::Locked(_))));
    audit.close().await;
}

#[tokio::test]
async fn without_a_device_nothing_waits() {
    let audit = Audit::dangerous_without_device();
    record(&audit).await.unwrap();
    audit.answer(&entry(&audit), &Written::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn records_of_many_at_once_are_all_answered_and_form_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("audit.log"));
    let audit = Arc::new(open(&config));
    let tasks = (0..32).map(|_| {
        let audit = audit.clone();
        tokio::spawn(async move {
            for _ in 0..50 {
                record(&audit).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    audit.close().await;
    // Each is recorded as a request and as an answer; the file has a header.
    assert_eq!(proof(&config.path).unwrap().records, 2 * 32 * 50 + 1);
}

#[tokio::test]
async fn a_write_that_hangs_holds_up_nobody_who_comes_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut audit = open(&config(&folder.path().join("audit.log")));
    audit.deadline = Duration::from_millis(20);
    let hanging = audit.writer.as_ref().unwrap().hang();
    // On the only thread of this runtime: a wait for the device would never end.
    for _ in 0..2 {
        let error = record(&audit).await.unwrap_err();
        assert_eq!((error.status(), error.to_string().contains("in time")), (503, true));
    }
    assert!(audit.trouble().is_some());
    drop(hanging);
    let recovered = async {
        while audit.trouble().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), recovered).await.unwrap();
    audit.deadline = super::DEADLINE;
    record(&audit).await.unwrap();
}

// A device that answered late once was refused for ever: the flag was only cleared by a write, and none was let through.
#[tokio::test]
async fn a_device_that_hung_is_used_again_once_it_is_idle() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(&config(&folder.path().join("audit.log")));
    record(&audit).await.unwrap();
    audit.writer.as_ref().unwrap().hangs();
    assert_eq!(record(&audit).await.unwrap_err().status(), 503);
    let recovered = async {
        while record(&audit).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), recovered).await.unwrap();
    assert_eq!(audit.trouble(), None);
    audit.close().await;
}

// Records went on into the deleted file and requests were served.
#[tokio::test]
async fn without_its_folder_nothing_is_served_until_the_folder_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let config = config(&inner.join("audit.log"));
    let audit = open(&config);
    record(&audit).await.unwrap();
    std::fs::rename(&inner, folder.path().join("away")).unwrap();
    let refused = async {
        loop {
            if let Err(error) = record(&audit).await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
    assert_eq!((error.status(), error.to_string().contains("taken away")), (503, true));
    assert!(audit.trouble().unwrap().contains("taken away"));
    std::fs::create_dir(&inner).unwrap();
    let back = async {
        while record(&audit).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), back).await.unwrap();
    assert_eq!(audit.trouble(), None);
    audit.close().await;
    std::fs::rename(folder.path().join("away/audit.log"), inner.join("audit.log.1")).unwrap();
    assert_eq!(proof(&config.path).unwrap().first_seq, 1);
}

// Whole lines at the end that were no records were cut off as torn: a restart wiped out the traces of a change.
#[tokio::test]
async fn a_changed_or_added_last_line_is_kept_for_the_proof() {
    let folder = tempfile::tempdir().unwrap();
    for (number, tamper) in
        [|text: &str| format!("{text}forged\n"), |text: &str| text.replace("\"seq\":5", "\"seq\":x")]
            .into_iter()
            .enumerate()
    {
        let config = config(&folder.path().join(format!("audit{number}.log")));
        let audit = open(&config);
        record(&audit).await.unwrap();
        record(&audit).await.unwrap();
        audit.close().await;
        let text = std::fs::read_to_string(&config.path).unwrap();
        assert_eq!(text.lines().count(), 5);
        std::fs::write(&config.path, tamper(&text)).unwrap();
        let audit = open(&config);
        record(&audit).await.unwrap();
        audit.close().await;
        assert!(matches!(proof(&config.path), Err(FlawKind::Added(5) | FlawKind::Added(4) | FlawKind::Changed(5))));
        assert!(std::fs::read_to_string(&config.path).unwrap().contains("lines that are no records end the file"));
    }
}

#[tokio::test]
async fn a_hole_that_a_power_cut_left_is_cut_off_with_what_came_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("audit.log"));
    let audit = open(&config);
    for _ in 0..4 {
        record(&audit).await.unwrap();
    }
    audit.close().await;
    let mut bytes = std::fs::read(&config.path).unwrap();
    let third = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(2).unwrap().0;
    bytes[third - 60..third + 60].fill(0);
    std::fs::write(&config.path, bytes).unwrap();
    let audit = open(&config);
    record(&audit).await.unwrap();
    audit.close().await;
    assert_eq!(proof(&config.path).unwrap().records, 2 + 1 + 2);
}

#[tokio::test]
async fn a_record_is_not_glued_to_a_line_that_somebody_else_left_open() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("audit.log"));
    let audit = open(&config);
    record(&audit).await.unwrap();
    let length = std::fs::metadata(&config.path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&config.path).unwrap().set_len(length - 10).unwrap();
    audit.reopen();
    let told = async {
        while !std::fs::read_to_string(&config.path).unwrap().contains("changed by someone else") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
    audit.close().await;
    let text = std::fs::read_to_string(&config.path).unwrap();
    let notice = text.lines().find(|line| line.contains("changed by someone else")).unwrap();
    assert!(notice.starts_with("{\"seq\":") && notice.contains("\"kind\":\"notice\""), "{notice}");
    assert!(matches!(proof(&config.path), Err(FlawKind::Changed(3))));
}
