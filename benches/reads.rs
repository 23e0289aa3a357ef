//! Reads of a secret over TLS, with a workload's token, policies and an audit file, against the bare stack.

use std::time::Duration;

use serde_json::json;

use crate::bare::Bare;
use crate::harness::{Instance, text};
use crate::load::{Connection, Measured, Tls, request};
use crate::verdict;

const CONNECTIONS: usize = 16;
const TIME: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;

/// A token that may read and write below `secret/data/app/`.
pub(crate) async fn workload_token(instance: &Instance) -> String {
    let root = instance.as_root();
    root.put("sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    let policy = "path \"secret/data/app/*\" { capabilities = [\"create\", \"read\", \"update\"] }\n\
                  path \"secret/metadata/app/*\" { capabilities = [\"list\"] }";
    root.put("sys/policies/acl/app", json!({"policy": policy})).await;
    let (_, answer) = root.put("auth/token/create", json!({"policies": ["app"], "ttl": "24h"})).await;
    text(&answer["auth"]["client_token"])
}

pub(crate) async fn run() {
    let tls = Tls::fresh();
    let instance = Instance::start_tls(&tls.certificate, &tls.key).await;
    let token = workload_token(&instance).await;
    let body = json!({"data": {"user": "svc", "password": "correct-horse-battery-staple"}});
    let (status, answer) = instance.api(&token).put("secret/data/app/db", body).await;
    assert_eq!(status, 200, "{answer}");

    let read = request("GET", "secret/data/app/db", &token, "");
    let mut probe = Connection::open(&tls.connector, instance.port).await.unwrap();
    assert_eq!(probe.call(&read).await.unwrap(), 200);
    let bare = Bare::start(instance.dir.path(), probe.body()).await;

    let (mut ours, mut limit) = (Measured::new(instance.port, instance.pid()), Measured::new(bare.port, bare.pid()));
    for _ in 0..ROUNDS {
        for side in [&mut limit, &mut ours] {
            let bytes = read.clone();
            side.round(&tls.connector, CONNECTIONS, TIME, move |_, _| bytes.clone()).await;
        }
    }
    let ratio = ours.rate() / limit.rate();
    println!(
        "reads: {:.0}/s, bare axum and rustls {:.0}/s, ratio {ratio:.2} (goal 0.70: {}); processor time of the server for \
         each {:.1} µs and {:.1} µs; {CONNECTIONS} connections, median of {ROUNDS}",
        ours.rate(),
        limit.rate(),
        verdict(ratio >= 0.7),
        ours.cost(),
        limit.cost(),
    );
}
