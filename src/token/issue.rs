//! How tokens come to be: for the engines below `auth/`, and for what the server itself asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use turnlock_core::Protected;
use turnlock_core::token::TokenKind;

use super::life::{self, Bounds};
use super::row;
use super::{AGENT_PATH, Caller, MAX_DEPTH, Named, TokenEntry, Tokens};
use crate::barrier::{BarrierError, Changes};
use crate::error::Error;
use crate::mount::MountEntry;
use crate::policy::AGENT_POLICY;
use crate::response::{Auth, Content, Envelope, Response};
use crate::server::Parts;

/// What a new token is to be.
#[derive(Default)]
pub struct Order<'a> {
    /// Policies by name: normalised, and already judged. Sorted and freed of repetitions here.
    pub policies: Vec<String>,
    /// For people.
    pub display_name: String,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// Path of the request, or what a role says instead.
    pub path: String,
    /// Role or user name.
    pub role: Option<String>,
    /// Whose child it is; `None` for an orphan.
    pub parent: Option<&'a Caller>,
    /// How long it is asked to live; zero for the default.
    pub ttl: Duration,
    /// The role's default; zero for the mount's.
    pub default_ttl: Duration,
    /// The role's maximum; zero for none.
    pub max_ttl: Duration,
    /// The token's own maximum; zero for none.
    pub explicit_max_ttl: Duration,
    /// Makes it periodic; zero for not.
    pub period: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Limit of uses; 0 for none.
    pub num_uses: u64,
    /// Networks.
    pub bound_cidrs: Vec<IpNet>,
    /// Self-contained instead of stored.
    pub batch: bool,
    /// Never ends; for root tokens only.
    pub unending: bool,
    /// What templates stand for instead of its own name and metadata.
    pub named: Option<Named>,
    /// A text that the creator chose; drawn at random otherwise.
    pub id: Option<Protected>,
}

/// What became of an order.
pub enum Issued {
    /// The token is there.
    Done(Box<Response>),
    /// A precondition of the changes that came along does not hold any more: read again and decide anew.
    Conflict,
}

impl Tokens {
    /// Makes a token of the mount `mount`, in one commit with `changes`: an error leaves neither.
    pub async fn issue(
        &self,
        parts: &Parts,
        mount: &MountEntry,
        order: Order<'_>,
        mut changes: Changes,
    ) -> Result<Issued, Error> {
        let now = self.now();
        let mut warnings = Vec::new();
        let bounds = self.bounds(mount, &order);
        let ttl = match order.unending {
            true => 0,
            false => {
                let asked = order.ttl.as_secs().max(u64::from(order.ttl > Duration::ZERO));
                let grant = bounds.grant(now, now, asked).ok_or_else(|| Error::internal("no time to live"))?;
                if grant.capped {
                    warnings
                        .push(format!("the requested time to live exceeds the maximum; {} s granted", grant.seconds));
                }
                grant.seconds
            }
        };
        let mut policies = order.policies;
        policies.sort();
        policies.dedup();
        let depth = order.parent.map_or(0, |parent| parent.entry.depth + 1);
        if depth > MAX_DEPTH {
            return Err(Error::invalid(format!("tokens nest at most {MAX_DEPTH} deep; create an orphan")));
        }
        let entry = TokenEntry {
            accessor: if order.batch { String::new() } else { self.draw_accessor()? },
            batch: order.batch,
            policies,
            display_name: order.display_name,
            metadata: order.metadata,
            path: order.path,
            mount_uuid: mount.uuid.clone(),
            role: order.role,
            parent: order.parent.map(|parent| parent.hash.clone()),
            depth,
            created: now,
            expires: (!order.unending).then(|| life::after(now, ttl)),
            renewed: None,
            creation_ttl: ttl,
            ttl,
            explicit_max_ttl: bounds.explicit_max,
            max_ttl: bounds.role_max,
            period: bounds.period,
            renewable: order.renewable && !order.batch && !order.unending,
            num_uses: order.num_uses,
            uses_left: order.num_uses,
            bound_cidrs: order.bound_cidrs,
            named: order.named,
        };
        if let Some(parent) = order.parent {
            self.require_parent(parts, parent, &mut changes).await?;
        }
        let chosen = order.id.is_some();
        let token = match (entry.batch, order.id) {
            (true, _) => self.seal_batch(&entry)?,
            (false, Some(id)) => id,
            (false, None) => self.draw(TokenKind::Service)?,
        };
        if !entry.batch {
            let hash = self.hash(&token);
            // An id that was in use is free only after all that hung on it is swept: nothing of it may come back.
            if chosen {
                changes.require_absent(&self.view, &row::grave(&hash));
            }
            self.put_rows(&mut changes, &hash, &entry)?;
        }
        if !entry.batch || !changes.is_empty() {
            match self.barrier.commit(changes).await {
                Ok(_) => {}
                Err(BarrierError::Conflict { .. }) => return Ok(Issued::Conflict),
                Err(error) => return Err(error.into()),
            }
        }
        let mut response = Response::auth(auth_block(token, &entry));
        response.warnings = warnings;
        Ok(Issued::Done(Box::new(response)))
    }

    /// Makes a root token: all is allowed and it never ends. `id`: its text, drawn at random otherwise.
    pub async fn issue_root(&self, parts: &Parts, id: Option<Protected>) -> Result<Protected, Error> {
        let order = Order {
            policies: vec!["root".to_owned()],
            display_name: "root".to_owned(),
            path: "auth/token/root".to_owned(),
            unending: true,
            id,
            ..Order::default()
        };
        self.issue_own(parts, order).await
    }

    /// Makes a token for the agent that runs inside the server: a batch token, so that nothing is left of it.
    pub async fn issue_agent(&self, parts: &Parts, ttl: Duration) -> Result<Protected, Error> {
        let order = Order {
            policies: vec![AGENT_POLICY.to_owned()],
            display_name: "embedded-agent".to_owned(),
            path: AGENT_PATH.to_owned(),
            ttl,
            batch: true,
            ..Order::default()
        };
        self.issue_own(parts, order).await
    }

    /// Makes a token that the server itself asks for.
    async fn issue_own(&self, parts: &Parts, order: Order<'_>) -> Result<Protected, Error> {
        let mount = parts.mounts.table().at("auth/token").cloned();
        let mount = mount.ok_or_else(|| Error::internal("auth/token is always mounted"))?;
        let Issued::Done(response) = self.issue(parts, &mount.entry, order, Changes::new()).await? else {
            return Err(Error::invalid("a token with this id exists"));
        };
        match response.content {
            Content::Envelope(Envelope { auth: Some(auth), .. }) => Ok(auth.client_token),
            _ => Err(Error::internal("a token was issued without an auth block")),
        }
    }

    fn bounds(&self, mount: &MountEntry, order: &Order<'_>) -> Bounds {
        let (default, max) = self.mount_lifetimes(mount);
        let default = if order.default_ttl.is_zero() { default } else { order.default_ttl.as_secs() };
        Bounds {
            default,
            max,
            role_max: order.max_ttl.as_secs(),
            explicit_max: order.explicit_max_ttl.as_secs(),
            period: order.period.as_secs(),
        }
    }

    /// Default and maximum seconds of tokens of a mount.
    pub(super) fn mount_lifetimes(&self, mount: &MountEntry) -> (u64, u64) {
        let or = |seconds: u64, server: Duration| if seconds > 0 { seconds } else { server.as_secs().max(1) };
        let max = or(mount.config.max_lease_ttl, self.lifetimes.max);
        (or(mount.config.default_lease_ttl, self.lifetimes.default).min(max), max)
    }

    /// The commit happens only while the parent's entry stands as it is now, so that no child is born to a dead token.
    async fn require_parent(&self, parts: &Parts, parent: &Caller, changes: &mut Changes) -> Result<(), Error> {
        let held = self.read(&parent.hash).await?.ok_or(Error::Denied)?;
        let revision = held.revision.ok_or(Error::Denied)?;
        if !self.is_alive(parts, &parent.hash, &held, self.now()).await? {
            return Err(Error::Denied);
        }
        changes.require(&self.view, &row::id(&parent.hash), revision);
        Ok(())
    }
}

/// The `auth` block for a token that was issued or renewed.
pub(super) fn auth_block(token: Protected, entry: &TokenEntry) -> Auth {
    Auth {
        client_token: token,
        accessor: entry.accessor.clone(),
        policies: entry.policies.clone(),
        metadata: entry.metadata.clone(),
        lease_duration_seconds: entry.ttl,
        renewable: entry.renewable,
        token_type: entry.type_name(),
        orphan: entry.parent.is_none(),
        num_uses: entry.num_uses,
    }
}
