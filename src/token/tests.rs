//! Tokens, leases, wrappings and logins, asked through the door over the memory store, with a clock that tests move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod approle;
mod create;
mod lease;
mod life;
mod tree;
mod userpass;
mod wrap;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use turnlock_core::{Path, Protected};
use uuid::Uuid;

use crate::audit::Audit;
use crate::barrier::Barrier;
use crate::barrier::seal::{SealConfig, SealKind};
use crate::clock::ManualClock;
use crate::door;
use crate::error::Error;
use crate::request::{Fields, Operation, Peer, Query, Request};
use crate::server::{Parts, Server, Settings};
use crate::store::{MemoryStore, Store};

const KEY: [u8; 32] = [7; 32];

/// A server with a root token.
pub(crate) struct World {
    pub(crate) server: Arc<Server>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) root: String,
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let clock = ManualClock::at(start());
        let barrier = Barrier::new(store.clone(), clock.clone());
        barrier.initialize(&SealConfig::fresh(SealKind::Static, 1, 1).unwrap(), &KEY).await.unwrap();
        let mut world = Self::over(store, clock).await;
        let parts = world.parts();
        world.root = text(&parts.tokens.issue_root(&parts, None).await.unwrap());
        world.policy("app", r#"path "cubbyhole/*" { capabilities = ["read"] }"#).await;
        world
    }

    /// Another process over the same store.
    async fn over(store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Self {
        let barrier = Barrier::new(store.clone(), clock.clone());
        barrier.unseal(&KEY).await.unwrap();
        let server = Server::new(barrier, Audit::dangerous_without_device(), clock.clone(), Settings::default());
        server.open_parts().await.unwrap();
        Self { server, clock, store, root: String::new() }
    }

    pub(crate) async fn restarted(&self) -> Self {
        Self { root: self.root.clone(), ..Self::over(self.store.clone(), self.clock.clone()).await }
    }

    pub(crate) fn parts(&self) -> Arc<Parts> {
        self.server.parts().unwrap()
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    pub(crate) async fn policy(&self, name: &str, rules: &str) {
        let name = turnlock_core::policy::PolicyName::parse(name).unwrap();
        self.parts().policies.write(&name, rules).await.unwrap();
    }

    pub(crate) async fn enable(&self, kind: &str) {
        self.root_ask(Operation::Update, &format!("sys/auth/{kind}"), json!({ "type": kind })).await.unwrap();
    }

    /// Asks through the door and answers the body.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Value, Error> {
        let request = Request {
            id: Uuid::new_v4(),
            operation: ask.operation,
            path: Path::parse(ask.path).unwrap(),
            query: Query::default(),
            fields: if ask.body.is_null() { Fields::empty() } else { Fields::of(&ask.body).unwrap() },
            token: ask.token.map(|token| Protected::copy_of(token.as_bytes())),
            wrap_ttl: ask.wrap_seconds.map(Duration::from_secs),
            peer: Peer::Ip(ask.from.parse().unwrap()),
            received: start(),
        };
        let entry = self.server.audit.entry(request.id, request.received, request.peer);
        let response = door::enter(&self.server, request, entry).await?;
        let body = response.encode(Uuid::nil())?;
        Ok(if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
    }

    pub(crate) async fn root_ask(&self, operation: Operation, path: &str, body: Value) -> Result<Value, Error> {
        self.as_token(&self.root, operation, path, body).await
    }

    pub(crate) async fn as_token(
        &self,
        token: &str,
        operation: Operation,
        path: &str,
        body: Value,
    ) -> Result<Value, Error> {
        self.ask(Ask { operation, path, token: Some(token), body, ..Ask::default() }).await
    }

    pub(crate) async fn open_ask(&self, path: &str, body: Value) -> Result<Value, Error> {
        self.ask(Ask { path, body, ..Ask::default() }).await
    }

    /// A token made by `parent`.
    pub(crate) async fn token(&self, parent: &str, body: Value) -> String {
        let answer = self.as_token(parent, Operation::Update, "auth/token/create", body).await.unwrap();
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// The look-up of the token by itself.
    pub(crate) async fn look(&self, token: &str) -> Result<Value, Error> {
        let answer = self.as_token(token, Operation::Read, "auth/token/lookup-self", Value::Null).await;
        answer.map(|answer| answer["data"].clone())
    }

    pub(crate) async fn is_alive(&self, token: &str) -> bool {
        match self.look(token).await {
            Ok(_) => true,
            Err(Error::Denied) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// How many rows lie in the store.
    pub(crate) async fn rows(&self) -> usize {
        let scan = crate::store::Scan { prefix: Vec::new(), after: None, limit: usize::MAX };
        self.store.scan(scan).await.unwrap().entries.len()
    }

    pub(crate) async fn sweep(&self) {
        let parts = self.parts();
        while parts.tokens.sweep().await.unwrap() {}
        parts.tokens.sweep().await.unwrap();
    }
}

/// One request.
pub(crate) struct Ask<'a> {
    pub(crate) operation: Operation,
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) body: Value,
    pub(crate) wrap_seconds: Option<u64>,
    pub(crate) from: &'a str,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Self {
            operation: Operation::Update,
            path: "",
            token: None,
            body: Value::Null,
            wrap_seconds: None,
            from: "192.0.2.1",
        }
    }
}

pub(crate) fn text(token: &Protected) -> String {
    token.expose_str().unwrap().to_owned()
}

/// The text of a refusal.
pub(crate) fn refusal(answer: Result<Value, Error>) -> (u16, String) {
    let error = answer.expect_err("refused");
    (error.status(), error.to_string())
}
