//! The server: store, barrier, engines and the HTTP API.
//!
//! A request's life, in the order of the modules: [`request`] is what the edge makes of it, `door` judges it,
//! `engine` serves it, `barrier` opens and seals the records, [`response`] is written once.

pub mod barrier;
pub mod clock;
pub mod error;
pub mod request;
pub mod response;
pub mod snapshot;
pub mod store;
