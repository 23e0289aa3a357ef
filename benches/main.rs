//! Speed, memory and fairness of the real server, each as a ratio to a peer or a limit that runs beside it.
//!
//! `cargo bench -p turnlock-cli` runs everything; `cargo bench -p turnlock-cli -- reads revoke` the named ones:
//! reads, writes, memory, revoke, abuse, scan. Attacks can be named behind `abuse`: `-- abuse slow-clients`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, dead_code)]

mod abuse;
mod bare;
mod children;
#[path = "../tests/harness.rs"]
mod harness;
mod load;
mod memory;
mod process;
mod reads;
mod repository;
mod scan;
mod writes;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Peers, attackers and burners are processes of their own: this program, started with one of these words.
    if matches!(arguments.first().map(String::as_str), Some("bare" | "attack" | "burn")) {
        process::end_with_parent();
    }
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bare", port, folder] => return runtime.block_on(bare::serve(port.parse().unwrap(), folder.as_ref())),
        ["attack", kind, port] => return runtime.block_on(abuse::attack(kind, port.parse().unwrap())),
        ["burn", share] => return abuse::burn(share.parse().unwrap()),
        _ => {}
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    runtime.block_on(async {
        if wanted("reads") {
            reads::run().await;
        }
        if wanted("writes") {
            writes::run().await;
        }
        if wanted("memory") {
            memory::run().await;
        }
        if wanted("revoke") {
            children::run().await;
        }
        if wanted("abuse") {
            abuse::run(&arguments).await;
        }
        if wanted("scan") {
            tokio::task::block_in_place(scan::run);
        }
    });
}

/// Whether a goal is met, in the words of the reports.
fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}
