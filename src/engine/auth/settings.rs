//! What roles and users say about the tokens that they give: the `token_*` fields that all logins share.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use turnlock_core::policy::PolicyName;

use crate::error::Error;
use crate::request::Fields;
use crate::token::Order;

/// The shared fields as they are stored; times in seconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TokenSettings {
    /// Networks the tokens may be used from.
    pub token_bound_cidrs: Vec<IpNet>,
    /// Maximum that holds for periodic tokens too.
    pub token_explicit_max_ttl: u64,
    /// Maximum.
    pub token_max_ttl: u64,
    /// Leaves `default` out.
    pub token_no_default_policy: bool,
    /// Limit of uses.
    pub token_num_uses: u64,
    /// Makes tokens periodic.
    pub token_period: u64,
    /// Policies by name, without `default`.
    pub token_policies: Vec<String>,
    /// Default time to live.
    pub token_ttl: u64,
    /// Service, batch, or what the mount says.
    pub token_type: TokenType,
}

/// Which kind of token a role gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenType {
    /// What the mount says.
    #[default]
    Default,
    /// Stored.
    Service,
    /// Self-contained.
    Batch,
    /// Stored, unless the request asks for the other.
    DefaultService,
    /// Self-contained, unless the request asks for the other.
    DefaultBatch,
}

impl TokenType {
    /// The word in requests and answers.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "" | "default" => Ok(Self::Default),
            "service" => Ok(Self::Service),
            "batch" => Ok(Self::Batch),
            "default-service" => Ok(Self::DefaultService),
            "default-batch" => Ok(Self::DefaultBatch),
            _ => Err(Error::invalid(
                "field \"token_type\" must be one of default, service, batch, default-service, default-batch",
            )),
        }
    }
}

impl TokenSettings {
    /// Takes over the fields that were sent. `policies` without prefix is the older name of `token_policies`; so are
    /// `ttl`, `max_ttl`, `period`, `bound_cidrs`.
    pub fn update(&mut self, fields: &Fields) -> Result<(), Error> {
        if let Some(names) = first(fields.list("token_policies")?, || fields.list("policies"))? {
            self.token_policies = policies(&names)?;
        }
        if let Some(cidrs) = first(fields.list("token_bound_cidrs")?, || fields.list("bound_cidrs"))? {
            self.token_bound_cidrs = networks("token_bound_cidrs", &cidrs)?;
        }
        let seconds = |value: Option<Duration>, field: &mut u64| {
            if let Some(value) = value {
                *field = value.as_secs();
            }
        };
        seconds(first(fields.duration("token_ttl")?, || fields.duration("ttl"))?, &mut self.token_ttl);
        seconds(first(fields.duration("token_max_ttl")?, || fields.duration("max_ttl"))?, &mut self.token_max_ttl);
        seconds(first(fields.duration("token_period")?, || fields.duration("period"))?, &mut self.token_period);
        seconds(fields.duration("token_explicit_max_ttl")?, &mut self.token_explicit_max_ttl);
        if let Some(value) = fields.flag("token_no_default_policy")? {
            self.token_no_default_policy = value;
        }
        if let Some(value) = fields.number("token_num_uses")? {
            self.token_num_uses = value;
        }
        if let Some(value) = fields.string("token_type")? {
            self.token_type = TokenType::parse(&value)?;
        }
        self.check()
    }

    fn check(&self) -> Result<(), Error> {
        if self.token_policies.iter().any(|name| name == "root") {
            return Err(Error::invalid("a login cannot give the root policy"));
        }
        if self.token_max_ttl > 0 && self.token_ttl > self.token_max_ttl {
            return Err(Error::invalid("token_ttl cannot be greater than token_max_ttl"));
        }
        let batch = matches!(self.token_type, TokenType::Batch | TokenType::DefaultBatch);
        if batch && (self.token_period > 0 || self.token_num_uses > 0) {
            return Err(Error::invalid("batch tokens cannot be periodic or limited in uses"));
        }
        Ok(())
    }

    /// Whether a login gives a batch token, when the mount's tune says `mount_type`.
    pub fn is_batch(&self, mount_type: Option<&str>) -> bool {
        match (mount_type, self.token_type) {
            (Some("batch"), _) => true,
            (Some("service"), _) => false,
            (_, TokenType::Batch | TokenType::DefaultBatch) => true,
            (_, TokenType::Service | TokenType::DefaultService) => false,
            (Some("default-batch"), TokenType::Default) => true,
            (_, TokenType::Default) => false,
        }
    }

    /// The order for an orphan with these settings.
    pub fn order(&self, mount_type: Option<&str>) -> Order<'static> {
        let mut names = self.token_policies.clone();
        if !self.token_no_default_policy {
            names.push("default".to_owned());
        }
        let batch = self.is_batch(mount_type);
        Order {
            policies: names,
            default_ttl: Duration::from_secs(self.token_ttl),
            max_ttl: Duration::from_secs(self.token_max_ttl),
            explicit_max_ttl: Duration::from_secs(self.token_explicit_max_ttl),
            period: Duration::from_secs(if batch { 0 } else { self.token_period }),
            renewable: true,
            num_uses: if batch { 0 } else { self.token_num_uses },
            bound_cidrs: self.token_bound_cidrs.clone(),
            batch,
            ..Order::default()
        }
    }
}

/// Names in their one form, sorted, each once.
pub fn policies(names: &[String]) -> Result<Vec<String>, Error> {
    let mut parsed = names
        .iter()
        .map(|name| PolicyName::parse(name).map(|name| name.as_str().to_owned()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|reason| Error::invalid(reason.to_string()))?;
    parsed.sort();
    parsed.dedup();
    Ok(parsed)
}

/// Networks; a plain address is the network of that address alone.
pub fn networks(field: &'static str, texts: &[String]) -> Result<Vec<IpNet>, Error> {
    let network =
        |text: &String| text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
    texts
        .iter()
        .map(network)
        .collect::<Option<_>>()
        .ok_or_else(|| Error::invalid(format!("field {field:?} must hold addresses or CIDR blocks")))
}

fn first<T>(newer: Option<T>, older: impl FnOnce() -> Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    match newer {
        Some(value) => Ok(Some(value)),
        None => older(),
    }
}
