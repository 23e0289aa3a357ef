//! Configurations of folders: what they allow and disable holds for the files below them. Rules of a part of a tree are
//! written at its top, with a `path`.
//!
//! They are looked for only above files with findings: no scan walks a tree to find out that it has none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use turnlock_core::finding::{Finding, LIVE_SECRET_RULE};

use super::allowlist::{Allowlist, Content, Whereabouts};
use super::source::{in_folder, of_folder};
use super::{Config, ConfigError, means};

/// The configurations of the folders below the top of a scan.
#[derive(Debug)]
pub(crate) struct Nested {
    /// The top on disk, and what names of files have in its place.
    top: PathBuf,
    shown: PathBuf,
    /// By folder; most have none.
    known: HashMap<PathBuf, Option<Config>>,
    warnings: Vec<String>,
    errors: Vec<ConfigError>,
}

impl Nested {
    /// For files named `shown/…` that lie at `top/…`.
    pub(crate) fn new(top: &Path, shown: &Path) -> Self {
        let (top, shown) = (top.to_owned(), shown.to_owned());
        Self { top, shown, known: HashMap::new(), warnings: Vec::new(), errors: Vec::new() }
    }

    /// Whether a folder around the finding's file allows it or disables its rule.
    pub(crate) fn excuses(&mut self, finding: &Finding) -> bool {
        let file = Path::new(&finding.place.file);
        let Some(folder) = file.strip_prefix(&self.shown).ok().and_then(Path::parent) else { return false };
        if finding.rule == LIVE_SECRET_RULE
            || folder.components().any(|part| !matches!(part, std::path::Component::Normal(_)))
        {
            return false;
        }
        // The top's own configuration is that of the whole scan.
        let folders: Vec<PathBuf> =
            folder.ancestors().filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned).collect();
        folders.iter().any(|folder| self.at(folder).is_some_and(|config| excuses(config, finding)))
    }

    /// What the configurations say without effect, and why some cannot be used.
    pub(crate) fn complaints(self) -> (Vec<String>, Vec<ConfigError>) {
        (self.warnings, self.errors)
    }

    fn at(&mut self, folder: &Path) -> Option<&Config> {
        if !self.known.contains_key(folder) {
            let config = in_folder(&self.top.join(folder)).and_then(|path| match of_folder(&path) {
                Ok(config) => {
                    if config.rules.values().any(|rule| rule.regex.is_some() || rule.path.is_some()) {
                        let text = "only its allowlists and disabledRules count, for the files below it; rules belong into the configuration at the top";
                        self.warnings.push(format!("{}: {text}", path.display()));
                    }
                    Some(config)
                }
                Err(error) => {
                    self.errors.push(error);
                    None
                }
            });
            self.known.insert(folder.to_owned(), config);
        }
        self.known.get(folder).and_then(Option::as_ref)
    }
}

fn excuses(config: &Config, finding: &Finding) -> bool {
    let content =
        Content { secret: finding.secret.expose(), matched: finding.matched.expose(), lines: finding.lines.expose() };
    let commit = finding.commit.as_ref().map(|commit| commit.id.as_str());
    let whereabouts = Some(Whereabouts { file: &finding.place.file, commit });
    let for_it =
        |list: &&Allowlist| list.target_rules.is_empty() || list.target_rules.iter().any(|id| means(id, &finding.rule));
    let of_rule = config.rules.values().filter(|rule| means(&rule.id, &finding.rule)).flat_map(|rule| &rule.allowlists);
    config.disabled.iter().any(|id| means(id, &finding.rule))
        || config.allowlists.iter().filter(for_it).chain(of_rule).any(|list| list.allows(content, whereabouts))
}
