//! The client's side of turnlock.
//!
//! - [`client`]: speaks the Vault wire protocol, over a socket or to a router in the same process
//! - [`reference`](mod@reference), [`env_file`]: secrets named by reference, and files of them
//! - [`mask`]: takes secret values out of a stream of output
//! - [`run`](mod@run): a program with secrets in its environment and its output masked
//! - [`rotator`], [`push`](mod@push): makes new credentials and hands them to targets
//! - [`due`]: claims due attempts of rotations and drives them step by step
//! - [`token`]: keeps the token alive that this takes

#[cfg(test)]
mod certified;
pub mod client;
mod drive;
pub mod due;
pub mod env_file;
pub mod mask;
pub mod push;
pub mod reference;
pub mod rotator;
pub mod run;
pub mod token;

pub use client::{Call, Client, ClientConfig, ClientError, Reply};
