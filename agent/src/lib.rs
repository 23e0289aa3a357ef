//! The client's side of turnlock.
//!
//! - [`client`]: speaks the Vault wire protocol, over a socket or to a router in the same process

pub mod client;

pub use client::{Call, Client, ClientConfig, ClientError, Reply};
