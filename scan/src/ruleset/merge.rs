//! A configuration put over the catalogue: which rules run, and what is added to them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use regex::bytes::Regex;

use crate::config::allowlist::Allowlist;
use crate::config::{Config, ConfigError, CustomRule, means};
use crate::rule::Rule;

/// Rules and allowlists with their relations, by index: those of the catalogue first, then those of the configuration.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) catalogue: Vec<Rule>,
    pub(super) own: Vec<CustomRule>,
    /// For every rule, or for those of these indices.
    pub(super) allowlists: Vec<(Option<HashSet<usize>>, Allowlist)>,
    /// For one rule.
    pub(super) of_rule: HashMap<usize, Vec<Arc<Allowlist>>>,
    /// Files in which a rule holds.
    pub(super) paths: HashMap<usize, Regex>,
    pub(super) index_of: HashMap<String, usize>,
    /// The only rules that are reported, if there is a choice.
    pub(super) only: Option<HashSet<usize>>,
    /// What had no effect.
    pub(super) warnings: Vec<String>,
}

impl Merged {
    pub(super) fn new(catalogue: Vec<Rule>, config: Config, only: &[String]) -> Result<Self, ConfigError> {
        let built_in = config.built_in;
        let mut merged = Self { warnings: config.warnings().to_vec(), ..Self::default() };
        merged.catalogue = if built_in { catalogue } else { Vec::new() };
        let gone = merged.disable(&config.disabled, built_in);
        let mut changes = Vec::new();
        for (id, rule) in config.rules {
            if rule.regex.is_some() || rule.path.is_some() && !merged.catalogue.iter().any(|known| known.id == id) {
                merged.replace(rule);
            } else if gone.contains(&id) {
                merged.warn(format_args!("rule {id} is changed and disabled at once"));
            } else {
                changes.push(rule);
            }
        }
        merged.number();
        for change in changes {
            merged.change(change);
        }
        for (index, rule) in merged.own.iter_mut().enumerate() {
            let index = merged.catalogue.len() + index;
            merged.of_rule.insert(index, std::mem::take(&mut rule.allowlists).into_iter().map(Arc::new).collect());
            if rule.regex.is_some() {
                merged.paths.extend(rule.path.clone().map(|path| (index, path)));
            }
        }
        merged.refer(config.allowlists, built_in, &gone)?;
        merged.choose(only)?;
        Ok(merged)
    }

    /// Takes rules out of the catalogue; the ids of those.
    fn disable(&mut self, ids: &[String], built_in: bool) -> HashSet<String> {
        let mut gone: HashSet<String> = ids.iter().cloned().collect();
        for id in ids {
            let before = self.catalogue.len();
            self.catalogue.retain(|rule| {
                let stays = !means(id, &rule.id);
                if !stays {
                    gone.insert(rule.id.to_string());
                }
                stays
            });
            if built_in && self.catalogue.len() == before {
                self.warn(format_args!("rule {id} is disabled, which the catalogue does not have"));
            }
        }
        gone
    }

    /// Takes in a rule with a regex or a path of its own, in the place of one of the catalogue if it has its id. Its text
    /// is then looked for where the old keywords or the new ones occur.
    fn replace(&mut self, mut rule: CustomRule) {
        if let Some(at) = self.catalogue.iter().position(|known| known.id == rule.id) {
            let replaced = self.catalogue.remove(at);
            rule.keywords.extend(replaced.keywords.iter().map(|keyword| keyword.to_lowercase()));
        }
        self.own.push(rule);
    }

    /// Gives every rule its index; from here on no rule comes or goes.
    fn number(&mut self) {
        let ids = self.catalogue.iter().map(|rule| rule.id.to_string());
        let ids = ids.chain(self.own.iter().map(|rule| rule.id.clone()));
        self.index_of = ids.enumerate().map(|(index, id)| (id, index)).collect();
    }

    /// Changes the rule of the catalogue with the id of `change`; its allowlists may be for several.
    fn change(&mut self, change: CustomRule) {
        let meant = self.meant(&change.id);
        let lists: Vec<Arc<Allowlist>> = change.allowlists.into_iter().map(Arc::new).collect();
        for index in &meant {
            self.of_rule.entry(*index).or_default().extend(lists.iter().cloned());
        }
        let Some((index, rule)) = self.catalogue.iter_mut().enumerate().find(|(_, rule)| rule.id == change.id) else {
            let rules = if meant.is_empty() { "no rule" } else { "the rules with the same first word" };
            self.warn(format_args!(
                "rule {} is none of the catalogue: what is said of it holds for {rules}",
                change.id
            ));
            return;
        };
        if !change.description.is_empty() {
            rule.description = change.description.into();
        }
        if change.entropy != 0.0 {
            rule.entropy = change.entropy as f32;
        }
        rule.tags.to_mut().extend(change.tags.into_iter().map(Cow::from));
        self.paths.extend(change.path.map(|path| (index, path)));
        if change.secret_group != 0 || !change.required.is_empty() || change.skip_report {
            let keys = "secretGroup, required and skipReport have no effect on a rule of the catalogue";
            self.warn(format_args!("rule {}: {keys}", change.id));
        }
    }

    /// The rules that a configuration means by `id`. One that others have and the catalogue does not stands for all with
    /// its first word, which is that of the provider.
    fn meant(&self, id: &str) -> HashSet<usize> {
        let of = |test: &dyn Fn(&str) -> bool| -> HashSet<usize> {
            self.index_of.iter().filter(|(known, _)| test(known)).map(|(_, index)| *index).collect()
        };
        let meant = of(&|known| means(id, known));
        if !meant.is_empty() {
            return meant;
        }
        let first = |id: &str| id.split('-').next().unwrap_or(id).to_owned();
        let wanted = first(id);
        let in_catalogue = |index: &usize| *index < self.catalogue.len();
        of(&|known| first(known) == wanted).into_iter().filter(in_catalogue).collect()
    }

    /// Resolves what allowlists and rules say of other rules.
    fn refer(&mut self, lists: Vec<Allowlist>, built_in: bool, gone: &HashSet<String>) -> Result<(), ConfigError> {
        let unknown = |place: String, rule: &String| ConfigError::UnknownRule { place, rule: rule.clone() };
        for rule in &self.own {
            let missing = |id: &&String| !self.index_of.contains_key(*id) && !gone.contains(*id);
            if let Some(id) = rule.required.iter().map(|part| &part.id).find(missing) {
                return Err(unknown(format!("rule {}", rule.id), id));
            }
        }
        for list in lists {
            let mut targets = HashSet::new();
            for id in &list.target_rules {
                let meant = self.meant(id);
                match (meant.is_empty() && !gone.contains(id), built_in) {
                    (true, false) => return Err(unknown("an allowlist".to_owned(), id)),
                    // Others have rules that the catalogue does not have.
                    (true, true) => self.warn(format_args!("an allowlist is for rule {id}, which does not exist")),
                    (false, _) => targets.extend(meant),
                }
            }
            let targets = (!list.target_rules.is_empty()).then_some(targets);
            self.allowlists.push((targets, list));
        }
        Ok(())
    }

    fn choose(&mut self, only: &[String]) -> Result<(), ConfigError> {
        if only.is_empty() {
            return Ok(());
        }
        let index = |id: &String| self.index_of.get(id).copied();
        if let Some(id) = only.iter().find(|id| index(id).is_none()) {
            return Err(ConfigError::UnknownRule { place: "the list of enabled rules".to_owned(), rule: id.clone() });
        }
        self.only = Some(only.iter().filter_map(index).collect());
        Ok(())
    }

    fn warn(&mut self, text: std::fmt::Arguments<'_>) {
        self.warnings.push(format!("configuration: {text}"));
    }
}
