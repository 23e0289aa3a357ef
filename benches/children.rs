//! Revoking a token with 20,000 children: how long until all of them are refused.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Instance, text};
use crate::load::{Connection, Tls, request};
use crate::reads::workload_token;
use crate::verdict;

const CHILDREN: usize = 20_000;
const CLIENTS: usize = 32;

pub(crate) async fn run() {
    let tls = Tls::fresh();
    let instance = Instance::start_tls(&tls.certificate, &tls.key).await;
    workload_token(&instance).await;
    let root = instance.as_root();
    let policy = "path \"auth/token/create\" { capabilities = [\"create\", \"update\", \"sudo\"] }";
    root.put("sys/policies/acl/parent", json!({"policy": policy})).await;
    let (_, answer) = root.put("auth/token/create", json!({"policies": ["parent", "app"], "ttl": "24h"})).await;
    let parent = text(&answer["auth"]["client_token"]);
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (connector, port) = (tls.connector.clone(), instance.port);
            let create = request("POST", "auth/token/create", &parent, "{\"policies\":[\"app\"],\"ttl\":\"1h\"}");
            tokio::spawn(async move {
                let mut connection = Connection::open(&connector, port).await.unwrap();
                let mut tokens = Vec::new();
                for _ in 0..CHILDREN / CLIENTS {
                    assert_eq!(connection.call(&create).await.unwrap(), 200);
                    let answer: Value = serde_json::from_slice(connection.body()).unwrap();
                    tokens.push(text(&answer["auth"]["client_token"]));
                }
                tokens
            })
        })
        .collect();
    let mut children = Vec::new();
    for task in tasks {
        children.extend(task.await.unwrap());
    }
    let mut connection = Connection::open(&tls.connector, instance.port).await.unwrap();
    let lookup = |token: &str| request("GET", "auth/token/lookup-self", token, "");
    for token in children.iter().step_by(97) {
        assert_eq!(connection.call(&lookup(token)).await.unwrap(), 200);
    }
    let start = Instant::now();
    let (status, answer) = root.put("auth/token/revoke", json!({"token": parent})).await;
    assert_eq!(status, 204, "{answer}");
    let answered = start.elapsed();
    for token in children.iter().step_by(97) {
        assert_eq!(connection.call(&lookup(token)).await.unwrap(), 403, "a child outlived its parent");
    }
    let sampled = start.elapsed();
    for token in &children {
        assert_eq!(connection.call(&lookup(token)).await.unwrap(), 403, "a child outlived its parent");
    }
    println!(
        "revoke {} children: answered after {:.3} s, and from then on every one of them refused; a sample of {} by {:.3} s \
         (goal 1 s: {})",
        children.len(),
        answered.as_secs_f64(),
        children.len().div_ceil(97),
        sampled.as_secs_f64(),
        verdict(answered <= Duration::from_secs(1)),
    );
}
