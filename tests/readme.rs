//! What the README shows is run as written: the tour's blocks, one after the other, in one shell.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{free_port, on_path, top};

/// The blocks of shell below a `<!-- tour -->` mark.
fn tour() -> String {
    let readme = std::fs::read_to_string(top().join("README.md")).unwrap();
    let blocks = readme.split("<!-- tour -->\n```sh\n").skip(1);
    blocks.map(|rest| rest.split_once("```").unwrap().0).collect()
}

#[test]
fn the_tour_runs_as_written() {
    let dir = tempfile::tempdir().unwrap();
    // Two things differ from a reader's shell: the program is there already, and the port is a free one.
    let address = format!("127.0.0.1:{}", free_port());
    let script = tour()
        .replace("cargo install --locked --path cli\n", "")
        .replace("127.0.0.1:8200", &address)
        .replace("server -dev", &format!("server -dev -dev-listen-address={address}"))
        .replace(
            "sleep 1\n",
            "SERVER=$!\ntrap 'kill $SERVER; wait $SERVER' EXIT\nuntil turnlock status; do sleep 0.1; done\n",
        );
    std::fs::write(dir.path().join("tour.sh"), format!("set -eu\n{script}")).unwrap();
    let mut child = Command::new("bash")
        .arg("tour.sh")
        .env_clear()
        .env("PATH", on_path())
        .env("HOME", dir.path())
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(dir.path().join("errors")).unwrap())
        .spawn()
        .unwrap();
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    let status = child.wait().unwrap();
    let errors = std::fs::read_to_string(dir.path().join("errors")).unwrap();
    assert!(status.success(), "{printed}\n{errors}");
    for shown in [
        "first password",
        "the password is ***",
        "svc",
        "refused, as it should be",
        "succeeded",
        "is secret/app/db#password version 3 (current)",
        "exit code 1",
    ] {
        assert!(printed.contains(shown), "{shown:?} is not in:\n{printed}\n{errors}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        let text = std::fs::read_to_string(top().join(page)).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            assert!(Path::new(&top().join(target)).exists(), "{page} links to {target}");
        }
    }
}
