//! Roles of `auth/token`: what tokens may be created through them.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use turnlock_core::Path;

use crate::barrier::Changes;
use crate::engine::Call;
use crate::engine::auth::settings::{TokenType, networks, policies};
use crate::error::Error;
use crate::response::Response;

/// A role as it is stored; times in seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Role {
    pub(super) allowed_policies: Vec<String>,
    allowed_policies_glob: Vec<String>,
    disallowed_policies: Vec<String>,
    disallowed_policies_glob: Vec<String>,
    pub(super) orphan: bool,
    pub(super) path_suffix: String,
    pub(super) renewable: bool,
    pub(super) token_bound_cidrs: Vec<IpNet>,
    pub(super) token_explicit_max_ttl: u64,
    pub(super) token_no_default_policy: bool,
    pub(super) token_num_uses: u64,
    pub(super) token_period: u64,
    pub(super) token_type: TokenType,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            allowed_policies: Vec::new(),
            allowed_policies_glob: Vec::new(),
            disallowed_policies: Vec::new(),
            disallowed_policies_glob: Vec::new(),
            orphan: false,
            path_suffix: String::new(),
            renewable: true,
            token_bound_cidrs: Vec::new(),
            token_explicit_max_ttl: 0,
            token_no_default_policy: false,
            token_num_uses: 0,
            token_period: 0,
            token_type: TokenType::DefaultService,
        }
    }
}

impl Role {
    /// Whether the role decides about policies, instead of the parent.
    pub(super) fn restricts(&self) -> bool {
        let lists = [
            &self.allowed_policies,
            &self.allowed_policies_glob,
            &self.disallowed_policies,
            &self.disallowed_policies_glob,
        ];
        lists.into_iter().any(|list| !list.is_empty())
    }

    /// Whether the role names policies that a request without any gets.
    pub(super) fn token_allows_by_name(&self) -> bool {
        !self.allowed_policies.is_empty()
    }

    pub(super) fn disallows(&self, name: &str) -> bool {
        self.disallowed_policies.iter().any(|denied| denied == name)
            || self.disallowed_policies_glob.iter().any(|glob| matches(glob, name))
    }

    /// Refuses policies that the role does not give. `default` is always given unless it is disallowed.
    pub(super) fn check(&self, asked: &[String]) -> Result<(), Error> {
        let limited = !self.allowed_policies.is_empty() || !self.allowed_policies_glob.is_empty();
        let allowed = |name: &str| {
            !limited
                || name == "default"
                || self.allowed_policies.iter().any(|allowed| allowed == name)
                || self.allowed_policies_glob.iter().any(|glob| matches(glob, name))
        };
        if asked.iter().all(|name| allowed(name) && !self.disallows(name)) {
            Ok(())
        } else {
            Err(Error::invalid("a requested policy is not allowed by the role"))
        }
    }
}

/// `*` stands for any text, also in the middle.
fn matches(glob: &str, name: &str) -> bool {
    let mut parts = glob.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn row(name: &str) -> String {
    format!("role/{name}")
}

/// The role of that name.
pub(super) async fn find(call: &Call, name: &str) -> Result<Option<Role>, Error> {
    let record = call.mount.view.get(&row(name)).await?;
    record.map(|record| serde_json::from_slice(record.value.expose()).map_err(Error::internal)).transpose()
}

pub(super) async fn exists(call: &Call) -> Result<bool, Error> {
    Ok(find(call, call.parameter("role")).await?.is_some())
}

pub(super) async fn list(call: &Call) -> Result<Response, Error> {
    Response::keys(&call.mount.view.list("role/").await?)
}

pub(super) async fn read(call: &Call) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Shown<'a> {
        allowed_entity_aliases: Option<&'a [String]>,
        explicit_max_ttl: u64,
        name: &'a str,
        period: u64,
        #[serde(flatten)]
        role: &'a Role,
    }
    let name = call.parameter("role");
    let role = find(call, name).await?.ok_or(Error::NotFound)?;
    // The two older names stay 0 unless they were used; whoever reads them finds the newer ones beside.
    Response::data(&Shown { allowed_entity_aliases: None, explicit_max_ttl: 0, name, period: 0, role: &role })
}

pub(super) async fn write(call: &Call) -> Result<Response, Error> {
    let (name, fields) = (call.parameter("role"), &call.request.fields);
    let mut role = find(call, name).await?.unwrap_or_default();
    for (field, list) in [
        ("allowed_policies", &mut role.allowed_policies),
        ("allowed_policies_glob", &mut role.allowed_policies_glob),
        ("disallowed_policies", &mut role.disallowed_policies),
        ("disallowed_policies_glob", &mut role.disallowed_policies_glob),
    ] {
        if let Some(names) = fields.list(field)? {
            *list = policies(&names)?;
        }
    }
    for (field, older, value) in [
        ("token_explicit_max_ttl", "explicit_max_ttl", &mut role.token_explicit_max_ttl),
        ("token_period", "period", &mut role.token_period),
    ] {
        if let Some(time) = fields.duration(field)?.or(fields.duration(older)?) {
            *value = time.as_secs();
        }
    }
    for (field, value) in [
        ("orphan", &mut role.orphan),
        ("renewable", &mut role.renewable),
        ("token_no_default_policy", &mut role.token_no_default_policy),
    ] {
        if let Some(flag) = fields.flag(field)? {
            *value = flag;
        }
    }
    if let Some(cidrs) = fields.list("token_bound_cidrs")?.or(fields.list("bound_cidrs")?) {
        role.token_bound_cidrs = networks("token_bound_cidrs", &cidrs)?;
    }
    if let Some(uses) = fields.number("token_num_uses")? {
        role.token_num_uses = uses;
    }
    if let Some(word) = fields.string("token_type")? {
        role.token_type = match TokenType::parse(&word)? {
            TokenType::Default => TokenType::DefaultService,
            other => other,
        };
    }
    if let Some(suffix) = fields.string("path_suffix")? {
        let valid = suffix.len() <= 128 && Path::parse(&suffix).is_ok_and(|path| path.as_str() == suffix);
        if !valid {
            return Err(Error::invalid(
                "field \"path_suffix\" must be a path of at most 128 bytes without outer slashes",
            ));
        }
        role.path_suffix = suffix;
    }
    let batch = matches!(role.token_type, TokenType::Batch);
    if batch && (role.token_period > 0 || role.token_num_uses > 0 || role.token_explicit_max_ttl > 0) {
        return Err(Error::invalid("batch tokens cannot be periodic, limited in uses or have an explicit max TTL"));
    }
    let mut changes = Changes::new();
    changes.put(&call.mount.view, &row(name), &serde_json::to_vec(&role).map_err(Error::internal)?);
    call.parts.barrier.commit(changes).await?;
    Ok(Response::done())
}

pub(super) async fn delete(call: &Call) -> Result<Response, Error> {
    let mut changes = Changes::new();
    changes.delete(&call.mount.view, &row(call.parameter("role")));
    call.parts.barrier.commit(changes).await?;
    Ok(Response::done())
}

#[cfg(test)]
mod tests {
    use super::{Role, matches};

    #[test]
    fn globs_match_the_whole_name() {
        for (glob, name, expected) in [
            ("team-*", "team-a", true),
            ("team-*", "ateam-a", false),
            ("*-ro", "team-ro", true),
            ("*-ro", "team-ro2", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abce", true),
            ("a*b", "ab", true),
            ("ab*ba", "aba", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn disallowed_wins_over_allowed() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let role = Role {
            allowed_policies_glob: list(&["team-*"]),
            disallowed_policies: list(&["team-admin"]),
            ..Role::default()
        };
        assert!(role.check(&list(&["team-a", "default"])).is_ok());
        assert!(role.check(&list(&["team-a", "team-admin"])).is_err());
        assert!(role.check(&list(&["other"])).is_err());
    }
}
