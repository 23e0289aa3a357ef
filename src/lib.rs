//! The server: store, barrier, engines and the HTTP API.
//!
//! A request's life, in the order of the modules: [`request`] is what the edge makes of it, [`door`] judges it,
//! [`engine`] serves it, [`barrier`] opens and seals the records, [`audit`] keeps the evidence, [`response`] is
//! written once.

pub mod audit;
pub mod barrier;
pub mod clock;
pub mod config;
pub mod door;
pub mod engine;
pub mod error;
pub mod exposure;
pub mod hardening;
pub mod hashing;
pub mod http;
pub mod lease;
pub mod lockout;
pub mod mount;
pub mod policy;
pub mod process;
pub mod request;
pub mod response;
pub mod server;
pub mod snapshot;
pub mod store;
pub mod token;
