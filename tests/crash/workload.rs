//! Writers that remember what was acknowledged, and the check that all of it is there and nothing is half there.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{Api, Instance, text};

/// Keys that each writer overwrites in turn.
const KEYS: u64 = 4;

/// All writers.
pub(crate) struct Workload {
    writers: Vec<Writer>,
    running: Vec<JoinHandle<Writer>>,
    stop: Arc<AtomicBool>,
    checked: usize,
}

/// One writer's memory.
#[derive(Default)]
struct Writer {
    id: usize,
    next: u64,
    /// Path → number acknowledged last, number tried last.
    values: BTreeMap<String, (u64, u64)>,
    /// Tokens whose creation was acknowledged and no revocation was tried.
    live: Vec<String>,
    /// Tokens whose renewal was acknowledged.
    renewed: HashSet<String>,
    /// Tokens whose revocation was acknowledged.
    revoked: Vec<String>,
    acknowledged: usize,
    /// Requests that were answered, by the server's name for them.
    answered: Vec<String>,
}

impl Workload {
    /// Mounts the engine and readies the writers.
    pub(crate) async fn prepare(instance: &Instance, writers: usize) -> Self {
        let (status, answer) =
            instance.as_root().put("sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await;
        assert!(status == 204 || status == 200, "{answer}");
        // What is overwritten is dead, so that the log is compacted again and again.
        let (status, answer) = instance.as_root().put("secret/config", json!({"max_versions": 1})).await;
        assert!(status == 204 || status == 200, "{answer}");
        Self {
            writers: (0..writers).map(|id| Writer { id, ..Writer::default() }).collect(),
            running: Vec::new(),
            stop: Arc::default(),
            checked: 0,
        }
    }

    /// Lets all writers write until `end`; they go on while the caller kills the server.
    pub(crate) async fn run_until(&mut self, instance: &Instance, end: impl Future<Output = ()>) {
        self.stop = Arc::default();
        for writer in std::mem::take(&mut self.writers) {
            let (api, stop) = (instance.as_root(), self.stop.clone());
            self.running.push(tokio::spawn(writer.write(api, stop)));
        }
        end.await;
    }

    /// Waits until every writer has noticed that the server is gone.
    pub(crate) async fn settle(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for task in std::mem::take(&mut self.running) {
            self.writers.push(task.await.unwrap());
        }
    }

    /// Everything acknowledged is there; what was tried is there whole or not at all.
    pub(crate) async fn check(&mut self, instance: &Instance, when: &str) {
        let api = instance.as_root();
        for writer in &mut self.writers {
            for (path, (acknowledged, tried)) in &mut writer.values {
                let (status, answer) = api.get(&format!("secret/data/{path}")).await;
                if status == 404 {
                    assert_eq!(*acknowledged, 0, "{when}: {path} is lost");
                    continue;
                }
                assert_eq!(status, 200, "{when}: {path}: {answer}");
                let data = &answer["data"]["data"];
                let number = data["number"].as_u64().unwrap_or_else(|| panic!("{when}: half a write: {answer}"));
                assert_eq!(data["again"], Value::from(again(number)), "{when}: half a write at {path}");
                assert!(
                    (*acknowledged..=*tried).contains(&number),
                    "{when}: {path} holds {number}, acknowledged was {acknowledged}, tried {tried}"
                );
                *acknowledged = number;
                *tried = number;
                self.checked += 1;
            }
            for token in &writer.live {
                let (status, answer) = instance.api(token).get("auth/token/lookup-self").await;
                assert_eq!(status, 200, "{when}: an acknowledged token is lost: {answer}");
                let ttl = answer["data"]["ttl"].as_u64().unwrap();
                assert!(ttl > 3600 || !writer.renewed.contains(token), "{when}: a renewal is lost: {ttl} s are left");
                self.checked += 1;
            }
            for token in &writer.revoked {
                let (status, _) = instance.api(token).get("auth/token/lookup-self").await;
                assert_eq!(status, 403, "{when}: a revoked token is live again");
                self.checked += 1;
            }
            // Enough was seen of these; the next round makes new ones.
            writer.revoked.clear();
            writer.live.truncate(2);
        }
        let (status, answer) = api.list("auth/token/accessors").await;
        assert_eq!(status, 200, "{when}: {answer}");
        for accessor in answer["data"]["keys"].as_array().unwrap().iter().rev().take(40) {
            let (status, answer) = api.put("auth/token/lookup-accessor", json!({"accessor": accessor})).await;
            assert_eq!(status, 200, "{when}: an accessor without its token: {answer}");
        }
    }

    /// Every request that was answered and whose answer names it.
    pub(crate) fn answered(&self) -> impl Iterator<Item = String> {
        self.writers.iter().flat_map(|writer| writer.answered.iter().cloned())
    }

    /// For the closing line.
    pub(crate) fn summary(&self) -> String {
        let acknowledged: usize = self.writers.iter().map(|writer| writer.acknowledged).sum();
        format!("{acknowledged} writes acknowledged, {} checks, none lost", self.checked)
    }
}

impl Writer {
    /// Writes until told to stop or the server is gone.
    async fn write(mut self, api: Api, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::SeqCst) {
            self.next += 1;
            let answered = match self.next % 8 {
                0..=4 => self.put(&api).await,
                5 => self.create_token(&api).await,
                6 => self.renew_lease(&api).await,
                _ => self.revoke_token(&api).await,
            };
            if answered.is_none() {
                break;
            }
            self.acknowledged += 1;
        }
        self
    }

    async fn put(&mut self, api: &Api) -> Option<()> {
        let number = self.next;
        let path = format!("writer{}/key{}", self.id, number % KEYS);
        self.values.entry(path.clone()).or_default().1 = number;
        let body = json!({"data": {"number": number, "again": again(number)}});
        let (status, answer) = api.try_call(Method::POST, &format!("secret/data/{path}"), Some(body)).await?;
        assert_eq!(status, 200, "{answer}");
        self.answered.push(text(&answer["request_id"]));
        self.values.entry(path).or_default().0 = number;
        Some(())
    }

    async fn create_token(&mut self, api: &Api) -> Option<()> {
        let body = json!({"policies": ["default"], "ttl": "1h"});
        let (status, answer) = api.try_call(Method::POST, "auth/token/create", Some(body)).await?;
        assert_eq!(status, 200, "{answer}");
        self.answered.push(text(&answer["request_id"]));
        self.live.push(text(&answer["auth"]["client_token"]));
        Some(())
    }

    async fn renew_lease(&mut self, api: &Api) -> Option<()> {
        let Some(token) = self.live.last().cloned() else { return Some(()) };
        let body = json!({"token": token, "increment": "2h"});
        let (status, answer) = api.try_call(Method::POST, "auth/token/renew", Some(body)).await?;
        assert_eq!(status, 200, "{answer}");
        self.answered.push(text(&answer["request_id"]));
        self.renewed.insert(token);
        Some(())
    }

    async fn revoke_token(&mut self, api: &Api) -> Option<()> {
        let Some(token) = self.live.pop() else { return Some(()) };
        let (status, answer) = api.try_call(Method::POST, "auth/token/revoke", Some(json!({"token": token}))).await?;
        assert_eq!(status, 204, "{answer}");
        self.revoked.push(token);
        Some(())
    }
}

/// The number once more, so long that a write can be torn in it; every seventh is much longer.
fn again(number: u64) -> String {
    number.to_string().repeat(if number.is_multiple_of(7) { 4000 } else { 40 })
}
