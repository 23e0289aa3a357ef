//! The engines below `auth/`: the only place where tokens are minted.

pub mod approle;
pub mod settings;
pub mod token;
pub mod userpass;
