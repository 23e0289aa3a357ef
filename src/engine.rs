//! Engines: code that is mounted at a path and answers below it. Each engine is a table of routes.

pub mod auth;
pub mod cubbyhole;
pub mod fingerprints;
pub mod kv1;
pub mod kv2;
pub mod rotation;
pub mod sys;

use std::ops::Range;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::barrier::Record;
use crate::error::Error;
use crate::mount::Mount;
use crate::request::{Operation, Request};
use crate::response::Response;
use crate::server::{Parts, Server};
use crate::token::Caller;

/// The kinds of engine, named as `type` in `sys/mounts` and `sys/auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// `auth/approle`: machines log in with a role id and a secret id.
    AppRole,
    /// `cubbyhole/`: private to each token.
    Cubbyhole,
    /// `identity/`: the name is taken, so that nothing else can be mounted there.
    Identity,
    /// Key and value, version 1: one value for each path.
    Kv1,
    /// Key and value, version 2: versions and metadata.
    Kv2,
    /// `rotation/`: definitions, schedules and attempts.
    Rotation,
    /// `sys/`.
    System,
    /// `auth/token`.
    Token,
    /// `auth/userpass`: people log in with a password.
    Userpass,
}

impl EngineKind {
    /// The engine's routes.
    pub fn routes(self) -> &'static [Route] {
        match self {
            Self::AppRole => auth::approle::ROUTES,
            Self::Cubbyhole => cubbyhole::ROUTES,
            Self::Identity => &[],
            Self::Kv1 => kv1::ROUTES,
            Self::Kv2 => kv2::ROUTES,
            Self::Rotation => rotation::ROUTES,
            Self::System => sys::routes(),
            Self::Token => auth::token::ROUTES,
            Self::Userpass => auth::userpass::ROUTES,
        }
    }

    /// The path below a mount of this kind that means the same as `below`, when `below` spells a name otherwise than the
    /// engine keeps it, or is the older one of two paths. The door judges both.
    pub fn one_form(self, below: &str) -> Option<String> {
        match self {
            Self::AppRole => respelled(below, "role/", str::to_lowercase),
            Self::Userpass => respelled(below, "users/", auth::userpass::canonical),
            Self::System => sys::one_form(below),
            Self::Cubbyhole | Self::Identity | Self::Kv1 | Self::Kv2 | Self::Rotation | Self::Token => None,
        }
    }

    /// Whether a mount of this kind may be removed or moved: those that every server has once could not be made again.
    pub fn is_replaceable(self) -> bool {
        matches!(self, Self::AppRole | Self::Kv1 | Self::Kv2 | Self::Userpass)
    }

    /// The `type` that clients see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AppRole => "approle",
            Self::Cubbyhole => "cubbyhole",
            Self::Identity => "identity",
            Self::Kv1 | Self::Kv2 => "kv",
            Self::Rotation => "rotation",
            Self::System => "system",
            Self::Token => "token",
            Self::Userpass => "userpass",
        }
    }
}

/// One thing that an engine can do.
#[derive(Clone, Copy)]
pub struct Route {
    /// Which operations the handler takes. A route with [`Operation::Update`] and an existence check is also reached
    /// as [`Operation::Create`].
    pub operations: &'static [Operation],
    /// Path below the mount: literal segments, `{name}` for one segment, a last `{name*}` for the rest, which may be
    /// empty. The first route of the table that matches is taken.
    pub pattern: &'static str,
    /// Who may come in.
    pub access: Access,
    /// Whether the thing exists already: decides between the capabilities create and update. Without it a write is an
    /// update.
    pub exists: Option<Exists>,
    /// Does it.
    pub handler: Handler,
    /// One sentence for people.
    pub doc: &'static str,
}

/// What the door asks for before a route's handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No token is needed: logins and the like. Rate and cost are the handler's duty.
    Open,
    /// A live token whose policies allow the operation on the path.
    Token,
    /// As [`Access::Token`], and `sudo` besides.
    Sudo,
}

/// A handler. Plain functions, so that a table of routes is data.
pub type Handler = for<'a> fn(&'a Call) -> BoxFuture<'a, Result<Response, Error>>;

/// An existence check.
pub type Exists = for<'a> fn(&'a Call) -> BoxFuture<'a, Result<bool, Error>>;

/// One authorized request on its way into a handler.
pub struct Call {
    /// The process, for the few routes that end or rekey it.
    pub server: Arc<Server>,
    /// What an unsealed server consists of.
    pub parts: Arc<Parts>,
    /// Where the engine is mounted.
    pub mount: Arc<Mount>,
    /// The request.
    pub request: Request,
    /// Who asks; absent on open routes.
    pub caller: Option<Caller>,
    /// The pattern's values.
    pub parameters: Parameters,
    /// What the existence check read, for the handler to begin with.
    pub seen: Seen,
}

/// A record that was read a moment ago. Who takes it does not read again, and commits only if it is still in force.
pub type Seen = Mutex<Option<Record>>;

impl Call {
    /// The value of `{name}` or `{name*}` in the route's pattern; empty when the pattern has none of that name.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.value(name, self.request.path.as_str())
    }

    /// Who asks. The door has let nobody without a token pass unless the route is open.
    pub fn caller(&self) -> Result<&Caller, Error> {
        self.caller.as_ref().ok_or(Error::Denied)
    }
}

/// Values of a pattern as ranges of the request's path, so that nothing is copied or parsed again.
#[derive(Debug, Default, Clone)]
pub struct Parameters(Vec<(&'static str, Range<usize>)>);

impl Parameters {
    fn value<'a>(&self, name: &str, path: &'a str) -> &'a str {
        let found = self.0.iter().find(|(key, _)| *key == name);
        found.and_then(|(_, range)| path.get(range.clone())).unwrap_or_default()
    }
}

/// `below` with the segment behind `prefix` in the form that `canonical` gives it, when that is another one.
fn respelled(below: &str, prefix: &str, canonical: impl Fn(&str) -> String) -> Option<String> {
    let rest = below.strip_prefix(prefix)?;
    let (name, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let form = canonical(name);
    (form != name).then(|| format!("{prefix}{form}{tail}"))
}

/// What [`find`] found.
pub enum Found {
    /// The route and its parameters.
    Route(&'static Route, Parameters),
    /// The path exists and does not support the operation.
    WrongOperation,
    /// No such path.
    Nothing,
}

/// The first route of `routes` for `operation` on the part of `path` that starts at byte `start`.
pub fn find(routes: &'static [Route], operation: Operation, path: &str, start: usize) -> Found {
    let mut matched = false;
    for route in routes {
        if let Some(parameters) = matches(route.pattern, path, start) {
            matched = true;
            if route.operations.contains(&operation) {
                return Found::Route(route, parameters);
            }
        }
    }
    if matched { Found::WrongOperation } else { Found::Nothing }
}

/// What the routes at the part of `path` that starts at byte `start` do, for people: a line for each.
pub fn help(routes: &'static [Route], path: &str, start: usize) -> Option<String> {
    let docs = routes.iter().filter(|route| matches(route.pattern, path, start).is_some()).map(|route| {
        let operations: Vec<_> = route.operations.iter().map(|operation| operation.as_str()).collect();
        format!("{}: {}", operations.join(", "), route.doc)
    });
    let lines: Vec<String> = docs.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn matches(pattern: &'static str, path: &str, start: usize) -> Option<Parameters> {
    let mut parameters = Vec::new();
    let mut position = start;
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let rest = path.get(position..)?;
        let variable = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        if let Some(name) = variable.and_then(|name| name.strip_suffix('*')) {
            parameters.push((name, position..path.len()));
            return Some(Parameters(parameters));
        }
        if rest.is_empty() {
            return None;
        }
        let end = position + rest.find('/').unwrap_or(rest.len());
        match variable {
            Some(name) => parameters.push((name, position..end)),
            None if path.get(position..end) == Some(part) => {}
            None => return None,
        }
        position = (end + 1).min(path.len());
    }
    (position == path.len()).then_some(Parameters(parameters))
}

#[cfg(test)]
mod tests {
    use super::matches;

    fn value(pattern: &'static str, path: &str, start: usize, name: &str) -> Option<String> {
        matches(pattern, path, start).map(|parameters| parameters.value(name, path).to_owned())
    }

    #[test]
    fn patterns_bind_segments_and_the_rest() {
        assert_eq!(value("data/{path*}", "secret/data/a/b", 7, "path").as_deref(), Some("a/b"));
        assert_eq!(value("metadata/{path*}", "secret/metadata", 7, "path").as_deref(), Some(""));
        assert_eq!(
            value("role/{role}/secret-id", "auth/approle/role/web/secret-id", 13, "role").as_deref(),
            Some("web")
        );
        assert_eq!(value("role/{role}", "auth/approle/role/web/secret-id", 13, "role"), None);
        assert_eq!(value("role/{role}", "auth/approle/role", 13, "role"), None);
        assert_eq!(value("config", "secret/config", 7, "x").as_deref(), Some(""));
        assert_eq!(value("config", "secret/configs", 7, "x"), None);
        assert_eq!(value("{path*}", "kv", 2, "path").as_deref(), Some(""));
    }
}
