//! Targets that do not answer hold up their own rotation, and no others.

use serde_json::{Value, json};

use super::serving;
use crate::harness::{Instance, wait_for};

/// A service that takes connections and says nothing.
fn silent() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    // It ends with the process of the tests.
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    url
}

async fn newest(instance: &Instance, secret: &str) -> Option<Value> {
    let (_, answer) = instance.as_root().get(&format!("rotation/history/secret/{secret}")).await;
    answer["data"]["attempts"].as_array()?.first().cloned()
}

/// Cause: the agent drove one attempt at a time. Loss: a few webhooks that did not answer delayed every other rotation by their
/// ten seconds each, and again at each try.
#[tokio::test(flavor = "multi_thread")]
async fn those_that_do_not_answer_delay_nobody_else() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    let root = instance.as_root();
    let hook = json!([{"name": "hook", "type": "webhook", "url": silent(), "signing_key": "tlk_canary_signing"}]);
    let stuck = ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"];
    for secret in stuck {
        root.put(&format!("secret/data/{secret}"), json!({"data": {"key": "tlk_canary_first"}})).await;
        let definition = json!({"field": "key", "targets": hook});
        root.put(&format!("rotation/definitions/secret/{secret}"), definition).await;
        root.put(&format!("rotation/run/secret/{secret}"), json!({})).await;
    }
    wait_for("all of them at once", async || {
        for secret in stuck {
            newest(&instance, secret).await.filter(|row| row["claim"].is_object())?;
        }
        Some(())
    })
    .await;
    root.put("rotation/definitions/secret/app/key", json!({"field": "key"})).await;
    root.put("rotation/run/secret/app/key", json!({})).await;
    wait_for("the other one", async || newest(&instance, "app/key").await.filter(|row| row["state"] == "succeeded"))
        .await;
    for secret in stuck {
        let row = newest(&instance, secret).await.unwrap();
        // Not failed so far, and the agent did not take its own work over.
        assert_eq!((&row["tries"], &row["epoch"]), (&json!(0), &json!(1)), "{row}");
    }
    // They are told of, and tried again.
    let row = wait_for("a try", async || newest(&instance, "a8").await.filter(|row| row["tries"] == 1)).await;
    assert_eq!((&row["failure"], &row["obstacles"][0]["target"]), (&json!("unreachable"), &json!("hook")), "{row}");
}
