//! Roles: the whole, each field alone, and the role id.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{MAX_ID_BYTES, keyed_hash, secret};
use crate::barrier::{BarrierError, Changes};
use crate::engine::Call;
use crate::engine::auth::settings::{TokenSettings, networks};
use crate::error::Error;
use crate::request::Fields;
use crate::response::Response;
use crate::store::Revision;

/// A role as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Role {
    /// What its secret ids hang on.
    pub(super) uuid: String,
    pub(super) role_id: String,
    pub(super) bind_secret_id: bool,
    pub(super) secret_id_bound_cidrs: Vec<IpNet>,
    pub(super) secret_id_num_uses: u64,
    pub(super) secret_id_ttl: u64,
    #[serde(flatten)]
    pub(super) token: TokenSettings,
}

/// The fields with a path of their own: that path, the field of the role, and the older name of the field.
const FIELDS: &[(&str, &str, &str)] = &[
    ("policies", "token_policies", "policies"),
    ("token-policies", "token_policies", "policies"),
    ("bind-secret-id", "bind_secret_id", ""),
    ("bound-cidr-list", "secret_id_bound_cidrs", "bound_cidr_list"),
    ("secret-id-bound-cidrs", "secret_id_bound_cidrs", "bound_cidr_list"),
    ("token-bound-cidrs", "token_bound_cidrs", "bound_cidrs"),
    ("secret-id-num-uses", "secret_id_num_uses", ""),
    ("secret-id-ttl", "secret_id_ttl", ""),
    ("period", "token_period", "period"),
    ("token-period", "token_period", "period"),
    ("token-num-uses", "token_num_uses", ""),
    ("token-ttl", "token_ttl", ""),
    ("token-max-ttl", "token_max_ttl", ""),
    ("token-explicit-max-ttl", "token_explicit_max_ttl", ""),
    ("token-no-default-policy", "token_no_default_policy", ""),
    ("token-type", "token_type", ""),
    ("local-secret-ids", "local_secret_ids", ""),
];

impl Role {
    fn fresh() -> Self {
        Self {
            uuid: Uuid::new_v4().to_string(),
            role_id: Uuid::new_v4().to_string(),
            bind_secret_id: true,
            secret_id_bound_cidrs: Vec::new(),
            secret_id_num_uses: 0,
            secret_id_ttl: 0,
            token: TokenSettings::default(),
        }
    }

    fn update(&mut self, fields: &Fields) -> Result<(), Error> {
        if let Some(bind) = fields.flag("bind_secret_id")? {
            self.bind_secret_id = bind;
        }
        if let Some(cidrs) = fields.list("secret_id_bound_cidrs")?.or(fields.list("bound_cidr_list")?) {
            self.secret_id_bound_cidrs = networks("secret_id_bound_cidrs", &cidrs)?;
        }
        if let Some(uses) = fields.number("secret_id_num_uses")? {
            self.secret_id_num_uses = uses;
        }
        if let Some(ttl) = fields.duration("secret_id_ttl")? {
            self.secret_id_ttl = ttl.as_secs();
        }
        self.token.update(fields)?;
        if !self.bind_secret_id && self.secret_id_bound_cidrs.is_empty() && self.token.token_bound_cidrs.is_empty() {
            return Err(Error::invalid(
                "at least one constraint should be enabled on the role: bind_secret_id, secret_id_bound_cidrs or \
                 token_bound_cidrs",
            ));
        }
        Ok(())
    }

    /// What clients see of the role.
    fn shown(&self) -> Result<Map<String, Value>, Error> {
        let Value::Object(mut shown) = serde_json::to_value(self).map_err(Error::internal)? else {
            return Err(Error::internal("a role is an object"));
        };
        shown.remove("uuid");
        shown.remove("role_id");
        shown.insert("local_secret_ids".to_owned(), Value::Bool(false));
        if self.secret_id_bound_cidrs.is_empty() {
            shown.insert("secret_id_bound_cidrs".to_owned(), Value::Null);
        }
        Ok(shown)
    }
}

fn row(name: &str) -> String {
    // One form of a name, so that `Web` and `web` are not two roles.
    format!("role/{}", name.to_lowercase())
}

/// The role with that name, and the commit that wrote it.
pub(super) async fn find(call: &Call, name: &str) -> Result<Option<(Role, Revision)>, Error> {
    let Some(record) = call.mount.view.get(&row(name)).await? else { return Ok(None) };
    let role = serde_json::from_slice(record.value.expose()).map_err(Error::internal)?;
    Ok(Some((role, record.revision)))
}

/// The role in the path.
pub(super) async fn of(call: &Call) -> Result<(Role, Revision), Error> {
    find(call, call.parameter("role")).await?.ok_or(Error::NotFound)
}

/// The role that a role id names, and its name.
pub(super) async fn by_role_id(call: &Call, role_id: &[u8]) -> Result<Option<(String, Role, Revision)>, Error> {
    let pointer = call.mount.view.get(&format!("role-id/{}", keyed_hash(call, role_id)?)).await?;
    let name = pointer.as_ref().and_then(|record| record.value.expose_str());
    // An unknown role id costs the same two reads. No role has an empty name.
    let found = find(call, name.unwrap_or_default()).await?;
    Ok(found.zip(name).map(|((role, revision), name)| (name.to_owned(), role, revision)))
}

pub(super) async fn exists(call: &Call) -> Result<bool, Error> {
    Ok(find(call, call.parameter("role")).await?.is_some())
}

pub(super) async fn list(call: &Call) -> Result<Response, Error> {
    Response::keys(&call.mount.view.list("role/").await?)
}

pub(super) async fn read(call: &Call) -> Result<Response, Error> {
    Response::data(&of(call).await?.0.shown()?)
}

pub(super) async fn write(call: &Call) -> Result<Response, Error> {
    let found = find(call, call.parameter("role")).await?;
    let old = found.as_ref().map(|(role, revision)| (role.role_id.clone(), *revision));
    let mut role = found.map_or_else(Role::fresh, |(role, _)| role);
    role.update(&call.request.fields)?;
    if let Some(role_id) = call.request.fields.string("role_id")? {
        role.role_id = checked_role_id(role_id)?;
    }
    store(call, old, &role).await
}

/// Writes the role and the pointer from its role id as one commit.
async fn store(call: &Call, old: Option<(String, Revision)>, role: &Role) -> Result<Response, Error> {
    let (view, name) = (&call.mount.view, call.parameter("role").to_lowercase());
    let pointer = format!("role-id/{}", keyed_hash(call, role.role_id.as_bytes())?);
    let mut changes = Changes::new();
    match &old {
        Some((_, revision)) => changes.require(view, &row(&name), *revision),
        None => changes.require_absent(view, &row(&name)),
    }
    changes.put(view, &row(&name), &serde_json::to_vec(role).map_err(Error::internal)?);
    if old.as_ref().is_none_or(|(role_id, _)| *role_id != role.role_id) {
        if view.get(&pointer).await?.is_some() {
            return Err(Error::invalid("the role id is in use by another role"));
        }
        changes.require_absent(view, &pointer);
        changes.put(view, &pointer, name.as_bytes());
        if let Some((role_id, _)) = &old {
            changes.delete(view, &format!("role-id/{}", keyed_hash(call, role_id.as_bytes())?));
        }
    }
    match call.parts.barrier.commit(changes).await {
        Ok(_) => Ok(Response::done()),
        Err(BarrierError::Conflict { .. }) => Err(Error::Busy(std::time::Duration::from_secs(1))),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn delete(call: &Call) -> Result<Response, Error> {
    let Some((role, revision)) = find(call, call.parameter("role")).await? else { return Ok(Response::done()) };
    let view = &call.mount.view;
    let mut changes = Changes::new();
    changes.require(view, &row(call.parameter("role")), revision);
    changes.delete(view, &row(call.parameter("role")));
    changes.delete(view, &format!("role-id/{}", keyed_hash(call, role.role_id.as_bytes())?));
    changes.put(view, &format!("dead/{}", role.uuid), &[]);
    match call.parts.barrier.commit(changes).await {
        Ok(_) => {}
        Err(BarrierError::Conflict { .. }) => return Err(Error::Busy(std::time::Duration::from_secs(1))),
        Err(error) => return Err(error.into()),
    }
    // The secret ids are dead already; what is left of them may wait for a tidy.
    secret::remove_all(call, &role.uuid).await?;
    Ok(Response::done())
}

pub(super) async fn read_role_id(call: &Call) -> Result<Response, Error> {
    let (role, _) = of(call).await?;
    Response::data(&serde_json::json!({ "role_id": role.role_id }))
}

pub(super) async fn write_role_id(call: &Call) -> Result<Response, Error> {
    let (mut role, revision) = of(call).await?;
    let old = std::mem::replace(&mut role.role_id, checked_role_id(call.request.fields.required_string("role_id")?)?);
    store(call, Some((old, revision)), &role).await
}

fn checked_role_id(role_id: String) -> Result<String, Error> {
    if role_id.is_empty() || role_id.len() > MAX_ID_BYTES {
        return Err(Error::invalid("a role id has 1 to 4096 bytes"));
    }
    Ok(role_id)
}

/// The role's field behind the path's last segment, and its older name.
fn field_of(call: &Call) -> Result<(&'static str, &'static str), Error> {
    let path = call.parameter("field");
    let found = FIELDS.iter().find(|(name, ..)| *name == path);
    found.map(|(_, field, older)| (*field, *older)).ok_or(Error::NoRoute)
}

pub(super) async fn read_field(call: &Call) -> Result<Response, Error> {
    let (field, _) = field_of(call)?;
    let mut shown = of(call).await?.0.shown()?;
    shown.retain(|name, _| name == field);
    Response::data(&shown)
}

pub(super) async fn write_field(call: &Call) -> Result<Response, Error> {
    let (field, older) = field_of(call)?;
    let (mut role, revision) = of(call).await?;
    // Only this field, whatever else the body holds: a grant on its path is a grant of nothing else.
    let sent = call.request.fields.restricted_to(&[field, older])?;
    if sent.is_empty() {
        return Err(Error::missing(field));
    }
    role.update(&sent)?;
    store(call, Some((role.role_id.clone(), revision)), &role).await
}

pub(super) async fn clear_field(call: &Call) -> Result<Response, Error> {
    let (field, _) = field_of(call)?;
    let (role, revision) = of(call).await?;
    let value = |role: &Role| serde_json::to_value(role).map_err(Error::internal);
    let (mut current, fresh) = (value(&role)?, value(&Role::fresh())?);
    if let (Some(field), Some(default)) = (current.get_mut(field), fresh.get(field)) {
        *field = default.clone();
    }
    let mut cleared: Role = serde_json::from_value(current).map_err(Error::internal)?;
    cleared.update(&Fields::empty())?;
    store(call, Some((cleared.role_id.clone(), revision)), &cleared).await
}
