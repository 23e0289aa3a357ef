//! What a panic below the door does: a store that panics stands for whatever a handler may run into.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::audit::{Audit, AuditConfig};
use crate::barrier::Barrier;
use crate::barrier::seal::{SealConfig, SealKind};
use crate::clock::SystemClock;
use crate::http::limits::Limits;
use crate::http::tests::exchange_with;
use crate::server::{Server, Settings};
use crate::store::{Batch, Entry, Export, Key, MemoryStore, Page, Revision, Scan, Store, StoreError};

const KEY: [u8; 32] = [7; 32];

/// A store that panics while it is told to.
#[derive(Default)]
struct Panicking {
    inner: MemoryStore,
    armed: AtomicBool,
}

impl Panicking {
    fn inner(&self) -> &MemoryStore {
        assert!(!self.armed.load(Ordering::Relaxed), "a store that was told to panic");
        &self.inner
    }
}

impl Store for Panicking {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.inner().get(key)
    }
    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.inner().scan(scan)
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.inner().commit(batch)
    }
    fn export(&self) -> BoxFuture<'_, Result<Export, StoreError>> {
        self.inner().export()
    }
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner().close()
    }
    fn kind(&self) -> &'static str {
        "inmem"
    }
}

/// An unsealed server that records into `folder`, and its root token.
async fn server(store: Arc<Panicking>, folder: &Path) -> (Arc<Server>, String) {
    let clock = Arc::new(SystemClock);
    let audit = AuditConfig {
        name: "file".to_owned(),
        path: folder.join("audit.log"),
        rotate_bytes: 1 << 30,
        rotate_age: Duration::ZERO,
        description: String::new(),
    };
    let barrier = Barrier::new(store, clock.clone());
    barrier.initialize(&SealConfig::fresh(SealKind::Static, 1, 1).unwrap(), &KEY).await.unwrap();
    barrier.unseal(&KEY).await.unwrap();
    let audit = Audit::open(audit, clock.clone()).unwrap();
    let server = Server::new(barrier, audit, clock, Settings::default());
    let parts = server.open_parts().await.unwrap();
    let root = parts.tokens.issue_root(&parts, None).await.unwrap();
    (server, root.expose_str().unwrap().to_owned())
}

/// The requests of `lines` on one connection, and the status of each answer.
async fn statuses(server: &Arc<Server>, token: &str, lines: &[&str]) -> Vec<String> {
    let requests = lines.iter().map(|line| {
        let body = if line.starts_with("PUT") { "{\"a\":1}" } else { "" };
        let length = body.len();
        format!("{line} HTTP/1.1\r\nhost: a\r\nx-vault-token: {token}\r\ncontent-length: {length}\r\n\r\n{body}")
    });
    let closing = "GET /v1/sys/leader HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let raw: String = requests.chain([closing.to_owned()]).collect();
    let answer = exchange_with(server.clone(), Limits::default(), raw.as_bytes()).await;
    answer.split("HTTP/1.1 ").skip(1).map(|part| part.chars().take(3).collect()).collect()
}

#[tokio::test]
async fn a_panic_ends_one_request_which_is_answered_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Panicking::default());
    let (server, root) = server(store.clone(), folder.path()).await;
    let both = ["PUT /v1/cubbyhole/a", "GET /v1/cubbyhole/a"];
    assert_eq!(statuses(&server, &root, &both).await, ["204", "200", "200"]);

    store.armed.store(true, Ordering::Relaxed);
    assert_eq!(statuses(&server, &root, &both).await, ["500", "500", "200"], "the connection lives on");
    let text = std::fs::read_to_string(folder.path().join("audit.log")).unwrap();
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|record: &Value| record.get("kind").is_some_and(|kind| kind == "answer"))
        .collect();
    let failed: Vec<_> = answers.iter().rev().take(2).map(|record| (&record["path"], &record["status"])).collect();
    assert_eq!(failed, [(&"cubbyhole/a".into(), &500.into()), (&"cubbyhole/a".into(), &500.into())]);
    assert!(!text.contains("told to panic"), "what a panic says is for nobody");

    store.armed.store(false, Ordering::Relaxed);
    assert_eq!(statuses(&server, &root, &both).await, ["204", "200", "200"], "no lock is left held or poisoned");
    server.audit.close().await;
}
