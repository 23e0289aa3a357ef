//! The engines below `auth/`: the only place where tokens are minted.

pub mod approle;
pub mod settings;
pub mod token;
pub mod userpass;

use crate::engine::{Access, Exists, Handler, Route};
use crate::request::Operation;

/// One line of a table of routes.
pub(in crate::engine) const fn route(
    operations: &'static [Operation],
    pattern: &'static str,
    access: Access,
    handler: Handler,
    doc: &'static str,
) -> Route {
    Route { operations, pattern, access, exists: None, handler, doc }
}

impl Route {
    /// The same route with an existence check.
    pub(in crate::engine) const fn with_exists(mut self, exists: Exists) -> Self {
        self.exists = Some(exists);
        self
    }
}
