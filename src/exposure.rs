//! Files that others on the machine can read or replace, and that they should not: named with the command that mends it.
//!
//! They are warned of and not refused: container platforms hand out keys with modes of their own that nobody can change,
//! inside a container where there is nobody else.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::config::{Bind, Config, SealSetting, StorageConfig};

/// What is harmless to whom, and what to do otherwise.
#[derive(Clone, Copy)]
enum Rule {
    /// A file with secrets or names of secrets. A group that may read is how services share a key.
    Secret,
    /// The folder of the store, in which nobody else has any business.
    Private,
    /// A file that anybody may read, but nobody else may write.
    Ours,
    /// A folder of that kind.
    OurFolder,
}

impl Rule {
    /// Permissions that are too much, and how they are taken away.
    fn parts(self) -> (u32, &'static str) {
        match self {
            Self::Secret => (0o026, "chmod 600"),
            Self::Private => (0o027, "chmod 700"),
            Self::Ours | Self::OurFolder => (0o022, "chmod go-w"),
        }
    }

    /// Whether there is what the rule is about: a folder where a file should be is another mistake, which is told elsewhere,
    /// and a file's mode would shut it.
    fn is_about(self, facts: &Metadata) -> bool {
        match self {
            Self::Secret | Self::Ours => facts.is_file(),
            Self::Private | Self::OurFolder => facts.is_dir(),
        }
    }
}

/// One sentence for each file of `config`, which was read from `source`, that is open to others. What is not there is no
/// concern of this.
pub fn exposed(config: &Config, source: Option<&Path>) -> Vec<String> {
    let mut told = Vec::new();
    let mut look = |what: &str, path: &Path, rule| told.extend(sentence(what, path, rule));
    if let Some(source) = source {
        look("the configuration", source, Rule::Ours);
    }
    for listener in &config.listeners {
        if let Bind::Tcp(_, Some(tls)) = &listener.bind {
            look("the key of a listener", &tls.key, Rule::Secret);
        }
    }
    if let SealSetting::KeyFile(path) = &config.seal {
        look("the unseal key", path, Rule::Secret);
    }
    if let StorageConfig::Sled { path, .. } = &config.storage {
        look("the folder of the store", path, Rule::Private);
    }
    if let Some(audit) = &config.audit {
        let folder = audit.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        look("the folder of the audit", folder.unwrap_or(Path::new(".")), Rule::OurFolder);
        look("the audit file", &audit.path, Rule::Secret);
    }
    for folder in &config.target_dirs {
        look("a folder of target_dirs", folder, Rule::OurFolder);
    }
    told
}

/// The sentence for a file with a token, if it is open to others.
pub fn exposed_token(path: &Path) -> Option<String> {
    sentence("the token file", path, Rule::Secret)
}

fn sentence(what: &str, path: &Path, rule: Rule) -> Option<String> {
    let facts = std::fs::metadata(path).ok().filter(|facts| rule.is_about(facts))?;
    let (mode, path) = (facts.permissions().mode() & 0o777, for_shell(path));
    let (open, mend) = rule.parts();
    (mode & open != 0)
        .then(|| format!("{what} is open to other users of this machine (mode {mode:04o}): {mend} {path}"))
}

/// The path as a shell takes it for one word.
fn for_shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |character: char| character.is_alphanumeric() || "/._-+@:,=%".contains(character);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    use super::{exposed, exposed_token};
    use crate::config::Config;

    #[test]
    fn what_others_can_read_or_replace_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (source, data, tls, unseal) = (path("config.hcl"), path("data"), path("tls.key"), path("unseal.key"));
        let (audits, audit, target) = (path("audits"), path("audits/audit.log"), path("app"));
        let config = Config::parse(&format!(
            "storage \"sled\" {{ path = \"{data}\" }}\n\
             listener \"tcp\" {{ tls_cert_file = \"/none\" tls_key_file = \"{tls}\" }}\n\
             seal \"static\" {{ current_key = \"file://{unseal}\" }}\n\
             audit \"file\" {{ path = \"{audit}\" }}\n\
             agent {{ target_dirs = [\"{target}\"] }}\n"
        ))
        .unwrap();
        let told = || exposed(&config, Some(source.as_ref()));
        assert_eq!(told(), Vec::<String>::new(), "nothing is there yet");
        // Each with its name in the sentence, modes that do no harm, modes that do, and what mends it.
        let files = [
            (&source, "the configuration", [0o600, 0o644], [0o664, 0o646], "chmod go-w"),
            (&tls, "the key of a listener", [0o600, 0o640], [0o644, 0o660], "chmod 600"),
            (&unseal, "the unseal key", [0o400, 0o440], [0o604, 0o602], "chmod 600"),
            (&data, "the folder of the store", [0o700, 0o750], [0o755, 0o770], "chmod 700"),
            (&audits, "the folder of the audit", [0o700, 0o755], [0o775, 0o777], "chmod go-w"),
            (&audit, "the audit file", [0o600, 0o640], [0o644, 0o660], "chmod 600"),
            (&target, "a folder of target_dirs", [0o750, 0o755], [0o770, 0o757], "chmod go-w"),
        ];
        for folder in [&data, &audits, &target] {
            create_dir(folder).unwrap();
        }
        for file in [&source, &tls, &unseal, &audit] {
            write(file, "").unwrap();
        }
        let set = |path: &str, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for round in 0..2 {
            files.iter().for_each(|(path, _, harmless, ..)| set(path, harmless[round]));
            assert_eq!(told(), Vec::<String>::new());
            files.iter().for_each(|(path, _, _, harmful, _)| set(path, harmful[round]));
            let expected = files.iter().map(|(path, what, _, harmful, mend)| {
                format!("{what} is open to other users of this machine (mode {:04o}): {mend} {path}", harmful[round])
            });
            assert_eq!(told(), expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_mode_is_advised_for_a_folder_in_the_place_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(exposed_token(folder.path()), None);
    }

    #[test]
    fn a_path_with_blanks_or_quotes_is_one_word_for_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it's a token");
        write(&path, "").unwrap();
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let told = exposed_token(&path).unwrap();
        let command = told.split_once("): ").unwrap().1;
        assert!(std::process::Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
        assert_eq!(exposed_token(&path), None);
    }
}
