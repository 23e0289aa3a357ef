//! Working trees: what is read, what is passed over.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use turnlock_scan::{Options, Outcome, Report, ScanError, Scanner, Why};

use crate::{RULE, places, scanner, token};

fn files(report: &Report, root: &Path) -> Vec<String> {
    let prefix = format!("{}/", root.display());
    report.findings.iter().map(|finding| finding.place.file.strip_prefix(&prefix).unwrap_or("?").to_owned()).collect()
}

#[test]
fn gitignore_is_honoured_unless_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join(".git/objects")).unwrap();
    std::fs::write(root.join(".git/config"), token(1)).unwrap();
    std::fs::write(root.join(".gitignore"), "build/\n").unwrap();
    std::fs::create_dir(root.join("build")).unwrap();
    std::fs::write(root.join("build/out"), token(2)).unwrap();
    std::fs::write(root.join(".hidden"), token(3)).unwrap();
    let honoured = scanner().scan_tree(root).unwrap();
    assert_eq!((files(&honoured, root), honoured.coverage.excludes), (vec![".hidden".to_owned()], true));
    let mut options = Options::usual();
    options.honour_ignore_files = false;
    let all = Scanner::new(options).unwrap().scan_tree(root).unwrap();
    assert_eq!(files(&all, root), [".hidden", "build/out"]);
    assert!(!all.coverage.excludes);
}

#[test]
fn that_files_may_be_excluded_is_said_only_where_git_would_exclude_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join("top/inner")).unwrap();
    std::fs::write(root.join("top/inner/file"), "x").unwrap();
    let excludes = |path: &str| scanner().scan_tree(&root.join(path)).unwrap().coverage.excludes;
    std::fs::write(root.join(".gitignore"), "x\n").unwrap();
    assert!(!excludes("."), "no repository");
    std::fs::create_dir(root.join("top/.git")).unwrap();
    assert!(!excludes("top/inner"), "a file above the repository");
    std::fs::write(root.join("top/.gitignore"), "x\n").unwrap();
    assert!(excludes("top/inner") && excludes("top") && excludes("."));
}

#[test]
fn links_loops_and_fifos_neither_hang_nor_count_twice() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("real"), token(4)).unwrap();
    std::os::unix::fs::symlink("real", root.join("link")).unwrap();
    std::os::unix::fs::symlink(".", root.join("loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    let report = scanner().scan_tree(root).unwrap();
    assert_eq!(files(&report, root), ["real"]);
    assert_eq!(report.coverage.symlinks, 3);
    assert!(
        report
            .coverage
            .omissions
            .iter()
            .any(|omission| omission.what.ends_with("/fifo") && omission.why == Why::Special)
    );
    assert!(!report.coverage.is_partial(), "a FIFO holds nothing that could be read");
}

#[test]
fn what_is_no_file_and_no_folder_is_refused_when_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    for path in [fifo, folder.path().join("socket"), "/dev/zero".into()] {
        assert!(matches!(scanner().scan_tree(&path), Err(ScanError::Special { .. })), "{path:?}");
    }
}

#[test]
fn links_to_files_are_followed_when_told_and_nothing_else_is() {
    let around = tempfile::tempdir().unwrap();
    let around = std::fs::canonicalize(around.path()).unwrap();
    let root = around.join("root");
    std::fs::create_dir_all(around.join("beside")).unwrap();
    std::fs::create_dir(&root).unwrap();
    std::fs::write(around.join("beside/outside"), token(1)).unwrap();
    std::fs::write(root.join("inside"), token(2)).unwrap();
    for (target, link) in [
        ("../beside/outside", "to-outside"),
        ("inside", "to-inside"),
        ("../beside", "to-folder"),
        (".", "to-itself"),
        ("nowhere", "to-nothing"),
        ("loop", "loop"),
        ("/dev/zero", "to-device"),
    ] {
        std::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
    let mut options = Options::usual();
    options.follow_symlinks = true;
    let report = Scanner::new(options).unwrap().scan_tree_as(&root, Path::new("")).unwrap();
    let outside = around.join("beside/outside").display().to_string();
    let mut found: Vec<_> =
        report.findings.iter().map(|found| (found.place.file.as_str(), found.symlink.as_str())).collect();
    found.sort_unstable();
    assert_eq!(found, [(outside.as_str(), "to-outside"), ("inside", ""), ("inside", "to-inside")]);
    assert_eq!(report.coverage.symlinks, 4);
    assert_eq!(report.coverage.omissions[0].why, Why::Special);
    assert!(!report.coverage.is_partial());
    std::fs::remove_dir_all(around).unwrap();
}

#[test]
fn a_file_whose_content_cannot_be_read_is_an_omission() {
    // The kernel refuses to read the first byte of a process's memory, whoever asks.
    let report = scanner().scan_tree(Path::new("/proc/self/mem")).unwrap();
    assert_eq!(report.outcome(), Outcome::Partial);
    assert!(matches!(report.coverage.omissions[0].why, Why::Unreadable(_)), "{report:?}");
}

#[test]
fn files_that_change_while_they_are_read_are_read_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("steady"), token(1)).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let long = "some line of text\n".repeat(10_000);
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                // Grows, shrinks, becomes a folder, a FIFO, and nothing.
                let _ = std::fs::write(root.join("a"), &long);
                let _ = std::fs::write(root.join("b"), "short");
                let _ = std::fs::rename(root.join("a"), root.join("b"));
                let _ = std::fs::remove_file(root.join("b"));
                let _ = std::fs::create_dir(root.join("b"));
                let _ = std::fs::remove_dir(root.join("b"));
                let fifo = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
                let _ = rustix::fs::mknodat(rustix::fs::CWD, root.join("a"), fifo.0, fifo.1, 0);
                let _ = std::fs::remove_file(root.join("a"));
            }
        });
        let scanner = scanner();
        let all: Vec<_> = (0..200).map(|_| scanner.scan_tree(root)).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(all.iter().all(|report| report.as_ref().is_ok_and(|report| files(report, root) == ["steady"])));
    });
}

#[test]
fn words_in_binary_files_and_wide_text_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("binary"), [b"\x7fELF\0\0", token(5).as_bytes()].concat()).unwrap();
    let wide: Vec<u8> = [0xfeff_u16].into_iter().chain(token(6).encode_utf16()).flat_map(u16::to_le_bytes).collect();
    std::fs::write(root.join("wide"), wide).unwrap();
    let report = scanner().scan_tree(root).unwrap();
    assert_eq!(files(&report, root), ["binary", "wide"]);
    assert_eq!((report.coverage.files, report.coverage.binary), (2, 1));
}

#[test]
fn files_beyond_the_limit_make_the_answer_partial() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("big"), "x\n".repeat(1000)).unwrap();
    let mut options = Options::usual();
    options.max_bytes = 1000;
    let report = Scanner::new(options).unwrap().scan_tree(folder.path()).unwrap();
    assert_eq!(report.outcome(), Outcome::Partial);
}

#[test]
fn names_that_are_no_text_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"evil\n\x1b[31m\xff");
    std::fs::write(folder.path().join(name), token(7)).unwrap();
    assert_eq!(scanner().scan_tree(folder.path()).unwrap().findings.len(), 1);
}

#[test]
fn one_file_is_a_tree() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, token(8)).unwrap();
    assert_eq!(places(&scanner().scan_tree(&file).unwrap()), [(RULE, file.to_str().unwrap(), 1, "")]);
    assert!(scanner().scan_tree(&folder.path().join("missing")).is_err());
}

#[test]
fn comments_allow_the_lines_they_stand_in() {
    let text = format!("{} // gitleaks:allow\n{} # turnlock:allow\n{}\n", token(1), token(2), token(3));
    assert_eq!(places(&scanner().scan_bytes("f", text.as_bytes())), [(RULE, "f", 3, "")]);
    let mut options = Options::usual();
    options.honour_comments = false;
    assert_eq!(Scanner::new(options).unwrap().scan_bytes("f", text.as_bytes()).findings.len(), 3);
}

#[test]
fn a_scan_that_ran_out_of_time_says_what_it_did_not_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), token(1)).unwrap();
    let mut options = Options::usual();
    options.deadline = Some(std::time::Instant::now());
    let report = Scanner::new(options).unwrap().scan_tree(folder.path()).unwrap();
    assert_eq!((report.outcome(), &report.coverage.omissions[0].why), (Outcome::Partial, &Why::OutOfTime));
}

#[test]
fn a_file_larger_than_memory_should_hold_is_read_in_windows() {
    use std::io::{Seek as _, SeekFrom, Write as _};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    let mut file = std::fs::File::create(&path).unwrap();
    let lines = "a line of a log that says nothing\n".repeat(1000);
    file.write_all(lines.as_bytes()).unwrap();
    writeln!(file, "{}", token(30)).unwrap();
    // A hole: hundreds of megabytes in one line that take no room on the disk.
    file.seek(SeekFrom::Start(300 << 20)).unwrap();
    write!(file, " {}\nend {}", token(31), token(32)).unwrap();
    drop(file);
    let mut options = Options::usual();
    options.max_bytes = u64::MAX;
    let report = Scanner::new(options).unwrap().scan_tree(&path).unwrap();
    let lines: Vec<u32> = report.findings.iter().map(|finding| finding.place.start_line).collect();
    assert_eq!(lines, [1001, 1002, 1003]);
    assert_eq!(report.findings[1].place.start_column, (300 << 20) + 3 - u32::try_from(1000 * 34 + 72).unwrap());
    assert!(resident_peak_megabytes() < 300, "{}", resident_peak_megabytes());
}

/// Peak of resident memory of this process: windows of all threads and the other tests.
fn resident_peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
