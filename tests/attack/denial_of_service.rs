//! What an anonymous client sends costs little, and costs the others nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{done, enable_auth, with_mounts};
use crate::harness::{Instance, PATIENCE, text, wait_for};
use crate::raw;

/// The server's peak of resident memory, in MiB.
fn peak_mib(instance: &Instance) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", instance.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_bodies_of_30_mib_are_refused_without_being_kept() {
    let instance = with_mounts().await;
    let before = peak_mib(&instance);
    let port = instance.port;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            tokio::spawn(async move {
                let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let head = format!(
                    "POST /v1/auth/userpass/login/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
                    30 << 20
                );
                let _ = socket.write_all(head.as_bytes()).await;
                let block = vec![b' '; 1 << 20];
                for _ in 0..30 {
                    if socket.write_all(&block).await.is_err() {
                        break;
                    }
                }
                raw::until_closed(&mut socket, PATIENCE).await
            })
        })
        .collect();
    for task in tasks {
        let answer = task.await.unwrap().expect("the server answers or closes");
        assert!(answer.refused(), "{answer:?}");
    }
    let grown = peak_mib(&instance).saturating_sub(before);
    assert!(grown < 64, "480 MiB of anonymous bodies took {grown} MiB");
}

#[tokio::test]
async fn deep_and_wide_json_is_refused_at_once() {
    let instance = with_mounts().await;
    let deep = |depth: usize| format!("{{\"data\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let wide = format!("{{\"data\":{{\"a\":[{}1]}}}}", "1,".repeat(200_000));
    let keys: String = (0..60_000).map(|key| format!("\"k{key}\":1,")).collect();
    for body in [deep(100), deep(10_000), deep(30_000), wide, format!("{{\"data\":{{{keys}\"z\":1}}}}")] {
        let start = Instant::now();
        let answer = raw::call(&instance, "PUT", "/v1/secret/data/deep", &instance.root, &body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
    // Unclosed, so that a parser which recurses would have to go all the way down.
    let answer = raw::call(&instance, "POST", "/v1/auth/userpass/login/x", "", &"{\"a\":".repeat(10_000)).await;
    assert!(answer.refused(), "{answer:?}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_its_size() {
    let instance = with_mounts().await;
    let head = format!(
        "PUT /v1/secret/data/big HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: {}\r\nContent-Length: {}\r\n\r\n",
        instance.root,
        33 << 20
    );
    let answer = raw::send(&instance, head.as_bytes()).await;
    assert_eq!(answer.status, 413, "{answer:?}");
}

#[tokio::test]
async fn long_paths_heads_and_queries_are_refused_at_once() {
    let instance = with_mounts().await;
    let headers: String = (0..300).map(|number| format!("X-H{number}: a\r\n")).collect();
    let start =
        |line: &str, extra: &str| format!("GET {line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{extra}\r\n");
    for (what, bytes) in [
        ("60 kB path", start(&format!("/v1/{}", "a/".repeat(15_000)), "")),
        ("60 kB of dots", start(&format!("/v1/{}", "../".repeat(9_000)), "")),
        ("60 kB encoded", start(&format!("/v1/{}", "%2f".repeat(9_000)), "")),
        ("long query", start(&format!("/v1/secret/data/x?{}", "a=b&".repeat(7_000)), "")),
        ("many headers", start("/v1/secret/data/x", &headers)),
        ("a large header", start("/v1/secret/data/x", &format!("X-Large: {}\r\n", "a".repeat(200_000)))),
    ] {
        let begun = Instant::now();
        let answer = raw::send(&instance, bytes.as_bytes()).await;
        assert!(answer.refused(), "{what}: {answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{what} took {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_token_of_8_kib_is_refused_like_any_other() {
    let instance = with_mounts().await;
    for length in [8_000, 8_192, 8_193, 20_000] {
        let answer = raw::call(&instance, "GET", "/v1/secret/data/x", &"t".repeat(length), "").await;
        assert_eq!(answer.status, 403, "{length}: {answer:?}");
    }
}

#[tokio::test]
async fn a_client_that_sends_slowly_is_cut_off_and_holds_up_nobody() {
    let instance = with_mounts().await;
    done(instance.as_root().put("secret/data/x", json!({"data": {"a": 1}})).await);
    let mut slow = Vec::new();
    for number in 0..200 {
        let mut socket = TcpStream::connect(("127.0.0.1", instance.port)).await.unwrap();
        let begun: &[u8] = if number % 2 == 0 {
            b"GET /v1/secret/data/x HTTP/1.1\r\nX-Slow: "
        } else {
            b"POST /v1/auth/userpass/login/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"
        };
        socket.write_all(begun).await.unwrap();
        slow.push(socket);
    }
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(instance.as_root().get("secret/data/x").await.0, 200);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "slow clients hold up a reader: {:?}", start.elapsed());
    // Both kinds are let go by the server itself: a head within half a minute, a body that stalls sooner.
    for socket in slow.iter_mut().take(2) {
        let closed = raw::until_closed(socket, Duration::from_secs(60)).await.expect("a slow client is cut off");
        assert!(closed.refused(), "{closed:?}");
    }
}

/// As many as one address may have, and then some: each takes the place of the oldest, which was never of use.
#[tokio::test]
async fn connections_that_are_only_held_make_room_for_newcomers_of_the_same_address() {
    let instance = with_mounts().await;
    let mut working = connect(&instance, "127.0.0.9").await;
    let health = b"GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut held = Vec::new();
    for number in 0..1100 {
        held.push(connect(&instance, "127.0.0.9").await);
        if number % 100 == 0 {
            working.write_all(health).await.unwrap();
            let answer = raw::answer(&mut working, PATIENCE).await.expect("who is answered keeps the place");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    let mut beside = connect(&instance, "127.0.0.9").await;
    beside.write_all(health).await.unwrap();
    assert_eq!(raw::answer(&mut beside, PATIENCE).await.expect("a newcomer is answered").status, 200);
    let oldest = raw::until_closed(&mut held[0], PATIENCE).await;
    assert!(oldest.is_some(), "the oldest has made room");
    assert_eq!(instance.as_root().get("sys/mounts").await.0, 200);
}

/// Those whose first packet is dropped would try again only after a second.
#[tokio::test]
async fn many_connections_at_once_wait_until_they_are_accepted() {
    let instance = with_mounts().await;
    instance.signal(rustix::process::Signal::STOP);
    let mut waiting = Vec::new();
    for _ in 0..600 {
        let connected = tokio::time::timeout(PATIENCE, connect(&instance, "127.0.0.9")).await;
        waiting.push(connected.expect("the kernel takes it"));
    }
    instance.signal(rustix::process::Signal::CONT);
    let last = waiting.last_mut().unwrap();
    last.write_all(b"GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(raw::answer(last, PATIENCE).await.expect("it is answered").status, 200);
}

/// Nobody needs a token to submit a share for unsealing, and these come at a bounded pace for all clients together.
#[tokio::test]
async fn requests_sent_all_at_once_are_answered_in_order_and_hold_up_nobody() {
    let instance = with_mounts().await;
    let mut requests = String::new();
    for number in 0..20 {
        let close = if number == 19 { "Connection: close\r\n" } else { "" };
        requests += "GET /v1/secret/data/app HTTP/1.1\r\nHost: a\r\n\r\n";
        requests += &format!("GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n{close}\r\n");
    }
    let mut crowd = Vec::new();
    for _ in 0..50 {
        let mut socket = connect(&instance, "127.0.0.1").await;
        socket.write_all(requests.as_bytes()).await.unwrap();
        crowd.push(socket);
    }
    assert_eq!(instance.as_root().get("secret/data/app").await.0, 404);
    for mut socket in crowd {
        let mut answers = String::new();
        tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answers)).await.unwrap().unwrap();
        let statuses = answers.match_indices("HTTP/1.1 ").filter_map(|(at, _)| answers.get(at + 9..at + 12));
        assert_eq!(statuses.collect::<Vec<_>>().join(" "), ["403 200"; 20].join(" "));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_shares_for_unsealing_holds_up_no_rekey_and_no_root_token() {
    let instance = with_mounts().await;
    let flooded = Arc::new(AtomicBool::new(false));
    let flood: Vec<_> = (0..8)
        .map(|_| {
            let (anybody, flooded) = (instance.api(""), flooded.clone());
            tokio::spawn(async move {
                let share = "00".repeat(33);
                while let Some((status, _)) =
                    anybody.try_call(Method::PUT, "sys/unseal", Some(json!({ "key": share }))).await
                {
                    flooded.fetch_or(status == 429, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let root = instance.as_root();
    for _ in 0..5 {
        wait_for("the pace of unsealing to be used up", async || flooded.swap(false, Ordering::Relaxed).then_some(()))
            .await;
        let (_, begun) = root.put("sys/generate-root/attempt", json!({})).await;
        let share = json!({"key": instance.key, "nonce": begun["nonce"]});
        let (status, made) = root.put("sys/generate-root/update", share).await;
        assert_eq!((status, &made["complete"]), (200, &json!(true)), "{made}");
        let body = json!({"secret_shares": 2, "secret_threshold": 2, "require_verification": true});
        let (_, begun) = root.put("sys/rekey/init", body).await;
        let share = json!({"key": instance.key, "nonce": begun["nonce"]});
        let (status, made) = root.put("sys/rekey/update", share).await;
        assert_eq!((status, &made["complete"]), (200, &json!(true)), "{made}");
        let share = json!({"key": made["keys"][0], "nonce": made["verification_nonce"]});
        let (status, done) = root.put("sys/rekey/verify", share).await;
        assert_eq!((status, &done["progress"]), (200, &json!(1)), "{done}");
        assert_eq!(root.delete("sys/rekey/init").await.0, 204);
    }
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn connect(instance: &Instance, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(([127, 0, 0, 1], instance.port).into()).await.unwrap()
}

/// Connections from `address` with a body of 16 KiB each, all of which but the last byte has been sent.
async fn stalled(instance: &Instance, address: &str, count: usize) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    let mut request = b"POST /v1/auth/userpass/login/x HTTP/1.1\r\nHost: a\r\nContent-Length: 16384\r\n\r\n".to_vec();
    request.resize(request.len() + 16383, b' ');
    for _ in 0..count {
        let mut socket = connect(instance, address).await;
        // Some of them are refused before they have sent everything.
        let _ = socket.write_all(&request).await;
        sockets.push(socket);
    }
    sockets
}

#[tokio::test]
async fn stalled_bodies_of_unknown_senders_keep_nobody_from_writing() {
    let instance = with_mounts().await;
    enable_auth(&instance, "userpass", "userpass").await;
    done(instance.as_root().put("auth/userpass/users/ann", json!({"password": "stalled-beside"})).await);
    // As many addresses as it takes to fill the memory, each with more than its share.
    let mut sockets = Vec::new();
    for host in 9..18 {
        sockets.extend(stalled(&instance, &format!("127.0.0.{host}"), 130).await);
    }
    // Who comes from one of these addresses logs in all the same: what is on its way for longest makes room.
    let mut beside = connect(&instance, "127.0.0.9").await;
    let body = json!({"password": "stalled-beside"}).to_string();
    beside.write_all(&raw::request("POST", "/v1/auth/userpass/login/ann", "", &body)).await.unwrap();
    let answer = raw::until_closed(&mut beside, PATIENCE).await.expect("a login is answered");
    assert_eq!(answer.status, 200, "{answer:?}");
    let oldest = raw::answer(&mut sockets[0], PATIENCE).await.expect("it is refused at once");
    assert_eq!(oldest.status, 429, "{oldest:?}");
    let as_root = instance.as_root();
    done(as_root.put("secret/data/beside", json!({"data": {"a": 1}})).await);
    let (status, login) = instance.api("").put("auth/userpass/login/ann", json!({"password": "stalled-beside"})).await;
    assert_eq!(status, 200, "{login}");
    let accessor = text(&login["auth"]["accessor"]);
    done(as_root.put("auth/token/revoke-accessor", json!({"accessor": accessor})).await);
    done(as_root.put("sys/seal", json!({})).await);
    instance.unseal().await;
    assert_eq!(as_root.get("secret/data/beside").await.0, 200);
    drop(sockets);
}
