//! Files that others on the machine can read or replace, by their own mode and owner or by those of a folder above them:
//! named with what mends it.
//!
//! They are warned of and not refused: container platforms hand out keys with modes of their own that nobody can change,
//! inside a container where there is nobody else.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::process::geteuid;

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

/// One sentence for each file and folder of `config`, which was read from `source`, that is open to others. What is not
/// there is no concern of this.
pub fn exposed(config: &Config, source: Option<&Path>) -> Vec<String> {
    exposed_to(config, source, geteuid().as_raw())
}

/// The same for a process of the user `us`.
fn exposed_to(config: &Config, source: Option<&Path>, us: u32) -> Vec<String> {
    let mut found = Found::by(us);
    if let Some(source) = source {
        found.look("the configuration", source, Rule::Ours);
    }
    for listener in &config.listeners {
        if let Bind::Tcp(_, Some(tls)) = &listener.bind {
            found.look("the key of a listener", &tls.key.path, Rule::Secret);
        }
    }
    if let SealSetting::KeyFile(file) = &config.seal {
        found.look("the unseal key", &file.path, Rule::Secret);
    }
    if let StorageConfig::Sled { path, .. } = &config.storage {
        found.look("the folder of the store", path, Rule::Private);
    }
    if let Some(audit) = &config.audit {
        let folder = audit.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        found.look("the folder of the audit", folder.unwrap_or(Path::new(".")), Rule::OurFolder);
        found.look("the audit file", &audit.path, Rule::Secret);
    }
    for folder in &config.target_dirs {
        found.look("a folder of target_dirs", folder, Rule::OurFolder);
    }
    found.told
}

/// The sentences for a folder in which an agent replaces files.
pub fn exposed_target(folder: &Path) -> Vec<String> {
    let mut found = Found::by(geteuid().as_raw());
    found.look("a target folder", folder, Rule::OurFolder);
    found.told
}

/// The sentence for a file with a token, if it is open to others.
pub fn exposed_credential(what: &str, path: &Path) -> Option<String> {
    let facts = std::fs::metadata(path).ok()?;
    too_open(what, path, &facts, Rule::Secret)
}

/// What a process of one user has found so far.
struct Found {
    us: u32,
    told: Vec<String>,
    /// Folders of which there is nothing more to say, by device and inode: most files have some in common.
    folders: BTreeSet<(u64, u64)>,
}

impl Found {
    fn by(us: u32) -> Self {
        Self { us, told: Vec::new(), folders: BTreeSet::new() }
    }

    fn look(&mut self, what: &str, path: &Path, rule: Rule) {
        if let Ok(facts) = std::fs::metadata(path)
            && rule.is_about(&facts)
        {
            self.told.extend(too_open(what, path, &facts, rule));
            if self.is_anothers(&facts) {
                let (owner, us, path) = (facts.uid(), self.us, for_shell(path));
                self.told
                    .push(format!("{what} belongs to another user of this machine (uid {owner}): chown {us} {path}"));
            }
            self.folders.insert((facts.dev(), facts.ino()));
        }
        // A link is as safe as the folders in which it lies, and what it leads to as those around that.
        for way in [std::path::absolute(path), std::fs::canonicalize(path)].into_iter().flatten() {
            self.look_above(what, &way);
        }
    }

    /// Whoever may write into a folder above a file can put another file, or another folder, in its place. That a group may
    /// is passed over: many systems have one for `/var/log`, and somebody has chosen its members.
    fn look_above(&mut self, what: &str, path: &Path) {
        let mut outermost = None;
        for folder in path.ancestors().skip(1) {
            let Ok(facts) = std::fs::metadata(folder) else { continue };
            let mode = facts.permissions().mode() & 0o7777;
            // With the sticky bit everybody replaces only what is his own.
            if mode & 0o1002 == 0o002 && self.folders.insert((facts.dev(), facts.ino())) {
                let folder = for_shell(folder);
                self.told.push(format!(
                    "{what} can be replaced by other users of this machine, who may write to a folder above it (mode {mode:04o}): \
                     chmod +t {folder}"
                ));
            }
            if self.is_anothers(&facts) {
                outermost = Some((folder, facts));
            }
        }
        if let Some((folder, facts)) = outermost
            && self.folders.insert((facts.dev(), facts.ino()))
        {
            let (folder, owner) = (for_shell(folder), facts.uid());
            self.told.push(format!(
                "{what} can be replaced by another user of this machine (uid {owner}): move it out of {folder}, which is his"
            ));
        }
    }

    /// Whether somebody else owns it. What is root's is as safe as the machine.
    fn is_anothers(&self, facts: &Metadata) -> bool {
        facts.uid() != 0 && facts.uid() != self.us
    }
}

fn too_open(what: &str, path: &Path, facts: &Metadata, rule: Rule) -> Option<String> {
    let (mode, path) = (facts.permissions().mode() & 0o777, for_shell(path));
    let (open, mend) = rule.parts();
    (rule.is_about(facts) && mode & open != 0)
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
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    use std::path::Path;

    use rustix::process::geteuid;

    use super::{exposed, exposed_credential, exposed_to};
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

    /// Root gives the files away; whoever is not root looks at his own with the eyes of another.
    #[test]
    fn what_belongs_to_others_or_lies_in_an_open_folder_is_named() {
        let place = tempfile::tempdir().unwrap();
        let (home, ours) = (place.path().join("home"), place.path().join("home/ours"));
        let (key, link) = (ours.join("unseal.key"), place.path().join("link"));
        std::fs::create_dir_all(&ours).unwrap();
        write(&key, "").unwrap();
        set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&key, &link).unwrap();
        let told = |path: &Path, us: u32| {
            let text = format!(
                "storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = true }}\nseal \"static\" {{ current_key = \"file://{}\" }}\n",
                path.display()
            );
            exposed_to(&Config::parse(&text).unwrap(), None, us)
        };
        let me = geteuid().as_raw();
        for (mode, named) in [(0o755, false), (0o775, false), (0o1777, false), (0o757, true)] {
            set_permissions(&home, Permissions::from_mode(mode)).unwrap();
            let open = format!(
                "the unseal key can be replaced by other users of this machine, who may write to a folder above it (mode {mode:04o}): \
                 chmod +t {}",
                home.display()
            );
            let expected = if named { vec![open] } else { Vec::new() };
            assert_eq!((told(&key, me), told(&link, me)), (expected.clone(), expected));
        }
        set_permissions(&home, Permissions::from_mode(0o755)).unwrap();
        let (owner, us) = if me == 0 { (1, 0) } else { (me, me + 1) };
        for path in [&home, &ours, &key] {
            chown(path, Some(owner), None).unwrap();
        }
        let outermost =
            if me == 0 { home.as_path() } else { home.ancestors().filter(|up| is_of(up, me)).last().unwrap() };
        let told = told(&key, us);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(
            told[0],
            format!(
                "the unseal key belongs to another user of this machine (uid {owner}): chown {us} {}",
                key.display()
            )
        );
        assert!(told[1].ends_with(&format!("move it out of {}, which is his", outermost.display())), "{told:?}");
    }

    fn is_of(path: &Path, user: u32) -> bool {
        std::fs::metadata(path).is_ok_and(|facts| facts.uid() == user)
    }

    #[test]
    fn no_mode_is_advised_for_a_folder_in_the_place_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(exposed_credential("the token file", folder.path()), None);
    }

    #[test]
    fn a_path_with_blanks_or_quotes_is_one_word_for_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it's a token");
        write(&path, "").unwrap();
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let told = exposed_credential("the token file", &path).unwrap();
        let command = told.split_once("): ").unwrap().1;
        assert!(std::process::Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
        assert_eq!(exposed_credential("the token file", &path), None);
    }
}
