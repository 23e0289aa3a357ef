//! The stored policies, parsed once and kept in memory: they are few and every request needs them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use turnlock_core::policy::{Acl, DEFAULT_POLICY, Policy, PolicyName, TemplateValues};

use crate::barrier::{Barrier, Changes, View};
use crate::error::Error;

/// Name of the policy that agents of rotations need.
pub const AGENT_POLICY: &str = "rotation-agent";

/// Its rules, where nobody has written others.
const AGENT_RULES: &str = "\
# What an agent needs to do the work of rotations.
path \"rotation/claim\" {
  capabilities = [\"update\"]
}
path \"rotation/report/*\" {
  capabilities = [\"update\"]
}
";

/// A policy in force.
#[derive(Clone)]
pub struct Stored {
    /// The policy.
    pub policy: Arc<Policy>,
    /// How often it was written.
    pub version: u64,
}

/// What is stored of a policy.
#[derive(Serialize, Deserialize)]
struct Record {
    text: String,
    version: u64,
}

/// Policies by name.
pub struct Policies {
    barrier: Barrier,
    view: View,
    parsed: ArcSwap<HashMap<String, Stored>>,
    /// Counts the changes, so that merged rules can be kept for as long as they hold.
    state: AtomicU64,
    /// Held over commit and swap, so that what is in force is always what was stored last. Readers never wait for it.
    writing: Mutex<()>,
}

impl Policies {
    /// Reads all policies behind an open barrier; stores `default` and the agent's when they are not there.
    pub async fn open(barrier: &Barrier) -> Result<Self, Error> {
        let view = barrier.view("policy");
        let policies = Self {
            barrier: barrier.clone(),
            view,
            parsed: ArcSwap::default(),
            state: AtomicU64::new(0),
            writing: Mutex::default(),
        };
        let mut parsed = HashMap::new();
        for (name, record) in policies.view.list_values("").await? {
            let Record { text, version } = serde_json::from_slice(record.value.expose()).map_err(Error::internal)?;
            let policy = Arc::new(Policy::parse(&name, &text).map_err(Error::internal)?);
            parsed.insert(name, Stored { policy, version });
        }
        let missing = [("default", DEFAULT_POLICY), (AGENT_POLICY, AGENT_RULES)];
        let missing = missing.into_iter().filter(|(name, _)| !parsed.contains_key(*name)).collect::<Vec<_>>();
        policies.parsed.store(Arc::new(parsed));
        for (name, text) in missing {
            let name = PolicyName::parse(name).map_err(Error::internal)?;
            policies.write(&name, text).await?;
        }
        Ok(policies)
    }

    /// Names in order, without `root`.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.parsed.load().keys().cloned().collect();
        names.sort();
        names
    }

    /// The policy of that name; `root` has no rules to show.
    pub fn read(&self, name: &PolicyName) -> Option<Stored> {
        self.parsed.load().get(name.as_str()).cloned()
    }

    /// Parses, stores and puts into force. `root` is refused.
    pub async fn write(&self, name: &PolicyName, text: &str) -> Result<(), Error> {
        if name.is_root() {
            return Err(Error::invalid("the root policy cannot be changed"));
        }
        let policy = Arc::new(Policy::parse(name.as_str(), text).map_err(|reason| Error::invalid(reason.to_string()))?);
        let _writing = self.writing.lock().await;
        let version = self.read(name).map_or(0, |stored| stored.version) + 1;
        let record = serde_json::to_vec(&Record { text: text.to_owned(), version }).map_err(Error::internal)?;
        let mut changes = Changes::new();
        changes.put(&self.view, name.as_str(), &record);
        self.barrier.commit(changes).await?;
        self.swap(|parsed| {
            parsed.insert(name.as_str().to_owned(), Stored { policy: policy.clone(), version });
        });
        Ok(())
    }

    /// Removes; a missing policy is no error. `root` and `default` stay.
    pub async fn delete(&self, name: &PolicyName) -> Result<(), Error> {
        if name.is_root() || name.as_str() == "default" {
            return Err(Error::invalid("the root and default policies cannot be deleted"));
        }
        let _writing = self.writing.lock().await;
        let mut changes = Changes::new();
        changes.delete(&self.view, name.as_str());
        self.barrier.commit(changes).await?;
        self.swap(|parsed| {
            parsed.remove(name.as_str());
        });
        Ok(())
    }

    /// What the policies named `names` allow together. A name without a policy allows nothing.
    pub fn acl(&self, names: &[String], values: &TemplateValues) -> Acl {
        let parsed = self.parsed.load();
        let root = names.iter().any(|name| name == "root");
        let policies: Vec<_> =
            names.iter().filter_map(|name| parsed.get(name)).map(|stored| stored.policy.clone()).collect();
        if root { Acl::root() } else { Acl::new(&policies, values) }
    }

    /// A number that changes with every change of a policy. Rules that were merged after it was read, and while it
    /// stays the same, are the rules in force.
    pub fn state(&self) -> u64 {
        self.state.load(Ordering::SeqCst)
    }

    /// Whether what the policies named `names` allow depends on who asks.
    pub fn any_templated(&self, names: &[String]) -> bool {
        let parsed = self.parsed.load();
        names.iter().filter_map(|name| parsed.get(name)).any(|stored| stored.policy.is_templated())
    }

    fn swap(&self, edit: impl Fn(&mut HashMap<String, Stored>)) {
        self.parsed.rcu(|old| {
            let mut parsed = HashMap::clone(old);
            edit(&mut parsed);
            parsed
        });
        self.state.fetch_add(1, Ordering::SeqCst);
    }
}
