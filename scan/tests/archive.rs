//! Archives of all kinds, in trees and histories: what lies in them is found, and what cannot be read is named.

use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use sevenz_rust2::{ArchiveEntry, ArchiveWriter};
use turnlock_scan::{Options, Outcome, Report, Scanner, Why};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::{RULE, Repository, places, scanner, token};

pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gz(content: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::default());
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

pub(crate) fn bz2(content: &[u8]) -> Vec<u8> {
    let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

pub(crate) fn xz(content: &[u8]) -> Vec<u8> {
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

pub(crate) fn zst(content: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
}

pub(crate) fn seven_zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    for (name, content) in files {
        writer.push_archive_entry(ArchiveEntry::new_file(name), Some(*content)).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Name of each file with a finding.
fn files(report: &Report) -> Vec<&str> {
    assert!(report.findings.iter().all(|finding| finding.rule == RULE));
    report.findings.iter().map(|finding| finding.place.file.as_str()).collect()
}

fn omissions(report: &Report) -> Vec<(&str, &Why)> {
    report.coverage.omissions.iter().map(|omission| (omission.what.as_str(), &omission.why)).collect()
}

#[test]
fn every_kind_of_archive_is_opened() {
    let text = format!("first\nkey {}\n", token(1));
    let text = text.as_bytes();
    let inner = [("a/empty", &b""[..]), ("a/b.txt", text)];
    for (kind, archive, found) in [
        ("zip", zip(&inner), "f!a/b.txt"),
        ("tar", tar(&inner), "f!a/b.txt"),
        ("7z", seven_zip(&inner), "f!a/b.txt"),
        ("gz", gz(text), "f"),
        ("bz2", bz2(text), "f"),
        ("xz", xz(text), "f"),
        ("zst", zst(text), "f"),
        ("tar.gz", gz(&tar(&inner)), "f!a/b.txt"),
        ("tar.bz2", bz2(&tar(&inner)), "f!a/b.txt"),
        ("tar.xz", xz(&tar(&inner)), "f!a/b.txt"),
        ("tar.zst", zst(&tar(&inner)), "f!a/b.txt"),
    ] {
        let report = scanner().scan_bytes("f", &archive);
        assert_eq!(places(&report), [(RULE, found, 2, "")], "{kind}: {:?}", report.coverage);
        assert_eq!((report.outcome(), report.coverage.archives), (Outcome::Leaks, 1), "{kind}");
    }
}

#[test]
fn parts_written_one_after_the_other_are_all_read() {
    let parts = [token(1), token(2)];
    for pack in [gz, bz2, xz, zst] {
        let packed: Vec<u8> = parts.iter().flat_map(|part| pack(format!("{part}\n").as_bytes())).collect();
        assert_eq!(scanner().scan_bytes("f", &packed).findings.len(), 2);
    }
}

#[test]
fn archives_in_archives_are_opened_as_deep_as_asked() {
    let text = token(2);
    let inner = zip(&[("c", text.as_bytes())]);
    let middle = seven_zip(&[("x", b"nothing"), ("b", &inner), ("z", text.as_bytes())]);
    let outer = gz(&tar(&[("a", &middle)]));
    assert_eq!(files(&scanner().scan_bytes("f", &outer)), ["f!a!b!c", "f!a!z"]);
    let at_depth = |archive_depth| {
        let mut options = Options::usual();
        options.archive_depth = archive_depth;
        Scanner::new(options).unwrap().scan_bytes("f", &outer)
    };
    let shallow = at_depth(2);
    assert_eq!(files(&shallow), ["f!a!z"]);
    assert_eq!(omissions(&shallow), [("f!a!b", &Why::TooDeep { limit: 2 })]);
    let closed = at_depth(0);
    assert_eq!((closed.findings.len(), closed.coverage.archives, closed.coverage.binary), (0, 0, 1));
}

#[test]
fn a_container_image_names_layer_and_path() {
    let layer = tar(&[("etc/passwd", b"root:x:0:0"), ("app/.env", format!("TOKEN={}", token(3)).as_bytes())]);
    let config = format!("{{\"config\":{{\"Env\":[\"KEY={}\"]}}}}", token(4));
    let oci = tar(&[
        ("oci-layout", b"{\"imageLayoutVersion\":\"1.0.0\"}"),
        ("blobs/sha256/4f81", &gz(&layer)),
        ("blobs/sha256/c9e0", config.as_bytes()),
    ]);
    let saved = tar(&[("manifest.json", b"[]"), ("7ab2/layer.tar", &layer), ("5d36.json", config.as_bytes())]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("oci.tar"), oci).unwrap();
    std::fs::write(folder.path().join("saved.tar"), saved).unwrap();
    let mut options = Options::usual();
    // An image is larger than what one file of it may be.
    options.max_bytes = 4096;
    let report = Scanner::new(options).unwrap().scan_tree(folder.path()).unwrap();
    let prefix = format!("{}/", folder.path().display());
    let files: Vec<&str> = files(&report).into_iter().map(|file| file.strip_prefix(&prefix).unwrap()).collect();
    assert_eq!(
        files,
        [
            "oci.tar!blobs/sha256/4f81!app/.env",
            "oci.tar!blobs/sha256/c9e0",
            "saved.tar!5d36.json",
            "saved.tar!7ab2/layer.tar!app/.env",
        ]
    );
    assert_eq!(report.coverage.omitted, 0);
}

#[test]
fn a_history_has_archives_too() {
    let repository = Repository::new();
    std::fs::write(repository.path().join("a.jar"), zip(&[("x/y", token(5).as_bytes()), ("x/z", token(5).as_bytes())]))
        .unwrap();
    let commit = repository.commit("one", "2026-01-01T00:00:00Z");
    std::fs::remove_file(repository.path().join("a.jar")).unwrap();
    repository.commit("two", "2026-01-02T00:00:00Z");
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), [(RULE, "a.jar!x/y", 1, commit.as_str()), (RULE, "a.jar!x/z", 1, commit.as_str())]);
}

#[test]
fn names_of_any_length_are_given() {
    let name = "deep/".repeat(60) + "file";
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("path", name.as_bytes())]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("short").unwrap();
    header.set_size(token(6).len() as u64);
    header.set_cksum();
    builder.append(&header, token(6).as_bytes()).unwrap();
    let pax = builder.into_inner().unwrap();
    for archive in [tar(&[(&name, token(6).as_bytes())]), pax] {
        assert_eq!(files(&scanner().scan_bytes("f", &archive)), [format!("f!{name}")]);
    }
}

#[test]
fn damage_is_named_and_what_comes_before_it_is_read() {
    let text = token(7);
    let noise: Vec<u8> = (0..4000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let inner = [("a", text.as_bytes()), ("b", noise.as_slice())];
    for (kind, archive) in [("tar", tar(&inner)), ("tar.gz", gz(&tar(&inner))), ("tar.xz", xz(&tar(&inner)))] {
        let cut = &archive[..archive.len() / 2];
        let report = scanner().scan_bytes("f", cut);
        assert!(!report.coverage.omissions.is_empty(), "{kind}");
        assert!(omissions(&report).iter().all(|(what, why)| what.starts_with('f') && **why == Why::Broken), "{kind}");
    }
    for (kind, archive) in [("zip", zip(&inner)), ("7z", seven_zip(&inner)), ("gz", gz(text.as_bytes()))] {
        let report = scanner().scan_bytes("f", &archive[..archive.len() / 2]);
        assert_eq!(omissions(&report), [("f", &Why::Broken)], "{kind}");
        assert_eq!(report.outcome(), Outcome::Partial, "{kind}");
    }
}

#[test]
fn an_encrypted_file_is_named_and_its_neighbours_are_read() {
    let mut archive = zip(&[("locked", b"nobody can read this"), ("open", token(8).as_bytes())]);
    // The first bit of the flags, in the header before the file and in the index.
    archive[6] |= 1;
    let index = memchr::memmem::find(&archive, b"PK\x01\x02").unwrap();
    archive[index + 8] |= 1;
    let report = scanner().scan_bytes("f", &archive);
    assert_eq!(files(&report), ["f!open"]);
    assert_eq!(omissions(&report), [("f!locked", &Why::Encrypted)]);
}

/// Made by another program, for ours packs nothing with a password: `locked`, one line; the second hides the name as well.
const LOCKED_SEVEN_ZIP: [&str; 2] = [
    "377abcaf271c0004873a306d8b00000000000000140000000000000056575a123d766ea688e77f390f58a81297da1496914f6188e8e29c\
     ea619ca23ba79fe7d3010066010406000109200a013095d28700070b0100022406f1070112530f4d428f5709c58c0bdd4ae00c092f9877\
     2121011801000c191500080a01674dbb9300000501110f006c006f0063006b00650064000000140a010010d1b5fb1a7edd011506010020\
     80808100000017062001096b00070b010001212101180c670000",
    "377abcaf271c00047fdce65a90000000000000002800000000000000edb79913d55af45efc0b36b06158deb5b31f8d8f051236d9920435\
     38887e52e45829b3ac3c61f283523ffbd6d783ad1210d0082345ec821262d491b0055449f644a4fc2522e65b38c03e4fdfd11de3cead0b\
     b11516991328f95cdb7dcde6fa71960b514da9b8b761f26199dbc135712e74b88fd902b0d337e491e4ca7bc1b8346cd0cce60c7917cb67\
     732214950ffcec615d092e17062001097000070b0100012406f1070112530fcdf225a94ff816791b49ce36c491c25a0c670000",
];

#[test]
fn a_seven_zip_with_a_password_is_named() {
    for archive in LOCKED_SEVEN_ZIP {
        let report = scanner().scan_bytes("f", &hex::decode(archive).unwrap());
        let [(what, why)] = omissions(&report)[..] else { panic!("{report:?}") };
        assert!(what.starts_with('f') && *why == Why::Encrypted, "{what}: {why}");
        assert_eq!(report.outcome(), Outcome::Partial);
    }
}
