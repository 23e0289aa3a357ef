#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use turnlock_core::Protected;
use turnlock_core::audit::{FlawKind, Proof, verify};
use uuid::Uuid;

use super::{Audit, AuditConfig, Written, files};
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

async fn record(audit: &Audit) -> Result<(), Error> {
    let mut entry = audit.entry(&request());
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
    audit
        .writer
        .as_ref()
        .unwrap()
        .push(super::Item::Swap(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap()));
    audit
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
    audit.answer(&audit.entry(&request()), &Written::default()).await.unwrap();
}
