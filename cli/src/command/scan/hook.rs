//! `turnlock scan install-hook`: hooks of git that refuse commits and pushes with credentials in them.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ScanFailure;
use super::idle::Idle;

/// The line by which a hook is known to be ours.
const MARK: &str = "# Written by `turnlock scan install-hook`.";

/// What a hook that was there before is called from then on; ours runs it first.
const BEFORE: &str = "before-turnlock";

/// Arguments of `turnlock scan install-hook`.
#[derive(Debug, clap::Args)]
pub(super) struct HookArgs {
    /// The repository.
    #[arg(default_value = ".")]
    path: PathBuf,

    /// Only this hook.
    #[arg(long, value_name = "NAME", value_parser = ["pre-commit", "commit-msg", "pre-push"])]
    only: Option<String>,

    #[command(flatten)]
    _idle: Idle,
}

impl HookArgs {
    pub(super) fn run(&self) -> Result<(), ScanFailure> {
        let folder = hooks_folder(&self.path)?;
        let hooks = [("pre-commit", PRE_COMMIT), ("commit-msg", COMMIT_MSG), ("pre-push", PRE_PUSH)];
        for (name, body) in hooks.iter().filter(|(name, _)| self.only.as_deref().is_none_or(|only| only == *name)) {
            let done =
                install(&folder, name, body).map_err(|source| ScanFailure::Hook { path: folder.join(name), source })?;
            writeln!(io::stdout().lock(), "{done}").map_err(ScanFailure::Write)?;
        }
        Ok(())
    }
}

/// What is staged, not the files: what was changed after `git add` is not part of the commit.
const PRE_COMMIT: &str = "\
if [ -x \"$before\" ]; then \"$before\" \"$@\" || exit $?; fi
case ,$SKIP, in *,turnlock,* | *,gitleaks,*) exit 0 ;; esac
exec turnlock scan git --staged
";

/// Git names the file with the message.
const COMMIT_MSG: &str = "\
if [ -x \"$before\" ]; then \"$before\" \"$@\" || exit $?; fi
case ,$SKIP, in *,turnlock,* | *,gitleaks,*) exit 0 ;; esac
exec turnlock scan commit-msg \"$1\"
";

/// Both read the references that are pushed.
const PRE_PUSH: &str = "\
input=$(cat)
if [ -x \"$before\" ]; then printf '%s\\n' \"$input\" | \"$before\" \"$@\" || exit $?; fi
case ,$SKIP, in *,turnlock,* | *,gitleaks,*) exit 0 ;; esac
printf '%s\\n' \"$input\" | turnlock scan pre-push \"$@\"
";

fn script(name: &str, body: &str) -> String {
    format!("#!/bin/sh\n{MARK}\nbefore=$(dirname \"$0\")/{name}.{BEFORE}\n{body}")
}

/// Writes the hook `name` into `folder` and says what was done.
fn install(folder: &Path, name: &str, body: &str) -> io::Result<String> {
    fs::create_dir_all(folder)?;
    let (path, script) = (folder.join(name), script(name, body));
    let mut kept = String::new();
    match fs::read(&path) {
        Ok(text) if text == script.as_bytes() => return Ok(format!("{}: is already installed", path.display())),
        Ok(text) if !String::from_utf8_lossy(&text).contains(MARK) => {
            let before = folder.join(format!("{name}.{BEFORE}"));
            if before.exists() {
                let text = format!("{} exists already: move it away first", before.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
            }
            fs::rename(&path, &before)?;
            kept = format!("; the hook that was there runs first, as {}", before.display());
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Beside it, then in its place: a commit at this moment finds the old hook or the new one.
    let fresh = folder.join(format!("{name}.turnlock-{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&fresh)?;
    let written = file
        .write_all(script.as_bytes())
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&fresh, &path));
    if let Err(error) = written {
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    Ok(format!("{}: installed{kept}", path.display()))
}

/// Where git looks for the hooks of the repository at `path`: git itself knows about worktrees and `core.hooksPath`.
fn hooks_folder(path: &Path) -> Result<PathBuf, ScanFailure> {
    let failed = |source| ScanFailure::Git { path: path.to_owned(), source };
    let output = Command::new("git")
        .arg("-C")
        .arg(path)
        .args(["rev-parse", "--path-format=absolute", "--git-path", "hooks"])
        .output()
        .map_err(failed)?;
    if !output.status.success() {
        return Err(failed(io::Error::other("git knows no repository there")));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()))
}
