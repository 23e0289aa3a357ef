//! Nothing was answered that is not recorded: the audit chain over all files holds, and it holds every answer.

use std::collections::{HashMap, HashSet};
use std::process::Command;

use serde_json::Value;

use crate::harness::{BINARY, Instance};

/// Verifies the chain with the command that people use, then looks for the records of the requests `answered`, one of
/// each of the `kinds`. The server has ended.
pub(super) fn check(instance: &Instance, answered: impl Iterator<Item = String>, kinds: &[&str]) -> String {
    let mut files: Vec<_> =
        std::fs::read_dir(instance.dir.path().join("audit")).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Finished files bear the position of their first record; the current one is the newest.
    files.sort_by_key(|path| (*path == instance.audit_path(), path.clone()));
    let output = Command::new(BINARY).args(["audit", "verify"]).args(&files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut recorded: HashMap<String, HashSet<String>> = HashMap::new();
    for text in files.iter().map(|file| std::fs::read_to_string(file).unwrap()) {
        // A crash may leave the last line torn.
        for record in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if let (Some(kind), Some(id)) = (record["kind"].as_str(), record["id"].as_str()) {
                recorded.entry(kind.to_owned()).or_default().insert(id.to_owned());
            }
        }
    }
    let mut found = 0;
    for id in answered {
        for kind in kinds {
            assert!(recorded.get(*kind).is_some_and(|ids| ids.contains(&id)), "{id} was answered without its {kind}");
        }
        found += 1;
    }
    assert!(found > 0);
    format!("{found} answers found in the audit")
}
