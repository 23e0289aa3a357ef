//! What the sources themselves must hold: who depends on whom, who may touch what, and that nothing was left unfinished.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::harness::top;

/// Longest source file, in lines.
const MAX_LINES: usize = 420;

/// Where secret bytes may leave their guard: where they are made, sealed, compared, parsed, sent or shown to who may
/// have them. A folder stands for the files in it.
const EXPOSE: &[&str] = &[
    "agent/src/",
    "cli/src/command/",
    "cli/src/output.rs",
    "core/src/finding.rs",
    "scan/src/",
    "src/audit/end.rs",
    "src/audit/entry.rs",
    "src/barrier.rs",
    "src/barrier/",
    "src/engine/auth/",
    "src/engine/fingerprints/values.rs",
    "src/engine/kv1.rs",
    "src/engine/kv2/",
    "src/engine/rotation.rs",
    "src/engine/rotation/",
    "src/engine/sys/",
    "src/hashing.rs",
    "src/http/parse.rs",
    "src/mount.rs",
    "src/policy.rs",
    "src/process.rs",
    "src/request/fields.rs",
    "src/response.rs",
    "src/token.rs",
    "src/token/",
];

/// Where the server makes a path of something other than the address of a request: a name in a body, a mount with a name
/// behind it, the other spelling of a path. Each is judged or looked up; none is executed in the place of what was judged.
const MAKE_PATHS: &[&str] = &[
    "src/engine/auth/token/roles.rs",
    "src/engine/kv2/list.rs",
    "src/engine/rotation/definition.rs",
    "src/engine/rotation/draft.rs",
    "src/engine/rotation/list.rs",
    "src/engine/sys/capabilities.rs",
    "src/engine/sys/internal_ui.rs",
    "src/engine/sys/leases.rs",
    "src/engine/sys/mount.rs",
    "src/engine/sys/remount.rs",
    "src/mount.rs",
];

#[test]
fn crates_depend_only_on_whom_they_may() {
    let allowed: [(&str, &[&str]); 5] = [
        ("core", &[]),
        ("scan", &["turnlock-core"]),
        ("agent", &["turnlock-core"]),
        (".", &["turnlock-core"]),
        ("cli", &["turnlock", "turnlock-agent", "turnlock-core", "turnlock-scan"]),
    ];
    for (folder, may) in allowed {
        let manifest: toml::Table = read(&top().join(folder).join("Cargo.toml")).parse().unwrap();
        for kind in ["dependencies", "build-dependencies"] {
            let names = manifest.get(kind).and_then(toml::Value::as_table).map(toml::Table::keys).into_iter().flatten();
            let ours: Vec<_> = names.filter(|name| name.starts_with("turnlock")).collect();
            assert!(ours.iter().all(|name| may.contains(&name.as_str())), "{folder} depends on {ours:?}");
        }
    }
}

#[test]
fn only_the_barrier_uses_a_store() {
    // `process.rs` opens it from the configuration and hands it over; a snapshot copies sealed records as they are.
    let may = ["src/barrier.rs", "src/barrier/", "src/store.rs", "src/store/", "src/snapshot.rs", "src/process.rs"];
    for (name, text) in sources(&["src", "cli/src", "agent/src"]) {
        let uses = code(&text).any(|line| {
            ["dyn Store", "impl Store for", "store::Store", "LogStore", "MemoryStore", "Store as _"]
                .iter()
                .any(|word| line.contains(word))
        });
        assert!(!uses || is_test(&name) || listed(&may, &name), "{name} reaches past the barrier");
    }
}

#[test]
fn nothing_enters_except_by_the_door() {
    only(&["src"], &["door::enter("], &["src/http.rs"]);
    only(&["src"], &[".handler)("], &["src/door.rs"]);
    only(&["src"], &["sys::probe("], &["src/door.rs"]);
    only(&["src"], &["sys::without_token("], &["src/door.rs"]);
    // The door's own record of what it lets in and of what it answers.
    only(&["src"], &["audit.intent("], &["src/door.rs"]);
    only(&["src"], &["audit.answer("], &["src/door.rs"]);
    // Listeners, and the callers in the same process, get the one router; the embedded agent is among the latter.
    only(&["src", "cli/src"], &["router("], &["src/http.rs", "src/process.rs"]);
    only(&["cli/src", "agent/src"], &["Client::local("], &["cli/src/command/server.rs"]);
}

#[test]
fn a_path_is_read_off_a_request_once() {
    only(&["src", "cli/src", "agent/src"], &["Path::from_encoded("], &["src/http/parse.rs"]);
    only(&["src"], &["percent_decode("], &["src/http/parse.rs"]);
    only(&["src"], &["Path::parse("], MAKE_PATHS);
}

#[test]
fn tokens_are_made_in_one_place_for_those_who_may_ask() {
    only(&["src"], &["draw(TokenKind::"], &["src/token/issue.rs", "src/token/wrapping.rs"]);
    only(&["src"], &[".seal_batch("], &["src/token/issue.rs"]);
    only(&["src", "cli/src"], &["tokens.issue("], &["src/engine/auth/"]);
    only(
        &["src", "cli/src"],
        &[".issue_root("],
        &["src/engine/sys/generate_root.rs", "src/engine/sys/init.rs", "cli/src/command/server.rs"],
    );
    only(&["src", "cli/src"], &[".issue_agent("], &["cli/src/command/server.rs"]);
    only(&["src", "cli/src"], &["tokens.wrap("], &["src/door.rs"]);
    only(&["src", "cli/src"], &["tokens.rewrap("], &["src/engine/sys/wrapping.rs"]);
}

#[test]
fn targets_are_reached_only_from_the_agent() {
    only(&["src", "cli/src", "agent/src"], &["push::push(", "push::reach("], &["agent/src/drive.rs"]);
    only(&["src", "cli/src", "agent/src"], &["FileTarget::parse("], &["agent/src/push.rs"]);
    only(&["src", "cli/src", "agent/src"], &["webhook::Webhook {"], &["agent/src/push.rs"]);
    // The server's package has nothing that could call anybody.
    for folder in [".", "core"] {
        let manifest: toml::Table = read(&top().join(folder).join("Cargo.toml")).parse().unwrap();
        let names: Vec<_> = manifest["dependencies"].as_table().unwrap().keys().collect();
        assert!(!names.iter().any(|name| ["reqwest", "ureq", "attohttpc"].contains(&name.as_str())), "{names:?}");
    }
    for word in ["hyper_util::client", "hyper::client", "net::TcpStream", "Command::new("] {
        only(&["src"], &[word], &[]);
    }
}

/// What the page says must hold is held by what it names.
#[test]
fn every_invariant_names_its_test() {
    let page = read(&top().join("ARCHITECTURE.md"));
    let section = page.split("## Invariants").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 9, "{section}");
    let texts: String = sources(&["src", "core", "tests"]).map(|(_, text)| text).collect();
    for row in rows {
        let held: Vec<_> = row.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        assert!(!held.is_empty(), "nothing holds: {row}");
        for name in held {
            assert!(texts.contains(&format!("fn {name}(")), "no test {name}: {row}");
        }
    }
}

#[test]
fn only_the_schedule_knows_the_cron_crate() {
    for (name, text) in sources(&["src", "core/src", "agent/src", "scan/src", "cli/src"]) {
        let uses = code(&text).any(|line| line.contains("use cron") || line.contains("cron::"));
        assert!(!uses || listed(&["core/src/schedule.rs", "core/src/schedule/"], &name), "{name} uses cron");
    }
}

#[test]
fn core_does_no_input_or_output() {
    for (name, text) in sources(&["core/src"]) {
        for word in
            ["std::fs", "std::net", "std::env", "std::process", "tokio", "SystemTime", "Instant::now", "Utc::now"]
        {
            assert!(!code(&text).any(|line| line.contains(word)), "{name} uses {word}");
        }
    }
}

#[test]
fn secrets_leave_their_guard_only_where_they_must() {
    only(&["src", "core/src", "agent/src", "scan/src", "cli/src"], &[".expose(", ".expose_str("], EXPOSE);
}

#[test]
fn nothing_is_left_unfinished_and_no_machine_is_named() {
    let marks = ["todo", "unimplemented"].map(|name| format!("{name}!("));
    let notes = ["TO", "FIX"].map(|start| format!("{start}{}", if start == "TO" { "DO" } else { "ME" }));
    let homes = ["work", "home", "Users"].map(|name| format!("\"/{name}/"));
    let skipped = format!("#[{}", "ignore");
    // The samples of the scanner's rules are random and hold any word.
    for (name, text) in everything().filter(|(name, _)| !name.starts_with("scan/src/rules/")) {
        for word in marks.iter().chain(&notes).chain(&homes).chain([&skipped]) {
            assert!(!text.contains(word.as_str()), "{name} holds {word}");
        }
    }
}

#[test]
fn there_is_one_tls_stack_and_one_provider() {
    let lock: toml::Table = read(&top().join("Cargo.lock")).parse().unwrap();
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let banned = ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "aws-lc-fips-sys"];
        assert!(!banned.contains(&name), "{name} is in Cargo.lock");
    }
}

#[test]
fn files_stay_short_and_say_what_they_are() {
    for (name, text) in sources(&["src", "core", "agent", "scan", "cli", "tests", "benches"]) {
        assert!(text.lines().count() <= MAX_LINES, "{name} has more than {MAX_LINES} lines");
        let stem = Path::new(&name).file_stem().unwrap().to_str().unwrap();
        assert!(text.starts_with("//!") || stem == "tests", "{name} does not say what lives in it");
        assert!(!["utils", "util", "helpers", "common", "misc", "mod"].contains(&stem), "{name} is named for nothing");
    }
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    for folder in [".", "core", "scan", "agent", "cli"] {
        let manifest: toml::Table = read(&top().join(folder).join("Cargo.toml")).parse().unwrap();
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{folder} has lints of its own");
    }
    let workspace: toml::Table = read(&top().join("Cargo.toml")).parse().unwrap();
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
}

/// Any of `words` occurs in code below `folders` in the files of `places` only, and in each of them.
#[track_caller]
fn only(folders: &[&str], words: &[&str], places: &[&str]) {
    let using: BTreeSet<_> = sources(folders)
        .filter(|(name, text)| !is_test(name) && code(text).any(|line| words.iter().any(|word| line.contains(word))))
        .map(|(name, _)| name)
        .collect();
    for name in &using {
        assert!(listed(places, name), "{name} has {words:?} and is not listed");
    }
    for place in places {
        assert!(using.iter().any(|name| listed(&[place], name)), "{place} is listed for {words:?} and has none");
    }
}

/// Lines that are neither comments nor the unit tests at a file's end.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| !line.starts_with("mod tests {")).filter(|line| !line.trim_start().starts_with("//"))
}

/// Whether a file holds unit tests only.
fn is_test(name: &str) -> bool {
    name.ends_with("tests.rs") || name.contains("/tests/") || name.ends_with("/contract.rs")
}

/// Whether `name` is one of `places` or lies in one that is a folder.
fn listed(places: &[&str], name: &str) -> bool {
    places.iter().any(|place| if place.ends_with('/') { name.starts_with(place) } else { name == *place })
}

/// The Rust files below `folders`, named from the top.
fn sources<'a>(folders: &'a [&'a str]) -> impl Iterator<Item = (String, String)> + 'a {
    everything()
        .filter(|(name, _)| name.ends_with(".rs") && folders.iter().any(|folder| Path::new(name).starts_with(folder)))
}

/// Every text of the project, named from the top.
fn everything() -> impl Iterator<Item = (String, String)> {
    let mut folders = vec![top().to_path_buf()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                if !["target", ".git", "node_modules"].contains(&name.to_str().unwrap()) {
                    folders.push(path);
                }
            } else if ["rs", "toml", "md", "sh", "py", "js"]
                .iter()
                .any(|kind| path.extension().is_some_and(|e| e == *kind))
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files.into_iter().map(|path| (path.strip_prefix(top()).unwrap().display().to_string(), read(&path)))
}

fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
