//! A request after the edge: canonical path, typed operation, body as fields. Nothing behind parses raw bytes again.

pub mod fields;

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use turnlock_core::policy::Capability;
use turnlock_core::{Path, Protected};
use uuid::Uuid;

pub use fields::Fields;

use crate::error::Error;

/// What is asked of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A write that makes something new; decided by the route's existence check.
    Create,
    /// GET, HEAD.
    Read,
    /// PUT, POST.
    Update,
    /// PATCH with a JSON merge patch (RFC 7396).
    Patch,
    /// DELETE.
    Delete,
    /// LIST, or GET with `list=true`: the names directly below a folder.
    List,
    /// SCAN, or GET with `scan=true`: all names below a folder.
    Scan,
}

impl Operation {
    /// The lower-case word, as in policies and audit records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Scan => "scan",
        }
    }

    /// Whether the operation may change something.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Patch | Self::Delete)
    }
}

impl From<Operation> for Capability {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Create => Self::Create,
            Operation::Read => Self::Read,
            Operation::Update => Self::Update,
            Operation::Patch => Self::Patch,
            Operation::Delete => Self::Delete,
            Operation::List => Self::List,
            Operation::Scan => Self::Scan,
        }
    }
}

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP client, after evaluating trusted proxy headers.
    Ip(IpAddr),
    /// A process on this machine over the Unix socket.
    Unix,
    /// A part of this process (the embedded agent).
    Local,
}

impl Peer {
    /// The address for CIDR checks; the loopback address for local peers.
    pub fn ip(self) -> IpAddr {
        match self {
            Self::Ip(address) => address,
            Self::Unix | Self::Local => IpAddr::from([127, 0, 0, 1]),
        }
    }
}

/// One request, parsed and bounded.
#[derive(Debug)]
pub struct Request {
    /// Random id, echoed in the answer and written to the audit.
    pub id: Uuid,
    /// What is asked. [`Operation::Update`] becomes [`Operation::Create`] in the door when nothing exists yet.
    pub operation: Operation,
    /// Where, without `/v1/`. The path that is judged and executed.
    pub path: Path,
    /// Decoded query parameters in order.
    pub query: Query,
    /// The body's fields.
    pub fields: Fields,
    /// The token that was sent, unverified.
    pub token: Option<Protected>,
    /// `X-Vault-Wrap-TTL`.
    pub wrap_ttl: Option<Duration>,
    /// Who asks.
    pub peer: Peer,
    /// When the request's head arrived.
    pub received: DateTime<Utc>,
}

/// Decoded query parameters.
#[derive(Debug, Default, Clone)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// The first value of `name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A whole number ≥ 0.
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, Error> {
        self.value(name)
            .map(|text| {
                text.parse().map_err(|_| Error::invalid(format!("query parameter {name:?} must be a whole number")))
            })
            .transpose()
    }

    /// A boolean as clients write it: `true`, `1`, `t`, `false`, `0`, `f`.
    pub fn flag(&self, name: &'static str) -> Result<bool, Error> {
        match self.value(name) {
            None => Ok(false),
            Some("true" | "True" | "TRUE" | "1" | "t" | "T") => Ok(true),
            Some("false" | "False" | "FALSE" | "0" | "f" | "F") => Ok(false),
            Some(_) => Err(Error::invalid(format!("query parameter {name:?} must be true or false"))),
        }
    }
}
