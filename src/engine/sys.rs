//! The sys engine: the server itself. Each file is one noun; what works while sealed is found by [`probe`] and
//! [`without_token`], all else by its routes.

mod audit;
mod capabilities;
mod generate_root;
mod health;
mod init;
mod internal_ui;
mod key;
mod leases;
mod mount;
mod password_policies;
mod policies;
mod rekey;
mod remount;
mod seal;
mod share;
mod snapshot;
mod tools;
mod wrapping;

pub use generate_root::RootAttempt;
pub(crate) use mount::default_mounts;
pub use rekey::Rekeying;
pub use share::SharePace;

use std::sync::{Arc, LazyLock};

use futures_util::future::BoxFuture;
use turnlock_core::policy::PolicyName;

use crate::engine::Route;
use crate::error::Error;
use crate::request::{Operation, Request};
use crate::response::Response;
use crate::server::Server;

/// What clients read as the server's version. They gate features on it, so it names the version of the protocol.
pub const VERSION: &str = "1.18.0+turnlock";

static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    [
        audit::ROUTES,
        capabilities::ROUTES,
        super::fingerprints::ROUTES,
        generate_root::ROUTES,
        internal_ui::ROUTES,
        key::ROUTES,
        leases::ROUTES,
        mount::ROUTES,
        password_policies::ROUTES,
        policies::ROUTES,
        rekey::ROUTES,
        remount::ROUTES,
        seal::ROUTES,
        snapshot::ROUTES,
        tools::ROUTES,
        wrapping::ROUTES,
    ]
    .concat()
});

/// What the engine answers.
pub fn routes() -> &'static [Route] {
    &ROUTES
}

/// Older paths, and the newer ones that mean the same.
const OLDER: [(&str, &str); 6] = [
    ("mounts/auth/", "auth/"),
    ("policy/", "policies/acl/"),
    ("renew/", "leases/renew/"),
    ("revoke/", "leases/revoke/"),
    ("revoke-force/", "leases/revoke-force/"),
    ("revoke-prefix/", "leases/revoke-prefix/"),
];

/// See [`EngineKind::one_form`](super::EngineKind::one_form).
pub fn one_form(below: &str) -> Option<String> {
    if below == "policy" {
        return Some("policies/acl".to_owned());
    }
    let newer = OLDER.iter().find_map(|(older, newer)| Some(format!("{newer}{}", below.strip_prefix(older)?)));
    let name = newer.as_deref().unwrap_or(below).strip_prefix("policies/acl/");
    let policy = name.and_then(|name| PolicyName::parse(name).ok());
    policy.map(|policy| format!("policies/acl/{policy}")).filter(|form| form != below).or(newer)
}

/// Answers the reads that probes make all the time, sealed or not, and that no audit record is written for.
pub async fn probe(server: &Arc<Server>, request: &Request) -> Option<Result<Response, Error>> {
    let path = request.path.as_str();
    if !matches!(path, "sys/health" | "sys/seal-status" | "sys/leader") {
        return None;
    }
    if request.operation != Operation::Read {
        return Some(Err(Error::Unsupported));
    }
    Some(match path {
        "sys/health" => health::read(server, request).await,
        "sys/leader" => health::leader(),
        _ => seal::status(server).await,
    })
}

/// A handler that needs neither token nor open barrier.
pub type Unguarded = for<'a> fn(&'a Arc<Server>, &'a Request) -> BoxFuture<'a, Result<Response, Error>>;

/// The handler of the paths that bring a server to life, init and unseal, and of those that the configuration opens.
pub fn without_token(server: &Server, request: &Request) -> Option<Unguarded> {
    use generate_root::Asker;
    if server.settings.open_generate_root && request.token.is_none() {
        match (request.path.as_str(), request.operation) {
            ("sys/generate-root/attempt", Operation::Read | Operation::Update | Operation::Delete) => {
                return Some(|server, request| Box::pin(generate_root::attempt(server, request, Asker::Anybody)));
            }
            ("sys/generate-root/update", Operation::Update) => {
                return Some(|server, request| Box::pin(generate_root::update(server, request)));
            }
            _ => {}
        }
    }
    match (request.path.as_str(), request.operation) {
        ("sys/init", Operation::Read) => Some(|server, _| Box::pin(init::read(server))),
        ("sys/init", Operation::Update) => Some(|server, request| Box::pin(init::write(server, request))),
        ("sys/unseal", Operation::Update) => Some(|server, request| Box::pin(seal::unseal(server, request))),
        ("sys/init" | "sys/unseal", _) => Some(|_, _| Box::pin(async { Err(Error::Unsupported) })),
        _ => None,
    }
}
