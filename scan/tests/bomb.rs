//! Archives that are made to take time and memory: they end soon, and are named.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use turnlock_scan::{Omission, Options, Outcome, Report, Scanner, Why};

use crate::archive::{gz, seven_zip, zip};
use crate::{MONDAY, Repository, scanner, token};

/// A hundred megabytes of zeros, packed.
fn zeros() -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    let block = vec![0; 1 << 20];
    for _ in 0..100 {
        writer.write_all(&block).unwrap();
    }
    writer.finish().unwrap()
}

fn is_named(report: &Report, expected: fn(&Why) -> bool) -> bool {
    report.coverage.omissions.iter().any(|omission| expected(&omission.why))
}

#[test]
fn a_file_of_zeros_is_too_large() {
    let report = scanner().scan_bytes("f", &zeros());
    assert!(is_named(&report, |why| matches!(why, Why::TooLarge { .. })), "{:?}", report.coverage);
}

#[test]
fn an_archive_in_itself_ends_at_the_depth() {
    let mut archive = token(1).into_bytes();
    for _ in 0..40 {
        archive = zip(&[("a", &archive)]);
    }
    let report = scanner().scan_bytes("f", &archive);
    assert!(is_named(&report, |why| *why == Why::TooDeep { limit: 3 }));
    let mut archive = token(1).into_bytes();
    for _ in 0..40 {
        archive = gz(&archive);
    }
    assert!(is_named(&scanner().scan_bytes("f", &archive), |why| *why == Why::TooDeep { limit: 3 }));
}

#[test]
fn sizes_in_headers_are_not_believed() {
    let mut header = tar::Header::new_gnu();
    header.set_path("huge").unwrap();
    for (kind, size) in [
        (tar::EntryType::Regular, 1 << 50),
        (tar::EntryType::GNULongName, 1 << 40),
        (tar::EntryType::XHeader, u64::MAX),
    ] {
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        let archive = [header.as_bytes().as_slice(), token(2).as_bytes()].concat();
        let report = scanner().scan_bytes("f", &archive);
        assert!(is_named(&report, |why| *why == Why::Broken), "{kind:?}: {:?}", report.coverage);
    }
    // Sizes and numbers of files in the headers of the other formats.
    for archive in [zip(&[("a", b"text of the file")]), seven_zip(&[("a", b"text of the file")])] {
        for at in 0..archive.len() {
            let mut damaged = archive.clone();
            damaged[at] = 0xff;
            scanner_once().scan_bytes("f", &damaged);
        }
    }
}

/// Tokens of which no two are alike.
fn tokens(number: usize) -> Vec<String> {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state
    };
    (0..number).map(|_| format!("dop_{}{:016x}{:016x}{:016x}{:016x}", "v1_", next(), next(), next(), next())).collect()
}

fn bounded(change: impl Fn(&mut Options)) -> Scanner {
    let mut options = Options::usual();
    change(&mut options);
    Scanner::new(options).unwrap()
}

#[test]
fn many_small_texts_that_expand_are_read_up_to_a_bound_in_all() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..40 {
        // No two alike: what is known to hold nothing is not unpacked again.
        let text = STANDARD.encode(gz(format!("{number:61440}").as_bytes()));
        std::fs::write(folder.path().join(format!("{number:02}")), format!("data: {text}\n")).unwrap();
    }
    let narrow = bounded(|options| options.unpacked_bytes = 1 << 20);
    for _ in 0..2 {
        let report = narrow.scan_tree(folder.path()).unwrap();
        assert_eq!(report.outcome(), Outcome::Partial);
        assert_eq!(
            report.coverage.omissions,
            [Omission { what: "the scan as a whole".into(), why: Why::ExpandsInAll }]
        );
    }
    let wide = bounded(|options| options.unpacked_bytes = 4 << 20).scan_tree(folder.path()).unwrap();
    assert_eq!(wide.outcome(), Outcome::Clean, "{:?}", wide.coverage);
}

#[test]
fn hits_beyond_what_is_kept_of_one_file_are_said() {
    let report = scanner_once().scan_bytes("f", (tokens(10_001).join("\n") + "\n").as_bytes());
    assert_eq!(report.findings.len(), 10_000);
    assert!(is_named(&report, |why| *why == Why::TooManyHits { limit: 10_000 }), "{:?}", report.coverage);
}

#[test]
fn hits_beyond_what_is_kept_in_all_are_said_and_not_remembered() {
    let repository = Repository::new();
    for (number, tokens) in tokens(24).chunks(8).enumerate() {
        repository.write(&format!("{number}"), &tokens.join("\n"));
    }
    repository.commit("all", MONDAY);
    let memory = tempfile::tempdir().unwrap();
    let narrow = bounded(|options| (options.max_hits, options.cache) = (10, Some(memory.path().to_owned())));
    for _ in 0..2 {
        for report in [narrow.scan_tree(repository.path()), narrow.scan_history(repository.path())] {
            let report = report.unwrap();
            assert_eq!(report.findings.len(), 10);
            assert!(is_named(&report, |why| *why == Why::TooManyHits { limit: 10 }), "{:?}", report.coverage);
        }
    }
    let wide = bounded(|options| options.max_hits = 24).scan_history(repository.path()).unwrap();
    assert_eq!((wide.findings.len(), wide.coverage.omitted), (24, 0));
}

/// Made once: making it costs more than a scan.
fn scanner_once() -> &'static turnlock_scan::Scanner {
    static SCANNER: std::sync::OnceLock<turnlock_scan::Scanner> = std::sync::OnceLock::new();
    SCANNER.get_or_init(scanner)
}
