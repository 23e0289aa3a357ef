//! Archives that are made to take time and memory: they end soon, and are named.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use turnlock_scan::{Report, Why};

use crate::archive::{gz, seven_zip, zip};
use crate::{scanner, token};

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

/// Made once: making it costs more than a scan.
fn scanner_once() -> &'static turnlock_scan::Scanner {
    static SCANNER: std::sync::OnceLock<turnlock_scan::Scanner> = std::sync::OnceLock::new();
    SCANNER.get_or_init(scanner)
}
