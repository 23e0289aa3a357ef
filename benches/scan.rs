//! The scanner beside Kingfisher and beside what reading the objects costs at all, on one repository, one after the other
//! in turn; then a second scan, a scan of what is staged, and a tree.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::repository;

/// Turns; the best of each counts, because others use the machine too.
const TURNS: usize = 3;

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").canonicalize().unwrap()
}

/// Time and peak of resident memory in MiB of one run. A finding is no failure.
fn measure(command: &mut Command) -> (Duration, f64) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let mut peak = 0.0_f64;
    loop {
        if child.try_wait().unwrap().is_some() {
            return (start.elapsed(), peak);
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0);
        peak = peak.max(kilobytes / 1024.0);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn turnlock(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnlock"));
    command.arg("scan").args(arguments).current_dir(folder);
    command
}

/// Kingfisher from the package index, in an environment of its own, without network: no validation, no updates.
fn kingfisher(arguments: &[&str], folder: &Path) -> Command {
    let home = target().join("clients/kingfisher");
    let program = home.join("bin/kingfisher");
    if !program.exists() {
        let run = |program: &str, arguments: &[&str]| {
            assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program} {arguments:?}");
        };
        run("python3", &["-m", "venv", home.to_str().unwrap()]);
        run(home.join("bin/python").to_str().unwrap(), &["-m", "pip", "install", "-q", "kingfisher-bin==2.14.0"]);
    }
    // The program itself, without the interpreter that the package starts it by.
    let inner = home.join("lib");
    let program = std::fs::read_dir(inner)
        .unwrap()
        .map(|python| python.unwrap().path().join("site-packages/kingfisher/bin/kingfisher"))
        .find(|path| path.exists())
        .unwrap_or(program);
    let mut command = Command::new(program);
    command.args(["scan", "--no-validate", "--no-update-check"]).args(arguments).current_dir(folder);
    command
}

fn cat_file(repository: &Path) -> Command {
    let mut command = Command::new("git");
    command.args(["cat-file", "--batch-all-objects", "--unordered", "--buffer", "--batch"]).current_dir(repository);
    command
}

/// The best of each over all turns.
fn in_turn<const N: usize>(commands: [&dyn Fn() -> Command; N]) -> [(Duration, f64); N] {
    let mut best = [(Duration::MAX, 0.0_f64); N];
    for _ in 0..TURNS {
        for (best, command) in best.iter_mut().zip(&commands) {
            let (time, peak) = measure(&mut command());
            *best = (best.0.min(time), best.1.max(peak));
        }
    }
    best
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

pub(crate) fn run() {
    let folder = target().join("bench-scan");
    std::fs::create_dir_all(&folder).unwrap();
    let path = repository::history(&folder);
    history(&path);
    again(&folder, &path);
    staged(&folder);
    tree(&folder);
}

fn history(path: &Path) {
    let [own, catalogue, turbo, plain] = in_turn([
        &|| turnlock(&["git", "--no-cache", "."], path),
        &|| kingfisher(&["."], path),
        &|| kingfisher(&["--turbo", "."], path),
        &|| cat_file(path),
    ]);
    println!(
        "full history: {:.2} s, {:.0} MiB; Kingfisher takes {:.1} times as long (goal 3), its turbo mode {:.1} (goal 2); \
         {:.2} of git cat-file (goal 1.3); memory under 300 MiB: {}",
        own.0.as_secs_f64(),
        own.1,
        ratio(catalogue.0, own.0),
        ratio(turbo.0, own.0),
        ratio(own.0, plain.0),
        if own.1 < 300.0 { "yes" } else { "no" },
    );
}

/// The same repository again, without change and after ten commits.
fn again(folder: &Path, path: &Path) {
    let copy = folder.join("again.git");
    let _ = std::fs::remove_dir_all(&copy);
    repository::git(folder, &["clone", "-q", "--bare", path.to_str().unwrap(), copy.to_str().unwrap()]);
    let first = measure(&mut turnlock(&["git", "."], &copy)).0;
    let unchanged = measure(&mut turnlock(&["git", "."], &copy)).0;
    repository::grow(&copy, 10);
    let grown = measure(&mut turnlock(&["git", "."], &copy)).0;
    println!(
        "second scan: {:.1} % of the first without change, {:.1} % after ten commits (goal 5)",
        100.0 * ratio(unchanged, first),
        100.0 * ratio(grown, first),
    );
    std::fs::remove_dir_all(&copy).unwrap();
}

/// One staged line in a repository of one file.
fn staged(folder: &Path) {
    let path = folder.join("staged");
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    repository::git(&path, &["init", "-q"]);
    std::fs::write(path.join("file"), "one\n").unwrap();
    repository::git(&path, &["add", "-A"]);
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@host.test"];
    repository::git(&path, &[&who[..], &["commit", "-q", "-m", "one"]].concat());
    std::fs::write(path.join("file"), "one\ntwo\n").unwrap();
    repository::git(&path, &["add", "-A"]);
    let mut times: Vec<Duration> =
        (0..21).map(|_| measure(&mut turnlock(&["git", "--staged", "."], &path)).0).collect();
    times.sort_unstable();
    println!("one staged line: {:.1} ms, median {:.1} (goal 20)", millis(times[0]), millis(times[10]));
    std::fs::remove_dir_all(&path).unwrap();
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Real sources and pages, of which a machine that builds this has more than a gigabyte: those of the packages it is made of,
/// and the toolchain with its documentation.
fn tree(folder: &Path) {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"))).unwrap();
    let toolchain = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let toolchain = PathBuf::from(String::from_utf8(toolchain.stdout).unwrap().trim());
    let path = folder.join("tree");
    let _ = std::fs::remove_dir_all(&path);
    for (name, from) in [("packages", home.join("registry/src")), ("documentation", toolchain.join("share/doc"))] {
        let to = path.join(name);
        std::fs::create_dir_all(&to).unwrap();
        if from.is_dir() {
            assert!(Command::new("cp").arg("-rT").args([&from, &to]).status().unwrap().success());
        }
    }
    let [own, peer] = in_turn([&|| turnlock(&["dir", "."], &path), &|| kingfisher(&["."], &path)]);
    println!(
        "tree of {}: {:.2} s, {:.0} MiB; {:.2} of Kingfisher's time (goal 0.5)",
        size(&path),
        own.0.as_secs_f64(),
        own.1,
        ratio(own.0, peer.0)
    );
    std::fs::remove_dir_all(&path).unwrap();
}

/// Megabytes and files, as `du` counts them.
fn size(path: &Path) -> String {
    let count = |arguments: &[&str]| {
        let output = Command::new("du").args(arguments).arg(path).output().unwrap();
        String::from_utf8_lossy(&output.stdout).split_whitespace().next().unwrap().to_owned()
    };
    format!(
        "{} MB in {} files and folders",
        count(&["-s", "--apparent-size", "--block-size=1000000"]),
        count(&["-s", "--inodes"])
    )
}
