//! End-to-end tests: they drive the real binary, one module for each theme.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod attack;
mod canary;
mod crash;
mod demo;
mod examples;
mod full_disk;
mod fuzz_seeds;
mod generate_root;
mod harness;
mod leftovers;
mod live_store;
mod next_steps;
mod proof;
mod raw;
mod readme;
mod rekey;
mod rotation;
mod run;
mod scan_command;
mod scan_hooks;
mod scan_input;
mod small_disk;
mod start;
mod tidy;
mod verify;
mod wire;
