//! `turnlock demo`: the whole product on real input, in a temporary folder, within a minute.
//!
//! Every step runs the command that a user would type, as a process of its own, and checks that its outcome is as
//! claimed. The first claim that does not hold ends the demonstration with an error.

mod consumer;
mod stage;

use std::time::Duration;

use consumer::Consumer;
use stage::{DemoError, Stage};

use tokio::signal::unix::SignalKind;

use super::Outcome;
use super::server::signals;
use crate::exit::Exit;
use crate::failure::Failure;

/// Arguments of `turnlock demo`: there are none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  turnlock demo")]
pub(crate) struct DemoArgs {}

impl DemoArgs {
    /// Does it.
    pub(crate) async fn run(self) -> Outcome {
        let (mut interrupt, mut terminate) = (signals(SignalKind::interrupt())?, signals(SignalKind::terminate())?);
        let mut hangup = signals(SignalKind::hangup())?;
        // Whoever is told to end drops the stage, and with it the server and the folder.
        let outcome = tokio::select! {
            outcome = steps() => outcome,
            _ = interrupt.recv() => Err(DemoError::Interrupted),
            _ = terminate.recv() => Err(DemoError::Interrupted),
            // The terminal was closed.
            _ = hangup.recv() => Err(DemoError::Interrupted),
        };
        match outcome {
            Ok(()) => Ok(Exit::Done),
            Err(error) => Err(Failure::local(format!("the demonstration ended early: {error}"))),
        }
    }
}

/// All steps in order.
async fn steps() -> Result<(), DemoError> {
    let mut stage = Stage::prepare()?;
    stage.title("A server with an encrypted store, TLS and a tamper-evident audit");
    stage.start_server().await?;
    let init = stage.turnlock(&["operator", "init", "-key-shares=3", "-key-threshold=2", "-format=json"])?;
    let init: serde_json::Value = stage.json(&init)?;
    for share in 0..2 {
        let key = stage.text(&init["unseal_keys_b64"][share])?;
        stage.turnlock_with(&["operator", "unseal", "-"], &key)?;
    }
    stage.become_root(&init["root_token"])?;
    stage.expect("the server is unsealed", stage.quiet(&["status", "-format=json"])?.contains("\"sealed\": false"))?;

    stage.title("An API key in a versioned secret");
    stage.turnlock(&["secrets", "enable", "-path=secret", "-version=2", "kv"])?;
    let first_key = stage.made_up_key().await?;
    stage.turnlock_with(&["kv", "put", "secret/payments/api-key", "key=-"], &first_key)?;

    stage.title("A workload that may read it, and nothing else");
    stage.turnlock_with(
        &["policy", "write", "payments", "-"],
        "path \"secret/data/payments/*\" { capabilities = [\"read\"] }",
    )?;
    stage.turnlock(&["auth", "enable", "approle"])?;
    stage.turnlock(&["write", "auth/approle/role/payments", "token_policies=payments", "token_ttl=20m"])?;
    let role_id = stage.turnlock(&["read", "-field=role_id", "auth/approle/role/payments/role-id"])?;
    let secret_id = stage.turnlock(&["write", "-f", "-field=secret_id", "auth/approle/role/payments/secret-id"])?;
    let role_id = format!("role_id={}", role_id.trim());
    let token = stage
        .turnlock_with(&["write", "-field=token", "auth/approle/login", &role_id, "secret_id=-"], secret_id.trim())?;
    let workload = stage.as_workload(token.trim());
    let denied = workload.fails(&["kv", "put", "secret/payments/api-key", "key=mine"])?;
    stage.expect("the workload may not write", denied.contains("permission denied"))?;

    stage.title("The key in a program's environment, masked in what it prints");
    let printed = workload.turnlock(&[
        "run",
        "--env",
        "API_KEY=secret/payments/api-key#key",
        "--",
        "sh",
        "-c",
        "echo \"calling with $API_KEY (${#API_KEY} characters)\"",
    ])?;
    stage.expect("the program had the key", printed.contains(&format!("({} characters)", first_key.len())))?;
    stage.expect("its output does not show it", !printed.contains(first_key.as_str()))?;

    stage.title("Rotation on a schedule into a running service, with no refused request");
    let consumer = Consumer::start(&first_key, stage.folder()).await?;
    let targets = stage.write_file("targets.json", &consumer.targets())?;
    stage.turnlock(&[
        "rotate",
        "set",
        "secret/payments/api-key",
        "--field=key",
        "--prefix=pay_",
        "--schedule=*/3 * * * * *",
        &format!("--targets=@{targets}"),
    ])?;
    consumer.until_rotated(2, Duration::from_secs(20)).await?;
    stage.turnlock(&["rotate", "pause", "secret/payments/api-key"])?;
    stage.until_settled("secret/payments/api-key").await?;
    stage.turnlock(&["rotate", "history", "secret/payments/api-key"])?;
    let counts = consumer.counts();
    stage.say(&format!("{} requests during the rotations, {} refused", counts.served, counts.refused));
    stage.expect("no request was refused", counts.refused == 0 && counts.served > 50)?;
    stage.expect("the first key is dead", !consumer.accepts(&first_key).await?)?;

    stage.title("The key committed to a repository, found and named");
    let leaked = stage.quiet(&["kv", "get", "-field=key", "secret/payments/api-key"])?.trim().to_owned();
    let repository = stage.commit_to_repository(&leaked)?;
    let found = stage.exits_with(1, &["scan", "--store", &repository])?;
    stage.expect("the scan names the live secret", found.contains("secret/payments/api-key"))?;
    stage.expect("the report does not show the key", !found.contains(&leaked))?;

    stage.title("Rotated at once: the leaked key is worth nothing");
    let seen = consumer.rotations();
    stage.turnlock(&["rotate", "run", "secret/payments/api-key"])?;
    consumer.until_rotated(seen + 2, Duration::from_secs(5)).await.or_else(|_| consumer.at_least(seen + 1))?;
    stage.until_settled("secret/payments/api-key").await?;
    stage.turnlock(&["rotate", "run", "secret/payments/api-key"])?;
    stage.until_settled("secret/payments/api-key").await?;
    stage.expect("the leaked key is dead", !consumer.accepts(&leaked).await?)?;
    stage.expect("still no request was refused", consumer.counts().refused == 0)?;

    stage.title("Who had read it, and proof that the record is whole");
    let audit = stage.audit_file();
    let readers = stage.turnlock(&["audit", "readers", "secret/payments/api-key", &audit])?;
    stage.expect("the workload shows as a reader", readers.contains("approle"))?;
    let device = stage.json(&stage.quiet(&["read", "-format=json", "sys/audit"])?)?;
    let public_key = stage.text(&device["data"]["file/"]["options"]["public_key"])?;
    let public_key = format!("-public-key={}", *public_key);
    drop(consumer);
    stage.stop_server()?;
    let verified = stage.turnlock(&["audit", "verify", &public_key, &audit])?;
    stage.expect("the audit chain holds", verified.starts_with("The chain is sound"))?;
    let forged = stage.write_file("forged.log", &stage.read_file("audit.log")?.replacen("approle", "nobody!", 1))?;
    let flaw = stage.fails(&["audit", "verify", &public_key, &forged])?;
    stage.say(&flaw);
    stage.expect("where somebody wrote another name into it, it does not", flaw.contains("line"))?;
    stage.finish();
    Ok(())
}
