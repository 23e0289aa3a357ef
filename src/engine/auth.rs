//! The engines below `auth/`: the only place where tokens are minted.

pub mod approle;
pub mod token;
pub mod userpass;
